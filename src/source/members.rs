//! The members of a tar, as both ways of reading one see them: indexed in a file, or passing by.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::bail_invalid;
use crate::content::Content;
use crate::error::{Hint, escaped};
use crate::import::ingest::Stored;
use crate::layer::Expansion;
use crate::source::member_name::{link_target, safe_name};

/// A member of an archive.
#[derive(Debug)]
pub(super) enum Member {
    /// A file, and what was made of it while it passed by.
    File(Content, Option<Stored>),
    /// A link to another member.
    Link(String),
    /// What is neither, such as a device.
    Other,
}

/// More members than this are refused.
const MAX_MEMBERS: usize = 1 << 18;
/// Their names and the targets of their links together, in bytes.
const MAX_NAMES: usize = 64 << 20;

/// The members that were found, by name.
#[derive(Default)]
pub(super) struct Members {
    by_name: BTreeMap<String, Member>,
    name_bytes: usize,
    /// The blocks that end a tar are missing.
    pub(super) is_cut: bool,
}

/// What a member is called in messages.
pub(super) fn member_origin(name: &str, origin: &str) -> String {
    format!("`{}` in {origin}", escaped(name))
}

/// What the header of a member says.
pub(super) enum MemberKind {
    File,
    Link(String),
    Other,
}

/// The name and kind of a member; `None` for folders, which hold nothing.
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
    /// Adds a member; `file` gives the content of a file.
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
            bail_invalid!("the names of its members have more than {MAX_NAMES} bytes together");
        }
        let member = match kind {
            MemberKind::File => file(&name)?,
            MemberKind::Link(target) => Member::Link(target),
            MemberKind::Other => Member::Other,
        };
        self.by_name.insert(name, member);
        Ok(())
    }

    /// All of them.
    pub(super) fn by_name(self) -> BTreeMap<String, Member> {
        self.by_name
    }
}

/// Names the archive in an error of reading its headers.
pub(super) fn about_tar(error: anyhow::Error, origin: &str) -> anyhow::Error {
    match error.downcast::<io::Error>() {
        Ok(error) => {
            let expands = Expansion::caused(&error);
            let failed = Content::memory([], origin).failed(error);
            if expands {
                let hint = "if it is right, unpack it first: a plain tar has no such limit";
                return failed.context(Hint(hint.into()));
            }
            failed
        }
        Err(error) => error.context(format!("cannot read {origin}")),
    }
}

/// Whether the first 512 bytes are a header of a tar, which its checksum tells, or zeros.
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
