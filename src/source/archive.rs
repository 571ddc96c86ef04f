//! A tar archive, indexed once: each member's place, so that any of them can be read at any time.
//!
//! Members are named as archives of Docker name them; a leading `./` is dropped, symbolic and hard
//! links are followed inside the archive. A compressed archive is unpacked to a file without a name
//! first. Nothing is ever written under a name from an archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::content::Content;
use crate::error::{bad, shown};
use crate::ingest::Staging;
use crate::layer::Packing;
use crate::spec::manifest::MAX_JSON;
use crate::{bail_bad, fsx};

/// An archive and where its members lie.
#[derive(Debug)]
pub struct Archive {
    file: Arc<File>,
    origin: String,
    members: BTreeMap<String, Member>,
}

#[derive(Debug)]
enum Member {
    File { offset: u64, len: u64 },
    Link(String),
    Other,
}

/// Links that lead to links are followed this far.
const MAX_LINKS: usize = 40;
/// More members than this are refused, so that the index stays small.
const MAX_MEMBERS: usize = 1 << 20;

impl Archive {
    /// Opens an archive and indexes it.
    ///
    /// # Errors
    /// When it is no tar, is truncated, or has a member that no honest archive has.
    pub fn open(path: &Path, staging: &Staging) -> anyhow::Result<Self> {
        let origin = format!("`{}`", fsx::shown_path(path));
        let file = fsx::open(path)?;
        let meta = fsx::meta_of(&file, path)?;
        if !meta.is_file {
            bail_bad!("{origin} is neither a file nor a folder");
        }
        let file = Arc::new(file);
        let content = Content::range(file.clone(), 0, meta.len, origin.clone());
        let (file, len) = unpacked(file, &content, staging)?;
        let members = index(&file, len).map_err(|error| match error.downcast::<io::Error>() {
            Ok(error) => content.failed(error),
            Err(error) => error.context(format!("cannot read {origin}")),
        })?;
        let archive = Self {
            file,
            origin,
            members,
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
        let unpacked = Packing::of(&content)?.decoder(content.open()?);
        let read = unpacked.and_then(|reader| reader.take(512).read_to_end(&mut start));
        Ok(read.is_ok() && is_tar_header(&start))
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
        let mut at = name;
        for _ in 0..MAX_LINKS {
            match self.members.get(at) {
                None if at == name => return Ok(None),
                None => bail_bad!(
                    "the member `{}` of {} is a link to `{}`, which is missing",
                    shown(name),
                    self.origin,
                    shown(at)
                ),
                Some(Member::Other) => {
                    bail_bad!("the member `{}` of {} is no file", shown(at), self.origin)
                }
                Some(Member::Link(target)) => at = target,
                Some(Member::File { offset, len }) => {
                    let origin = format!("`{}` in {}", shown(name), self.origin);
                    return Ok(Some(Content::range(
                        self.file.clone(),
                        *offset,
                        *len,
                        origin,
                    )));
                }
            }
        }
        bail_bad!(
            "the member `{}` of {} is a link that leads back to itself",
            shown(name),
            self.origin
        )
    }

    /// A member that must be there.
    ///
    /// # Errors
    /// When it is missing, no file, or a link that leads nowhere.
    pub fn required(&self, name: &str) -> anyhow::Result<Content> {
        self.member(name)?.ok_or_else(|| {
            bad(format!(
                "the member `{}` of {} is missing",
                shown(name),
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
        let bytes = content.read(MAX_JSON * 16)?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(bad(error.to_string()))
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
                    bail_bad!(
                        "the member `{}` of {} is a link that leads back to itself",
                        shown(name),
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

fn unpacked(
    file: Arc<File>,
    content: &Content,
    staging: &Staging,
) -> anyhow::Result<(Arc<File>, u64)> {
    let packing = Packing::of(content)?;
    if packing == Packing::Plain {
        return Ok((file, content.len()));
    }
    let mut unpacked = staging.scratch()?;
    let mut reader = packing
        .decoder(content.open()?)
        .map_err(|error| content.failed(error))?;
    let mut buffer = vec![0; 1 << 18];
    let mut len = 0;
    loop {
        let got = reader
            .read(&mut buffer)
            .map_err(|error| content.failed(error))?;
        if got == 0 {
            break;
        }
        io::Write::write_all(&mut unpacked, &buffer[..got])
            .with_context(|| format!("cannot unpack {}", content.origin()))?;
        len += got as u64;
    }
    Ok((Arc::new(unpacked), len))
}

/// Reads the headers of a tar. IO errors come back as they are.
fn index(file: &File, len: u64) -> anyhow::Result<BTreeMap<String, Member>> {
    let mut members = BTreeMap::new();
    let mut reader = file;
    reader.seek(SeekFrom::Start(0))?;
    if !begins_as_tar(file)? {
        bail_bad!("it is no tar archive");
    }
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let path = entry.path_bytes();
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let name = safe_name(&path)?;
        let member = if kind.is_file() {
            let (offset, size) = (entry.raw_file_position(), entry.size());
            if offset.checked_add(size).is_none_or(|end| end > len) {
                bail_bad!("it is truncated in the member `{}`", shown(&name));
            }
            Member::File { offset, len: size }
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default();
            Member::Link(link_target(&name, &target, kind.is_symlink())?)
        } else {
            Member::Other
        };
        if members.insert(name.clone(), member).is_some() {
            bail_bad!("it has the member `{}` twice", shown(&name));
        }
        if members.len() > MAX_MEMBERS {
            bail_bad!("it has more than {MAX_MEMBERS} members");
        }
    }
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

/// Whether the first 512 bytes are a header of a tar, which its checksum tells, or zeros.
fn is_tar_header(start: &[u8]) -> bool {
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

/// The name of a member: relative, without `..` and without `.`.
fn safe_name(path: &[u8]) -> anyhow::Result<String> {
    let path = String::from_utf8_lossy(path);
    resolve(&[], &path)
        .filter(|parts| {
            !path.starts_with('/') && !path.split('/').any(|part| part == "..") && !parts.is_empty()
        })
        .map(|parts| parts.join("/"))
        .ok_or_else(|| {
            bad(format!(
                "its member `{}` has a name that leads out of it",
                shown(&path)
            ))
        })
}

/// Where a link in an archive leads. A symbolic link starts from the folder of its own name, a hard
/// link from the root.
fn link_target(name: &str, target: &[u8], symbolic: bool) -> anyhow::Result<String> {
    let target = String::from_utf8_lossy(target);
    let mut folder: Vec<&str> = name.split('/').collect();
    folder.pop();
    let from: &[&str] = if symbolic { &folder } else { &[] };
    resolve(from, &target)
        .filter(|_| !target.starts_with('/'))
        .map(|parts| parts.join("/"))
        .ok_or_else(|| {
            bad(format!(
                "its member `{}` is a link to `{}`, out of the archive",
                shown(name),
                shown(&target)
            ))
        })
}

/// Walks a relative path; `None` when it leaves the root.
fn resolve<'a>(from: &[&'a str], path: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = from.to_vec();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        assert_eq!(safe_name(b"./a/b").unwrap(), "a/b");
        assert_eq!(safe_name(b"a//b/.").unwrap(), "a/b");
        for name in ["/a", "..", "a/../b", "../a", "", "./"] {
            assert!(safe_name(name.as_bytes()).is_err(), "{name}");
        }
    }

    #[test]
    fn links_stay_inside() {
        assert_eq!(
            link_target("a/layer.tar", b"../b/layer.tar", true).unwrap(),
            "b/layer.tar"
        );
        assert_eq!(link_target("a/b", b"c/d", false).unwrap(), "c/d");
        assert_eq!(link_target("a/b", b"c/d", true).unwrap(), "a/c/d");
        for target in ["../../x", "/etc/passwd", "../../../etc/passwd"] {
            assert!(
                link_target("a/layer.tar", target.as_bytes(), true).is_err(),
                "{target}"
            );
        }
        assert!(link_target("a/b", b"../x", false).is_err());
    }
}
