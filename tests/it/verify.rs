//! `verify` finds what is wrong, and nothing where nothing is.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::archive::{Archive, Image, Pack};
use crate::support::files::digest;
use crate::support::site::{build, json, stillage, succeed, tree};
use crate::support::temp::TempDir;

/// The exit code, and the paths of the findings.
fn verify(site: &Path) -> (Option<i32>, Vec<String>) {
    let output = stillage(["verify", "--json", site.to_str().unwrap()])
        .output()
        .unwrap();
    let findings: Vec<serde_json::Value> =
        serde_json::from_slice(&output.stdout).unwrap_or_default();
    let paths = findings
        .iter()
        .map(|finding| finding["path"].as_str().unwrap().to_owned());
    (output.status.code(), paths.collect())
}

/// A site with every kind of file, in which nothing is found.
fn small_site() -> TempDir {
    let site = crate::support::site::small_site();
    assert_eq!(verify(site.path()), (Some(0), vec![]));
    site
}

/// Whatever the file, a bit that flips in it or its loss is found. A file with several names is
/// changed under all of them.
#[test]
fn every_file_counts() {
    let site = small_site();
    let files: Vec<String> = tree(site.path())
        .into_iter()
        .filter(|(_, (_, content))| content != "folder")
        .map(|(name, _)| name)
        .collect();
    assert!(files.len() > 300, "{}", files.len());
    // Each run hashes the whole site: every seventh file is enough for one run of the tests.
    let long = std::env::var_os("STILLAGE_LONG").is_some();
    for name in files
        .iter()
        .step_by(if long { 1 } else { 7 })
        .chain([&"index.json".to_owned()])
    {
        let path = site.path().join(name);
        let bytes = fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        // The other names of the same content keep theirs.
        fs::remove_file(&path).unwrap();
        fs::write(&path, &flipped).unwrap();
        assert_eq!(verify(site.path()).0, Some(1), "{name} flipped");
        fs::remove_file(&path).unwrap();
        let code = verify(site.path()).0;
        assert_eq!(
            code,
            Some(if name == "index.json" { 2 } else { 1 }),
            "{name} missing"
        );
        fs::write(&path, &bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    assert_eq!(
        verify(site.path()),
        (Some(0), vec![]),
        "copies where links would be are no finding"
    );
}

#[test]
fn findings_name_the_file() {
    let site = small_site();
    let path = "v2/sample/hello/tags/list";
    fs::write(site.path().join(path), "{}").unwrap();
    assert_eq!(verify(site.path()), (Some(1), vec![path.to_owned()]));
    // A build that touches the repository mends what a build makes.
    build(&["fixtures/docker-20.10.tar"], site.path());
    assert_eq!(verify(site.path()), (Some(0), vec![]));
}

#[test]
fn a_quiet_check_prints_findings_alone() {
    let site = small_site();
    fs::remove_file(site.path().join("v2/_catalog")).unwrap();
    let output = stillage(["verify", "-q", site.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("v2/_catalog"), "{printed:?}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn other_files_in_the_root_are_no_finding() {
    let site = small_site();
    fs::write(site.path().join("robots.txt"), "User-agent: *\n").unwrap();
    assert_eq!(verify(site.path()), (Some(0), vec![]));
}

#[test]
fn a_read_only_copy_can_be_verified() {
    let site = small_site();
    let copy = TempDir::new("copy");
    let to = copy.path().join("site");
    let mut cp = std::process::Command::new("cp");
    succeed(cp.arg("-r").arg(site.path()).arg(&to));
    fs::remove_dir_all(to.join(".stillage")).unwrap();
    succeed(
        std::process::Command::new("chmod")
            .args(["-R", "a-w"])
            .arg(&to),
    );
    assert_eq!(verify(&to), (Some(0), vec![]));
    assert!(!to.join(".stillage").exists());
    succeed(
        std::process::Command::new("chmod")
            .args(["-R", "u+w"])
            .arg(&to),
    );
}

/// A file that nobody asked for is found wherever a registry looks, whatever its name.
#[test]
fn a_file_too_many_is_found() {
    let site = small_site();
    let hex = "0".repeat(64);
    for path in [
        "v1/images/x".to_owned(),
        format!("v1/images/{hex}/json"),
        "v1/repositories/sample/hello/tags/3.0".into(),
        "v1/repositories/sample/hello/extra".into(),
        "v2/sample/hello/manifests/3.0".into(),
        "v2/sample/hello/_types/3.0.om".into(),
        format!("v2/sample/hello/manifests/sha256:{hex}"),
        format!("v2/sample/hello/blobs/sha256:{hex}"),
        format!("v2/sample/hello/referrers/sha256:{hex}"),
        "v2/other/tags/list".into(),
        format!("blobs/sha256/{hex}"),
        "blobs/sha512/x".into(),
        "blobs/.hidden".into(),
    ] {
        let file = site.path().join(&path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "{}").unwrap();
        assert_eq!(verify(site.path()), (Some(1), vec![path.clone()]));
        fs::remove_file(file).unwrap();
    }
    let link = site.path().join("v2/link");
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    assert_eq!(verify(site.path()), (Some(1), vec!["v2/link".to_owned()]));
}

/// Content that a moved tag has left is no finding, unless it is damaged.
#[test]
fn unused_content_is_no_finding() {
    let site = small_site();
    succeed(
        stillage(["remove"])
            .arg(site.path())
            .args(["sample/hello", "zstd"]),
    );
    let output = stillage(["verify"]).arg(site.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("unused files: `stillage prune` deletes"),
        "{said}"
    );
    let manifests = fs::read_dir(site.path().join("v2/sample/hello/manifests")).unwrap();
    for entry in manifests {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, [&bytes[..], b" "].concat()).unwrap();
        // Its second name is a link to it.
        let relative = path.strip_prefix(site.path()).unwrap().to_str().unwrap();
        let digest = relative.rsplit('/').next().unwrap();
        let second = format!("v2/sample/hello/_types/{digest}/{digest}.d2");
        let both = vec![second, relative.to_owned()];
        assert_eq!(verify(site.path()), (Some(1), both));
        fs::write(&path, bytes).unwrap();
    }
}

/// The exit code of a check of some depth.
fn depth(site: &Path, option: &str) -> Option<i32> {
    stillage(["verify", option])
        .arg(site)
        .output()
        .unwrap()
        .status
        .code()
}

#[test]
fn a_fast_check_sees_lengths_and_a_deep_one_what_is_in_layers() {
    let site = small_site();
    assert_eq!(depth(site.path(), "--fast"), Some(0));
    assert_eq!(depth(site.path(), "--deep"), Some(0));
    let tag = site.path().join("v2/sample/hello/manifests/1.0");
    let whole = fs::read(&tag).unwrap();
    let mut flipped = whole.clone();
    flipped[20] ^= 1;
    fs::write(&tag, &flipped).unwrap();
    assert_eq!(
        (depth(site.path(), "--fast"), depth(site.path(), "--deep")),
        (Some(0), Some(1))
    );
    fs::write(&tag, &whole[1..]).unwrap();
    assert_eq!(depth(site.path(), "--fast"), Some(1));

    // Without v1, nobody has looked into the layers yet.
    let folder = TempDir::new("lies");
    let image = Image::new(&["app:1"])
        .layer("etc/text", "text")
        .packed(Pack::Gzip);
    let lies = image.config(|config| {
        config["rootfs"]["diff_ids"][0] = format!("sha256:{}", "1".repeat(64)).into();
    });
    let layout = folder.path().join("layout");
    Archive::oci(&[lies]).folder(&layout);
    let site = folder.path().join("site");
    let mut command = stillage(["build", "--no-v1", "-o"]);
    succeed(
        command
            .arg(&site)
            .arg(format!("{}=app:1", layout.display())),
    );
    assert_eq!(verify(&site), (Some(0), vec![]));
    let output = stillage(["verify", "--deep"]).arg(&site).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("has the diff ID") && said.lines().count() == 1,
        "{said}"
    );
}

/// A manifest without one of its blobs is whole itself: what is missing is named.
#[test]
fn what_is_missing_is_named_and_not_what_needs_it() {
    let site = small_site();
    let manifest = json(site.path().join("v2/sample/hello/manifests/1.0"));
    let config = manifest["config"]["digest"].as_str().unwrap();
    let blob = format!("blobs/{}", config.replace(':', "/"));
    fs::remove_file(site.path().join(&blob)).unwrap();
    let output = stillage(["verify", "--json"])
        .arg(site.path())
        .output()
        .unwrap();
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let found = findings.iter().find(|finding| finding["path"] == *blob);
    assert_eq!(
        found.expect("a finding")["kind"],
        "missing",
        "{findings:#?}"
    );
    let tag = fs::read(site.path().join("v2/sample/hello/manifests/1.0")).unwrap();
    let whole = format!("blobs/{}", digest(&tag).replace(':', "/"));
    assert!(findings.iter().all(|finding| finding["path"] != *whole));
}

/// A web server that runs as another user cannot read what `umask 077; tar -x` unpacks. A build mends it.
#[test]
fn what_others_cannot_read_is_found_and_mended() {
    let folder = TempDir::new("closed");
    let site = folder.path().join("site");
    let source = ["fixtures/docker-20.10.tar"];
    build(&source, &site);
    let whole = tree(&site);
    let closed = [
        ("blobs/sha256", 0o700),
        ("v2/sample/hello/manifests/1.0", 0o600),
        ("v2/sample/hello/tags/list", 0o640),
        ("v1", 0o711),
        ("index.json", 0o600),
    ];
    for (path, mode) in closed {
        fs::set_permissions(site.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let expected: BTreeSet<String> = closed.map(|(path, _)| path.to_owned()).into();
    for depth in ["--fast", "--deep"] {
        let mut verify = stillage(["verify", "--json", depth]);
        let output = verify.arg(&site).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let found: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert!(
            found.iter().all(|finding| finding["kind"] == "closed"),
            "{found:?}"
        );
        let paths = found.iter().map(|f| f["path"].as_str().unwrap().to_owned());
        assert_eq!(paths.collect::<BTreeSet<_>>(), expected);
    }
    build(&source, &site);
    assert_eq!(tree(&site), whole);
    assert_eq!(verify(&site), (Some(0), vec![]));
}

#[test]
fn links_out_of_the_site_are_found() {
    let site = small_site();
    let outside = TempDir::new("outside");
    for path in ["v2/sample", "oci-layout"] {
        let (path, to) = (site.path().join(path), outside.path().join("moved"));
        fs::rename(&path, &to).unwrap();
        std::os::unix::fs::symlink(&to, &path).unwrap();
        let (code, found) = verify(site.path());
        let name = path.strip_prefix(site.path()).unwrap().to_str().unwrap();
        assert_eq!((code, found), (Some(1), vec![name.to_owned()]));
        fs::remove_file(&path).unwrap();
        fs::rename(&to, &path).unwrap();
        // Within the site, nothing is wrong with one.
        let to = path.with_file_name("elsewhere");
        fs::rename(&path, &to).unwrap();
        std::os::unix::fs::symlink(&to, &path).unwrap();
        if to.is_file() {
            assert_eq!(verify(site.path()), (Some(0), vec![]));
        }
        fs::remove_file(&path).unwrap();
        fs::rename(&to, &path).unwrap();
    }
}

/// A layer of v1 that is the blob of an image which is removed stays right: it has the tar of one that remains, in zstd.
#[test]
fn a_v1_layer_whose_blob_is_removed_is_no_damage() {
    let site = TempDir::new("verify");
    let sources = [
        "fixtures/oci-layout-zstd=zstd",
        "fixtures/oci-layout-referrer=gzip",
    ];
    build(&sources, site.path());
    for command in [&["remove", "gzip"][..], &["prune", "--grace", "0"]] {
        succeed(stillage([command[0], site.path().to_str().unwrap()]).args(&command[1..]));
        assert_eq!(verify(site.path()), (Some(0), vec![]));
    }
    // Another layer is none of the image.
    let id = "45c7d8a37e4c0856d2df6235705bc165fb0be672edbbd34cc011147350f5433d";
    let layer = site.path().join(format!("v1/images/{id}/layer"));
    fs::remove_file(&layer).unwrap();
    fs::write(&layer, b"no layer").unwrap();
    assert_eq!(
        verify(site.path()),
        (Some(1), vec![format!("v1/images/{id}/layer")])
    );
}
