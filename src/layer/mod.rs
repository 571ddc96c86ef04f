//! Layers: detecting their compression, computing diff IDs, and compressing plain ones
//! (`compress`).

use std::io::{self, BufReader, Read, Write};

use crate::content::{Content, Packing, Reader};
use crate::spec::digest::{Digest, Hasher};

mod chunk;
mod compress;
mod decompression_limit;
mod hashing;
mod raw_tar;
mod v1_chain;
mod v1_layer;
mod v1_outline;
mod v1_paths;
mod v1_places;
mod v1_scan;
mod v1_view;

pub use compress::{CopyError, LARGE, compress, compress_stream, recompress};
pub use decompression_limit::{Expansion, check_sparse};
pub use hashing::Hashing;
pub use v1_chain::{Place, complete};
pub use v1_layer::Completion;
pub use v1_outline::Outline;

use decompression_limit::Bound;
use v1_scan::Scanner;

/// The compression of a layer, detected by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
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

impl From<Packing> for Compression {
    fn from(packing: Packing) -> Self {
        match packing {
            Packing::Gzip => Self::Gzip,
            Packing::Zstd => Self::Zstd,
        }
    }
}

impl Compression {
    pub fn of(content: &Content) -> anyhow::Result<Self> {
        let mut start = Vec::new();
        content
            .open()?
            .take(6)
            .read_to_end(&mut start)
            .map_err(|error| content.failed(error))?;
        Ok(Self::of_start(&start))
    }

    /// `start` is the first 6 bytes, or all of a shorter file.
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

    /// A reader of the uncompressed bytes. It fails with [`Expansion`] if there are far more of them than
    /// any real content has. `len` is the compressed length in bytes; 0 if unknown, as for a pipe.
    pub fn decoder<'a>(
        self,
        packed: impl Read + Send + 'a,
        len: u64,
    ) -> io::Result<Box<dyn Read + Send + 'a>> {
        if self == Self::Plain {
            return Ok(Box::new(packed));
        }
        let (packed, bound) = Bound::new(packed, len, decompression_limit::LIMITS);
        Ok(Box::new(bound.over(self.unbounded(packed)?)))
    }

    fn unbounded<'a>(self, packed: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(packed),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(
                BufReader::with_capacity(BUFFER, packed),
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

/// What was measured while content was copied or compressed.
#[derive(Debug)]
pub struct Measured {
    /// Of the bytes written.
    pub digest: Digest,
    /// The bytes written.
    pub size: u64,
    /// The uncompressed tar, if it was measured.
    pub tar: Option<Tar>,
    /// Its members, if it can be completed.
    pub outline: Option<Outline>,
}

/// What is known about an uncompressed tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tar {
    pub diff_id: Digest,
    /// Whether Docker 1.x would unpack it differently; see [`Completion`].
    pub incomplete_for_v1: bool,
}

/// Memory for unpacking xz, in bytes: `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;
/// The bytes of a buffer.
const BUFFER: usize = 256 << 10;

/// Copies content byte for byte and hashes it. With `want_tar` it also unpacks and measures the tar in it.
pub fn keep(
    content: &Content,
    sink: &mut (dyn Write + Send),
    want_tar: bool,
) -> anyhow::Result<Measured> {
    let mut tee = Tee {
        reader: content.open()?,
        sink,
        hasher: Hasher::default(),
        failed: None,
    };
    let compression = Compression::of(content)?;
    let (mut tar, mut outline) = (None, None);
    let read = (|| {
        if want_tar {
            let measured = measure(compression.decoder(&mut tee, content.len())?)?;
            (tar, outline) = (Some(measured.0), measured.1);
        }
        io::copy(
            &mut BufReader::with_capacity(BUFFER, &mut tee),
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
        tar,
        outline,
    })
}

/// Unpacks a layer and measures its tar.
pub fn tar(content: &Content) -> anyhow::Result<Tar> {
    let compression = Compression::of(content)?;
    compression
        .decoder(content.open()?, content.len())
        .and_then(measure)
        .map(|(tar, _)| tar)
        .map_err(|error| content.failed(error))
}

fn measure(plain: impl Read) -> io::Result<(Tar, Option<Outline>)> {
    let mut measuring = Measuring::new(plain);
    io::copy(
        &mut BufReader::with_capacity(BUFFER, &mut measuring),
        &mut io::sink(),
    )?;
    Ok(measuring.finish())
}

/// Measures the tar that is read through it.
struct Measuring<R> {
    plain: R,
    hasher: Hasher,
    scanner: Scanner,
}

impl<R> Measuring<R> {
    fn new(plain: R) -> Self {
        Self {
            plain,
            hasher: Hasher::default(),
            scanner: Scanner::default(),
        }
    }

    fn finish(self) -> (Tar, Option<Outline>) {
        let outline = self.scanner.finish();
        let tar = Tar {
            diff_id: self.hasher.finish().0,
            incomplete_for_v1: outline.as_ref().is_some_and(Outline::is_lacking),
        };
        (tar, outline)
    }
}

impl<R: Read> Read for Measuring<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.plain.read(buffer)?;
        self.hasher.update(&buffer[..got]);
        self.scanner.feed(&buffer[..got]);
        Ok(got)
    }
}

/// Copies what is read to a sink and a hasher. It keeps an error of the sink apart, so that a full disk is
/// not reported as a broken source.
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

#[cfg(test)]
mod tests {
    use super::compress::tests::{compressed, text};
    use super::*;

    #[test]
    fn kept_content_is_hashed_packed_and_unpacked() {
        let bytes = text(5 * BUFFER);
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
            assert_eq!(measured.tar.unwrap().diff_id, Digest::of(&bytes));
            assert_eq!(tar(&content).unwrap().diff_id, Digest::of(&bytes));
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
