//! Compresses plain layers. The output is part of the site's format: the digests of compressed layers
//! depend on it.
//!
//! A layer becomes concatenated gzip members of 1 MiB of input each, with no name or time in their headers.
//! Of every five members, two use libdeflate level 1 and three level 2. Level 1 takes a quarter less time
//! for 4 % more bytes; the mix is about as small as skopeo's output in half the time
//! (`tests/bench.sh build`). Separate members let all cores work on one layer, and every client reads them
//! as one file.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, sync_channel};

use libdeflater::{CompressionLvl, Compressor};

use crate::content::Content;
use crate::layer::v1_scan::Scanner;
use crate::layer::{CHUNK, Compression, Measured, Tar};
use crate::spec::digest::Hasher;

/// Layers of this many bytes or more are compressed by all cores, one at a time. Smaller ones take one core
/// each.
pub const LARGE: u64 = 4 << 20;
/// Members in flight per core: enough to keep every core busy, few enough to hold in memory.
const CHUNKS_PER_CORE: usize = 4;
/// The libdeflate level of each of five members; see the module docs.
const LEVELS: [i32; 5] = [1, 2, 1, 2, 2];

/// Compresses the tar of a layer, which may be compressed in another format, to the site's gzip. One pass
/// yields the diff ID, the compressed bytes and their digest. Layers of [`LARGE`] bytes or more use all
/// threads of the current pool. Memory use is a fixed number of buffers per thread.
pub fn compress(content: &Content, sink: &mut (dyn Write + Send)) -> anyhow::Result<Measured> {
    let compression = Compression::of(content)?;
    let plain = compression
        .decoder(content.open()?, content.len())
        .map_err(|error| content.failed(error))?;
    compress_stream(plain, content.len() >= LARGE, sink).map_err(|failure| match failure {
        CopyError::Read(error) => content.failed(error),
        CopyError::Write(error) => anyhow::Error::new(error).context(format!(
            "cannot write a compressed copy of {}",
            content.origin()
        )),
    })
}

/// Which side of a copy failed.
#[derive(Debug)]
pub enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

/// Compresses a tar that can be read only once; see [`compress`]. `large` makes all threads work on it.
pub fn compress_stream(
    plain: impl Read,
    large: bool,
    sink: &mut (dyn Write + Send),
) -> Result<Measured, CopyError> {
    let mut output = Output::new(sink);
    let tar = output.compress(plain, large)?;
    Ok(output.measured(Some(tar)))
}

/// Writes a layer of `len` bytes as gzip, behind members with a prefix for its tar. A gzip layer keeps its bytes.
pub(super) fn prepend(
    prefix: &[u8],
    compression: Compression,
    mut packed: impl Read + Send,
    len: u64,
    sink: &mut (dyn Write + Send),
) -> Result<Measured, CopyError> {
    let mut output = Output::new(sink);
    for (number, chunk) in prefix.chunks(CHUNK).enumerate() {
        let member = member(number, chunk);
        output.take(&member).map_err(CopyError::Write)?;
    }
    if compression == Compression::Gzip {
        let mut buffer = vec![0; CHUNK / 4];
        loop {
            match packed.read(&mut buffer).map_err(CopyError::Read)? {
                0 => break,
                count => output.take(&buffer[..count]).map_err(CopyError::Write)?,
            }
        }
    } else {
        let plain = compression.decoder(packed, len);
        output.compress(plain.map_err(CopyError::Read)?, false)?;
    }
    Ok(output.measured(None))
}

/// Reads the next members while others are being compressed, and writes finished ones in order.
fn compress_parallel(
    input: &mut Input<impl Read>,
    output: &mut Output<'_>,
) -> Result<(), CopyError> {
    let ahead = CHUNKS_PER_CORE * rayon::current_num_threads();
    rayon::in_place_scope_fifo(|scope| {
        let mut under_way = VecDeque::new();
        let mut chunk = input.chunk().map_err(CopyError::Read)?;
        for number in 0.. {
            let (done, result) = sync_channel(1);
            under_way.push_back(result);
            // The receiver is gone if reading or writing has failed meanwhile.
            scope.spawn_fifo(move |_| drop(done.send(member(number, &chunk))));
            chunk = input.chunk().map_err(CopyError::Read)?;
            while under_way.len() >= ahead || chunk.is_empty() {
                let Some(first) = under_way.pop_front() else {
                    return Ok(());
                };
                output.take(&wait(&first)).map_err(CopyError::Write)?;
            }
        }
        Ok(())
    })
}

/// Waits for a compressed member. Meanwhile this thread runs other jobs of the pool.
fn wait(result: &Receiver<Vec<u8>>) -> Vec<u8> {
    loop {
        if let Ok(member) = result.try_recv() {
            return member;
        }
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            return result.recv().expect("every job sends its member");
        }
    }
}

struct Input<R> {
    plain: R,
    hasher: Hasher,
    scanner: Scanner,
}

impl<R: Read> Input<R> {
    /// The next chunk. Only the last one is shorter than [`CHUNK`]; an empty one marks the end.
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
}

struct Output<'a> {
    sink: &'a mut (dyn Write + Send),
    hasher: Hasher,
}

impl<'a> Output<'a> {
    fn new(sink: &'a mut (dyn Write + Send)) -> Self {
        let hasher = Hasher::default();
        Self { sink, hasher }
    }

    fn take(&mut self, member: &[u8]) -> io::Result<()> {
        self.hasher.update(member);
        self.sink.write_all(member)
    }

    /// Compresses a tar; `large` makes all threads work on it.
    fn compress(&mut self, plain: impl Read, large: bool) -> Result<Tar, CopyError> {
        let mut input = Input {
            plain,
            hasher: Hasher::default(),
            scanner: Scanner::default(),
        };
        if large {
            compress_parallel(&mut input, self)?;
        } else {
            // Many small layers are compressed at once. Waiting for other threads here would let this thread
            // start further layers meanwhile, each with its own buffers.
            let mut chunk = input.chunk().map_err(CopyError::Read)?;
            for number in 0.. {
                self.take(&member(number, &chunk))
                    .map_err(CopyError::Write)?;
                chunk = input.chunk().map_err(CopyError::Read)?;
                if chunk.is_empty() {
                    break;
                }
            }
        }
        Ok(Tar {
            diff_id: input.hasher.finish().0,
            incomplete_for_v1: input.scanner.is_lacking(),
        })
    }

    fn measured(self, tar: Option<Tar>) -> Measured {
        let (digest, size) = self.hasher.finish();
        Measured { digest, size, tar }
    }
}

thread_local! {
    static COMPRESSORS: RefCell<([Compressor; LEVELS.len()], Vec<u8>)> = RefCell::new((
        LEVELS.map(|level| Compressor::new(CompressionLvl::new(level).expect("the level exists"))),
        Vec::new(),
    ));
}

/// Compresses one chunk, the `number`th of its layer.
fn member(number: usize, chunk: &[u8]) -> Vec<u8> {
    COMPRESSORS.with_borrow_mut(|(compressors, out)| {
        let compressor = &mut compressors[number % LEVELS.len()];
        out.resize(compressor.gzip_compress_bound(CHUNK), 0);
        let written = compressor
            .gzip_compress(chunk, out)
            .expect("the bound is enough");
        out[..written].to_vec()
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::spec::digest::Digest;

    /// Pseudo-random words, the same on every run.
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

    /// The golden digest: changing it requires a new format number.
    #[test]
    fn compressed_bytes_never_change() {
        let (bytes, measured) = compressed(&text(3_500_000), 2);
        assert_eq!(measured.digest, Digest::of(&bytes));
        assert_eq!(measured.size, bytes.len() as u64);
        assert_eq!(
            measured.digest.to_string(),
            "sha256:4997ae68b89abdce26403a30b3b004ed6c3666b28ffe802e4d2233faa332526b"
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
