//! Layers: how they are packed, what their tar hashes to, and how a plain one is compressed.
//!
//! Compression is part of the site's format (the digests of made layers depend on it): gzip
//! members of 1 MiB of input each, concatenated, libdeflate level 4, no name and no time in the
//! header. Members make one layer compressible by all cores; every client reads them as one file.

use std::io::{self, BufReader, Read, Write};
use std::mem;

use libdeflater::{CompressionLvl, Compressor};
use rayon::prelude::*;

use crate::content::{Content, Reader};
use crate::spec::digest::{Digest, Hasher};

/// How a layer is packed, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not compressed.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz file format, which Docker 1.x reads.
    Xz,
    /// bzip2, which Docker 1.x reads.
    Bzip2,
}

impl Packing {
    /// Looks at the first bytes.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn of(content: &Content) -> anyhow::Result<Self> {
        let mut start = Vec::new();
        content
            .open()?
            .take(6)
            .read_to_end(&mut start)
            .map_err(|error| content.failed(error))?;
        Ok(Self::of_start(&start))
    }

    /// Looks at the first 6 bytes, or fewer where there are no more.
    pub fn of_start(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // Seekable and chunked zstd may begin with a skippable frame.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::Plain,
        }
    }

    /// A reader of what was packed.
    ///
    /// # Errors
    /// When the decoder cannot be set up.
    pub fn decoder<'a>(
        self,
        packed: impl Read + Send + 'a,
    ) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(packed),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(
                BufReader::with_capacity(CHUNK / 4, packed),
            )),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(packed)?),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(
                    XZ_MEMORY,
                    liblzma::stream::CONCATENATED,
                )?;
                Box::new(liblzma::read::XzDecoder::new_stream(packed, stream))
            }
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(packed)),
        })
    }
}

/// What was learnt of content while it was read.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The digest of the bytes written.
    pub digest: Digest,
    /// The number of bytes written.
    pub size: u64,
    /// The digest of the uncompressed tar, where it was asked for.
    pub diff_id: Option<Digest>,
}

/// Bytes that unpacking xz may use: `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;
/// Input bytes in each gzip member.
const CHUNK: usize = 1 << 20;
/// Members that a core works on before the next batch: enough to even out, little to hold.
const CHUNKS_PER_CORE: usize = 4;
/// From this length on a layer is compressed by all cores; smaller ones share the cores.
pub const LARGE: u64 = 4 << 20;
/// libdeflate's level; see the module's documentation.
const LEVEL: i32 = 4;

/// Copies content byte for byte, on the way hashing it and, if asked, what is packed in it.
///
/// # Errors
/// When it cannot be read, unpacked or written.
pub fn keep(
    content: &Content,
    sink: &mut (dyn Write + Send),
    want_diff_id: bool,
) -> anyhow::Result<Measured> {
    let mut tee = Tee {
        reader: content.open()?,
        sink,
        hasher: Hasher::default(),
        failed: None,
    };
    let packing = if want_diff_id {
        Packing::of(content)?
    } else {
        Packing::Plain
    };
    let mut diff_id = None;
    let read = (|| {
        if packing != Packing::Plain {
            diff_id = Some(hash(packing.decoder(&mut tee)?)?);
        }
        io::copy(
            &mut BufReader::with_capacity(CHUNK / 4, &mut tee),
            &mut io::sink(),
        )
    })();
    if let Some(error) = tee.failed {
        return Err(anyhow::Error::new(error)
            .context(format!("cannot write a copy of {}", content.origin())));
    }
    read.map_err(|error| content.failed(error))?;
    let (digest, size) = tee.hasher.finish();
    Ok(Measured {
        digest,
        size,
        diff_id: diff_id.or(want_diff_id.then_some(digest)),
    })
}

/// Hashes the uncompressed tar in a layer.
///
/// # Errors
/// When it cannot be read or unpacked.
pub fn diff_id(content: &Content) -> anyhow::Result<Digest> {
    let packing = Packing::of(content)?;
    packing
        .decoder(content.open()?)
        .and_then(hash)
        .map_err(|error| content.failed(error))
}

fn hash(mut reader: impl Read) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; CHUNK / 4];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hasher.finish().0),
            got => hasher.update(&buffer[..got]),
        }
    }
}

/// Passes on what it reads to a sink and a hasher. A sink that fails is remembered, so that a full
/// disk is not taken for a broken source.
struct Tee<'a> {
    reader: Reader,
    sink: &'a mut (dyn Write + Send),
    hasher: Hasher,
    failed: Option<io::Error>,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..got]);
        if let Err(error) = self.sink.write_all(&buffer[..got]) {
            self.failed = Some(error);
            return Err(io::Error::other("the copy cannot be written"));
        }
        Ok(got)
    }
}

/// Compresses the tar in a layer (plain, or packed otherwise) to the site's gzip: one pass gives
/// the diff ID, the compressed bytes and their digest. A layer of [`LARGE`] bytes or more is shared
/// by all cores of the current pool; memory is a fixed buffer for each.
///
/// # Errors
/// When it cannot be read, unpacked or written.
pub fn compress(content: &Content, sink: &mut (dyn Write + Send)) -> anyhow::Result<Measured> {
    let packing = Packing::of(content)?;
    let plain = packing
        .decoder(content.open()?)
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
    Ok(Measured {
        digest,
        size,
        diff_id: Some(input.hasher.finish().0),
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
mod tests {
    use super::*;

    /// Words in an order that depends on nothing but this function.
    fn text(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let words = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            format!("{:x} ", state >> 20).into_bytes()
        });
        words.flatten().take(len).collect()
    }

    fn compressed(bytes: &[u8], threads: usize) -> (Vec<u8>, Measured) {
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
            assert_eq!(measured.diff_id, Some(Digest::of(&bytes)));
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(&one[..])
                .read_to_end(&mut back)
                .unwrap();
            assert_eq!(back, bytes);
        }
    }

    #[test]
    fn kept_content_is_hashed_packed_and_unpacked() {
        let bytes = text(CHUNK + 7);
        let (gzip, _) = compressed(&bytes, 1);
        let zstd = zstd::encode_all(&bytes[..], 3).unwrap();
        let level = bzip2::Compression::fast();
        let (mut xz, mut bzip2) = (Vec::new(), Vec::new());
        liblzma::read::XzEncoder::new(&bytes[..], 1)
            .read_to_end(&mut xz)
            .unwrap();
        bzip2::read::BzEncoder::new(&bytes[..], level)
            .read_to_end(&mut bzip2)
            .unwrap();
        for packed in [&gzip, &zstd, &xz, &bzip2, &bytes] {
            let mut copy = Vec::new();
            let content = Content::memory(&packed[..], "`test`");
            let measured = keep(&content, &mut copy, true).unwrap();
            assert_eq!(&copy, packed);
            assert_eq!(measured.digest, Digest::of(packed));
            assert_eq!(measured.diff_id, Some(Digest::of(&bytes)));
            assert_eq!(diff_id(&content).unwrap(), Digest::of(&bytes));
        }
    }

    #[test]
    fn broken_packing_is_the_datas_fault() {
        let (gzip, _) = compressed(&text(5000), 1);
        let mut flipped = gzip.clone();
        flipped[1000] ^= 1;
        let mut trailing = gzip.clone();
        trailing.extend(b"garbage");
        let zstd = zstd::encode_all(&text(5000)[..], 3).unwrap();
        for packed in [
            &gzip[..gzip.len() - 1],
            &flipped,
            &trailing,
            &zstd[..zstd.len() - 1],
        ] {
            let error =
                keep(&Content::memory(packed, "`test`"), &mut io::sink(), true).unwrap_err();
            assert!(crate::error::is_bad(&error), "{error:#}");
        }
    }
}
