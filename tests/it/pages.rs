//! Pages for people, as files. What a browser makes of them is tested in `tests/real/pages.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::archive::{Archive, Image};
use crate::support::files::digest;
use crate::support::site::{
    SMALL, build, json, small_site, stderr, stillage, succeed, tree, verify,
};
use crate::support::temp::TempDir;

/// An image with a file and a time, in an archive.
fn image(name: &str, created: &str) -> Image {
    let created: Value = created.into();
    Image::new(&[name])
        .layer("name", name)
        .config(move |config| config["created"] = created.clone())
}

fn archive(folder: &TempDir, name: &str, images: &[Image]) -> String {
    let path = folder.path().join(name);
    fs::write(&path, Archive::oci(images).tar()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn text(site: &Path, path: &str) -> String {
    fs::read_to_string(site.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files for people that differ between two states of a site.
fn changed(before: &Tree, after: &Tree) -> BTreeSet<String> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name));
    let is_page = |name: &&String| name.starts_with("_pages/") || *name == "index.html";
    differ.filter(is_page).cloned().collect()
}

type Tree = std::collections::BTreeMap<String, (u32, String)>;

fn hex_of(site: &Path, name: &str, tag: &str) -> String {
    digest(&fs::read(site.join(format!("v2/{name}/manifests/{tag}"))).unwrap())
        .strip_prefix("sha256:")
        .unwrap()
        .to_owned()
}

#[test]
fn a_new_image_changes_its_pages_those_of_its_repository_and_the_lists() {
    let (folder, site) = (TempDir::new("pages"), TempDir::new("site"));
    let first = archive(
        &folder,
        "1.tar",
        &[
            image("app:1", "2024-01-01T00:00:00Z"),
            image("app:latest", "2024-01-01T00:00:00Z"),
            image("other:1", "2024-01-02T00:00:00Z"),
        ],
    );
    build(&[first], site.path());
    let before = tree(site.path());
    let second = archive(
        &folder,
        "2.tar",
        &[
            image("app:2", "2024-03-01T00:00:00Z"),
            image("app:latest", "2024-03-01T00:00:00Z"),
        ],
    );
    build(&[second], site.path());
    let after = tree(site.path());
    let mut expected: BTreeSet<String> = [
        "index.html",
        "_pages/_names.html",
        "_pages/_newest.html",
        "_pages/_search.json",
        "_pages/app/index.html",
        "_pages/app/images.json",
    ]
    .map(str::to_owned)
    .into();
    for tag in ["2", "latest"] {
        expected.insert(format!(
            "_pages/app/{}.html",
            hex_of(site.path(), "app", tag)
        ));
    }
    assert_eq!(changed(&before, &after), expected);
    verify(site.path());
    let newest = text(site.path(), "_pages/_newest.html");
    let place = |name: &str| newest.find(&format!(">{name}</a>")).unwrap();
    assert!(place("app") < place("other"));
}

#[test]
fn pages_are_the_same_whichever_repositories_a_build_touches() {
    let (folder, at_once, one_by_one) = (
        TempDir::new("pages"),
        TempDir::new("site"),
        TempDir::new("site"),
    );
    let sources: Vec<String> = ["a:1", "b/c:1", "b/d:2", "e:3"]
        .iter()
        .map(|name| {
            archive(
                &folder,
                &name.replace(['/', ':'], "-"),
                &[image(name, "2024-01-01T00:00:00Z")],
            )
        })
        .collect();
    build(&sources, at_once.path());
    for source in &sources {
        build(std::slice::from_ref(source), one_by_one.path());
    }
    assert_eq!(
        changed(&tree(at_once.path()), &tree(one_by_one.path())),
        BTreeSet::new()
    );
    succeed(&mut stillage([
        "remove",
        one_by_one.path().to_str().unwrap(),
        "b/c",
    ]));
    assert!(!one_by_one.path().join("_pages/b/c").exists());
    verify(one_by_one.path());
    build(&sources[1..2], one_by_one.path());
    assert_eq!(
        changed(&tree(at_once.path()), &tree(one_by_one.path())),
        BTreeSet::new()
    );
}

#[test]
fn a_site_has_pages_unless_it_is_told_otherwise() {
    let site = small_site();
    let root = site.path().to_str().unwrap();
    let with_pages = tree(site.path());
    succeed(stillage(["build", "--no-pages", "-o", root]).args(SMALL));
    assert!(!site.path().join("index.html").exists() && !site.path().join("_pages").exists());
    verify(site.path());
    succeed(&mut stillage(["tag", root, "tiny:1", "2"]));
    assert!(!site.path().join("_pages").exists());
    // The user's own.
    fs::write(site.path().join("index.html"), "mine").unwrap();
    build(&SMALL, site.path());
    assert_eq!(text(site.path(), "index.html"), "mine");
    succeed(&mut stillage(["remove", root, "tiny:2"]));
    succeed(stillage(["build", "--pages", "-o", root]).args(SMALL));
    assert_eq!(changed(&with_pages, &tree(site.path())), BTreeSet::new());
    verify(site.path());
}

#[test]
fn the_title_is_remembered_and_stands_in_the_lists_alone() {
    let site = small_site();
    let root = site.path().to_str().unwrap();
    let before = tree(site.path());
    let title = "Images of <us> & \"them\"";
    succeed(&mut stillage([
        "build", "--title", title, "-o", root, SMALL[0],
    ]));
    let lists = ["index.html", "_pages/_names.html", "_pages/_newest.html"];
    assert_eq!(
        changed(&before, &tree(site.path())),
        lists.map(str::to_owned).into()
    );
    build(&SMALL[..1], site.path());
    let escaped = "<title>Images of &#60;us&#62; &#38; &#34;them&#34;</title>";
    for list in lists {
        assert!(text(site.path(), list).contains(escaped), "{list}");
    }
    succeed(&mut stillage([
        "build", "--title", "", "-o", root, SMALL[0],
    ]));
    assert!(changed(&before, &tree(site.path())).is_empty());
}

#[test]
fn a_repository_that_is_called_like_a_page_has_none() {
    let (folder, site) = (TempDir::new("pages"), TempDir::new("site"));
    let hex = "0".repeat(64);
    let names = [
        "a:1",
        "a/index.html:1",
        "a/images.json/b:1",
        &format!("a/{hex}.html:1"),
    ];
    let images: Vec<Image> = names
        .iter()
        .map(|name| image(name, "2024-01-01T00:00:00Z"))
        .collect();
    build(&[archive(&folder, "a.tar", &images)], site.path());
    verify(site.path());
    let index = text(site.path(), "index.html");
    assert!(index.contains("<a href=\"_pages/a/index.html\">a</a>"));
    assert!(index.contains("<b>a/index.html</b>"), "{index}");
    let search = json(site.path().join("_pages/_search.json"));
    let listed = search["repositories"].as_array().unwrap();
    let has_page =
        |name: &str| listed.iter().find(|of| of["name"] == name).unwrap()["has_page"].clone();
    assert_eq!(
        (has_page("a"), has_page("a/index.html")),
        (Value::Null, false.into())
    );
    let root = site.path().to_str().unwrap();
    succeed(&mut stillage(["remove", root, "a/index.html"]));
    assert!(site.path().join("_pages/a/index.html").is_file());
    succeed(&mut stillage(["remove", root, "a"]));
    assert!(!site.path().join("_pages/a/index.html").exists());
    verify(site.path());
}

#[test]
fn pages_of_damaged_images_stay_as_they_are() {
    let site = small_site();
    let manifest = json(site.path().join("v2/tiny/manifests/1"));
    let config = manifest["config"]["digest"]
        .as_str()
        .unwrap()
        .replace(':', "/");
    let before = tree(site.path());
    let config = site.path().join("blobs").join(config);
    let bytes = fs::read(&config).unwrap();
    let lost = digest(&bytes);
    for path in before
        .keys()
        .filter(|path| path.ends_with(&lost) || site.path().join(path) == config)
    {
        fs::remove_file(site.path().join(path)).unwrap();
    }
    let root = site.path().to_str().unwrap();
    let output = stillage(["verify", root]).output().unwrap();
    assert!(
        !stderr(&output).contains("_pages")
            && !String::from_utf8_lossy(&output.stdout).contains("_pages"),
        "{output:?}"
    );
    // Of these the index says no more than before.
    succeed(&mut stillage(["build", "-o", root, SMALL[4]]));
    let changed = changed(&before, &tree(site.path()));
    assert!(changed.is_empty(), "{changed:?}");
    build(&SMALL[..1], site.path());
    verify(site.path());
}

#[test]
fn what_is_said_of_repositories_is_made_anew_where_it_is_lost() {
    let site = small_site();
    let before = tree(site.path());
    for lost in ["not JSON", r#"{"repositories":[]}"#] {
        fs::write(site.path().join("_pages/_search.json"), lost).unwrap();
        build(&SMALL[1..2], site.path());
        assert_eq!(changed(&before, &tree(site.path())), BTreeSet::new());
    }
}

#[test]
fn images_say_what_they_are() {
    let site = TempDir::new("site");
    build(
        &[
            "fixtures/docker-20.10.tar",
            "fixtures/oci-layout-multiarch",
            "fixtures/oci-layout-referrer=referrer",
        ],
        site.path(),
    );
    let page = |name: &str, tag: &str| {
        text(
            site.path(),
            &format!("_pages/{name}/{}.html", hex_of(site.path(), name, tag)),
        )
    };
    let child = page("sample/child", "2.0");
    for said in [
        "<dd><code>[&#34;",
        "linux/amd64",
        "<rect width=\"100%\"",
        "<code>ENTRYPOINT ",
        "application/vnd.docker.distribution.manifest.v2+json",
    ] {
        assert!(child.contains(said), "{said}: {child}");
    }
    let multi = page("sample/multi", "3.0");
    let list = text(site.path(), "_pages/sample/multi/index.html");
    for (child, platform) in [
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/amd64", "linux/amd64"),
    ] {
        let link = multi
            .split(&format!("\"><b>{child}</b></a>"))
            .next()
            .unwrap();
        let link = link.rsplit_once("href=\"").unwrap().1;
        let said = text(site.path(), &format!("_pages/sample/multi/{link}"));
        assert!(said.contains(&format!("<dd>{platform}</dd>")), "{said}");
        assert!(
            list.contains(&format!("<a href=\"{link}\">{platform}</a>")),
            "{list}"
        );
    }
    let tiny = text(site.path(), "_pages/referrer/index.html");
    assert!(
        tiny.contains(">SBOM</a>") && tiny.contains(">signature</a>"),
        "{tiny}"
    );
    let hello = text(site.path(), "_pages/sample/hello/index.html");
    let id = json(site.path().join("v1/repositories/sample/hello/tags/1.0"));
    for said in [
        "<b>latest</b> <b>1.0</b>",
        id.as_str().unwrap(),
        "<span class=\"reference\">latest</span>",
    ] {
        assert!(hello.contains(said), "{said}: {hello}");
    }
}

/// Sites that have pages of this version are not written anew: whoever changes what pages look like raises `VERSION` in
/// `src/pages/mod.rs`, and sets the digest.
#[test]
fn pages_look_as_those_of_their_version() {
    let site = TempDir::new("site");
    build(
        &[
            "fixtures/docker-20.10.tar",
            "fixtures/injection.tar",
            "fixtures/oci-layout-multiarch",
            "fixtures/oci-layout-referrer=referrer",
        ],
        site.path(),
    );
    let is_page = |(path, _): &(&String, _)| path.starts_with("_pages/") || *path == "index.html";
    let all = tree(site.path());
    let pages = all.iter().filter(is_page);
    let lines: Vec<String> = pages
        .map(|(path, (_, content))| format!("{path} {content}"))
        .collect();
    let text = lines.join("\n");
    assert_eq!(
        (stillage::pages::VERSION, &*digest(text.as_bytes())),
        (
            "1",
            "sha256:7b72ae6fa00a32baa61875c2323bd58e11a25a41f902d4f72daf996020236491"
        ),
        "{text}"
    );
}

#[test]
fn an_edit_knows_the_repositories_that_it_does_not_touch() {
    let site = small_site();
    let root = site.path().to_str().unwrap();
    let before = tree(site.path());
    fs::remove_file(site.path().join("_pages/_search.json")).unwrap();
    succeed(&mut stillage(["tag", root, "tiny:1", "again"]));
    succeed(&mut stillage(["remove", root, "tiny:again"]));
    assert_eq!(changed(&before, &tree(site.path())), BTreeSet::new());
}

/// The catalogue of a site from before there were pages, or of another version of them.
fn say_pages(site: &Path, pages: Option<&str>) {
    let mut index = json(site.join("index.json"));
    let annotations = index["annotations"].as_object_mut().unwrap();
    annotations.remove("org.stillage.pages");
    annotations.extend(pages.map(|pages| ("org.stillage.pages".into(), pages.into())));
    fs::write(site.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn every_writer_brings_pages_to_its_version() {
    const OLD: &str = "<p>This folder of files is a read-only registry. Pull from it with";
    let site = small_site();
    let root = site.path().to_str().unwrap();
    let before = tree(site.path());
    for (pages, command) in [
        (None, "tag"),
        (None, "build"),
        (Some("0"), "tag"),
        (Some("0"), "build"),
    ] {
        fs::remove_dir_all(site.path().join("_pages/tiny")).unwrap();
        fs::write(site.path().join("index.html"), OLD).unwrap();
        say_pages(site.path(), pages);
        if pages.is_some() {
            let output = stillage(["verify", root]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!said.contains("index.html: it does not match"), "{said}");
        }
        match command {
            "tag" => drop(succeed(&mut stillage(["tag", root, "tiny:1", "1"]))),
            _ => drop(build(&SMALL[..1], site.path())),
        }
        assert_eq!(
            changed(&before, &tree(site.path())),
            BTreeSet::new(),
            "{pages:?} {command}"
        );
        verify(site.path());
    }
    fs::write(site.path().join("index.html"), OLD).unwrap();
    say_pages(site.path(), None);
    succeed(&mut stillage(["build", "--no-pages", "-o", root, SMALL[0]]));
    assert!(!site.path().join("index.html").exists() && !site.path().join("_pages").exists());
}

#[test]
fn a_run_that_stops_midway_leaves_no_false_problem() {
    let site = small_site();
    let names: BTreeSet<String> = [
        "tiny",
        "sample/hello",
        "sample/child",
        "sample/multi",
        "old",
        "zstd",
        "referrer",
    ]
    .map(str::to_owned)
    .into();
    say_pages(site.path(), Some("none"));
    let pending: Vec<&str> = names.iter().map(String::as_str).collect();
    fs::write(site.path().join(".stillage/pending"), pending.join("\n")).unwrap();
    let output = stillage(["verify", site.path().to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("_pages"), "{said}");
}
