//! A tar archive, indexed once: each member's place, so that any of them can be read at any time.
//!
//! Members are named as archives of Docker name them; a leading `./` is dropped, symbolic and hard
//! links are followed inside the archive. Nothing is ever written under a name from an archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::content::Content;
use crate::error::{escaped, invalid_input};
use crate::import::ingest::Stored;
use crate::import::staging::Staging;
use crate::layer::{Compression, LimitedTar, TarLimit};
use crate::progress::Progress;
use crate::source::members::{Member, Members, about_tar, is_tar_header, kind_of, member_origin};
use crate::source::stream;
use crate::spec::manifest::MAX_JSON;
use crate::{bail_invalid, fsx};

/// An archive and where its members lie.
#[derive(Debug)]
pub struct Archive {
    origin: String,
    members: BTreeMap<String, Member>,
    is_cut: bool,
}

/// Links that lead to links are followed this far.
const MAX_LINKS: usize = 40;
impl Archive {
    /// Opens an archive and indexes it. A compressed one is read once, as [`stream`] does; a dry
    /// run has nowhere to keep what passes by and unpacks it.
    ///
    /// # Errors
    /// When it is no tar, is truncated, or has a member that no honest archive has.
    pub fn open(path: &Path, staging: &Staging, progress: &Progress) -> anyhow::Result<Self> {
        let origin = format!("`{}`", fsx::escaped_path(path));
        // Before it is opened: opening a pipe waits for its writer.
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
        Self::of_stream(reader, staging, origin)
    }

    /// Reads an archive from a pipe, once.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn read(
        mut pipe: impl Read + Send,
        staging: &Staging,
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
        Self::of_stream(reader, staging, origin)
    }

    fn of_stream(reader: impl Read, staging: &Staging, origin: String) -> anyhow::Result<Self> {
        if staging.path().is_none() {
            let (file, len) = stream::unpack(reader, staging, &origin)?;
            return Self::indexed(&Arc::new(file), len, origin);
        }
        let members = stream::members(reader, staging, &origin)?;
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

    /// Whether a file begins like a tar, maybe compressed; reads no more than that takes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn looks_like_one(path: &Path) -> anyhow::Result<bool> {
        let Some(content) = Content::file(path.to_path_buf())? else {
            return Ok(false);
        };
        let mut start = Vec::new();
        let unpacked = Compression::of(&content)?.decoder(content.open()?, content.len());
        let read = unpacked.and_then(|reader| reader.take(512).read_to_end(&mut start));
        Ok(read.is_ok() && is_tar_header(&start))
    }

    /// Makes sure that it has its end, for whoever takes something of it: one that was cut between two
    /// members looks like a whole one.
    ///
    /// # Errors
    /// When the blocks that end a tar are missing.
    pub fn check_end(&self) -> anyhow::Result<()> {
        if self.is_cut {
            bail_invalid!("it is truncated: the blocks of zeros that end a tar are missing");
        }
        Ok(())
    }

    /// What it is called in messages, with its backticks.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The names of all members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Whether there is a member of this name.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The content of a member, links followed; `None` when there is none.
    ///
    /// # Errors
    /// When it is no file, or a link leads nowhere.
    pub fn member(&self, name: &str) -> anyhow::Result<Option<Content>> {
        Ok(self.find(name)?.map(|(content, _)| content.clone()))
    }

    /// What was made of a member while the archive passed by.
    ///
    /// # Errors
    /// As [`Archive::member`].
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
                    bail_invalid!("the member `{}` of {} is no file", escaped(at), self.origin)
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

    /// A member that must be there.
    ///
    /// # Errors
    /// When it is missing, no file, or a link that leads nowhere.
    pub fn required(&self, name: &str) -> anyhow::Result<Content> {
        self.member(name)?.ok_or_else(|| {
            invalid_input(format!(
                "the member `{}` of {} is missing",
                escaped(name),
                self.origin
            ))
        })
    }

    /// A JSON member, parsed; `None` when there is none.
    ///
    /// # Errors
    /// When it is too long or not what is expected.
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

/// Reads the headers of a tar in a file. IO errors come back as they are.
fn index(file: &Arc<File>, len: u64, origin: &str) -> anyhow::Result<Members> {
    if !begins_as_tar(file)? {
        bail_invalid!("it is no tar archive");
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

/// Whether a file begins with the header of a tar, or with the end of one.
fn begins_as_tar(file: &File) -> io::Result<bool> {
    let mut start = [0; 512];
    match file.read_exact_at(&mut start, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        result => result.map(|()| is_tar_header(&start)),
    }
}
