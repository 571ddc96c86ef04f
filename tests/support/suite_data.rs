//! The kinds of content that the conformance suite of the distribution-spec pushes, as an OCI layout;
//! the tags are what the suite calls them.

use serde_json::{Value, json};

use super::archive::{Archive, Image, OCI_INDEX, Pack};

pub(crate) const REPOSITORY: &str = "conformance/data";

pub(crate) const FIRST_TYPE: &str = "application/vnd.example.first";
const SECOND_TYPE: &str = "application/vnd.example.second";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The layout. Of `nondistributable` and `sparse` there is none: their blobs are missing, which a build
/// refuses; `sha512` has no place in a site.
pub(crate) fn archive() -> Archive {
    let mut all = images();
    all.extend(artifacts());
    all.extend(attached());
    Archive::oci(&all)
}

fn named(tag: &str) -> String {
    format!("{REPOSITORY}:{tag}")
}

fn image(tag: &str) -> Image {
    Image::new(&[&named(tag)])
        .layer("etc/one", tag)
        .layer("etc/two", tag)
}

/// An index for two platforms, with images of its own.
fn index(names: &[&str], of: &str) -> Image {
    let child = |architecture: &str| {
        Image::new(&[])
            .layer("etc/for", &format!("{of} {architecture}"))
            .platform("linux", architecture)
    };
    Image::index(names, vec![child("amd64"), child("arm64")])
}

fn images() -> Vec<Image> {
    let large = |manifest: &mut Value| {
        for number in 0..390 {
            manifest["annotations"][format!("large-{number}")] = "A".repeat(10_000).into();
        }
    };
    let custom = |value: &mut Value| value["org.example.custom"] = json!({"a": [1, "b"]});
    vec![
        image("image"),
        image("image-uncompressed").packed(Pack::Plain),
        image("image-zstd").packed(Pack::Zstd),
        image("large-manifest").manifest(large),
        index(&[&named("index")], "index"),
        Image::index(
            &[&named("nested-index")],
            vec![index(&[], "nested one"), index(&[], "nested two")],
        ),
        Image::index(&[&named("empty-index")], Vec::new()),
        image("data-field").manifest(|manifest| {
            manifest["layers"][0]["annotations"] = json!({"of": "a layer"});
            manifest["config"]["data"] = "e30=".into();
            manifest["config"]["digest"] =
                "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a".into();
            manifest["config"]["size"] = 2.into();
            manifest["config"]["mediaType"] = EMPTY.into();
            manifest["artifactType"] = FIRST_TYPE.into();
        }),
        image("custom-fields").manifest(custom).config(custom),
        Image::new(&[&named("no-layers")]),
    ]
}

/// An artifact of one blob with an empty config, as image-spec 1.1 has it.
fn artifact(names: &[&str], artifact_type: &'static str, content: &str) -> Image {
    Image::new(names)
        .config_bytes("{}")
        .layer_tar(content.into())
        .packed(Pack::Plain)
        .manifest(move |manifest| {
            manifest["artifactType"] = artifact_type.into();
            manifest["config"]["mediaType"] = EMPTY.into();
            manifest["layers"][0]["mediaType"] = artifact_type.into();
        })
}

fn artifacts() -> Vec<Image> {
    let child = |content| artifact(&[], FIRST_TYPE, content);
    vec![
        artifact(&[&named("artifact")], FIRST_TYPE, "an artifact"),
        artifact(&[&named("artifact-without-layers")], FIRST_TYPE, "{}")
            .manifest(|manifest| manifest["layers"][0]["mediaType"] = EMPTY.into()),
        artifact(&[&named("empty-blob")], FIRST_TYPE, ""),
        Image::index(
            &[&named("artifact-index")],
            vec![child("of an index"), child("another")],
        )
        .manifest(|index| index["artifactType"] = FIRST_TYPE.into()),
    ]
}

/// Names a subject and says something about itself.
fn with_subject(image: Image, media_type: &'static str, digest: String) -> Image {
    image.manifest(move |manifest| {
        manifest["subject"] = json!({"mediaType": media_type, "digest": digest, "size": 1});
        manifest["annotations"] = json!({"org.example.note": "attached", "org.example.é": ""});
    })
}

fn attached() -> Vec<Image> {
    let subject = image("subject");
    let to_image = |image: Image| with_subject(image, IMAGE, image_digest("subject"));
    let index_subject = index(&[&named("index-subject")], "subject");
    let digest = index_subject.manifest_digest();
    let to_index = |image: Image| with_subject(image, OCI_INDEX, digest.clone());
    let missing = format!("sha256:{}", "5".repeat(64));
    vec![
        to_image(Image::new(&[]).layer("etc/image", "whose type is its config's")),
        to_image(artifact(&[&named("attached-first")], FIRST_TYPE, "first")),
        to_image(artifact(
            &[&named("attached-second")],
            SECOND_TYPE,
            "second",
        )),
        to_index(index(&[], "without a type")),
        to_index(index(&[&named("attached-index")], "with a type"))
            .manifest(|index| index["artifactType"] = FIRST_TYPE.into()),
        with_subject(
            artifact(&[&named("missing-subject")], FIRST_TYPE, "of nothing"),
            IMAGE,
            missing,
        ),
        subject,
        index_subject,
    ]
}

fn image_digest(tag: &str) -> String {
    image(tag).manifest_digest()
}
