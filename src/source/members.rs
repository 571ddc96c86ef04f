//! The members of a tar, as both ways of reading one see them: indexed in a file, or passing by.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read, SeekFrom};
use std::rc::Rc;

use crate::bail_bad;
use crate::content::Content;
use crate::error::shown;
use crate::ingest::Stored;
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

/// More members than this are refused, so that the index stays small.
const MAX_MEMBERS: usize = 1 << 20;

/// What a member is called in messages.
pub(super) fn member_origin(name: &str, origin: &str) -> String {
    format!("`{}` in {origin}", shown(name))
}

/// What the header of a member says.
pub(super) enum Kind {
    File,
    Link(String),
    Other,
}

/// The name and kind of a member; `None` for folders, which hold nothing.
pub(super) fn kind_of(entry: &tar::Entry<'_, impl Read>) -> anyhow::Result<Option<(String, Kind)>> {
    let kind = entry.header().entry_type();
    if kind.is_dir() || kind.is_pax_global_extensions() {
        return Ok(None);
    }
    let name = safe_name(&entry.path_bytes())?;
    if kind.is_symlink() || kind.is_hard_link() {
        let target = entry.link_name_bytes().unwrap_or_default();
        let target = link_target(&name, &target, kind.is_symlink())?;
        return Ok(Some((name, Kind::Link(target))));
    }
    Ok(Some((
        name,
        if kind.is_file() {
            Kind::File
        } else {
            Kind::Other
        },
    )))
}

/// Adds a member to an index; `file` gives the content of a file.
pub(super) fn insert(
    members: &mut BTreeMap<String, Member>,
    name: String,
    kind: Kind,
    file: impl FnOnce(&str) -> anyhow::Result<Member>,
) -> anyhow::Result<()> {
    if members.contains_key(&name) {
        bail_bad!("it has the member `{}` twice", shown(&name));
    }
    if members.len() >= MAX_MEMBERS {
        bail_bad!("it has more than {MAX_MEMBERS} members");
    }
    let member = match kind {
        Kind::File => file(&name)?,
        Kind::Link(target) => Member::Link(target),
        Kind::Other => Member::Other,
    };
    members.insert(name, member);
    Ok(())
}

/// Names the archive in an error of reading its headers.
pub(super) fn about_tar(error: anyhow::Error, origin: &str) -> anyhow::Error {
    match error.downcast::<io::Error>() {
        Ok(error) => Content::memory([], origin).failed(error),
        Err(error) => error.context(format!("cannot read {origin}")),
    }
}

/// How much may be read between two members: names in extension headers come whole into memory.
#[derive(Clone, Default)]
pub(super) struct Budget(Rc<Cell<u64>>);

impl Budget {
    const BYTES: u64 = 1 << 20;

    /// A header follows.
    pub(super) fn renew(&self) {
        self.0.set(0);
    }

    /// The content of a member follows, which may be of any length.
    pub(super) fn lift(&self) {
        self.0.set(u64::MAX);
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        match self.0.get() {
            u64::MAX => Ok(()),
            used if used > Self::BYTES => {
                Err(io::Error::other("it has a header of more than 1 MiB"))
            }
            used => {
                self.0.set(used + bytes as u64);
                Ok(())
            }
        }
    }
}

/// A tar whose headers are bounded.
pub(super) struct Headers<R> {
    pub(super) reader: R,
    pub(super) budget: Budget,
}

impl<R: Read> Read for Headers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buffer)?;
        self.budget.take(got)?;
        Ok(got)
    }
}

impl<R: io::Seek> io::Seek for Headers<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
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
