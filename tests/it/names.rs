//! Names: hosts, prefixes, conflicts.

use serde_json::json;

use crate::support::archive::{Archive, Image};
use crate::support::place::{Place, image};
use crate::support::site::{json as read, stderr, stillage};

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
