//! A tar archive, indexed once so that any member can be read at any time.
//!
//! A leading `./` in member names is dropped; symbolic and hard links are followed inside the archive.
//! Nothing is ever written under a name from an archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::content::{Content, Packing};
use crate::error::{escaped, invalid_input};
use crate::import::ingest::Stored;
use crate::import::staging::Staging;
use crate::layer::{Compression, LimitedTar, TarLimit};
use crate::progress::Progress;
use crate::source::members::{Member, Members, about_tar, is_tar_header, kind_of, member_origin};
use crate::source::stream;
use crate::spec::manifest::MAX_JSON;
use crate::{bail_invalid, fsx};

#[derive(Debug)]
pub struct Archive {
    origin: String,
    members: BTreeMap<String, Member>,
    is_cut: bool,
}

/// The longest chain of links that is followed.
const MAX_LINKS: usize = 40;

impl Archive {
    /// Opens an archive and indexes it. A compressed archive is read only once and its large members are
    /// staged; a dry run has no staging folder and unpacks the archive to a temporary file instead.
    ///
    /// # Errors
    /// If it is not a tar, is truncated, or has a duplicate member or a name or link that leads outside.
    pub fn open(
        path: &Path,
        staging: &Staging,
        packing: Packing,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let origin = format!("`{}`", fsx::escaped_path(path));
        // Checked before opening, since opening a named pipe waits for a writer.
        if fsx::meta(path)?.is_none_or(|meta| !meta.is_file) {
            bail_invalid!("{origin} is neither a file nor a folder");
        }
        let file = fsx::open(path)?;
        let meta = fsx::meta_of(&file, path)?;
        let file = Arc::new(file);
        let content = Content::range(file.clone(), 0, meta.len, origin.clone());
        let compression = Compression::of(&content)?;
        if compression == Compression::Plain {
            return Self::indexed(&file, meta.len, origin);
        }
        progress.expect(0, content.len());
        let packed = progress.counting(content.open()?, true);
        let reader = compression
            .decoder(packed, content.len())
            .map_err(|error| content.failed(error))?;
        Self::of_stream(reader, staging, packing, origin)
    }

    /// Reads an archive from a pipe, like a compressed one in [`Archive::open`].
    pub fn read(
        mut pipe: impl Read + Send,
        staging: &Staging,
        packing: Packing,
        origin: String,
    ) -> anyhow::Result<Self> {
        let mut start = Vec::new();
        let failed = |error: io::Error| Content::memory([], &*origin).failed(error);
        pipe.by_ref()
            .take(6)
            .read_to_end(&mut start)
            .map_err(failed)?;
        let compression = Compression::of_start(&start);
        let reader = compression
            .decoder(io::Cursor::new(start).chain(pipe), 0)
            .map_err(failed)?;
        Self::of_stream(reader, staging, packing, origin)
    }

    fn of_stream(
        reader: impl Read,
        staging: &Staging,
        packing: Packing,
        origin: String,
    ) -> anyhow::Result<Self> {
        if staging.path().is_none() {
            let (file, len) = stream::unpack(reader, staging, &origin)?;
            return Self::indexed(&Arc::new(file), len, origin);
        }
        let members = stream::members(reader, staging, packing, &origin)?;
        Self::of_members(members, origin)
    }

    fn indexed(file: &Arc<File>, len: u64, origin: String) -> anyhow::Result<Self> {
        let members = index(file, len, &origin).map_err(|error| about_tar(error, &origin))?;
        Self::of_members(members, origin)
    }

    fn of_members(members: Members, origin: String) -> anyhow::Result<Self> {
        let archive = Self {
            origin,
            is_cut: members.is_cut,
            members: members.by_name(),
        };
        archive.check_links()?;
        Ok(archive)
    }

    /// Whether a file starts like a tar, possibly compressed. Reads only its start.
    pub fn looks_like_one(path: &Path) -> anyhow::Result<bool> {
        let Some(content) = Content::file(path.to_path_buf())? else {
            return Ok(false);
        };
        let mut start = Vec::new();
        let unpacked = Compression::of(&content)?.decoder(content.open()?, content.len());
        let read = unpacked.and_then(|reader| reader.take(512).read_to_end(&mut start));
        Ok(read.is_ok() && is_tar_header(&start))
    }

    /// Fails if the blocks that end a tar are missing. An archive that was cut between two members looks
    /// complete otherwise, so this is called before images are read from it.
    pub fn check_end(&self) -> anyhow::Result<()> {
        if self.is_cut {
            bail_invalid!("it is truncated: the end-of-archive blocks are missing");
        }
        Ok(())
    }

    /// The name for messages, with backticks.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The content of a member, following links; `None` if there is no such member.
    ///
    /// # Errors
    /// If it is not a regular file, or a link whose target is missing.
    pub fn member(&self, name: &str) -> anyhow::Result<Option<Content>> {
        Ok(self.find(name)?.map(|(content, _)| content.clone()))
    }

    /// The compressed form of a member, if one was made while the archive was read.
    pub fn ready(&self, name: &str) -> anyhow::Result<Option<Stored>> {
        Ok(self.find(name)?.and_then(|(_, ready)| ready.clone()))
    }

    fn find(&self, name: &str) -> anyhow::Result<Option<(&Content, &Option<Stored>)>> {
        let mut at = name;
        for _ in 0..MAX_LINKS {
            match self.members.get(at) {
                None if at == name => return Ok(None),
                None => bail_invalid!(
                    "the member `{}` of {} is a link to `{}`, which is missing",
                    escaped(name),
                    self.origin,
                    escaped(at)
                ),
                Some(Member::Other) => {
                    bail_invalid!(
                        "the member `{}` of {} is not a file",
                        escaped(at),
                        self.origin
                    )
                }
                Some(Member::Link(target)) => at = target,
                Some(Member::File(content, ready)) => return Ok(Some((content, ready))),
            }
        }
        bail_invalid!(
            "the member `{}` of {} is a link that leads back to itself",
            escaped(name),
            self.origin
        )
    }

    /// Like [`Archive::member`], but a missing member is an error.
    pub fn required(&self, name: &str) -> anyhow::Result<Content> {
        self.member(name)?.ok_or_else(|| {
            invalid_input(format!(
                "the member `{}` of {} is missing",
                escaped(name),
                self.origin
            ))
        })
    }

    /// Parses a JSON member of at most twice [`MAX_JSON`] bytes; `None` if there is no such member.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let Some(content) = self.member(name)? else {
            return Ok(None);
        };
        let bytes = content.read(2 * MAX_JSON)?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(invalid_input(error.to_string()))
                .with_context(|| format!("cannot read {}", content.origin())),
        }
    }

    fn check_links(&self) -> anyhow::Result<()> {
        for (name, member) in &self.members {
            let mut next = member;
            let mut followed = 0;
            while let Member::Link(target) = next {
                followed += 1;
                if followed > MAX_LINKS {
                    bail_invalid!(
                        "the member `{}` of {} is a link that leads back to itself",
                        escaped(name),
                        self.origin
                    );
                }
                match self.members.get(target) {
                    Some(member) => next = member,
                    None => break,
                }
            }
        }
        Ok(())
    }
}

/// Indexes a tar in a file. I/O errors are returned as they are, for [`about_tar`].
fn index(file: &Arc<File>, len: u64, origin: &str) -> anyhow::Result<Members> {
    if !begins_as_tar(file)? {
        bail_invalid!("it is not a tar archive");
    }
    let mut reader: &File = file;
    reader.seek(SeekFrom::Start(0))?;
    let budget = TarLimit::default();
    let mut archive = tar::Archive::new(LimitedTar::new(reader, &budget));
    let mut members = Members::default();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        budget.pass(&entry)?;
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(size).is_none_or(|end| end > len) {
            bail_invalid!(
                "it is truncated in the member `{}`",
                escaped(String::from_utf8_lossy(&entry.path_bytes()))
            );
        }
        if let Some((name, kind)) = kind_of(&entry)? {
            members.insert(name, kind, |name| {
                Ok(Member::File(
                    Content::range(file.clone(), offset, size, member_origin(name, origin)),
                    None,
                ))
            })?;
        }
    }
    members.is_cut = !archive.into_inner().has_end();
    Ok(members)
}

/// Whether a file starts with a tar header, or with the zero blocks that end a tar.
fn begins_as_tar(file: &File) -> io::Result<bool> {
    let mut start = [0; 512];
    match file.read_exact_at(&mut start, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        result => result.map(|()| is_tar_header(&start)),
    }
}
