//! A site of format 1 is read by every command, and brought to format 2 by the next build.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::archive::{Archive, Image};
use crate::support::files::digest;
use crate::support::place::Place;
use crate::support::site::{assert_same, json, stderr, stillage, succeed, tree, verify};

/// Makes a site of format 2 one of format 1: typed names without folders, no links.
fn to_format_1(site: &Path) {
    let entries = walkdir::WalkDir::new(site.join("v2")).contents_first(true);
    for entry in entries.into_iter().map(Result::unwrap) {
        let path = entry.path();
        let folder = path.parent().unwrap();
        if entry.path_is_symlink() {
            fs::remove_file(path).unwrap();
        } else if entry.file_type().is_file() && folder.parent().unwrap().ends_with("_types") {
            fs::rename(path, folder.with_file_name(entry.file_name())).unwrap();
        } else if entry.file_type().is_dir() {
            let _ = fs::remove_dir(path);
        }
    }
    let index = fs::read_to_string(site.join("index.json")).unwrap();
    let old = index.replace(
        r#""org.stillage.format":"2""#,
        r#""org.stillage.format":"1""#,
    );
    assert_ne!(old, index);
    fs::write(site.join("index.json"), old).unwrap();
    fs::remove_dir_all(site.join(".stillage")).unwrap();
}

fn format(site: &Path) -> Value {
    json(site.join("index.json"))["annotations"]["org.stillage.format"].clone()
}

#[test]
fn format_1_is_read_and_upgraded() {
    let place = Place::new();
    let lacking = Image::new(&["app:1"]).layer("only/implied", "x");
    Archive::oci(&[lacking]).folder(&place.path("layout"));
    let layout = place.path("layout").to_str().unwrap().to_owned();
    let more = place.tar(
        "more.tar",
        &[crate::support::place::image("more:1", "more")],
    );
    place.build(&[&layout, "fixtures/docker-20.10.tar"]);
    let site = place.site();
    let id = json(site.join("v1/repositories/app/tags/1"));
    let layer = site.join(format!("v1/images/{}/layer", id.as_str().unwrap()));
    let completed = fs::read(&layer).unwrap();

    to_format_1(&site);
    let made_before = [completed.as_slice(), &completed].concat();
    fs::write(&layer, &made_before).unwrap();
    let json = fs::read(layer.with_file_name("json")).unwrap();
    let checksum = digest(&[&json[..], b"\n", &made_before].concat());
    fs::write(layer.with_file_name("checksum"), checksum + "\n").unwrap();
    verify(&site);
    succeed(stillage(["list"]).arg(&site));
    succeed(stillage(["tag"]).arg(&site).args(["app:1", "2"]));
    succeed(stillage(["remove"]).arg(&site).arg("app:2"));
    verify(&site);
    assert_eq!(format(&site), "1");

    // As a source.
    let copy = Place::new();
    copy.build(&[site.to_str().unwrap()]);
    assert_eq!(format(&copy.site()), "2");

    let built = place.build(&[&more]);
    assert_eq!(format(&site), "2");
    let note = format!("v1 image {}: its layer is made anew", id.as_str().unwrap());
    assert!(stderr(&built).contains(&note), "{}", stderr(&built));
    assert_eq!(fs::read(&layer).unwrap(), completed);
    let prune = ["prune", "--grace", "0"];
    succeed(stillage(prune).arg(&site));
    let expected = Place::new();
    expected.build(&[&layout, "fixtures/docker-20.10.tar", &more]);
    assert_same(&tree(&site), &tree(&expected.site()));
    assert!(stderr(&place.build(&[&more])).contains("nothing to do"));
}
