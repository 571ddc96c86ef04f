//! `build --server apache`: the `.htaccess` files of a site.

use std::fs;
use std::path::{Path, PathBuf};

use super::apache::{FOR_APACHE, ONE, TAGS, built, moving};
use super::support::site::{
    assert_same, build, inodes, json, stderr, stillage, succeed, tree, verify,
};
use super::support::temp::TempDir;

const OTHER: &str = "fixtures/oci-layout-multiarch";
const RULES: &str = ".htaccess";

fn htaccess(site: &Path) -> Vec<String> {
    let all = tree(site).into_keys();
    all.filter(|path| path.contains(".htaccess") || path.starts_with("_answers"))
        .collect()
}

#[test]
fn a_site_has_files_for_apache_on_demand_and_keeps_them() {
    let without = built(&[ONE, OTHER]);
    assert_eq!(htaccess(without.path()), Vec::<String>::new());
    let annotations = |site: &TempDir| json(site.path().join("index.json"))["annotations"].clone();
    assert!(annotations(&without).get("org.stillage.servers").is_none());

    let at_once = built(&[ONE, OTHER, FOR_APACHE[0], FOR_APACHE[1]]);
    assert_eq!(annotations(&at_once)["org.stillage.servers"], "apache");
    assert!(htaccess(at_once.path()).contains(&"v2/library/tiny/manifests/.htaccess".into()));
    let before = inodes(at_once.path());
    build(&[ONE, OTHER], at_once.path());
    assert_same(&inodes(at_once.path()), &before);

    let grown = built(&[ONE, FOR_APACHE[0], FOR_APACHE[1]]);
    build(&[OTHER], grown.path());
    verify(grown.path());
    assert_same(&tree(grown.path()), &tree(at_once.path()));

    // Repositories that a build does not touch otherwise get theirs too.
    build(&[OTHER, FOR_APACHE[0], FOR_APACHE[1]], without.path());
    verify(without.path());
    assert_same(&tree(without.path()), &tree(at_once.path()));

    // Like all that was asked for at a build, it stays behind where a site is a source.
    let copy = built(&[at_once.path().to_str().unwrap()]);
    assert_eq!(htaccess(copy.path()), Vec::<String>::new());
}

#[test]
fn a_mirror_drops_the_tags_of_apache_too() {
    let site = built(&[ONE, FOR_APACHE[0], FOR_APACHE[1]]);
    build(&[OTHER, "--mirror"], site.path());
    verify(site.path());
    assert!(site.path().join(RULES).exists());
    assert!(!site.path().join(TAGS).exists());
}

#[test]
fn changed_files_for_apache_are_found_and_mended() {
    let site = built(&[ONE, FOR_APACHE[0], FOR_APACHE[1]]);
    for path in [RULES, TAGS, "_answers/blob.json"] {
        let file = site.path().join(path);
        fs::write(&file, "Options +Indexes\n").unwrap();
        let output = stillage(["verify", site.path().to_str().unwrap()]).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{path}");
        let found = String::from_utf8(output.stdout).unwrap();
        assert!(found.contains(path), "{path}: {found}");
        build(&[ONE], site.path());
        verify(site.path());
        fs::remove_file(&file).unwrap();
        build(&[ONE], site.path());
        verify(site.path());
    }
}

#[test]
fn a_server_without_its_files_is_no_use() {
    let site = built(&[ONE]);
    let output = stillage(["config", "apache", site.path().to_str().unwrap()]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let messages = stderr(&output);
    assert!(
        messages.contains("hint: ") && messages.contains("`--server apache`"),
        "{messages}"
    );
    let mut other = stillage(["build", ONE, "--server", "other", "-o", "never"]);
    assert_eq!(other.output().unwrap().status.code(), Some(2));
}

/// The digests that the tags of `app` stand for.
fn named(site: &Path) -> Vec<String> {
    let text = fs::read_to_string(site.join("v2/app/manifests/.htaccess")).unwrap();
    let values = text
        .lines()
        .filter_map(|line| line.split_once(" manifest="));
    values.map(|(_, value)| value[..71].to_owned()).collect()
}

/// Where one name after the other cannot be given, what comes later in the order has not happened.
#[test]
fn a_build_that_stops_midway_leaves_no_tag_without_its_manifest() {
    let folder = TempDir::new("order");
    let sources = moving(&folder);
    let whole = folder.path().join("whole");
    build(
        &[
            &sources[0],
            &sources[1],
            "--last-wins",
            FOR_APACHE[0],
            FOR_APACHE[1],
        ],
        &whole,
    );
    let by_digest = |site: &Path, digest: &str| -> Vec<PathBuf> {
        let types = ["om", "d2"].map(|e| site.join(format!("v2/app/_types/{digest}/{digest}.{e}")));
        types.into_iter().filter(|path| path.exists()).collect()
    };
    for (stuck, tag_moved) in [
        ("v2/app/manifests/.htaccess", None),
        ("v2/app/tags/list", Some(true)),
        ("v2/app/_types/NEW/NEW.om", Some(false)),
    ] {
        let site = folder.path().join("site");
        build(&[&sources[0], FOR_APACHE[0], FOR_APACHE[1]], &site);
        let old = named(&site);
        let catalogue = fs::read(site.join("index.json")).unwrap();
        let in_the_way = site.join(stuck.replace("NEW", &named(&whole)[0]));
        let _ = fs::remove_file(&in_the_way);
        fs::create_dir_all(&in_the_way).unwrap();
        let mut again = stillage(["build", &sources[1], "-o", site.to_str().unwrap()]);
        assert!(!again.output().unwrap().status.success(), "{stuck}");
        assert_eq!(fs::read(site.join("index.json")).unwrap(), catalogue);
        if let Some(moved) = tag_moved {
            let now = named(&site);
            assert_eq!(now != old, moved, "{stuck}");
            assert_eq!(by_digest(&site, &now[0]).len(), 1, "{stuck}");
        } else {
            // What cannot be compared stops the run before anything gets its name.
            assert_eq!(by_digest(&site, &named(&whole)[0]).len(), 0, "{stuck}");
        }
        fs::remove_dir(&in_the_way).unwrap();
        succeed(&mut again);
        verify(&site);
        fs::remove_dir_all(&site).unwrap();
    }
}
