//! Inputs modelled on public reports, with what a build takes of each and says about the rest.

use serde_json::{Value, json};

use super::archive::{Archive, Image, OCI_INDEX};
use super::place::{Place, image};

pub(crate) mod archives;
pub(crate) mod bytes;
pub(crate) mod folders;
pub(crate) mod members;
pub(crate) mod names;

/// An input, and what a build makes of it.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Makes the input, and gives the arguments.
    pub(crate) make: fn(&Place) -> Vec<String>,
    /// `repository:tag` of what is built, and its manifest.
    pub(crate) references: &'static [(&'static str, Want)],
    /// Kind, start of the reference, and part of the message of each note; of an error only the message.
    pub(crate) notes: &'static [(&'static str, &'static str, &'static str)],
    pub(crate) code: i32,
}

/// The manifest that a reference must have.
#[derive(Debug)]
pub(crate) enum Want {
    /// That of an entry of the layout that the row makes.
    Entry(usize),
    /// The same of what no client runs.
    Artifact(usize),
    /// That of the image with this text.
    Image(&'static str),
    /// That of this image, which has this text for linux/amd64.
    Kept(fn() -> Image, &'static str),
    /// One that is made, with the config of the image with this text.
    Made(&'static str),
    /// One that is made of an image from before Docker 1.10 with this text.
    Legacy(&'static str),
}

impl Row {
    /// An entry of the `index.json` of the layout.
    pub(crate) fn entry(place: &Place, number: usize) -> Value {
        let index = std::fs::read(place.path("layout/index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        index["manifests"][number].clone()
    }
}

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The layout of a good image and what `edit` makes of its index and the blobs.
pub(crate) fn layout(
    place: &Place,
    more: &[Image],
    edit: impl FnOnce(&mut Archive, &mut Vec<Value>),
) -> String {
    let images = [&[image("good:1", "good")], more].concat();
    let mut archive = Archive::oci(&images);
    let mut index: Value = serde_json::from_slice(archive.bytes("index.json")).unwrap();
    let entries = index["manifests"].as_array_mut().unwrap();
    edit(&mut archive, entries);
    let archive = archive.set_file("index.json", index.to_string());
    archive.folder(&place.path("layout"));
    place.path("layout").to_str().unwrap().to_owned()
}

pub(crate) fn entry(mut descriptor: Value, media_type: &str, name: &str) -> Value {
    descriptor["mediaType"] = media_type.into();
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    descriptor
}

/// The path of a blob in a layout.
pub(crate) fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

pub(crate) fn multi() -> Image {
    let (one, other) = (image("", "amd64"), image("", "arm64"));
    let children = vec![
        one.platform("linux", "amd64"),
        other.platform("linux", "arm64"),
    ];
    Image::index(&["multi:1"], children)
}

/// The layout with an index, one of whose children is changed.
pub(crate) fn with_child(place: &Place, edit: fn(&mut Value)) -> Vec<String> {
    let path = layout(place, &[multi()], |archive, entries| {
        let index = entries.last_mut().unwrap();
        let old = blob(index["digest"].as_str().unwrap());
        let mut manifest: Value = serde_json::from_slice(archive.bytes(&old)).unwrap();
        edit(&mut manifest["manifests"][1]);
        let new = archive.blob(OCI_INDEX, manifest.to_string().as_bytes());
        *index = entry(new, OCI_INDEX, "multi:1");
    });
    vec![path]
}

/// The path of the first layer of a manifest in a layout.
pub(crate) fn layer_of(archive: &Archive, manifest: &str) -> String {
    let manifest: Value = serde_json::from_slice(archive.bytes(&blob(manifest))).unwrap();
    blob(manifest["layers"][0]["digest"].as_str().unwrap())
}
