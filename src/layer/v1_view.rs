//! The file tree of some layers, as a layer above them finds it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;

use crate::layer::v1_outline::{Node, Outline, Room};
use crate::layer::v1_paths::joined;
use crate::layer::v1_places::Places;

/// What lies at each path.
#[derive(Clone, Default)]
pub(super) struct View {
    paths: BTreeMap<Vec<u8>, Node>,
    room: Room,
}

impl View {
    pub(super) fn get(&self, path: &[u8]) -> Option<&Node> {
        self.paths.get(path)
    }

    /// Puts a layer on top.
    pub(super) fn apply(&mut self, layer: &Outline) -> io::Result<()> {
        let mut places = Places::default();
        for folder in &layer.opaque {
            if let Some(folder) = self.folder(&mut places, folder)
                && self.remove_within(&folder)
            {
                places = Places::default();
            }
        }
        for path in &layer.gone {
            if let Some(path) = self.place(&mut places, path)
                && (self.remove(&path) | self.remove_within(&path))
            {
                places = Places::default();
            }
        }
        // Also the places of folders that are missing were remembered.
        places = Places::default();
        for folder in &layer.opaque {
            self.make_folders(&mut places, &joined(folder, b"x"))?;
        }
        for (path, node) in layer.members.values() {
            let Some(place) = self.make_folders(&mut places, path)? else {
                continue;
            };
            let was_folder = self.paths.get(&place).map(Node::is_folder);
            if was_folder.is_some_and(|was_folder| was_folder != node.is_folder()) {
                places = Places::default();
            }
            if !(node.is_folder() && was_folder == Some(true)) {
                self.remove_within(&place);
            }
            self.put(place, node.clone())?;
        }
        Ok(())
    }

    /// The place of a path. Makes the folders above it that are missing.
    fn make_folders(&mut self, places: &mut Places, path: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut missing = Vec::new();
        let look = |place: &[u8]| self.paths.get(place).into();
        let place = places.place(path, look, |folder| missing.push(folder.to_vec()));
        for folder in missing {
            self.put(folder, Node::Folder(None))?;
        }
        Ok(place)
    }

    /// The place of a path: links in the folders above it are followed, it itself is not. `None` if something
    /// above it is no folder.
    pub(super) fn place(&self, places: &mut Places, path: &[u8]) -> Option<Vec<u8>> {
        places.place(path, |place| self.paths.get(place).into(), |_| ())
    }

    /// The place of a folder: links are followed.
    pub(super) fn folder(&self, places: &mut Places, path: &[u8]) -> Option<Vec<u8>> {
        places.folder(path, |place| self.paths.get(place).into(), |_| ())
    }

    /// Returns whether something was there.
    fn remove(&mut self, path: &[u8]) -> bool {
        let node = self.paths.remove(path);
        if let Some(node) = &node {
            self.room.give(path.len() + node.bytes());
        }
        node.is_some()
    }

    fn put(&mut self, path: Vec<u8>, node: Node) -> io::Result<()> {
        self.remove(&path);
        self.room.take(path.len() + node.bytes())?;
        self.paths.insert(path, node);
        Ok(())
    }

    /// Returns whether something was there.
    fn remove_within(&mut self, folder: &[u8]) -> bool {
        let start = joined(folder, b"");
        let range = self.paths.range(start.clone()..);
        let within: Vec<Vec<u8>> = range
            .take_while(|(path, _)| path.starts_with(&start))
            .map(|(path, _)| path.clone())
            .collect();
        for path in &within {
            self.remove(path);
        }
        !within.is_empty()
    }

    /// The paths directly in a folder, and whether they are folders. Deeper paths are skipped, not visited:
    /// otherwise nested folders would take quadratic time.
    pub(super) fn children(&self, folder: &[u8]) -> Vec<(Vec<u8>, bool)> {
        let start = joined(folder, b"");
        let mut children = Vec::new();
        let mut from = Bound::Included(start.clone());
        while let Some((path, node)) = self.paths.range((from, Bound::Unbounded)).next() {
            let Some(rest) = path.strip_prefix(start.as_slice()) else {
                break;
            };
            from = if let Some(slash) = rest.iter().position(|byte| *byte == b'/') {
                // `0` is the byte after `/`, so this sorts behind everything in that folder.
                let behind = [&path[..start.len() + slash], b"0"].concat();
                Bound::Included(behind)
            } else {
                if !rest.is_empty() {
                    children.push((path.clone(), node.is_folder()));
                }
                Bound::Excluded(path.clone())
            };
        }
        children
    }
}
