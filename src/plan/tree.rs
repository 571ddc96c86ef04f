//! Planned files: where each goes and what is in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;

use crate::spec::digest::Digest;
use crate::spec::v1::V1Id;

/// The order in which files become visible: what names others comes after them. Deletion goes the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Blobs and v1 layers: nothing refers to them yet.
    Content,
    /// Manifests by digest, and what a v1 image has beside JSON and layer: they refer to content only.
    Manifest,
    /// The JSON of a v1 image, which says that the rest of it is there.
    V1Json,
    /// Tags, what is attached to a manifest, and answers that are the same in every site.
    Pointer,
    /// What lists the tags of a repository.
    TagList,
    /// What lists repositories, and rules of a server that need those of each repository.
    List,
    /// `index.json`.
    Catalogue,
}

impl Stage {
    /// All stages, in order. Each group is durable before the next begins.
    pub const GROUPS: [&[Self]; 4] = [
        &[Self::Content],
        &[Self::Manifest],
        &[Self::V1Json],
        &[Self::Pointer, Self::TagList, Self::List, Self::Catalogue],
    ];
}

/// What a planned file holds.
#[derive(Clone, Debug)]
pub enum File {
    /// These bytes, in a file of its own.
    Bytes(Arc<[u8]>),
    /// Lines about each tag of a repository, for a server. What `join` makes of them and of the lines that
    /// are there holds as long as tags that go are listed.
    TagLines {
        /// The lines.
        new: Arc<[u8]>,
        /// Joins new and old lines, in this order.
        join: fn(&[u8], &[u8]) -> Vec<u8>,
    },
    /// A blob: the file under `blobs/`, or a link to it.
    Blob(Digest),
    /// Content that is no blob: a v1 layer that differs from that of v2.
    Own(Digest),
    /// What follows from a v1 image, made when it is written.
    V1(V1Id, Derived),
}

/// The files of a v1 image beside its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derived {
    /// Its JSON.
    Json,
    /// The sha256 of its JSON and layer.
    Checksum,
}

/// The one hidden file that a site may serve by; no server hands it out.
const HTACCESS: &str = ".htaccess";

/// Planned files by their path relative to the root of the site, each with its stage.
#[derive(Debug, Default)]
pub struct Tree(BTreeMap<String, (Stage, File)>);

impl Tree {
    /// Plans a file.
    ///
    /// # Errors
    /// When the path is planned already, or could lie outside the site. Both would be mistakes of
    /// the planning code: names are checked where they come in.
    pub fn insert(&mut self, path: String, stage: Stage, file: File) -> anyhow::Result<()> {
        let safe = path.split('/').rev().enumerate().all(|(from_end, part)| {
            let allowed = from_end == 0 && part == HTACCESS;
            !part.is_empty() && (!part.starts_with('.') || allowed)
        });
        if !safe || path.contains(['\\', '\0']) {
            bail!("the path `{path}` is not safe");
        }
        if let Some(path) = self.0.insert(path.clone(), (stage, file)).map(|_| path) {
            bail!("the path `{path}` is planned twice");
        }
        Ok(())
    }

    /// Plans a file of these bytes.
    ///
    /// # Errors
    /// As [`Tree::insert`].
    pub fn bytes(
        &mut self,
        path: String,
        stage: Stage,
        bytes: impl Into<Arc<[u8]>>,
    ) -> anyhow::Result<()> {
        self.insert(path, stage, File::Bytes(bytes.into()))
    }

    /// The files in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, Stage, &File)> {
        let files = self.0.iter();
        files.map(|(path, (stage, file))| (path.as_str(), *stage, file))
    }

    /// Whether a path is planned.
    pub fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_planned_once_and_stay_inside() {
        let mut tree = Tree::default();
        for path in ["v2/a/b", ".htaccess", "v2/a/.htaccess"] {
            tree.bytes(path.into(), Stage::Pointer, *b"x").unwrap();
        }
        for path in [
            "v2/a/b",
            "../x",
            "a/../b",
            "/a",
            "a//b",
            "",
            "a/.hidden",
            ".stillage/lock",
            ".htaccess",
            ".htaccess/a",
            "a/.htaccess2",
            "a/x.htaccess/../b",
            "/.htaccess",
            "a\\b",
        ] {
            assert!(
                tree.bytes(path.into(), Stage::Pointer, *b"x").is_err(),
                "{path}"
            );
        }
    }
}
