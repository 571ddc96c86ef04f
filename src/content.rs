//! The location of bytes. Content can be opened any number of times, unlike a reader.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use crate::error::{escaped_message, invalid_input};
use crate::progress::{Meter, Progress};
use crate::spec::digest::{Digest, Hasher};
use crate::{bail_invalid, fsx};

use joined::Joined;
pub use sparse::Sparse;

mod joined;
mod sparse;

/// Bytes of a known length, with a name for messages: the file, and the member if it is an archive.
#[derive(Clone, Debug)]
pub struct Content {
    place: Location,
    len: u64,
    origin: Arc<str>,
    meter: Option<Arc<Meter>>,
}

#[derive(Clone, Debug)]
enum Location {
    Memory(Arc<[u8]>),
    File(Arc<Path>),
    Range(Arc<File>, u64),
    Sparse(Arc<File>, u64, Sparse),
    Packed(Arc<Path>, Packing),
    /// One after the other.
    Joined(Arc<[Content]>),
}

/// A compression that layers are given here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Packing {
    /// RFC 1952. All clients read it.
    #[default]
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Identifies the current content of a file: it changes with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The digest of the name, position and metadata.
    pub key: Digest,
    /// The device and inode of the file, and the position in it: equal for hard links.
    pub place: ((u64, u64), u64),
    /// The later of mtime and ctime, in nanoseconds since 1970.
    pub changed: i128,
}

impl Content {
    pub fn memory(bytes: impl Into<Arc<[u8]>>, origin: impl Into<Arc<str>>) -> Self {
        let bytes = bytes.into();
        Self {
            len: bytes.len() as u64,
            place: Location::Memory(bytes),
            origin: origin.into(),
            meter: None,
        }
    }

    /// A whole file; `None` if it does not exist.
    ///
    /// # Errors
    /// If the path is not a regular file.
    pub fn file(path: PathBuf) -> anyhow::Result<Option<Self>> {
        let Some(meta) = fsx::meta(&path)? else {
            return Ok(None);
        };
        if !meta.is_file {
            bail_invalid!("`{}` is not a regular file", fsx::escaped_path(&path));
        }
        Ok(Some(Self::file_of_len(path, meta.len)))
    }

    /// A whole file of `len` bytes.
    pub fn file_of_len(path: PathBuf, len: u64) -> Self {
        Self {
            origin: format!("`{}`", fsx::escaped_path(&path)).into(),
            len,
            place: Location::File(path.into()),
            meter: None,
        }
    }

    pub fn range(file: Arc<File>, offset: u64, len: u64, origin: impl Into<Arc<str>>) -> Self {
        Self {
            place: Location::Range(file, offset),
            len,
            origin: origin.into(),
            meter: None,
        }
    }

    /// A sparse file whose stored bytes are in `file`, from an offset on.
    pub fn sparse(
        file: Arc<File>,
        offset: u64,
        sparse: Sparse,
        origin: impl Into<Arc<str>>,
    ) -> Self {
        let len = sparse.whole();
        Self {
            place: Location::Sparse(file.clone(), offset, sparse),
            ..Self::range(file, offset, len, origin)
        }
    }

    /// The unpacked content of a compressed file; `len` is the unpacked length.
    pub fn packed(path: PathBuf, packing: Packing, len: u64, origin: impl Into<Arc<str>>) -> Self {
        Self {
            place: Location::Packed(path.into(), packing),
            len,
            origin: origin.into(),
            meter: None,
        }
    }

    /// The parts of a file, one after the other.
    pub fn joined(parts: Vec<Self>, origin: impl Into<Arc<str>>) -> Self {
        Self {
            len: parts.iter().map(Self::len).sum(),
            place: Location::Joined(parts.into()),
            origin: origin.into(),
            meter: None,
        }
    }

    /// `len` bytes of it, from an offset on.
    ///
    /// # Errors
    /// If it is neither in memory nor all in one file, or the file cannot be opened.
    pub fn part(&self, offset: u64, len: u64) -> anyhow::Result<Self> {
        let (file, start) = match &self.place {
            Location::File(path) => (Arc::new(fsx::open(path)?), 0),
            Location::Range(file, start) => (file.clone(), *start),
            Location::Memory(bytes) => {
                let (start, len) = (usize::try_from(offset)?, usize::try_from(len)?);
                return Ok(Self::memory(
                    &bytes[start..start + len],
                    self.origin.clone(),
                ));
            }
            _ => anyhow::bail!("{} cannot be split", self.origin),
        };
        Ok(Self::range(file, start + offset, len, self.origin.clone()))
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The name for messages, with backticks.
    pub fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    /// The path, for content that is a whole file.
    pub fn path(&self) -> Option<&Path> {
        if let Location::File(path) = &self.place {
            Some(path)
        } else {
            None
        }
    }

    /// The current identity; `None` for content in memory, in several files or in a file without a name.
    pub fn identity(&self) -> anyhow::Result<Option<Identity>> {
        let (meta, offset) = match &self.place {
            Location::Memory(_) | Location::Joined(_) => return Ok(None),
            Location::File(path) | Location::Packed(path, _) => (fsx::meta(path)?, 0),
            Location::Range(file, offset) | Location::Sparse(file, offset, _) => {
                let path = Path::new(&*self.origin);
                (Some(fsx::meta_of(file, path)?), *offset)
            }
        };
        Ok(meta.filter(|meta| meta.links > 0).map(|meta| {
            let text = format!(
                "{} {offset} {} {:?} {} {:?}",
                self.origin, self.len, meta.inode, meta.len, meta.changed
            );
            Identity {
                key: Digest::of(text.as_bytes()),
                place: (meta.inode, offset),
                changed: meta.changed.into_iter().max().unwrap_or_default(),
            }
        }))
    }

    /// The reader fails if the bytes end before [`Content::len`].
    pub fn open(&self) -> anyhow::Result<Reader> {
        let source = match &self.place {
            Location::Memory(bytes) => Source::Memory(Cursor::new(bytes.clone())),
            Location::File(path) => Source::Range(FileAt(Arc::new(fsx::open(path)?), 0)),
            Location::Range(file, offset) => Source::Range(FileAt(file.clone(), *offset)),
            Location::Sparse(file, offset, sparse) => {
                let stored = FileAt(file.clone(), *offset);
                Source::Made(Box::new(sparse.over(stored)))
            }
            Location::Packed(path, packing) => {
                let file = BufReader::new(fsx::open(path)?);
                Source::Made(match packing {
                    Packing::Gzip => Box::new(MultiGzDecoder::new(file)),
                    Packing::Zstd => Box::new(
                        zstd::Decoder::with_buffer(file).map_err(|error| self.failed(error))?,
                    ),
                })
            }
            Location::Joined(parts) => Source::Made(Box::new(Joined::new(parts.clone()))),
        };
        Ok(Reader {
            source,
            left: self.len,
            meter: self.meter.clone(),
        })
    }

    /// Reads all bytes, at most `limit`.
    pub fn read(&self, limit: u64) -> anyhow::Result<Arc<[u8]>> {
        if let Location::Memory(bytes) = &self.place {
            return Ok(bytes.clone());
        }
        if self.len > limit {
            bail_invalid!(
                "{} is too large: {} bytes, more than the limit of {limit}",
                self.origin,
                self.len
            );
        }
        let mut bytes = Vec::with_capacity(usize::try_from(self.len)?);
        self.open()?
            .read_to_end(&mut bytes)
            .map_err(|error| self.failed(error))?;
        Ok(bytes.into())
    }

    /// Hashes all bytes.
    pub fn hash(&self, mut hasher: Hasher) -> anyhow::Result<Digest> {
        self.visit(&mut |bytes| hasher.update(bytes))?;
        Ok(hasher.finish().0)
    }

    /// Reads all bytes, some at a time.
    pub fn visit(&self, take: &mut dyn FnMut(&[u8])) -> anyhow::Result<()> {
        let (mut reader, mut buffer) = (self.open()?, vec![0; 1 << 18]);
        loop {
            match reader
                .read(&mut buffer)
                .map_err(|error| self.failed(error))?
            {
                0 => return Ok(()),
                got => take(&buffer[..got]),
            }
        }
    }

    /// Adds the content's name to an error of reading or decoding it. Errors from the operating system blame
    /// the machine, all others the data.
    pub fn failed(&self, error: io::Error) -> anyhow::Error {
        if error.raw_os_error().is_some() {
            anyhow::Error::new(error).context(format!("cannot read {}", self.origin))
        } else {
            invalid_input(escaped_message(error.to_string()))
                .context(format!("cannot read {}", self.origin))
        }
    }
}

pub struct Reader {
    source: Source,
    left: u64,
    meter: Option<Arc<Meter>>,
}

enum Source {
    Memory(Cursor<Arc<[u8]>>),
    Range(FileAt),
    /// Unpacked, or filled up.
    Made(Box<dyn Read + Send>),
}

/// A file, read from an offset on.
pub struct FileAt(pub Arc<File>, pub u64);

impl Read for FileAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.0.read_at(buffer, self.1)?;
        self.1 += got as u64;
        Ok(got)
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let got = match &mut self.source {
            Source::Memory(cursor) => cursor.read(&mut buffer[..wanted])?,
            Source::Range(place) => place.read(&mut buffer[..wanted])?,
            Source::Made(reader) => reader.read(&mut buffer[..wanted])?,
        };
        if got == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "unexpected end of data",
            ));
        }
        self.left -= got as u64;
        if let Some(meter) = &self.meter {
            meter.add(got as u64);
        }
        Ok(got)
    }
}

impl Content {
    /// The same bytes; reading them, or a [`Content::renamed`] copy, counts as progress.
    #[must_use]
    pub fn counted(&self, progress: &Arc<Progress>) -> Self {
        Self {
            meter: Some(Arc::new(Meter::new(progress, self.len))),
            ..self.clone()
        }
    }

    /// The same bytes, counted as progress that was expected already.
    #[must_use]
    pub fn counted_as_expected(&self, progress: &Arc<Progress>) -> Self {
        Self {
            meter: Some(Arc::new(Meter::expected(progress, self.len))),
            ..self.clone()
        }
    }

    /// Tells the progress that nothing more will be read.
    pub fn done(&self) {
        if let Some(meter) = &self.meter {
            meter.done();
        }
    }

    /// The same bytes under the name and progress of `other`.
    #[must_use]
    pub fn renamed(&self, other: &Self) -> Self {
        Self {
            origin: other.origin.clone(),
            meter: other.meter.clone(),
            ..self.clone()
        }
    }
}
