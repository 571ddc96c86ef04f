//! What `build` can be told about its sources.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::json;

use crate::support::archive::{Archive, Image, Pack, cut, gzip};
use crate::support::files::digest;
use crate::support::place::{Place, image, pipe};
use crate::support::site::{assert_same, build, json as read, stderr, stillage, tree};

#[test]
fn a_mirror_lists_what_the_sources_say() {
    let place = Place::new();
    let both = place.tar(
        "both",
        &[
            image("gone:1", "gone"),
            image("kept:1", "one"),
            image("kept:2", "two").config(|c| c["author"] = "2".into()),
        ],
    );
    let one = place.tar("one", &[image("kept:1", "one"), image("new:1", "new")]);
    place.build(&[&both]);
    let old = digest(&place.read("v2/kept/manifests/2"));
    let blob = format!(
        "v2/gone/manifests/{}",
        digest(&place.read("v2/gone/manifests/1"))
    );
    place.build(&[&one, "--mirror"]);
    assert_eq!(place.catalog(), json!(["kept", "new"]));
    assert_eq!(
        read(place.site().join("v2/kept/tags/list"))["tags"],
        json!(["1"])
    );
    for name in ["gone", "library/gone"] {
        for file in ["manifests/1", "_types/1.d2", "tags/list"] {
            assert!(!place.has(&format!("v2/{name}/{file}")), "{name}/{file}");
        }
        for file in ["images", "tags/1", "tags/index.json"] {
            assert!(
                !place.has(&format!("v1/repositories/{name}/{file}")),
                "{name}/{file}"
            );
        }
    }
    assert!(!place.has("v2/kept/manifests/2") && !place.has(&format!("v2/kept/referrers/{old}")));
    assert!(place.has(&blob), "content stays until prune");
    let index = String::from_utf8(place.read("index.json")).unwrap();
    assert!(!index.contains("gone") && !index.contains(&old));
    assert!(stderr(&place.build(&[&one, "--mirror"])).contains("nothing to do"));
}

#[test]
fn plain_manifests_are_kept_on_demand() {
    let place = Place::new();
    let source = image("app:1", "text").packed(Pack::Plain);
    fs::write(
        place.path("archive"),
        Archive::docker_28(std::slice::from_ref(&source)).tar(),
    )
    .unwrap();
    let archive = place.path("archive");
    place.build(&[archive.to_str().unwrap(), "--keep-manifests"]);
    assert_eq!(
        digest(&place.read("v2/app/manifests/1")),
        source.manifest_digest()
    );
    assert!(place.has(&format!("v2/app/blobs/{}", digest(&source.layers[0]))));
}

fn three_platforms() -> Image {
    let on = |os: &str, architecture: &str| {
        Image::new(&[])
            .layer("etc/on", architecture)
            .platform(os, architecture)
    };
    Image::index(
        &["app:1"],
        vec![
            on("linux", "arm64"),
            on("linux", "amd64"),
            on("linux", "s390x"),
        ],
    )
}

#[test]
fn some_platforms_of_an_index() {
    let place = Place::new();
    let index = three_platforms().attested();
    let source = place.layout("layout", std::slice::from_ref(&index));
    let output = place.build(&[
        &source,
        "--platform",
        "linux/arm64",
        "--platform",
        "linux/s390x",
    ]);
    assert_eq!(
        digest(&place.read("v2/app/manifests/1")),
        index.manifest_digest(),
        "the index stays as it is"
    );
    let there: Vec<bool> = index
        .children
        .iter()
        .map(|child| place.has(&format!("v2/app/manifests/{}", child.manifest_digest())))
        .collect();
    assert_eq!(there, [true, false, true, true], "{}", stderr(&output));
    let top = read(place.site().join("v1/repositories/app/tags/1"));
    assert_eq!(
        top,
        digest(&index.children[0].config_json())[7..],
        "the first platform that is there"
    );

    let refused = stillage([
        "build",
        &source,
        "--platform",
        "windows/amd64",
        "-o",
        place.path("no").to_str().unwrap(),
    ])
    .output()
    .unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
}

#[test]
fn v1_gets_the_platform_that_was_asked_for_and_keeps_it() {
    let place = Place::new();
    let index = three_platforms();
    let source = place.layout("layout", std::slice::from_ref(&index));
    let top = || {
        read(place.site().join("v1/repositories/app/tags/1"))
            .as_str()
            .unwrap()
            .to_owned()
    };
    let id = |child: usize| digest(&index.children[child].config_json())[7..].to_owned();
    place.build(&[&source]);
    assert_eq!(top(), id(1));
    place.build(&[&source, "--v1-platform", "linux/s390x"]);
    assert_eq!(top(), id(2));
    let other = place.tar("other", &[image("app:2", "other")]);
    place.build(&[&other]);
    assert_eq!(top(), id(2), "a later build does not turn it back");
}

#[test]
fn repositories_are_selected_by_globs() {
    let place = Place::new();
    let names = ["public/a:1", "public/b/c:1", "internal/a:1", "tiny:1"];
    let source = place.tar("all", &[Image::new(&names).layer("a", "b")]);
    for (args, expected) in [
        (vec!["--only", "public/*"], json!(["public/a"])),
        (
            vec!["--only", "public/**"],
            json!(["public/a", "public/b/c"]),
        ),
        (
            vec!["--exclude", "internal/*", "--exclude", "tiny"],
            json!(["public/a", "public/b/c"]),
        ),
        (vec!["--only", "library/*"], json!(["tiny"])),
        (
            vec!["--only", "{public,internal}/a", "--exclude", "public/*"],
            json!(["internal/a"]),
        ),
    ] {
        let mut all = vec![source.as_str()];
        all.extend(args);
        place.build(&all);
        assert_eq!(place.catalog(), expected, "{all:?}");
        fs::remove_dir_all(place.site()).unwrap();
    }
    // A full site and a public one that is made of it, with shared content.
    place.build(&[&source]);
    let public = place.path("public");
    build(
        &[
            place.site().to_str().unwrap(),
            "--only",
            "public/**",
            "--link",
        ],
        &public,
    );
    assert_eq!(
        read(public.join("v2/_catalog"))["repositories"],
        json!(["public/a", "public/b/c"])
    );
}

#[test]
fn files_of_sources_are_linked_on_demand() {
    let place = Place::new();
    // Long enough to be linked, of bytes that gzip cannot make short.
    let long: String = (0..9000_u32)
        .map(|n| digest(&n.to_le_bytes())[7..].to_owned())
        .collect();
    let source = place.layout("layout", &[image("app:1", &long)]);
    let layer = fs::read_dir(Path::new(&source).join("blobs/sha256"))
        .unwrap()
        .map(|e| e.unwrap())
        .max_by_key(|e| e.metadata().unwrap().len())
        .unwrap();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let blob = place.site().join("blobs/sha256").join(layer.file_name());
    place.build(&[&source]);
    assert_ne!(inode(&blob), inode(&layer.path()));
    fs::remove_dir_all(place.site()).unwrap();
    place.build(&[&source, "--link"]);
    assert_eq!(inode(&blob), inode(&layer.path()));
    fs::remove_dir_all(place.site()).unwrap();
    fs::set_permissions(
        layer.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    place.build(&[&source, "--link"]);
    assert_ne!(
        inode(&blob),
        inode(&layer.path()),
        "one that a server could not read is copied"
    );
}

#[test]
fn a_folder_of_many_sources_is_walked() {
    let place = Place::new();
    place.tar("many/a.tar", &[image("a:1", "a")]);
    place.tar("many/deep/er/b.tar", &[image("b:1", "b")]);
    place.tar("many/nameless.tar", &[Image::new(&[]).layer("x", "y")]);
    place.layout("many/layout", &[image("c:1", "c")]);
    Archive::dir(&image("", "d")).folder(&place.path("many/quay.io/org/d:2"));
    Archive::dir(&image("", "e")).folder(&place.path("many/e:1.0"));
    place.layout("many/by/path", &[image("tag", "f")]);
    fs::write(place.path("many/README"), "not an image").unwrap();
    fs::write(
        place.path("many/other.tar"),
        Archive::default().file("hello", "x").tar(),
    )
    .unwrap();
    fs::write(place.path("many/notes.gz"), gzip(b"text")).unwrap();
    std::os::unix::fs::symlink("/etc", place.path("many/link")).unwrap();
    let many = place.path("many").to_str().unwrap().to_owned();
    let output = place.build(&[&many]);
    assert_eq!(
        place.catalog(),
        json!(["a", "b", "by/path", "c", "e", "org/d"])
    );
    assert!(
        place.has("v2/org/d/manifests/2")
            && place.has("v2/e/manifests/1.0")
            && place.has("v2/by/path/manifests/tag")
    );
    for name in ["README", "other.tar", "notes.gz", "link", "nameless.tar"] {
        assert!(
            stderr(&output).contains(name),
            "{name}: {}",
            stderr(&output)
        );
    }
    // The site itself is no source, even where it lies in the folder.
    let inside = place.path("many/site");
    build(&[&many], &inside);
    let first = tree(&inside);
    build(&[&many], &inside);
    assert_same(&tree(&inside), &first);
}

#[test]
fn a_tar_on_the_standard_input() {
    let place = Place::new();
    // Longer than what stays in memory, and than what one core compresses alone.
    let long: String = (0..90_000_u32)
        .map(|n| digest(&n.to_le_bytes())[7..].to_owned())
        .collect();
    let images = [image("app:1", &long), image("b:1", &"b".repeat(200_000))];
    let index = Image::index(
        &["multi:1"],
        vec![
            image("", &long).packed(Pack::Plain),
            image("", "x")
                .platform("linux", "arm64")
                .packed(Pack::Plain),
        ],
    );
    let archives = [
        Archive::docker_20(&images),
        Archive::docker_1(&images),
        Archive::docker_28(&images),
        Archive::docker_29(&[index]),
        Archive::oci(&[
            images[0].clone().packed(Pack::Plain),
            images[1].clone().packed(Pack::Zstd),
        ]),
    ];
    for archive in archives {
        let file = place.path("file");
        fs::write(&file, archive.tar()).unwrap();
        let expected = place.path("expected");
        build(&[file.to_str().unwrap()], &expected);
        for bytes in [archive.tar(), archive.tar_gz()] {
            let site = place.site();
            let args = ["-", "--json", "-o", site.to_str().unwrap()];
            let dry = pipe(&bytes, &[&args[..], &["--dry-run"]].concat());
            assert!(dry.status.success() && !site.exists(), "{}", stderr(&dry));
            let output = pipe(&bytes, &args);
            assert!(output.status.success(), "{}", stderr(&output));
            assert_eq!(output.stdout, dry.stdout);
            assert_same(&tree(&site), &tree(&expected));
            fs::remove_dir_all(site).unwrap();
        }
        fs::remove_dir_all(expected).unwrap();
    }
}

#[test]
fn a_stream_that_breaks_off_changes_nothing() {
    let place = Place::new();
    let first = place.tar("first", &[image("first:1", "first")]);
    place.build(&[&first]);
    let before = tree(&place.site());
    let whole = Archive::docker_20(&[image("app:1", &"x".repeat(300_000))]).tar();
    for length in [0, 100, 512, 5000, whole.len() / 2, whole.len() - 3000] {
        let output = pipe(
            &cut(whole.clone(), length),
            &["-", "-o", place.site().to_str().unwrap()],
        );
        assert_eq!(
            output.status.code(),
            Some(1),
            "{length}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("standard input"),
            "{length}: {}",
            stderr(&output)
        );
        assert_same(&tree(&place.site()), &before);
    }
}

/// `--no-move` of `build` and `tag` refuses what would move, and nothing else.
#[test]
fn tags_that_must_not_move_stay() {
    let place = Place::new();
    let image = |names: &[&str], text| Image::new(names).layer("etc/text", text);
    let old = place.tar("old", &[image(&["app:1", "app:latest"], "old")]);
    let new = place.tar("new", &[image(&["app:1", "app:2"], "new")]);
    place.build(&[&old]);
    let before = tree(&place.site());
    let site = place.site();
    let site = site.to_str().unwrap();
    let run = |args: &[&str]| {
        let output = stillage(args).output().unwrap();
        (output.status.code(), stderr(&output))
    };
    for option in ["--no-move", "--no-move=app", "--no-move=**:1"] {
        let (code, messages) = run(&["build", &new, "-o", site, option]);
        assert_eq!(code, Some(1), "{messages}");
        assert!(
            messages.contains("`app:1` would move from sha256:"),
            "{messages}"
        );
        assert_same(&tree(&place.site()), &before);
    }
    let (code, messages) = run(&["tag", site, "app:latest", "1", "3", "--no-move"]);
    assert_eq!(code, Some(0), "`1` has this manifest already: {messages}");
    let (code, messages) = run(&["build", &old, "-o", site, "--no-move"]);
    assert_eq!(code, Some(0), "nothing moves: {messages}");
    place.build(&[&new, "--no-move=**:latest"]);
    let (code, messages) = run(&["tag", site, "app:2", "latest", "--no-move"]);
    assert_eq!(code, Some(1), "{messages}");
}
