//! Much of one thing: what is taken must be quick, what is refused too.

use serde_json::{Value, json};

use super::run::{check, folder, tar};
use crate::support::archive::{Archive, Image, OCI_INDEX, one_file_tar};

fn app() -> Image {
    Image::new(&["app:1"]).layer("bin/app", "one")
}

/// An image with its one layer so many times.
fn repeated(image: Image, times: usize) -> Image {
    image
        .manifest(move |manifest| repeat(&mut manifest["layers"], times))
        .config(move |config| repeat(&mut config["rootfs"]["diff_ids"], times))
}

fn repeat(list: &mut Value, times: usize) {
    *list = vec![list[0].clone(); times].into();
}

/// `docker save` of an image with so many layers, all the same member.
fn repeated_save(times: usize) -> Archive {
    let image = app().config(move |config| repeat(&mut config["rootfs"]["diff_ids"], times));
    Archive::docker_20(&[image]).edit_json("manifest.json", |list| {
        repeat(&mut list[0]["Layers"], times)
    })
}

fn legacy_chain(length: usize) -> Archive {
    let mut image = Image::new(&["app:1"]);
    image.layers = vec![one_file_tar("a", "b"); length];
    Archive::docker_1(&[image])
}

/// A layout with indexes in indexes, the innermost listed first or not at all.
fn nested(depth: usize, all_listed: bool) -> Archive {
    let mut archive = Archive::default();
    let mut inner = app().seal(&mut archive);
    let mut listed = Vec::new();
    let mut blobs = Vec::new();
    for _ in 0..depth {
        let index =
            json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [inner]}).to_string();
        // Not through `blob`, which looks for a member of this name first.
        let mut one = Archive::default();
        inner = one.blob(OCI_INDEX, index.as_bytes());
        blobs.append(&mut one.members);
        listed.push(inner.clone());
    }
    archive.members.append(&mut blobs);
    let outermost = listed.last_mut().unwrap();
    outermost["annotations"] = json!({"org.opencontainers.image.ref.name": "app:1"});
    if !all_listed {
        listed.drain(..depth - 1);
    }
    archive
        .json(
            "index.json",
            &json!({"schemaVersion": 2, "manifests": listed}),
        )
        .file("oci-layout", "{}")
}

/// A layout with artifacts, each attached to the one before or all to the image.
fn attached(count: usize, chained: bool) -> Archive {
    let mut archive = Archive::default();
    let mut subject = app().seal(&mut archive);
    let config = archive.blob("application/vnd.oci.empty.v1+json", b"{}");
    let mut listed = vec![subject.clone()];
    listed[0]["annotations"] = json!({"org.opencontainers.image.ref.name": "app:1"});
    let mut blobs = Vec::new();
    for number in 0..count {
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": [], "subject": subject,
            "annotations": {"number": number.to_string()}});
        let mut one = Archive::default();
        let descriptor = one.blob(
            "application/vnd.oci.image.manifest.v1+json",
            manifest.to_string().as_bytes(),
        );
        blobs.append(&mut one.members);
        listed.push(descriptor.clone());
        if chained {
            subject = descriptor;
        }
    }
    archive.members.append(&mut blobs);
    archive
        .json(
            "index.json",
            &json!({"schemaVersion": 2, "manifests": listed}),
        )
        .file("oci-layout", "{}")
}

#[test]
fn layers_and_parents() {
    check(vec![
        tar("127 layers, the most that Docker makes", &[], || {
            legacy_chain(127)
        })
        .taken(),
        tar("5,000 parents", &["more than", "layers"], || {
            legacy_chain(5000)
        }),
        folder("1,000 layers", &[], || {
            Archive::oci(&[repeated(app(), 1000)])
        })
        .taken(),
        folder("1,100 layers", &["more than", "layers"], || {
            Archive::oci(&[repeated(app(), 1100)])
        }),
        folder("10,000 layers", &["more than", "layers"], || {
            Archive::oci(&[repeated(app(), 10_000)])
        }),
        tar(
            "30,000 layers, whose manifest would be too long",
            &["more than", "layers"],
            || repeated_save(30_000),
        ),
        tar("a plain layer of 8 MiB, 1,000 times", &[], || {
            let large = Image::new(&["app:1"]).layer("zeros", &"\0".repeat(8 << 20));
            Archive::docker_28(&[Image::index(&["app:1"], vec![repeated(large, 1000), app()])])
        })
        .taken()
        .within(3),
    ]);
}

#[test]
fn indexes() {
    check(vec![
        tar("10,000 times the same child", &[], || {
            let index = Image::index(&["app:1"], vec![app()]);
            Archive::oci(&[index.manifest(|index| repeat(&mut index["manifests"], 10_000))])
        })
        .taken()
        .within(5),
        tar("10,000 times the same entry", &[], || {
            Archive::oci(&[app()]).edit_json("index.json", |index| {
                repeat(&mut index["manifests"], 10_000)
            })
        })
        .taken()
        .within(5),
        tar("10,000 times the same entry without a name", &[], || {
            Archive::oci(&[Image::new(&[])]).edit_json("index.json", |index| {
                repeat(&mut index["manifests"], 10_000)
            })
        })
        .named("=app")
        .taken()
        .within(5),
        tar("8 indexes in each other", &[], || nested(8, false)).taken(),
        tar(
            "9 indexes in each other",
            &["nested more than 8 indexes deep"],
            || nested(9, false),
        ),
        tar(
            "9 indexes in each other, all listed",
            &["nested more than 8 indexes deep"],
            || nested(9, true),
        ),
        tar(
            "20,000 indexes in each other",
            &["nested more than 8 indexes deep"],
            || nested(20_000, false),
        ),
        tar(
            "20,000 indexes in each other, all listed",
            &["nested more than 8 indexes deep"],
            || nested(20_000, true),
        )
        .within(5),
        tar("3,000 artifacts on an image", &[], || attached(3000, false)).taken(),
        tar("1,000 artifacts on each other", &[], || {
            attached(1000, true)
        })
        .taken(),
        tar("3,000 artifacts on each other", &[], || {
            attached(3000, true)
        })
        .taken(),
    ]);
}

#[test]
fn members_and_tags() {
    check(vec![
        tar("10,000 members", &[], || {
            (0..10_000).fold(Archive::docker_20(&[app()]), |archive, number| {
                archive.file(format!("{number}"), "x")
            })
        })
        .taken()
        .within(5),
        tar("10,000 links to one member", &[], || {
            (0..10_000).fold(Archive::docker_20(&[app()]), |archive, number| {
                archive.symlink(format!("{number}"), "repositories")
            })
        })
        .taken()
        .within(5),
        tar("a chain of 10,000 links", &[], || {
            (0..10_000).fold(Archive::docker_20(&[app()]), |archive, number| {
                archive.symlink(format!("{number}"), &format!("{}", number + 1))
            })
        })
        .taken()
        .within(5),
        tar("2,000 tags of an image", &[], || {
            let tags: Vec<String> = (0..2000).map(|number| format!("app:{number}")).collect();
            Archive::docker_20(&[app()])
                .edit_json("manifest.json", |list| list[0]["RepoTags"] = json!(tags))
        })
        .taken(),
    ]);
}
