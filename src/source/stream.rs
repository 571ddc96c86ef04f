//! An archive that can be read only once: a pipe, or a compressed file.
//!
//! Large members are compressed while they are read, or copied if they are compressed already. The plain form
//! is not kept, since it can be unpacked again. Small members stay in memory, up to a limit.

use std::fs::File;
use std::io::{self, Read, Write};

use crate::bail_invalid;
use crate::content::{Content, Packing};
use crate::error::escaped;
use crate::fsx;
use crate::import::ingest::Stored;
use crate::import::staging::Staging;
use crate::layer::{self, Compression, CopyError, LimitedTar, TarLimit};
use crate::source::members::{Member, Members, about_tar, is_tar_header, kind_of, member_origin};

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
    if !is_tar_header(&start) {
        bail_invalid!("it is not a tar archive");
    }
    let budget = TarLimit::default();
    let reader = LimitedTar::new(io::Cursor::new(start).chain(reader), &budget);
    let mut archive = tar::Archive::new(reader);
    let mut members = Members::default();
    let mut in_memory = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        budget.pass(&entry)?;
        if let Some((name, kind)) = kind_of(&entry)? {
            members.insert(name, kind, |name| {
                let size = entry.size();
                if size <= SMALL && in_memory + size <= SMALL_SUM {
                    in_memory += size;
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes)?;
                    check_whole(name, bytes.len() as u64, size)?;
                    return Ok(Member::File(
                        Content::memory(bytes, member_origin(name, origin)),
                        None,
                    ));
                }
                stage(&mut entry, name, size, staging, packing, origin)
            })?;
        }
    }
    // Only padding follows the end of a tar, but reading it also checks the checksum of a compressed archive.
    budget.lift();
    let mut rest = archive.into_inner();
    members.is_cut = !rest.has_end();
    io::copy(&mut rest, &mut io::sink())?;
    Ok(members)
}

/// Checks the length of a member: reading one reports no error if the stream ends early.
fn check_whole(name: &str, got: u64, size: u64) -> anyhow::Result<()> {
    if got != size {
        bail_invalid!("it is truncated in the member `{}`", escaped(name));
    }
    Ok(())
}

/// Compresses a large member into the staging folder, or copies it if it is compressed already.
fn stage(
    entry: &mut impl Read,
    name: &str,
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
            Some(stored),
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
