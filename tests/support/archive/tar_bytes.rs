//! Tar headers by hand: the `tar` crate refuses to write what a hostile archive has.

use tar::{EntryType, Header};

use super::{Kind, Member};

const BLOCK: usize = 512;

pub(super) fn tar(members: &[Member]) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        let name = &member.name;
        match &member.kind {
            Kind::File(bytes) => {
                out.extend(header(name, EntryType::Regular, bytes.len() as u64));
                out.extend(padded(bytes));
            }
            Kind::Folder => out.extend(header(name, EntryType::Directory, 0)),
            Kind::Symlink(target) => out.extend(link(name, EntryType::Symlink, target)),
            Kind::HardLink(target) => out.extend(link(name, EntryType::Link, target)),
            Kind::Raw(blocks) => out.extend(blocks),
        }
    }
    out.extend([0; 2 * BLOCK]);
    out
}

/// The header of a member of any name and any length, whatever follows it. Names that are too long
/// for it get a header of their own, as GNU tar does.
pub(crate) fn header(name: &[u8], kind: EntryType, size: u64) -> Vec<u8> {
    let mut header = plain_header(name, kind);
    header.set_size(size);
    header.set_cksum();
    [long_name(name, EntryType::GNULongName), bytes(&header)].concat()
}

/// A pax header with records for the next member.
pub(crate) fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        // The length counts its own digits.
        let length = (1..9).find(|digits| (rest.len() + digits).to_string().len() == *digits);
        text += &(rest.len() + length.unwrap()).to_string();
        text += &rest;
    }
    let head = header(b"pax", EntryType::XHeader, text.len() as u64);
    [head, padded(text.as_bytes())].concat()
}

fn link(name: &[u8], kind: EntryType, target: &str) -> Vec<u8> {
    let mut header = plain_header(name, kind);
    let short = &target.as_bytes()[..target.len().min(100)];
    header.as_old_mut().linkname[..short.len()].copy_from_slice(short);
    header.set_cksum();
    [
        long_name(name, EntryType::GNULongName),
        long_name(target.as_bytes(), EntryType::GNULongLink),
        bytes(&header),
    ]
    .concat()
}

fn plain_header(name: &[u8], kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    let short = &name[..name.len().min(100)];
    header.as_old_mut().name[..short.len()].copy_from_slice(short);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

fn long_name(name: &[u8], kind: EntryType) -> Vec<u8> {
    if name.len() <= 100 {
        return Vec::new();
    }
    let name = [name, &[0]].concat();
    let mut head = plain_header(b"././@LongLink", kind);
    head.set_size(name.len() as u64);
    head.set_cksum();
    [bytes(&head), padded(&name)].concat()
}

fn bytes(header: &Header) -> Vec<u8> {
    header.as_bytes().to_vec()
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.resize(bytes.len().next_multiple_of(BLOCK), 0);
    out
}
