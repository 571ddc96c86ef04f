//! Compressing plain layers: part of the site's format, since the digests of made layers depend on it.
//!
//! gzip members of 1 MiB of input each, concatenated, libdeflate level 4, no name and no time in the
//! header. Members make one layer compressible by all cores; every client reads them as one file.

use std::io::{self, Read, Write};
use std::mem;

use libdeflater::{CompressionLvl, Compressor};
use rayon::prelude::*;

use crate::content::Content;
use crate::layer::shape::Scanner;
use crate::layer::{CHUNK, Measured, Packing, Tar};
use crate::spec::digest::Hasher;

/// From this length on a layer is compressed by all cores; smaller ones share the cores.
pub const LARGE: u64 = 4 << 20;
/// Members that a core works on before the next batch: enough to even out, little to hold.
const CHUNKS_PER_CORE: usize = 4;
/// libdeflate's level; see the module's documentation.
const LEVEL: i32 = 4;

/// Compresses the tar in a layer (plain, or packed otherwise) to the site's gzip: one pass gives
/// the diff ID, the compressed bytes and their digest. A layer of [`LARGE`] bytes or more is shared
/// by all cores of the current pool; memory is a fixed buffer for each.
///
/// # Errors
/// When it cannot be read, unpacked or written.
pub fn compress(content: &Content, sink: &mut (dyn Write + Send)) -> anyhow::Result<Measured> {
    let packing = Packing::of(content)?;
    let plain = packing
        .decoder(content.open()?, content.len())
        .map_err(|error| content.failed(error))?;
    compress_stream(plain, content.len() >= LARGE, sink).map_err(|failure| match failure {
        Failure::Read(error) => content.failed(error),
        Failure::Write(error) => anyhow::Error::new(error).context(format!(
            "cannot write a compressed copy of {}",
            content.origin()
        )),
    })
}

/// Which side of a copy failed.
#[derive(Debug)]
pub enum Failure {
    /// What was read.
    Read(io::Error),
    /// What was written.
    Write(io::Error),
}

/// Compresses a tar that is read once; see [`compress`].
///
/// # Errors
/// When it cannot be read or written.
pub fn compress_stream(
    plain: impl Read,
    large: bool,
    sink: &mut (dyn Write + Send),
) -> Result<Measured, Failure> {
    let mut input = Input {
        plain,
        hasher: Hasher::default(),
        scanner: Scanner::default(),
    };
    let mut output = Output {
        sink,
        hasher: Hasher::default(),
    };
    if large {
        compress_batches(&mut input, &mut output)?;
    } else {
        // Small layers are many at once already. Waiting for other threads here would let this one
        // take up further layers meanwhile, each with its buffers.
        let mut compressor = compressor();
        let mut chunk = input.chunk().map_err(Failure::Read)?;
        loop {
            output
                .take(&[member(&mut compressor, &chunk)])
                .map_err(Failure::Write)?;
            chunk = input.chunk().map_err(Failure::Read)?;
            if chunk.is_empty() {
                break;
            }
        }
    }
    let (digest, size) = output.hasher.finish();
    let tar = Tar {
        diff_id: input.hasher.finish().0,
        lacking: input.scanner.is_lacking(),
    };
    Ok(Measured {
        digest,
        size,
        tar: Some(tar),
    })
}

/// While one batch is compressed, the one before is written and the next is read.
fn compress_batches(input: &mut Input<impl Read>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut batch = input.batch().map_err(Failure::Read)?;
    if batch.is_empty() {
        batch.push(Vec::new());
    }
    let mut members = Vec::new();
    while !batch.is_empty() {
        let done = mem::take(&mut members);
        let (mut next, mut written) = (Ok(Vec::new()), Ok(()));
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| {
                let compress = |compressor: &mut _, chunk: &Vec<u8>| member(compressor, chunk);
                members = batch.par_iter().map_init(compressor, compress).collect();
            });
            next = input.batch();
            written = output.take(&done);
        });
        written.map_err(Failure::Write)?;
        batch = next.map_err(Failure::Read)?;
    }
    output.take(&members).map_err(Failure::Write)
}

struct Input<R> {
    plain: R,
    hasher: Hasher,
    scanner: Scanner,
}

impl<R: Read> Input<R> {
    /// The next chunk, full but for the last one; empty at the end.
    fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = Vec::with_capacity(CHUNK);
        self.plain
            .by_ref()
            .take(CHUNK as u64)
            .read_to_end(&mut chunk)?;
        self.hasher.update(&chunk);
        self.scanner.feed(&chunk);
        Ok(chunk)
    }

    /// The next chunks; none at the end.
    fn batch(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut batch = Vec::new();
        while batch.len() < CHUNKS_PER_CORE * rayon::current_num_threads() {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                break;
            }
            batch.push(chunk);
        }
        Ok(batch)
    }
}

struct Output<'a> {
    sink: &'a mut (dyn Write + Send),
    hasher: Hasher,
}

impl Output<'_> {
    fn take(&mut self, members: &[Vec<u8>]) -> io::Result<()> {
        members.iter().try_for_each(|member| {
            self.hasher.update(member);
            self.sink.write_all(member)
        })
    }
}

fn compressor() -> Compressor {
    Compressor::new(CompressionLvl::new(LEVEL).expect("level 4 exists"))
}

fn member(compressor: &mut Compressor, chunk: &[u8]) -> Vec<u8> {
    let mut member = vec![0; compressor.gzip_compress_bound(chunk.len())];
    let written = compressor
        .gzip_compress(chunk, &mut member)
        .expect("the bound is enough");
    member.truncate(written);
    member
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::spec::digest::Digest;

    /// Words in an order that depends on nothing but this function.
    pub(in crate::layer) fn text(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let words = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            format!("{:x} ", state >> 20).into_bytes()
        });
        words.flatten().take(len).collect()
    }

    pub(in crate::layer) fn compressed(bytes: &[u8], threads: usize) -> (Vec<u8>, Measured) {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let mut out = Vec::new();
        let content = Content::memory(bytes, "`test`");
        let measured = pool.install(|| compress(&content, &mut out)).unwrap();
        (out, measured)
    }

    /// The golden digest: a change here is a change of the site's format number.
    #[test]
    fn compressed_bytes_never_change() {
        let (bytes, measured) = compressed(&text(3_500_000), 2);
        assert_eq!(measured.digest, Digest::of(&bytes));
        assert_eq!(measured.size, bytes.len() as u64);
        assert_eq!(
            measured.digest.to_string(),
            "sha256:f0eec86545b83bb3e4581486725028363fec98c04308aba7ff75c4cf2dc30b9f"
        );
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bytes() {
        for len in [
            0,
            1,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            4 * CHUNK - 1,
            9 * CHUNK + 5,
            24 * CHUNK,
        ] {
            let bytes = text(len);
            let (one, measured) = compressed(&bytes, 1);
            assert_eq!(one, compressed(&bytes, 3).0, "{len}");
            assert_eq!(measured.tar.unwrap().diff_id, Digest::of(&bytes));
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(&one[..])
                .read_to_end(&mut back)
                .unwrap();
            assert_eq!(back, bytes);
        }
    }
}
