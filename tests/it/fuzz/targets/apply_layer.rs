//! Models of how layers are unpacked: by today's clients (image-spec `layer.md`), and by `archive.ApplyLayer` of
//! Docker 1.x, as observed with 1.4.1 and 1.9.1.

use std::collections::{BTreeMap, BTreeSet};

/// A member of a layer: its path, or that which it hides, and its kind.
pub(crate) type Member = (String, Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With its mode.
    Folder(u32),
    File,
    /// With its target.
    Link(String),
    Whiteout,
    /// Hides all that is in the path.
    Opaque,
}

/// A Docker with its own way to unpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Docker {
    /// Ignores opaque whiteouts.
    V1_4,
    /// Refuses a path that occurs twice; an opaque whiteout removes what the layer has not unpacked itself.
    V1_9,
}

/// The mode of a folder that nothing gives one, today and in Docker 1.x.
const TODAY: u32 = 0o755;
const OLD: u32 = 0o600;

/// The files of an image by path. Whiteouts are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<String, Kind>);

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// A path of a tar as Docker compares it, without `.` and empty parts.
pub(crate) fn cleaned(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.collect::<Vec<_>>().join("/")
}

impl Tree {
    pub(crate) fn has_link(&self, path: &str) -> bool {
        let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
        let is_link = |path: &str| matches!(self.0.get(path), Some(Kind::Link(_)));
        is_link(path) || above.any(is_link)
    }

    /// Each place on the way of a path, and where it leads last.
    fn way(&self, path: &str) -> Result<Vec<String>, String> {
        let mut way = Vec::new();
        let place = self.place(path, &mut |at, _| way.push(at.to_owned()))?;
        if way.last() != Some(&place) {
            way.push(place);
        }
        Ok(way)
    }

    /// Where a path leads, and the folders above it that are missing.
    fn place_of(&self, path: &str) -> Result<(String, Vec<String>), String> {
        let mut missing = Vec::new();
        let place = self.place(path, &mut |at, is_there| {
            if !is_there {
                missing.push(at.to_owned());
            }
        })?;
        missing.retain(|folder| *folder != place);
        Ok((place, missing))
    }

    /// Where a path leads: links above it are followed. Missing folders are counted as folders. An error names what
    /// is no folder.
    fn place(&self, path: &str, pass: &mut impl FnMut(&str, bool)) -> Result<String, String> {
        let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut at, mut links) = (String::new(), 0);
        while let Some(part) = left.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let next = joined(&at, &part);
            pass(&next, self.0.contains_key(&next));
            if left.is_empty() {
                return Ok(next);
            }
            match self.0.get(&next) {
                Some(Kind::Link(target)) => {
                    links += 1;
                    if links > 40 {
                        return Err(next);
                    }
                    if target.starts_with('/') {
                        at.clear();
                    }
                    left.extend(target.split('/').rev().map(str::to_owned));
                }
                Some(Kind::File) => return Err(next),
                _ => at = next,
            }
        }
        Ok(at)
    }

    fn remove_within(&mut self, folder: &str) {
        let within = joined(folder, "");
        self.0.retain(|path, _| !path.starts_with(&within));
    }

    fn remove(&mut self, path: &str) {
        self.0.remove(path);
        self.remove_within(path);
    }

    fn put(&mut self, path: &str, kind: &Kind) {
        let both = [self.0.get(path), Some(kind)];
        if !both
            .iter()
            .all(|kind| matches!(kind, Some(Kind::Folder(_))))
        {
            self.remove(path);
        }
        self.0.insert(path.to_owned(), kind.clone());
    }

    /// Everything on the way of each member of a layer, where it leads last. An error names what is no folder, with
    /// something in it.
    pub(crate) fn ways(&self, layer: &[Member]) -> Result<Vec<Vec<String>>, String> {
        let mut tree = self.clone();
        tree.hide(layer);
        let mut ways = Vec::new();
        for member in layer {
            let (path, kind) = member;
            let hides = matches!(kind, Kind::Whiteout | Kind::Opaque);
            let mut way = if hides { self } else { &tree }.way(path)?;
            if hides {
                // What is hidden may be a link itself.
                let mut within = self.way(&joined(path, "x"))?;
                within.pop();
                if *kind == Kind::Opaque {
                    way = within;
                }
            }
            ways.push(way);
            tree.put_all(std::slice::from_ref(member))?;
        }
        Ok(ways)
    }

    fn hide(&mut self, layer: &[Member]) {
        let below = self.clone();
        for (path, kind) in layer {
            let leads = match kind {
                Kind::Whiteout => below.place_of(path),
                Kind::Opaque => below.place_of(&joined(path, "x")),
                _ => continue,
            };
            match (leads, kind) {
                (Ok((path, _)), Kind::Whiteout) => self.remove(&path),
                (Ok((within, _)), _) => {
                    self.remove_within(within.rsplit_once('/').map_or("", |(folder, _)| folder));
                }
                (Err(_), _) => {}
            }
        }
    }

    fn put_all(&mut self, layer: &[Member]) -> Result<(), String> {
        for (path, kind) in layer {
            let path = match kind {
                Kind::Whiteout => continue,
                Kind::Opaque => &joined(path, "x"),
                _ => path,
            };
            let (place, missing) = self.place_of(path)?;
            for folder in missing {
                self.put(&folder, &Kind::Folder(TODAY));
            }
            if *kind != Kind::Opaque {
                self.put(&place, kind);
            }
        }
        Ok(())
    }

    /// Unpacks a layer as today's clients do: what hides, hides what is below alone.
    pub(crate) fn apply(&mut self, layer: &[Member]) {
        self.hide(layer);
        self.put_all(layer).expect("a layer that fits");
    }

    /// Unpacks a tar as Docker 1.x does: one member after the other.
    ///
    /// # Errors
    /// Where it would refuse the layer.
    pub(crate) fn unpack(&mut self, tar: &[u8], docker: Docker) -> Result<(), String> {
        if !tar.len().is_multiple_of(512) {
            return Err("unexpected EOF".to_owned());
        }
        let (mut names, mut unpacked) = (BTreeSet::new(), BTreeSet::new());
        for entry in tar::Archive::new(tar).entries().expect("a tar") {
            let entry = entry.expect("a tar that can be read");
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let path = cleaned(&path);
            // The root, and what AUFS keeps for itself.
            if path.is_empty() || path.contains(".wh..wh.") && !path.ends_with(".wh..wh..opq") {
                continue;
            }
            if docker == Docker::V1_9 && !names.insert(path.clone()) {
                return Err(format!("duplicates of file paths not supported: {path}"));
            }
            let (place, missing) = self.place_of(&path)?;
            for folder in missing {
                self.put(&folder, &Kind::Folder(OLD));
            }
            let (folder, name) = place.rsplit_once('/').unwrap_or(("", &place));
            if name == ".wh..wh..opq" && docker == Docker::V1_9 {
                let within = joined(folder, "");
                let is_kept = |path: &String| !path.starts_with(&within) || unpacked.contains(path);
                let gone: Vec<String> = self
                    .0
                    .keys()
                    .filter(|path| !is_kept(path))
                    .cloned()
                    .collect();
                for path in &gone {
                    self.remove(path);
                }
                continue;
            }
            if let Some(hidden) = name.strip_prefix(".wh.") {
                let hidden = joined(folder, hidden);
                self.remove(&hidden);
                continue;
            }
            let header = entry.header();
            let kind = match header.entry_type() {
                tar::EntryType::Directory => Kind::Folder(header.mode().expect("a mode")),
                tar::EntryType::Symlink => {
                    let target = entry.link_name_bytes().expect("a target");
                    Kind::Link(String::from_utf8_lossy(&target).into_owned())
                }
                _ => Kind::File,
            };
            self.put(&place, &kind);
            unpacked.insert(place);
        }
        Ok(())
    }
}

/// The tar of a layer.
pub(crate) fn tar_of(layer: &[Member]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind) in layer {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        let path = match kind {
            Kind::Folder(mode) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(*mode);
                path.clone()
            }
            Kind::File => path.clone(),
            Kind::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name(target).expect("a short target");
                path.clone()
            }
            Kind::Whiteout => joined(folder, &format!(".wh.{name}")),
            Kind::Opaque => joined(path, ".wh..wh..opq"),
        };
        let appended = builder.append_data(&mut header, path, std::io::empty());
        appended.expect("memory can be written");
    }
    builder.into_inner().expect("memory can be written")
}
