//! Archives and layouts made in memory from a few lines, then broken as a test likes:
//! ```text
//! Archive::docker_20(&[Image::new(&["app:1"]).layer("bin/app", "text")])
//!     .edit_json("manifest.json", |list| list[0]["Layers"] = json!("no list"))
//!     .tar()
//! ```
//! [`Image`] says what is in it, the functions that make an [`Archive`] are the formats, and what
//! follows changes single members. `tar` and `folder` give what a source can be.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use super::files::digest;

mod formats;
mod image;
mod tar_bytes;

pub(crate) use image::{Image, OCI_INDEX, Pack, one_file_tar};
pub(crate) use tar_bytes::{header, pax};

/// A member of an archive: its name need not be text, nor sane.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
}

/// What a member is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    File(Vec<u8>),
    Folder,
    Symlink(String),
    HardLink(String),
    /// Blocks that go into the tar as they are, headers included; a folder leaves them out.
    Raw(Vec<u8>),
}

/// Members in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Archive {
    pub(crate) members: Vec<Member>,
}

impl Archive {
    /// Adds a member at the end.
    pub(crate) fn add(mut self, name: impl AsRef<[u8]>, kind: Kind) -> Self {
        let name = name.as_ref().to_owned();
        self.members.push(Member { name, kind });
        self
    }

    /// Adds a file at the end, whether there is one of this name or not.
    pub(crate) fn file(self, name: impl AsRef<[u8]>, bytes: impl Into<Vec<u8>>) -> Self {
        self.add(name, Kind::File(bytes.into()))
    }

    pub(crate) fn json(self, name: &str, value: &Value) -> Self {
        self.file(name, value.to_string())
    }

    pub(crate) fn folder_member(self, name: impl AsRef<[u8]>) -> Self {
        self.add(name, Kind::Folder)
    }

    pub(crate) fn symlink(self, name: impl AsRef<[u8]>, target: &str) -> Self {
        self.add(name, Kind::Symlink(target.into()))
    }

    pub(crate) fn hard_link(self, name: impl AsRef<[u8]>, target: &str) -> Self {
        self.add(name, Kind::HardLink(target.into()))
    }

    /// Adds blocks to the tar; see [`header`] and [`pax`].
    pub(crate) fn raw(self, blocks: Vec<u8>) -> Self {
        self.add("", Kind::Raw(blocks))
    }

    /// Adds blocks before the first member.
    pub(crate) fn raw_first(mut self, blocks: Vec<u8>) -> Self {
        let kind = Kind::Raw(blocks);
        let name = Vec::new();
        self.members.insert(0, Member { name, kind });
        self
    }

    /// Replaces a member.
    pub(crate) fn set(mut self, name: &str, kind: Kind) -> Self {
        self.member(name).kind = kind;
        self
    }

    /// Replaces the bytes of a file.
    pub(crate) fn set_file(self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.set(name, Kind::File(bytes.into()))
    }

    /// Changes the bytes of a file.
    pub(crate) fn edit(mut self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) -> Self {
        edit(self.bytes_mut(name));
        self
    }

    /// Changes a JSON file.
    pub(crate) fn edit_json(self, name: &str, edit: impl FnOnce(&mut Value)) -> Self {
        self.edit(name, |bytes| {
            let mut value = serde_json::from_slice(bytes).expect("the member is JSON");
            edit(&mut value);
            *bytes = value.to_string().into_bytes();
        })
    }

    /// Flips a bit of the byte in the middle of a file.
    pub(crate) fn flip(self, name: &str) -> Self {
        self.edit(name, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        })
    }

    pub(crate) fn drop(mut self, name: &str) -> Self {
        let index = self.index(name);
        self.members.remove(index);
        self
    }

    pub(crate) fn rename(mut self, from: &str, to: impl AsRef<[u8]>) -> Self {
        to.as_ref().clone_into(&mut self.member(from).name);
        self
    }

    /// Puts members in another order.
    pub(crate) fn reversed(mut self) -> Self {
        self.members.reverse();
        self
    }

    /// Members of another archive behind these.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.members.extend(other.members);
        self
    }

    /// The names that contain a text, in order: ids and digests need not be known.
    pub(crate) fn names(&self, part: &str) -> Vec<String> {
        let all = self.members.iter().map(|member| &member.name);
        let text = all.map(|name| String::from_utf8_lossy(name).into_owned());
        text.filter(|name| name.contains(part)).collect()
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        match &self.members[self.index(name)].kind {
            Kind::File(bytes) => bytes,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn bytes_mut(&mut self, name: &str) -> &mut Vec<u8> {
        match &mut self.member(name).kind {
            Kind::File(bytes) => bytes,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn member(&mut self, name: &str) -> &mut Member {
        let index = self.index(name);
        &mut self.members[index]
    }

    fn index(&self, name: &str) -> usize {
        let found = self.members.iter().position(|m| m.name == name.as_bytes());
        found.unwrap_or_else(|| panic!("no member {name} among {:?}", self.names("")))
    }

    /// Adds a file under its digest; gives its descriptor.
    pub(crate) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        let name = format!("blobs/{}", digest.replace(':', "/"));
        if self.names(&name).is_empty() {
            *self = std::mem::take(self).file(&name, bytes);
        }
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// The archive as a tar.
    pub(crate) fn tar(&self) -> Vec<u8> {
        tar_bytes::tar(&self.members)
    }

    /// The archive as a gzipped tar.
    pub(crate) fn tar_gz(&self) -> Vec<u8> {
        gzip(&self.tar())
    }

    /// Writes the members into a folder, which is created.
    pub(crate) fn folder(&self, root: &Path) {
        fs::create_dir_all(root).unwrap();
        for member in &self.members {
            let name = std::str::from_utf8(&member.name).expect("a name that is text");
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match &member.kind {
                Kind::File(bytes) => fs::write(&path, bytes).unwrap(),
                Kind::Folder => fs::create_dir_all(&path).unwrap(),
                Kind::Symlink(target) => symlink(target, &path).unwrap(),
                Kind::HardLink(target) => fs::hard_link(root.join(target), &path).unwrap(),
                Kind::Raw(_) => {}
            }
        }
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// The first part of some bytes: what a cut transfer leaves.
pub(crate) fn cut(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.truncate(length);
    bytes
}
