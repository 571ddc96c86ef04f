//! A tar archive, indexed once so that any member can be read at any time.
//!
//! `.` and empty parts of names are dropped, in members and where JSON names them; symbolic and hard links are
//! followed inside the archive. Nothing is ever written under a name from an archive.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use walkdir::WalkDir;

use crate::content::{Content, FileAt, Packing};
use crate::error::{WithHint as _, escaped, invalid_input};
use crate::import::ingest::Stored;
use crate::import::staging::Staging;
use crate::layer::Compression;
use crate::progress::Progress;
use crate::source::PIPED;
use crate::source::member_name::{named, shown};
use crate::source::members::{
    Member, Members, about_tar, check_header, is_tar_header, member_origin,
};
use crate::source::stream;
use crate::source::tar_reader::TarReader;
use crate::spec::go_json;
use crate::spec::manifest::MAX_JSON;
use crate::{bail_invalid, fsx};

#[derive(Debug)]
pub struct Archive {
    origin: String,
    members: Members,
}

/// The longest chain of links that is followed.
const MAX_LINKS: usize = 40;

impl Archive {
    pub(super) fn of(origin: String, members: Members) -> Self {
        Self { origin, members }
    }

    /// Opens an archive and indexes it. A compressed archive is read only once and its large members are
    /// staged; a dry run has no staging folder and unpacks the archive to a temporary file instead.
    ///
    /// # Errors
    /// If it is not a tar, is truncated, has a member twice with different content, or a name that leads outside.
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
        if start.is_empty() {
            return Err(invalid_input(format!("{origin} is empty")))
                .hint("did the command before it fail?");
        }
        let compression = Compression::of_start(&start);
        let reader = compression
            .decoder(io::Cursor::new(start).chain(pipe), 0)
            .map_err(failed)?;
        Self::of_stream(reader, staging, packing, origin)
    }

    /// An archive that is not compressed; `None` if it is none, or cannot be read.
    pub(super) fn plain(path: &Path) -> Option<Self> {
        let content = Content::file(path.to_path_buf()).ok()??;
        if Compression::of(&content).ok()? != Compression::Plain {
            return None;
        }
        let file = Arc::new(fsx::open(path).ok()?);
        Self::indexed(&file, content.len(), content.origin().to_string()).ok()
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
        Ok(Self { origin, members })
    }

    /// The files in a folder, as members of an archive that was unpacked there.
    pub fn unpacked(folder: &Path) -> anyhow::Result<Self> {
        let origin = format!("`{}`", fsx::escaped_path(folder));
        let mut members = Members::default();
        for entry in WalkDir::new(folder).min_depth(1) {
            let entry = entry.map_err(fsx::cannot_walk)?;
            let (path, kind) = (entry.path(), entry.file_type());
            let name = path.strip_prefix(folder)?.as_os_str().as_bytes();
            let member = if kind.is_dir() {
                continue;
            } else if kind.is_symlink() {
                let target = fsx::link_target(path)?.unwrap_or_default();
                Member::link(name, target.as_os_str().as_bytes(), true)
            } else if kind.is_file() {
                match Content::file(path.to_owned())? {
                    Some(content) => Member::File(content, None),
                    None => continue,
                }
            } else {
                Member::Unreadable("it is not a file".into())
            };
            members
                .add(name.to_vec(), member)
                .with_context(|| format!("cannot read {origin}"))?;
        }
        Ok(Self { origin, members })
    }

    fn indexed(file: &Arc<File>, len: u64, origin: String) -> anyhow::Result<Self> {
        let members = index(file, len, &origin).map_err(|error| about_tar(error, &origin))?;
        Ok(Self { origin, members })
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
        if self.members.is_cut {
            return Err(invalid_input(
                "it is truncated: the end-of-archive blocks are missing",
            ))
            .hint(if self.origin == PIPED {
                "did the command before it fail?"
            } else {
                "if you know that it is complete, end it with `head -c 1024 /dev/zero >> FILE`"
            });
        }
        Ok(())
    }

    /// The name for messages, with backticks.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The names of all members that are text, as those in JSON are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.members.by_name.keys();
        names.filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// The folder at the top that has such a member, if no other folder has one.
    pub fn below(&self, name: &str) -> Option<&str> {
        let mut folders = self.names().filter_map(|member| {
            let (folder, last) = member.rsplit_once('/')?;
            (last == name).then_some(folder)
        });
        let only = folders.next().filter(|_| folders.next().is_none());
        only.filter(|folder| !folder.contains('/'))
    }

    /// Whether a member has a name that begins so.
    pub fn has_folder(&self, prefix: &str) -> bool {
        let names = &self.members.by_name;
        let first = names.range(prefix.as_bytes().to_vec()..).next();
        first.is_some_and(|(name, _)| name.starts_with(prefix.as_bytes()))
    }

    pub fn has(&self, name: &str) -> bool {
        self.members.by_name.contains_key(name.as_bytes())
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
        Ok(self.find(name)?.and_then(|(_, ready)| ready.cloned()))
    }

    fn find(&self, name: &str) -> anyhow::Result<Option<(&Content, Option<&Stored>)>> {
        let Some(named) = named(name) else {
            return Ok(None);
        };
        let about = |at: &[u8]| format!("the member `{}` of {}", shown(at), self.origin);
        let mut at = &named;
        for _ in 0..MAX_LINKS {
            match self.members.by_name.get(at) {
                None if *at == named => return Ok(None),
                None => bail_invalid!(
                    "{} is a link to `{}`, which is missing",
                    about(&named),
                    shown(at)
                ),
                Some(Member::Unreadable(reason)) => {
                    bail_invalid!("{} cannot be read: {reason}", about(at))
                }
                Some(Member::Link(target)) => at = target,
                Some(Member::File(content, ready)) => return Ok(Some((content, ready.as_deref()))),
            }
        }
        bail_invalid!("{} is a link that leads back to itself", about(&named))
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
        go_json::parse(&bytes)
            .map(Some)
            .with_context(|| format!("cannot read {}", content.origin()))
    }
}

/// Indexes a tar in a file. I/O errors are returned as they are, for [`about_tar`].
fn index(file: &Arc<File>, len: u64, origin: &str) -> anyhow::Result<Members> {
    let mut start = Vec::new();
    FileAt(file.clone(), 0).take(512).read_to_end(&mut start)?;
    check_header(&start)?;
    let mut tar = TarReader::new(FileAt(file.clone(), 0));
    let mut members = Members::default();
    while let Some(head) = tar.next()? {
        let (offset, stored) = (head.offset, head.stored);
        if offset.checked_add(stored).is_none_or(|end| end > len) {
            bail_invalid!("it is truncated in the member `{}`", shown(&head.name));
        }
        members.insert(head, |name, sparse| {
            let (file, origin) = (file.clone(), member_origin(name, origin));
            let content = match sparse {
                Some(sparse) => Content::sparse(file, offset, sparse, origin),
                None => Content::range(file, offset, stored, origin),
            };
            Ok(Member::File(content, None))
        })?;
    }
    members.is_cut = tar.is_cut();
    Ok(members)
}
