//! The members of an archive, for all ways to read one: by an index of a file, as a stream, or unpacked in a folder.

use std::collections::{BTreeMap, btree_map};
use std::io;

use crate::bail_invalid;
use crate::content::{Content, Sparse};
use crate::error::Hint;
use crate::import::ingest::Stored;
use crate::layer::Expansion;
use crate::source::member_name::{link_target, safe_name, shown};
use crate::source::tar_reader::{Head, Kind};
use crate::spec::digest::Hasher;
use crate::spec::mistaken;
use crate::spec::site_export::MAX_MEMBERS;

#[derive(Debug)]
pub(super) enum Member {
    /// A file, and its compressed form if one was made while the archive was read.
    File(Content, Option<Box<Stored>>),
    /// A symbolic or hard link, with the name of its target.
    Link(Vec<u8>),
    /// One that has no content, such as a device or a link that leads outside: the reason. It matters only if the
    /// member is asked for.
    Unreadable(String),
}

/// The limit for all names and link targets together, in bytes.
pub(super) const MAX_NAMES: usize = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) by_name: BTreeMap<Vec<u8>, Member>,
    name_bytes: usize,
    /// Whether the blocks that end a tar are missing.
    pub(super) is_cut: bool,
}

/// The name of a member for messages.
pub(super) fn member_origin(name: &[u8], origin: &str) -> String {
    format!("`{}` in {origin}", shown(name))
}

impl Members {
    /// Adds a member of a tar. `file` is called for a file only, with its name.
    pub(super) fn insert(
        &mut self,
        head: Head,
        file: impl FnOnce(&[u8], Option<Sparse>) -> anyhow::Result<Member>,
    ) -> anyhow::Result<()> {
        if matches!(head.kind, Kind::Folder) {
            return Ok(());
        }
        let name = safe_name(&head.name)?;
        let member = match head.kind {
            Kind::File => file(&name, None)?,
            Kind::Sparse(Ok(sparse)) => file(&name, Some(sparse))?,
            Kind::Sparse(Err(error)) => Member::Unreadable(format!("{error:#}")),
            Kind::Symlink(target) => Member::link(&name, &target, true),
            Kind::HardLink(target) => Member::link(&name, &target, false),
            Kind::Folder | Kind::Other => Member::Unreadable("it is not a file".into()),
        };
        self.add(name, member)
    }

    pub(super) fn add(&mut self, name: Vec<u8>, member: Member) -> anyhow::Result<()> {
        if self.by_name.len() >= MAX_MEMBERS {
            bail_invalid!("it has more than {MAX_MEMBERS} members");
        }
        self.name_bytes += name.len();
        if let Member::Link(target) = &member {
            self.name_bytes += target.len();
        }
        if self.name_bytes > MAX_NAMES {
            bail_invalid!("its member names have more than {MAX_NAMES} bytes in total");
        }
        match self.by_name.entry(name) {
            btree_map::Entry::Vacant(place) => {
                place.insert(member);
            }
            // Tools write a layer that images share once for each.
            btree_map::Entry::Occupied(known) if !known.get().is_same(&member)? => {
                bail_invalid!(
                    "it has the member `{}` twice, with different content",
                    shown(known.key())
                )
            }
            btree_map::Entry::Occupied(_) => {}
        }
        Ok(())
    }
}

impl Member {
    pub(super) fn link(name: &[u8], target: &[u8], is_symbolic: bool) -> Self {
        let inside = link_target(name, target, is_symbolic);
        inside.map_or_else(
            || {
                Self::Unreadable(format!(
                    "it links to `{}`, outside the archive",
                    shown(target)
                ))
            },
            Self::Link,
        )
    }

    fn is_same(&self, other: &Self) -> anyhow::Result<bool> {
        Ok(match (self, other) {
            (Self::File(one, _), Self::File(other, _)) => {
                one.len() == other.len()
                    && one.hash(Hasher::default())? == other.hash(Hasher::default())?
            }
            (Self::Link(one), Self::Link(other)) => one == other,
            (Self::Unreadable(one), Self::Unreadable(other)) => one == other,
            _ => false,
        })
    }
}

/// Adds the name of the archive to an error from reading it.
pub(crate) fn about_tar(error: anyhow::Error, origin: &str) -> anyhow::Error {
    match error.downcast::<io::Error>() {
        Ok(error) => {
            let expands = Expansion::caused(&error);
            let failed = Content::memory([], origin).failed(error);
            if expands {
                let hint =
                    "if the archive is genuine, unpack it first: a plain tar has no such limit";
                return failed.context(Hint(hint.into()));
            }
            failed
        }
        Err(error) => error.context(format!("cannot read {origin}")),
    }
}

/// Fails if the first 512 bytes, or fewer, are not those of a tar, and says what they are otherwise.
pub(super) fn check_header(start: &[u8]) -> anyhow::Result<()> {
    if is_tar_header(start) {
        return Ok(());
    }
    Err(mistaken::error(start, "an image archive"))
}

/// Whether the first 512 bytes are a tar header with a valid checksum, or zeros (an empty tar).
pub(crate) fn is_tar_header(start: &[u8]) -> bool {
    start.first_chunk().is_some_and(|block: &[u8; 512]| {
        let is_header = || {
            tar_core::Header::from_bytes(block)
                .verify_checksum()
                .is_ok()
        };
        block.iter().all(|byte| *byte == 0) || is_header()
    })
}
