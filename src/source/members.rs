//! The members of a tar, for both ways to read one: by an index of a file, or as a stream.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::bail_invalid;
use crate::content::Content;
use crate::error::{Hint, escaped};
use crate::import::ingest::Stored;
use crate::layer::Expansion;
use crate::source::member_name::{link_target, safe_name};

#[derive(Debug)]
pub(super) enum Member {
    /// A file, and its compressed form if one was made while the archive was read.
    File(Content, Option<Stored>),
    /// A symbolic or hard link, with the name of its target.
    Link(String),
    /// Anything else, such as a device.
    Other,
}

/// More members than this are refused.
const MAX_MEMBERS: usize = 1 << 18;
/// The limit for all names and link targets together, in bytes.
const MAX_NAMES: usize = 64 << 20;

#[derive(Default)]
pub(super) struct Members {
    by_name: BTreeMap<String, Member>,
    name_bytes: usize,
    /// Whether the blocks that end a tar are missing.
    pub(super) is_cut: bool,
}

/// The name of a member for messages.
pub(super) fn member_origin(name: &str, origin: &str) -> String {
    format!("`{}` in {origin}", escaped(name))
}

pub(super) enum MemberKind {
    File,
    Link(String),
    Other,
}

/// The name and kind of a member; `None` for folders and global pax headers, which have no content.
pub(super) fn kind_of(
    entry: &tar::Entry<'_, impl Read>,
) -> anyhow::Result<Option<(String, MemberKind)>> {
    let kind = entry.header().entry_type();
    if kind.is_dir() || kind.is_pax_global_extensions() {
        return Ok(None);
    }
    let name = safe_name(&entry.path_bytes())?;
    if kind.is_symlink() || kind.is_hard_link() {
        let target = entry.link_name_bytes().unwrap_or_default();
        let target = link_target(&name, &target, kind.is_symlink())?;
        return Ok(Some((name, MemberKind::Link(target))));
    }
    Ok(Some((
        name,
        if kind.is_file() {
            MemberKind::File
        } else {
            MemberKind::Other
        },
    )))
}

impl Members {
    /// Adds a member. `file` is called for a regular file only, with its name.
    pub(super) fn insert(
        &mut self,
        name: String,
        kind: MemberKind,
        file: impl FnOnce(&str) -> anyhow::Result<Member>,
    ) -> anyhow::Result<()> {
        if self.by_name.contains_key(&name) {
            bail_invalid!("it has the member `{}` twice", escaped(&name));
        }
        if self.by_name.len() >= MAX_MEMBERS {
            bail_invalid!("it has more than {MAX_MEMBERS} members");
        }
        self.name_bytes += name.len();
        if let MemberKind::Link(target) = &kind {
            self.name_bytes += target.len();
        }
        if self.name_bytes > MAX_NAMES {
            bail_invalid!("its member names have more than {MAX_NAMES} bytes in total");
        }
        let member = match kind {
            MemberKind::File => file(&name)?,
            MemberKind::Link(target) => Member::Link(target),
            MemberKind::Other => Member::Other,
        };
        self.by_name.insert(name, member);
        Ok(())
    }

    pub(super) fn by_name(self) -> BTreeMap<String, Member> {
        self.by_name
    }
}

/// Adds the name of the archive to an error from reading it.
pub(super) fn about_tar(error: anyhow::Error, origin: &str) -> anyhow::Error {
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

/// Whether the first 512 bytes are a tar header with a valid checksum, or zeros (an empty tar).
pub(super) fn is_tar_header(start: &[u8]) -> bool {
    let mut header = tar::Header::new_old();
    if start.len() < 512 {
        return false;
    }
    header.as_mut_bytes().copy_from_slice(start);
    let counted = |at: usize, byte: u8| if (148..156).contains(&at) { b' ' } else { byte };
    let sum: u32 = start
        .iter()
        .enumerate()
        .map(|(at, byte)| u32::from(counted(at, *byte)))
        .sum();
    start.iter().all(|byte| *byte == 0) || header.cksum().is_ok_and(|claimed| claimed == sum)
}
