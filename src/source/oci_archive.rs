//! `oci-archive:` a tar of an OCI image layout, as skopeo, podman and buildah write it.

use anyhow::Context as _;

use crate::content::Content;
use crate::draft::{Blobs, Draft, Rules};
use crate::source::archive::Archive;
use crate::source::oci::Index;
use crate::source::{Format, Opened};
use crate::spec::digest::Digest;

/// A tar of an OCI image layout.
#[derive(Debug)]
pub struct OciArchive;

impl Format for OciArchive {
    fn prefix(&self) -> &'static str {
        "oci-archive"
    }

    fn about(&self) -> &'static str {
        "a tar of an OCI image layout"
    }

    fn detect(&self, opened: &Opened) -> anyhow::Result<bool> {
        Ok(opened
            .archive()
            .is_some_and(|archive| archive.has("oci-layout") && archive.has("index.json")))
    }

    fn load(
        &self,
        opened: &Opened,
        selected: Option<&str>,
        rules: &Rules,
    ) -> anyhow::Result<Vec<Draft>> {
        let archive = opened.archive().context("it is no archive")?;
        let index = Index::parse(&archive.required("index.json")?)?;
        let mut draft = Draft::new(archive.origin());
        index.add_to(&mut draft, archive, selected, rules)?;
        Ok(vec![draft])
    }
}

impl Blobs for Archive {
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        self.member(&format!("blobs/sha256/{}", digest.hex()))
    }
}
