//! An archive that can be read only once: a pipe, or a compressed file.
//!
//! Large members are compressed while they are read, or copied if they are compressed already. The plain form
//! is not kept, since it can be unpacked again. Small members stay in memory, up to a limit.

use std::fs::File;
use std::io::{self, Read, Write};

use crate::bail_invalid;
use crate::content::{Content, Packing};
use crate::fsx;
use crate::import::ingest::Stored;
use crate::import::staging::Staging;
use crate::layer::{self, Compression, CopyError};
use crate::source::member_name::shown;
use crate::source::members::{Member, Members, about_tar, check_header, member_origin};
use crate::source::tar_reader::{Stream, TarReader};

/// Members up to this many bytes stay in memory.
const SMALL: u64 = 64 << 10;
/// The limit for all of them together, in bytes.
const SMALL_SUM: u64 = 64 << 20;

pub(super) fn members(
    reader: impl Read,
    staging: &Staging,
    packing: Packing,
    origin: &str,
) -> anyhow::Result<Members> {
    read_all(reader, staging, packing, origin).map_err(|error| about_tar(error, origin))
}

fn read_all(
    mut reader: impl Read,
    staging: &Staging,
    packing: Packing,
    origin: &str,
) -> anyhow::Result<Members> {
    let mut start = Vec::new();
    reader.by_ref().take(512).read_to_end(&mut start)?;
    check_header(&start)?;
    let mut tar = TarReader::new(Stream(io::Cursor::new(start).chain(reader)));
    let mut members = Members::default();
    let mut in_memory = 0;
    while let Some(head) = tar.next()? {
        let stored = head.stored;
        members.insert(head, |name, sparse| {
            let (len, mut bytes): (_, Box<dyn Read>) = match sparse {
                Some(sparse) => (sparse.whole(), Box::new(sparse.over(&mut tar))),
                None => (stored, Box::new(&mut tar)),
            };
            if len <= SMALL && in_memory + len <= SMALL_SUM {
                in_memory += len;
                let mut read = Vec::new();
                bytes.read_to_end(&mut read)?;
                check_whole(name, read.len() as u64, len)?;
                return Ok(Member::File(
                    Content::memory(read, member_origin(name, origin)),
                    None,
                ));
            }
            stage(&mut bytes, name, len, staging, packing, origin)
        })?;
    }
    members.is_cut = tar.is_cut();
    tar.finish()?;
    Ok(members)
}

/// Checks the length of a member: reading one reports no error if the stream ends early.
fn check_whole(name: &[u8], got: u64, size: u64) -> anyhow::Result<()> {
    if got != size {
        bail_invalid!("it is truncated in the member `{}`", shown(name));
    }
    Ok(())
}

/// Compresses a large member into the staging folder, or copies it if it is compressed already.
fn stage(
    entry: &mut impl Read,
    name: &[u8],
    size: u64,
    staging: &Staging,
    packing: Packing,
    origin: &str,
) -> anyhow::Result<Member> {
    let mut start = Vec::new();
    entry.take(6).read_to_end(&mut start)?;
    let compression = Compression::of_start(&start);
    let (path, mut file) = staging.create()?;
    let mut reader = Counted {
        reader: io::Cursor::new(start).chain(entry),
        bytes: 0,
    };
    let origin = member_origin(name, origin);
    let cannot_write =
        |error| fsx::cannot_write(error).context(format!("cannot write a copy of {origin}"));
    if compression == Compression::Plain {
        let large = size >= layer::LARGE;
        let measured =
            layer::compress_stream(&mut reader, large, packing, &mut file).map_err(|failure| {
                match failure {
                    CopyError::Read(error) => anyhow::Error::new(error),
                    CopyError::Write(error) => cannot_write(error),
                }
            })?;
        check_whole(name, reader.bytes, size)?;
        let content = Content::file_of_len(path.clone(), measured.size);
        let stored = Stored {
            compressed_here: true,
            ..Stored::new(measured, packing.into(), content, staging)
        };
        return Ok(Member::File(
            Content::packed(path, packing, size, origin),
            Some(Box::new(stored)),
        ));
    }
    copy(&mut reader, &mut file).map_err(|failure| match failure {
        CopyError::Read(error) => anyhow::Error::new(error),
        CopyError::Write(error) => cannot_write(error),
    })?;
    check_whole(name, reader.bytes, size)?;
    let staged = Content::file_of_len(path, size);
    Ok(Member::File(
        staged.renamed(&Content::memory([], origin)),
        None,
    ))
}

/// Unpacks an archive to a nameless temporary file, for a dry run. Returns the file and its length in bytes.
pub(super) fn unpack(
    mut reader: impl Read,
    staging: &Staging,
    origin: &str,
) -> anyhow::Result<(File, u64)> {
    let mut file = staging.scratch()?;
    let copied = copy(&mut reader, &mut file).map_err(|failure| match failure {
        CopyError::Read(error) => about_tar(error.into(), origin),
        CopyError::Write(error) => {
            anyhow::Error::new(error).context(format!("cannot unpack {origin}"))
        }
    })?;
    Ok((file.into_inner(), copied))
}

fn copy(reader: &mut impl Read, file: &mut fsx::NewFile) -> Result<u64, CopyError> {
    let mut buffer = vec![0; 1 << 18];
    let mut copied = 0;
    loop {
        match reader.read(&mut buffer).map_err(CopyError::Read)? {
            0 => return Ok(copied),
            got => {
                file.write_all(&buffer[..got]).map_err(CopyError::Write)?;
                copied += got as u64;
            }
        }
    }
}

struct Counted<R> {
    reader: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buffer)?;
        self.bytes += got as u64;
        Ok(got)
    }
}
