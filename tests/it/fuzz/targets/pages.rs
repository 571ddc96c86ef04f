//! Pages for people: nothing that images say becomes markup.

use std::sync::Arc;

use stillage::images::v1_images::V1Images;
use stillage::images::{Images, memory_blob};
use stillage::pages::{Pages, VERSION};
use stillage::plan::tree::File;
use stillage::plan::{Part, Plan};
use stillage::site_files::catalogue::{Apis, Catalogue};
use stillage::spec::digest::Digest;
use stillage::spec::manifest::Manifest;
use stillage::spec::name::{Repository, Tag};

/// The bytes are a config, and a string in a manifest.
pub(super) fn pages(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let layer = serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": Digest::of(b""), "size": 7,
        "annotations": {"org.opencontainers.image.title": text}});
    let of = |config_type: &str| {
        let config = serde_json::json!({"mediaType": config_type, "digest": Digest::of(data), "size": data.len()});
        serde_json::json!({"schemaVersion": 2, "config": config, "layers": [layer], "annotations": {&*text: text},
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": text})
    };
    let (mut images, repository) = (
        Images::default(),
        "a/b".parse::<Repository>().expect("a name"),
    );
    for (tag, config_type) in [
        ("image", "application/vnd.oci.image.config.v1+json"),
        ("file", &*text),
    ] {
        let bytes: Arc<[u8]> = of(config_type).to_string().into_bytes().into();
        let manifest = Manifest::parse(bytes, None).expect("a manifest");
        let digest = manifest.digest;
        images.add_manifest(&repository, Arc::new(manifest), None);
        let repo = images
            .repositories
            .get_mut(&repository)
            .expect("it was added");
        repo.tags.insert(tag.parse::<Tag>().expect("a tag"), digest);
    }
    images.add_blob(memory_blob(data.to_vec()));
    let mut catalogue = Catalogue::empty(Apis {
        v1: false,
        v2: true,
    });
    catalogue.pages = Some(VERSION.into());
    catalogue.title = Some(text.into_owned());
    catalogue.repositories.clone_from(&images.repositories);
    let pages = Pages::of_images(&catalogue, &images);
    let plan = Plan {
        catalogue: &catalogue,
        images: &images,
        v1: &V1Images::default(),
        pages: &pages,
    };
    for part in [Part::Repository(&repository), Part::Lists] {
        let tree = plan.tree(part).expect("it can be planned");
        for (path, _, file) in tree.files() {
            if !matches!(file, File::Page(_)) || path.contains(".json") {
                continue;
            }
            let bytes = plan.bytes(file).expect("it can be made");
            let bytes = bytes.expect("a page has bytes");
            only_ours(path, std::str::from_utf8(&bytes).expect("text"));
        }
    }
}

/// A page has two scripts, with addresses, one picture, and no attribute that could run or load anything.
fn only_ours(path: &str, text: &str) {
    for (ours, count) in [
        ("<script", 2),
        ("<script defer src=", 2),
        ("<img ", 1),
        ("<a ", text.matches("</a>").count()),
    ] {
        assert_eq!(text.matches(ours).count(), count, "{path}: {ours}: {text}");
    }
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("every tag ends");
        let mut attributes = tag.split('"');
        let names: String = attributes.by_ref().step_by(2).collect();
        assert!(
            !names.contains("style") && !names.contains("onclick"),
            "{path}: {tag}"
        );
        let address = tag.split("href=\"").nth(1).unwrap_or_default();
        let address = address.split('"').next().unwrap_or_default();
        assert!(
            address.starts_with("http") || !address.contains("script:"),
            "{path}: {tag}"
        );
    }
}
