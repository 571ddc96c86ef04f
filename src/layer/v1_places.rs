//! Where paths lead in a tree with symbolic links.

use std::collections::HashMap;

use crate::layer::v1_outline::Node;
use crate::layer::v1_paths::{joined, parent, split};

/// The most symbolic links that are followed on the way to a path, as in Linux.
const MAX_LINKS: usize = 40;

/// What lies at a place, as far as paths lead through it.
pub(super) enum Way<'a> {
    Folder,
    /// A symbolic link with this target.
    Link(&'a [u8]),
    /// Neither.
    Blocked,
    Missing,
}

impl<'a> From<Option<&'a Node>> for Way<'a> {
    fn from(node: Option<&'a Node>) -> Self {
        match node {
            Some(Node::Folder(_)) => Self::Folder,
            Some(Node::Link(target)) => Self::Link(target),
            Some(Node::Other) => Self::Blocked,
            None => Self::Missing,
        }
    }
}

/// The places of the folders that were looked up, by their paths. Must be dropped when a folder becomes something
/// else, or something else a folder: each lookup starts at the last folder that is known.
#[derive(Clone, Default)]
pub(super) struct Places {
    folders: HashMap<Vec<u8>, Vec<u8>>,
    /// The bytes of these paths and places.
    bytes: usize,
}

/// The most bytes of paths and places that are remembered; beyond them, lookups start further up.
const MAX_BYTES: usize = 16 << 20;

impl Places {
    /// The place of a path: links in the folders above it are followed, it itself is not. Calls `missing` for each
    /// folder above it where nothing lies, from the root down. `None` if something above it is blocked, or links
    /// lead in a circle.
    pub(super) fn place<'a>(
        &mut self,
        path: &[u8],
        look: impl Fn(&[u8]) -> Way<'a>,
        missing: impl FnMut(&[u8]),
    ) -> Option<Vec<u8>> {
        let (folder, name) = split(path);
        let folder = self.folder(folder, look, missing)?;
        Some(match name {
            b".." => parent(&folder).unwrap_or_default().to_vec(),
            name => joined(&folder, name),
        })
    }

    /// The place of a folder: like [`Self::place`], but the path itself is part of the way, so that a link there is
    /// followed.
    pub(super) fn folder<'a>(
        &mut self,
        path: &[u8],
        look: impl Fn(&[u8]) -> Way<'a>,
        mut missing: impl FnMut(&[u8]),
    ) -> Option<Vec<u8>> {
        let mut above = std::iter::successors(Some(path), |path| parent(path));
        let known = above.find_map(|path| Some((path, self.folders.get(path)?)));
        let (mut done, mut at) =
            known.map_or((0, Vec::new()), |(path, place)| (path.len(), place.clone()));
        let mut links = 0;
        while done < path.len() {
            let start = if done == 0 { 0 } else { done + 1 };
            let slash = path[start..].iter().position(|byte| *byte == b'/');
            done = slash.map_or(path.len(), |slash| start + slash);
            let mut left = vec![path[start..done].to_vec()];
            while let Some(part) = left.pop() {
                let next = match part.as_slice() {
                    b"" | b"." => continue,
                    b".." => {
                        at.truncate(parent(&at).map_or(0, <[u8]>::len));
                        continue;
                    }
                    part => joined(&at, part),
                };
                match look(&next) {
                    Way::Folder => at = next,
                    Way::Missing => {
                        missing(&next);
                        at = next;
                    }
                    Way::Link(target) => {
                        links += 1;
                        if links > MAX_LINKS {
                            return None;
                        }
                        if target.starts_with(b"/") {
                            at.clear();
                        }
                        let parts = target.split(|byte| *byte == b'/').rev();
                        left.extend(parts.map(<[u8]>::to_vec));
                    }
                    Way::Blocked => return None,
                }
            }
            if self.bytes < MAX_BYTES {
                self.bytes += done + at.len();
                self.folders.insert(path[..done].to_vec(), at.clone());
            }
        }
        Some(at)
    }
}
