//! Every sample of every era becomes what `fixtures/expected.json` says, which an independent
//! script has written.

use std::fs;
use std::io::Read as _;

use crate::support::expected::{Expected, Image, Kind, Layers, build_site, expected};
use crate::support::files::digest;
use crate::support::files::without_zeros;
use crate::support::site::{json, name_of, stillage, succeed};

#[test]
fn digests_and_ids_are_what_the_tools_gave() {
    let site = build_site();
    let mut images = 0;
    let layers = Layers::read();
    for of in expected() {
        let Some(tag) = &of.tag else { continue };
        let folder = site.path().join("v2").join(&of.name);
        let bytes = fs::read(folder.join("manifests").join(tag)).unwrap();
        let what = format!("{}:{tag}", of.name);
        if let Some(kept) = &of.manifest_digest {
            assert_eq!(digest(&bytes), *kept, "{what}");
        }
        for image in &of.images {
            let path = match &image.manifest_digest {
                Some(digest) => folder.join("manifests").join(digest),
                None => folder.join("manifests").join(tag),
            };
            let manifest = json(path);
            assert_eq!(manifest["config"]["digest"], *image.config_digest, "{what}");
            if of.kind != Kind::Artifact {
                check_layers(&folder, &manifest, image, &what);
                images += 1;
            }
        }
        check_v1(site.path(), &of, tag, &layers);
    }
    assert!(images > 40, "{images}");
}

/// The blobs lie where the manifest says, and unpack to the diff IDs.
fn check_layers(folder: &std::path::Path, manifest: &serde_json::Value, image: &Image, what: &str) {
    let layers = manifest["layers"].as_array().unwrap();
    let mut diff_ids = Vec::new();
    for layer in layers {
        let of = layer["digest"].as_str().unwrap();
        let bytes = fs::read(folder.join("blobs").join(of)).unwrap();
        assert_eq!(digest(&bytes), of, "{what}");
        assert_eq!(layer["size"], bytes.len(), "{what}");
        diff_ids.push(digest(
            &crate::support::files::decompressed(&bytes).unwrap(),
        ));
    }
    assert_eq!(diff_ids, image.diff_ids, "{what}");
}

fn check_v1(site: &std::path::Path, of: &Expected, tag: &str, layers: &Layers) {
    let path = site.join(format!("v1/repositories/{}/tags/{tag}", of.name));
    if of.kind == Kind::Artifact {
        assert!(!path.exists(), "{}", path.display());
        return;
    }
    let amd64 = of
        .images
        .iter()
        .find(|image| image.platform.as_deref().is_none_or(|p| p == "linux/amd64"));
    let image = amd64.unwrap();
    let top = json(path);
    assert_eq!(top, *image.v1_ids[0]);
    let v1 = |id: &str, name: &str| site.join(format!("v1/images/{id}/{name}"));
    assert_eq!(
        json(v1(&image.v1_ids[0], "ancestry")),
        serde_json::json!(image.v1_ids)
    );
    for (index, id) in image.v1_ids.iter().enumerate() {
        let json = json(v1(id, "json"));
        assert_eq!(json["id"], **id);
        assert_eq!(
            json["parent"].as_str(),
            image.v1_ids.get(index + 1).map(String::as_str)
        );
        let layer = fs::read(v1(id, "layer")).unwrap();
        assert_ne!(
            layer[..4],
            [0x28, 0xb5, 0x2f, 0xfd],
            "v1 clients cannot read zstd"
        );
        let from_base = image.v1_ids.len() - 1 - index;
        if !image.legacy {
            // What Docker 1.x misses goes before a layer: the folders that umoci's only imply. The blocks that
            // end a tar are added.
            let plain = crate::support::files::decompressed(&layer).unwrap();
            let original = layers.plain(&image.diff_ids[from_base]);
            let members = without_zeros(original);
            let completed = of.kind == Kind::Index;
            assert!(
                without_zeros(&plain).ends_with(members)
                    && (plain.len() > original.len()) == completed,
                "{id}"
            );
        }
    }
}

/// v1 images that an archive of Docker 1.x brings along keep their JSON byte for byte.
#[test]
fn legacy_json_is_kept_verbatim() {
    let site = crate::support::temp::TempDir::new("legacy");
    crate::support::site::build(&["fixtures/docker-1.4.1.tar"], site.path());
    let bytes = fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/docker-1.4.1.tar"
    ))
    .unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut kept = 0;
    for member in archive.entries().unwrap() {
        let mut member = member.unwrap();
        let name = member.path().unwrap().to_str().unwrap().to_owned();
        if name.ends_with("/json") {
            let mut json = Vec::new();
            member.read_to_end(&mut json).unwrap();
            assert_eq!(
                fs::read(site.path().join("v1/images").join(&name)).unwrap(),
                json
            );
            kept += 1;
        }
    }
    assert_eq!(kept, 8, "the archive holds 8 v1 images");
}

#[test]
fn list_says_what_is_there() {
    let site = build_site();
    let output = succeed(&mut stillage([
        "list",
        "--json",
        site.path().to_str().unwrap(),
    ]));
    let listed: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    for of in expected()
        .iter()
        .filter(|of| !of.name.starts_with("library/"))
    {
        let name = match &of.tag {
            Some(tag) => format!("{}:{tag}", of.name),
            None => format!("{}@{}", of.name, of.manifest_digest.as_ref().unwrap()),
        };
        let row = listed
            .iter()
            .find(|row| name_of(row) == name)
            .unwrap_or_else(|| panic!("{name}"));
        if of.kind != Kind::Artifact {
            assert_eq!(
                row["platforms"].as_array().unwrap().len(),
                of.images.len(),
                "{name}"
            );
            assert!(
                of.images
                    .iter()
                    .any(|image| row["v1_id"] == *image.v1_ids[0]),
                "{name}"
            );
        }
        assert!(row["size"].as_u64().unwrap() > 0);
    }
    let verified = succeed(&mut stillage([
        "verify",
        "--json",
        site.path().to_str().unwrap(),
    ]));
    assert_eq!(verified.stdout, b"[]\n");
}
