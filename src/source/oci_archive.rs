//! `oci-archive:` a tar of an OCI image layout, as skopeo, podman and buildah write it.

use crate::content::Content;
use crate::import::draft::{Blobs, Draft};
use crate::import::request::Request;
use crate::source::archive::Archive;
use crate::source::oci::Index;
use crate::source::{Format, Input};
use crate::spec::digest::Digest;

pub const FORMAT: Format = Format {
    prefix: "oci-archive",
    about: "a tar of an OCI image layout",
    reads: Input::Archive { detect, load },
    has_folders: false,
};

fn detect(archive: &Archive) -> bool {
    archive.has("oci-layout") && archive.has("index.json")
}

fn load(archive: &Archive, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let index = Index::parse(&archive.required("index.json")?)?;
    let mut draft = Draft::new(archive.origin());
    index.add_to(&mut draft, archive, request)?;
    Ok(vec![draft])
}

impl Blobs for Archive {
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        self.member(&format!("blobs/sha256/{}", digest.hex()))
    }
}
