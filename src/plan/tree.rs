//! Planned files: their paths and contents.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;

use crate::pages::Page;
use crate::spec::digest::Digest;
use crate::spec::v1::V1Id;

/// The order in which files become visible: a file comes after the files that it names.
/// Deletion goes in reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Blobs and v1 layers: nothing refers to them yet.
    Content,
    /// Manifests by digest, and the ancestry and checksum of v1 images: they refer to content only.
    Manifest,
    /// The JSON of a v1 image, whose existence means that the image is complete.
    V1Json,
    /// Signatures: clients look for them once they know an image by its tag.
    Signature,
    /// Tags, referrers, and responses that are the same in every site.
    Pointer,
    /// Lists of the tags of a repository.
    TagList,
    /// Lists of repositories, and server rules that need those of each repository.
    List,
    /// `index.json`.
    Catalogue,
}

impl Stage {
    /// All stages, in order. Each group is durable before the next begins.
    pub const GROUPS: [&[Self]; 5] = [
        &[Self::Content],
        &[Self::Manifest],
        &[Self::V1Json],
        &[Self::Signature],
        &[Self::Pointer, Self::TagList, Self::List, Self::Catalogue],
    ];
}

#[derive(Clone, Debug)]
pub enum File {
    /// These bytes, in a file of its own.
    Bytes(Arc<[u8]>),
    /// One line per tag of a repository, for a server. While tag lists may still show removed tags, the file
    /// holds what `join` returns for the new lines and those in the file.
    TagLines {
        new: Arc<[u8]>,
        /// Takes the new and the old lines, in this order.
        join: fn(&[u8], &[u8]) -> Vec<u8>,
    },
    /// A blob: the file under `blobs/`, or a link to it.
    Blob(Digest),
    /// A name of content that the site has lost. The file stays as it is.
    Kept(Digest),
    /// Content that is not a blob: a v1 layer that differs from the v2 layer.
    Own(Digest),
    /// Derived from a v1 image at the time of writing.
    V1(V1Id, Derived),
    /// A page for people, made when it is needed.
    Page(Page),
    /// A page of images whose configs are lost, or elsewhere. The file stays as it is, if there is one.
    OldPage,
    /// A symbolic link to this path, relative to the folder of the link.
    Link(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derived {
    Json,
    /// The sha256 of JSON and layer.
    Checksum,
}

/// The only hidden file that may be planned; no server serves it to clients.
const HTACCESS: &str = ".htaccess";

/// Planned files by their path relative to the root of the site, each with its stage.
#[derive(Debug, Default)]
pub struct Tree(BTreeMap<String, (Stage, File)>);

impl Tree {
    /// Plans a file.
    ///
    /// # Errors
    /// If the path is already planned, or could lie outside the site. Both would be bugs: names are checked
    /// when they are parsed.
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

    pub fn bytes(
        &mut self,
        path: String,
        stage: Stage,
        bytes: impl Into<Arc<[u8]>>,
    ) -> anyhow::Result<()> {
        self.insert(path, stage, File::Bytes(bytes.into()))
    }

    /// The files, sorted by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, Stage, &File)> {
        let files = self.0.iter();
        files.map(|(path, (stage, file))| (path.as_str(), *stage, file))
    }

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
