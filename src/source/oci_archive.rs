//! `oci-archive:` a tar of an OCI image layout, as skopeo, podman, buildah, hauler and Zarf write it.
//! ```text
//! oci-layout  index.json  blobs/              at the top
//! images/{oci-layout,index.json,blobs/}       or one folder down: Zarf, beside `zarf.yaml`
//! ```

use crate::content::Content;
use crate::import::draft::{Blobs, Draft};
use crate::import::request::Request;
use crate::source::archive::Archive;
use crate::source::oci::{INDEX, Index, ZARF};
use crate::source::{Fit, Format, Input};
use crate::spec::digest::Digest;

pub const FORMAT: Format = Format {
    prefix: "oci-archive",
    about: "a tar of an OCI image layout, also of hauler and Zarf",
    reads: Input::Archive { fit, load },
    has_folders: false,
};

fn fit(archive: &Archive) -> Fit {
    let found = Layout::in_archive(archive).is_some();
    Fit::by(found, INDEX, archive.has(INDEX))
}

fn load(archive: &Archive, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let layout = Layout::in_archive(archive).unwrap_or_else(|| Layout::at_root(archive));
    let mut index = layout.index()?;
    if !layout.prefix.is_empty() && archive.has(ZARF) {
        index.name_by_base();
    }
    let mut draft = Draft::new(archive.origin());
    index.add_to(&mut draft, &layout, request)?;
    Ok(vec![draft])
}

/// A layout in an archive.
pub(super) struct Layout<'a> {
    archive: &'a Archive,
    /// Its folder, with a slash; empty for the top.
    prefix: String,
}

impl<'a> Layout<'a> {
    pub(super) fn at_root(archive: &'a Archive) -> Self {
        Self {
            archive,
            prefix: String::new(),
        }
    }

    /// The layout at the top, or in the only folder that has one.
    fn in_archive(archive: &'a Archive) -> Option<Self> {
        let root = Self::at_root(archive);
        if root.exists() {
            return Some(root);
        }
        let prefix = format!("{}/", archive.below("oci-layout")?);
        Some(Self { archive, prefix }).filter(Self::exists)
    }

    /// Whether there is one. hauler leaves `oci-layout` out for containerd.
    pub(super) fn exists(&self) -> bool {
        let has = |name: &str| self.archive.has(&format!("{}{name}", self.prefix));
        let blobs = format!("{}blobs/sha256/", self.prefix);
        has(INDEX) && (has("oci-layout") || self.archive.has_folder(&blobs))
    }

    pub(super) fn index(&self) -> anyhow::Result<Index> {
        let name = format!("{}{INDEX}", self.prefix);
        Index::parse(&self.archive.required(&name)?)
    }
}

impl Blobs for Layout<'_> {
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        let name = format!("{}blobs/sha256/{}", self.prefix, digest.hex());
        self.archive.member(&name)
    }
}
