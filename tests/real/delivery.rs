//! A newer site brought over an older one: names of references that it no longer has go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::archive::{Archive, Image};
use crate::support::http;
use crate::support::process::tool;
use crate::support::servers::nginx::Nginx;
use crate::support::site::{assert_same, build, inodes, stderr, stillage, succeed, tree, verify};
use crate::support::temp::TempDir;

/// An older and a newer site, and the folder there that both come to.
struct Place {
    folder: TempDir,
}

/// Which names are served, and one that is gone, in each API.
const SERVED: [&str; 4] = [
    "/v2/o/app/manifests/2",
    "/v2/new/manifests/1",
    "/v1/repositories/o/app/tags/2",
    "/v1/repositories/library/new/tags/1",
];
const GONE: [&str; 8] = [
    "/v2/o/app/manifests/1",
    "/v2/old/tags/list",
    "/v2/old/manifests/1",
    "/v2/library/old/manifests/1",
    "/v1/repositories/o/app/tags/1",
    "/v1/repositories/old/images",
    "/v1/repositories/library/old/tags",
    "/v1/repositories/old/tags/1",
];

impl Place {
    fn new(args: &[&str]) -> Self {
        let place = Self {
            folder: TempDir::new("delivery"),
        };
        let image = |names: &[&str], text: &str| Image::new(names).layer("etc/text", text);
        let old = [
            image(&["o/app:1", "o/app:2"], "one"),
            image(&["old:1"], "old"),
        ];
        let new = [image(&["o/app:2"], "two"), image(&["new:1"], "new")];
        for (name, images) in [("old", old), ("new", new)] {
            let tar = place.path(&format!("{name}.tar"));
            fs::write(&tar, Archive::docker_20(&images).tar()).unwrap();
            let args = [&[tar.to_str().unwrap()], args].concat();
            build(&args, &place.path(name));
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn there(&self) -> PathBuf {
        self.path("there")
    }

    /// Brings a site there, as `way` does it.
    fn deliver(&self, way: Way, name: &str) {
        let (from, to) = (self.path(name), self.there());
        fs::create_dir_all(&to).unwrap();
        match way {
            Way::Tar => {
                let tar = self.path("mirror.tar");
                let tar = tar.to_str().unwrap();
                let packed = ["--exclude", ".stillage", "-cf", tar, "."];
                succeed(Command::new("tar").arg("-C").arg(from).args(packed));
                succeed(Command::new("tar").arg("-C").arg(to).args(["-xf", tar]));
            }
            Way::Rsync => {
                let mut rsync = Command::new(tool("rsync"));
                rsync.args(["-a", "--exclude", ".stillage"]);
                succeed(rsync.arg(from.join("")).arg(to));
            }
            Way::FollowingLinks => {
                let mut rsync = Command::new(tool("rsync"));
                rsync.args(["-rL", "--checksum", "--exclude", ".stillage"]);
                succeed(rsync.arg(from.join("")).arg(to));
            }
        }
    }

    fn run(&self, args: &[&str]) -> String {
        stderr(&succeed(stillage(args).current_dir(self.folder.path())))
    }

    /// Clients see the newer site and nothing else.
    fn check(&self) {
        verify(&self.there());
        assert_eq!(listed(&self.there()), listed(&self.path("new")));
        let nginx = Nginx::start(&self.there());
        let catalog: Value =
            serde_json::from_slice(&http::get(nginx.port, "/v2/_catalog").body).unwrap();
        assert_eq!(catalog["repositories"], serde_json::json!(["new", "o/app"]));
        for path in SERVED {
            assert_eq!(http::get(nginx.port, path).status, 200, "{path}");
        }
        for path in GONE {
            assert_eq!(http::get(nginx.port, path).status, 404, "{path}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Tar,
    Rsync,
    FollowingLinks,
}

fn listed(site: &Path) -> Value {
    let output = succeed(stillage(["list", "--json"]).arg(site));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the newer site makes of the older: pointers and lists alone, since content stays for a while.
fn pointers(site: &Path) -> std::collections::BTreeMap<String, (u32, String)> {
    let mut tree = tree(site);
    tree.retain(|path, (_, content)| {
        let is_content = path.contains("sha256") && !path.contains("/referrers/");
        content != "folder" && !is_content && !path.starts_with("v1/images/")
    });
    tree
}

#[test]
fn names_of_the_older_site_go() {
    for way in [Way::Tar, Way::Rsync, Way::FollowingLinks] {
        for args in [&["build", "there", "-o", "there"][..], &["prune", "there"]] {
            let place = Place::new(&["--server", "apache"]);
            place.deliver(way, "old");
            if matches!(way, Way::Tar) {
                // A run there has looked at the older site.
                place.run(&["build", "there", "-o", "there"]);
            }
            place.deliver(way, "new");
            let mut check = stillage(["verify"]);
            let output = check.arg(place.there()).output().unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{way:?}");
            assert!(said.contains("hint: `stillage prune "), "{said}");

            let before = inodes(&place.there());
            place.run(&[args, &["--dry-run"]].concat());
            assert_same(&before, &inodes(&place.there()));
            let said = place.run(args);
            assert!(said.contains("stale file"), "{said}");
            place.check();
            assert_same(&pointers(&place.path("new")), &pointers(&place.there()));
            // Once is enough.
            let before = inodes(&place.there());
            let said = place.run(args);
            assert!(!said.contains("stale file"), "{said}");
            assert_same(&before, &inodes(&place.there()));
            // The content of the older one goes like any other.
            place.run(&["prune", "there", "--grace", "0"]);
            assert_same(&tree(&place.path("new")), &tree(&place.there()));
        }
    }
}

/// An API that the newer site does not offer would still be found.
#[test]
fn an_api_that_the_newer_site_lacks_goes() {
    let place = Place::new(&[]);
    fs::remove_dir_all(place.path("new")).unwrap();
    let tar = place.path("new.tar");
    build(&[tar.to_str().unwrap(), "--no-v1"], &place.path("new"));
    for args in [
        &["build", "--no-v1", "there", "-o", "there"][..],
        &["prune", "there"],
    ] {
        place.deliver(Way::Rsync, "old");
        place.deliver(Way::Rsync, "new");
        place.run(args);
        verify(&place.there());
        place.run(&["prune", "there", "--grace", "0"]);
        assert!(!place.there().join("v1/_ping").exists());
        assert_same(&tree(&place.path("new")), &tree(&place.there()));
        fs::remove_dir_all(place.there()).unwrap();
    }
}

/// A build of something else finds that the site was replaced, and one after that looks no further.
#[test]
fn any_build_after_a_delivery_removes_old_names() {
    let place = Place::new(&[]);
    place.deliver(Way::Tar, "old");
    place.deliver(Way::Tar, "new");
    place.run(&["tag", "there", "new:1", "2"]);
    assert!(place.there().join("v2/old/tags/list").exists());
    let hello = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/docker-20.10.tar");
    let said = place.run(&["build", hello, "-o", "there"]);
    assert!(said.contains("stale file"), "{said}");
    verify(&place.there());
    assert!(!place.there().join("v2/old/tags/list").exists());
    assert!(!place.there().join("v2/old/manifests/1").exists());
    // A site of its own is not walked through: what somebody puts there stays until `prune`.
    let stray = place.there().join("v2/o/stray/tags");
    fs::create_dir_all(&stray).unwrap();
    fs::write(stray.join("list"), "{}").unwrap();
    place.run(&["build", hello, "-o", "there"]);
    assert!(stray.join("list").exists());
    place.run(&["prune", "there"]);
    assert!(!place.there().join("v2/o/stray").exists());
    verify(&place.there());
}
