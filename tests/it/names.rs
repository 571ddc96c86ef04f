//! Names: hosts, prefixes, conflicts.

use std::fs;

use serde_json::json;

use crate::support::archive::{Archive, Image};
use crate::support::place::{Place, feed, image};
use crate::support::site::{json as read, name_of, stderr, stillage};

#[test]
fn hosts_are_kept_on_demand() {
    let place = Place::new();
    let source = place.tar(
        "hosts",
        &[Image::new(&["quay.io/org/app:1", "localhost:5000/x:2", "plain:3"]).layer("a", "b")],
    );
    place.build(&[&source, "--keep-host"]);
    assert_eq!(
        place.catalog(),
        json!(["localhost/x", "plain", "quay.io/org/app"])
    );
}

fn hosts(place: &Place) -> String {
    let names = [
        "quay.io/org/app:1",
        "localhost:5000/x:2",
        "plain:3",
        "org/plain:4",
    ];
    place.tar("hosts", &[Image::new(&names).layer("a", "b")])
}

#[test]
fn names_are_completed_on_demand_and_from_then_on() {
    let place = Place::new();
    let report = place.build(&[&hosts(&place), "--full-names"]);
    let full = json!([
        "docker.io/library/plain",
        "docker.io/org/plain",
        "localhost/x",
        "quay.io/org/app"
    ]);
    assert_eq!(place.catalog(), full);
    let note = "names that Docker up to 1.7 refuses over v1: docker.io/library/plain, ";
    assert!(stderr(&report).contains(note), "{}", stderr(&report));

    // Another build, a name of the user, a selection, and a mirror of the site itself.
    let more = place.tar("more", &[image("more:1", "more")]);
    place.build(&[&more, "--only", "docker.io/library/more"]);
    place.build(&[&format!("{more}=given:2")]);
    for name in ["more/manifests/1", "given/manifests/2"] {
        assert!(place.has(&format!("v2/docker.io/library/{name}")), "{name}");
    }
    let site = place.site();
    let copy = Place::new();
    copy.build(&[site.to_str().unwrap(), "--full-names"]);
    assert_eq!(copy.catalog(), place.catalog());

    place.refused(
        &[&more, "--keep-host"],
        2,
        "`--keep-host` cannot be honoured",
    );
    place.refused(
        &[&more, "--keep-host", "--full-names"],
        2,
        "cannot be used with",
    );
}

#[test]
fn a_site_with_other_names_gets_full_names_only_as_a_mirror() {
    let place = Place::new();
    let plain = place.tar("plain", &[image("plain:1", "plain")]);
    place.build(&[&plain]);
    place.refused(
        &[&plain, "--full-names"],
        2,
        "`--full-names` cannot be honoured",
    );
    assert_eq!(place.catalog(), json!(["plain"]));
    place.build(&[&plain, "--full-names", "--mirror"]);
    assert_eq!(place.catalog(), json!(["docker.io/library/plain"]));
}

#[test]
fn names_are_put_below_a_prefix() {
    let place = Place::new();
    let source = hosts(&place);
    place.build(&[&format!("{source}=mirror/a/"), "--exclude", "**/plain"]);
    assert_eq!(place.catalog(), json!(["mirror/a/org/app", "mirror/a/x"]));

    let layout = place.layout("walk/org/tool:7", &[Image::new(&[]).layer("a", "c")]);
    let walk = layout.strip_suffix("/org/tool:7").unwrap();
    place.build(&[&format!("{walk}=walked/"), "--mirror"]);
    assert!(place.has("v2/walked/org/tool/manifests/7"));
    let site = place.site();
    let copy = Place::new();
    copy.build(&[&format!("{}=again/", site.display())]);
    assert_eq!(copy.catalog(), json!(["again/walked/org/tool"]));
    copy.build(&[&format!("site:{}:walked/org/tool:7=again/", site.display())]);

    for wrong in ["Upper/", "/", "a//", "a:1/"] {
        let message = "is not a prefix of repository names";
        place.refused(&[&format!("{source}={wrong}")], 2, message);
    }
}

/// With `--mirror`, a fault keeps what the site has by the name that the image would have.
#[test]
fn what_is_left_out_stays_in_a_mirror_whatever_its_source_calls_it() {
    for (args, name) in [
        (&[][..], "app"),
        (&["--keep-host"], "quay.io/app"),
        (&["--full-names"], "quay.io/app"),
    ] {
        let place = Place::new();
        let images = [
            image("quay.io/app:1", "app"),
            image("quay.io/other:1", "other"),
        ];
        let whole = place.layout("whole", &images);
        let manifest = images[0].manifest_digest().replace(':', "/");
        Archive::oci(&images)
            .set_file(&format!("blobs/{manifest}"), "{")
            .folder(&place.path("broken"));
        let broken = place.path("broken").to_str().unwrap().to_owned();
        place.build(&[&[whole.as_str(), "--mirror"], args].concat());
        place.build(&[&[broken.as_str(), "--mirror"], args].concat());
        assert!(place.has(&format!("v2/{name}/manifests/1")), "{name}");
    }
}

#[test]
fn the_last_source_wins_on_demand() {
    let place = Place::new();
    let (one, two) = (
        place.tar("one", &[image("app:1", "one"), image("b:1", "b")]),
        place.tar("two", &[image("app:1", "two")]),
    );
    let refused = stillage(["build", &one, &two, "-o", place.site().to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    for part in ["app:1", &one, &two, "hint:"] {
        assert!(stderr(&refused).contains(part), "{}", stderr(&refused));
    }
    place.build(&[&one, &two, "--last-wins"]);
    let both = place.read("v2/app/manifests/1");
    let only = Place::new();
    only.build(&[&two]);
    assert_eq!(only.read("v2/app/manifests/1"), both);
    assert!(
        place.has("v2/b/manifests/1"),
        "the rest of the first source is there"
    );
    assert_eq!(
        read(place.site().join("v2/app/tags/list"))["tags"],
        json!(["1"])
    );
}

/// `docker.io/library/x`, `library/x` and `x` are one repository for every command; in a site with full names too.
#[test]
fn the_host_of_docker_hub_means_the_same_everywhere() {
    let spellings = [
        "tiny",
        "library/tiny",
        "docker.io/library/tiny",
        "docker.io/tiny",
    ];
    for full in [false, true] {
        for name in spellings {
            let place = Place::new();
            let options: &[&str] = if full { &["--full-names"] } else { &[] };
            let site = place.site();
            let site = site.to_str().unwrap();
            let known = if full {
                "docker.io/library/tiny"
            } else {
                "tiny"
            };
            let source = place.tar("source.tar", &[image("other:1", "text")]);
            place.build(&[&[format!("{source}={name}:1").as_str()], options].concat());
            let run = |args: &[&str]| {
                let output = stillage(args).output().unwrap();
                assert!(output.status.success(), "{args:?}: {}", stderr(&output));
                output.stdout
            };
            let names = || -> Vec<String> {
                let listed: serde_json::Value =
                    serde_json::from_slice(&run(&["list", "--json", site])).unwrap();
                listed.as_array().unwrap().iter().map(name_of).collect()
            };
            assert_eq!(names(), [format!("{known}:1")], "{name}");
            for other in spellings {
                run(&["tag", site, &format!("{other}:1"), "2"]);
                assert_eq!(
                    names(),
                    [format!("{known}:1"), format!("{known}:2")],
                    "{other}"
                );
                run(&["remove", site, &format!("{other}:2")]);
                assert_eq!(names(), [format!("{known}:1")], "{other}");
                assert!(!run(&["get", site, &format!("{other}:1")]).is_empty());
                let archive = fs::read(&source).unwrap();
                let output = feed(
                    &mut stillage(["put", site, &format!("{other}:1")]),
                    &archive,
                );
                assert!(output.status.success(), "{}", stderr(&output));
                assert_eq!(names(), [format!("{known}:1")], "{other}");
                assert!(!run(&["export", site, "--only", other]).is_empty());
                let moved = place.tar("moved.tar", &[image("other:1", "moved")]);
                let guard = format!("--no-move={other}");
                let output =
                    stillage(["build", &format!("{moved}={name}:1"), "-o", site, &guard]).output();
                assert_eq!(output.unwrap().status.code(), Some(1), "{guard}");
            }
        }
    }
    for prefix in [
        "library/",
        "docker.io/",
        "docker.io/library/",
        "index.docker.io/",
    ] {
        let place = Place::new();
        let source = place.tar("source.tar", &[image("tiny:1", "text")]);
        place.build(&[&format!("{source}={prefix}")]);
        assert_eq!(place.catalog(), json!(["tiny"]), "{prefix}");
    }
    // A repository that really has the name comes first; other hosts are other repositories.
    let place = Place::new();
    let tar = |name: &str| {
        place.tar(
            &format!("{}.tar", name.replace('/', "-")),
            &[image("x:1", name)],
        )
    };
    let (plain, hub) = (tar("plain"), tar("hub"));
    place.build(&[
        &format!("{plain}=app:1"),
        &format!("{hub}=docker.io/library/app:1"),
        "--keep-host",
    ]);
    let site = place.site();
    let get = |name: &str| {
        let output = stillage(["get", site.to_str().unwrap(), name])
            .output()
            .unwrap();
        (output.status.code(), output.stdout)
    };
    assert_ne!(get("app:1"), get("docker.io/library/app:1"));
    assert_eq!(get("quay.io/library/app:1").0, Some(2));
}
