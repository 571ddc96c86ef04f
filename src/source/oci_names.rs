//! The names of the entries of an OCI image layout.

use crate::error::{WithHint as _, escaped};
use crate::import::draft::{Called, ManifestId, RootManifest};
use crate::import::request::Request;
use crate::site_files::catalogue::{CONTAINERD_NAME, REF_NAME};
use crate::spec::descriptor::Descriptor;
use crate::spec::name::Tag;

/// The annotation with the name of the image that an image is based on (image-spec `annotations.md`).
pub(super) const BASE_NAME: &str = "org.opencontainers.image.base.name";

pub(super) const RENAME: &str = "name it with `SOURCE=NAME:TAG`";

/// Whether an entry is requested, by any of its names.
pub(super) fn takes(request: &Request<'_>, descriptor: &Descriptor, root: &RootManifest) -> bool {
    let names = [CONTAINERD_NAME, REF_NAME].map(|key| descriptor.annotation(key));
    let is_one = |name: &&str| request.one == Some(*name);
    let text = names.into_iter().flatten().find(is_one);
    let text = text.or_else(|| name_of(descriptor));
    let (repository, tag) = (root.repository.as_ref(), root.tag.as_ref());
    request.takes(text, repository, tag, Some(descriptor.digest))
}

/// The tag suffix for an entry that cosign saved beside an image (cosign `pkg/oci/layout/write.go`).
pub(super) fn cosign_kind(descriptor: &Descriptor) -> Option<&'static str> {
    match kind_of(descriptor)? {
        "sigs" => Some("sig"),
        "atts" => Some("att"),
        "sboms" => Some("sbom"),
        _ => None,
    }
}

/// What an entry of cosign or hauler is (hauler `pkg/consts`).
fn kind_of(descriptor: &Descriptor) -> Option<&str> {
    let kind = descriptor.annotation("kind")?;
    let by_cosign = kind.strip_prefix("dev.cosignproject.cosign/");
    by_cosign.or_else(|| kind.strip_prefix("dev.hauler/"))
}

/// Whether both have a name, and the same: hauler gives what is attached to an image the name of the image.
pub(super) fn is_of_same_name(one: &Descriptor, other: &Descriptor) -> bool {
    name_of(one).is_some() && name_of(one) == name_of(other)
}

/// The name of an entry: containerd's full name, otherwise the reference name of the layout.
pub(super) fn name_of(descriptor: &Descriptor) -> Option<&str> {
    let is_referrer = kind_of(descriptor).is_some_and(|kind| kind.starts_with("referrers"));
    let full = descriptor.annotation(CONTAINERD_NAME);
    full.or_else(|| descriptor.annotation(REF_NAME))
        .filter(|name| *name != NO_NAME && !name.is_empty() && !is_referrer)
}

/// What Docker and containerd call an image without a name.
pub(super) const NO_NAME: &str = "<none>:<none>";

/// What messages call an entry without a name.
pub(super) fn called(descriptor: &Descriptor) -> Called {
    Called::Nameless(about(descriptor))
}

fn about(descriptor: &Descriptor) -> String {
    format!("the manifest {}", descriptor.digest)
}

pub(super) fn nameless(descriptor: &Descriptor, manifest: ManifestId) -> RootManifest {
    RootManifest::nameless(manifest, about(descriptor))
}

/// The root manifest of an entry. A bare word as name is a tag (image-spec `annotations.md`). `None` if the
/// name is illegal and was not requested. With `SOURCE=NAME:TAG` the name does not matter.
///
/// # Errors
/// If the name is illegal and may have been requested.
pub fn root(
    descriptor: &Descriptor,
    manifest: ManifestId,
    request: &Request<'_>,
) -> anyhow::Result<Option<RootManifest>> {
    let nameless = nameless(descriptor, manifest);
    let Some(name) = name_of(descriptor) else {
        return Ok(Some(nameless));
    };
    let called = format!("`{}`", escaped(name));
    let is_full = descriptor.annotation(CONTAINERD_NAME).is_some();
    if !is_full && !name.contains(['/', ':', '@']) {
        return match name.parse() {
            Ok(tag) => Ok(Some(RootManifest {
                tag: Some(tag),
                called,
                ..nameless
            })),
            Err(_) if request.one.is_some_and(|one| one != name) => Ok(None),
            Err(_) if request.is_renamed() => Ok(Some(RootManifest { called, ..nameless })),
            Err(error) => Err(error).hint(RENAME),
        };
    }
    let reference = match request.reference(name) {
        Err(_) if request.is_renamed() => return Ok(Some(RootManifest { called, ..nameless })),
        reference => reference.map_err(|error| {
            error.context(format!(
                "the manifest {} has an illegal name",
                descriptor.digest
            ))
        }),
    }
    .hint(RENAME)?;
    Ok(reference.map(|reference| {
        let is_bare = reference.tag.is_none() && reference.digest.is_none();
        RootManifest {
            repository: Some(reference.repository),
            tag: reference.tag.or_else(|| is_bare.then(Tag::latest)),
            called,
            ..nameless
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::draft::ImportOptions;
    use crate::import::selection::Selection;
    use crate::spec::digest::Digest;

    fn named(key: &str, name: &str) -> Option<(Option<String>, Option<String>)> {
        let descriptor: Descriptor = serde_json::from_str(&format!(
            r#"{{"digest":"{}","size":1,"annotations":{{"{key}":"{name}"}}}}"#,
            Digest::of(b"")
        ))
        .unwrap();
        let (rules, selection) = (ImportOptions::default(), Selection::default());
        let request = Request::new(&rules, &selection, std::path::Path::new(""));
        let root = root(&descriptor, 0, &request).ok()??;
        Some((
            root.repository.map(|name| name.to_string()),
            root.tag.map(|tag| tag.to_string()),
        ))
    }

    #[test]
    fn entries_are_named_as_tools_name_them() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            named(REF_NAME, "sample/x:1"),
            Some((some("sample/x"), some("1")))
        );
        assert_eq!(named(REF_NAME, "latest"), Some((None, some("latest"))));
        assert_eq!(
            named(REF_NAME, "docker.io/library/tiny"),
            Some((some("tiny"), some("latest")))
        );
        assert_eq!(
            named(CONTAINERD_NAME, "docker.io/library/tiny:1"),
            Some((some("tiny"), some("1")))
        );
        assert_eq!(
            named(REF_NAME, &format!("x@{}", Digest::of(b""))),
            Some((some("x"), None))
        );
        assert_eq!(named("other", "x"), Some((None, None)));
        assert_eq!(named(REF_NAME, "Bad/Name:1"), None);
        assert_eq!(named(REF_NAME, "-"), None);
    }
}
