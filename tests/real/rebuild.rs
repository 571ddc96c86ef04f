//! The same input gives the same tree; nothing new changes nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::archive::{Archive, Image};

use crate::support::site::{assert_same, build, inodes, stillage, succeed, tree, verify};
use crate::support::temp::TempDir;

const SOURCES: [&str; 9] = [
    "fixtures/docker-20.10.tar",
    "fixtures/docker-1.4.1.tar=old",
    "fixtures/docker-1.4.1-pulled.tar=pulled",
    "fixtures/oci-layout-zstd=zstd",
    "fixtures/oci-layout=layout",
    "fixtures/crane-docker-archive.tar=crane",
    "fixtures/oci-layout-multiarch=multi",
    "fixtures/oci-layout-referrer=referrer",
    "fixtures/dir-s2=dir:1",
];

#[test]
fn jobs_order_and_umask_change_nothing() {
    let first = TempDir::new("first");
    build(&SOURCES, first.path());
    let expected = tree(first.path());
    assert!(expected.len() > 300, "{}", expected.len());
    for (jobs, rotate, umask) in [(1, 0, "022"), (2, 4, "077"), (7, 7, "000")] {
        let mut sources = SOURCES;
        sources.rotate_left(rotate);
        sources[3..].reverse();
        let site = TempDir::new("again");
        // A folder that Stillage creates itself: a given one keeps its own mode.
        let folder = site.path().join("site");
        let script = format!("umask {umask}; exec \"$0\" build --jobs {jobs} -q -o \"$@\"");
        let binary = env!("CARGO_BIN_EXE_stillage");
        let mut shell = Command::new("sh");
        shell
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["-c", &script, binary])
            .arg(&folder)
            .args(sources);
        succeed(&mut shell);
        assert_same(&tree(&folder), &expected);
    }
}

#[test]
fn a_second_run_changes_no_inode_and_no_mtime() {
    let site = TempDir::new("twice");
    build(&SOURCES, site.path());
    let before = inodes(site.path());
    let output = build(&SOURCES, site.path());
    assert_same(&inodes(site.path()), &before);
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(messages.contains("nothing to do"), "{messages}");
    // Neither does one that has forgotten everything.
    std::fs::remove_dir_all(site.path().join(".stillage")).unwrap();
    build(&SOURCES, site.path());
    assert_same(&inodes(site.path()), &before);
}

/// One after the other gives what all at once give, as long as no two claim one v1 id.
#[test]
fn a_site_grows() {
    let all = TempDir::new("all");
    build(
        &[
            "fixtures/docker-20.10.tar",
            "fixtures/docker-1.4.1.tar=old",
            "fixtures/oci-layout-multiarch",
        ],
        all.path(),
    );
    let grown = TempDir::new("grown");
    for source in [
        "fixtures/oci-layout-multiarch",
        "fixtures/docker-1.4.1.tar=old",
        "fixtures/docker-20.10.tar",
    ] {
        build(&[source], grown.path());
    }
    assert_same(&tree(grown.path()), &tree(all.path()));
    verify(grown.path());
}

#[test]
fn a_moved_tag_is_replaced_and_the_old_manifest_stays() {
    let site = TempDir::new("moved");
    let name = |tag: &str| site.path().join("v2/app/manifests").join(tag);
    build(&["fixtures/docker-20.10.tar=app"], site.path());
    let old = std::fs::read(name("2.0")).unwrap();
    build(&["fixtures/dir-oci=app:2.0"], site.path());
    let new = std::fs::read(name("2.0")).unwrap();
    assert_ne!(new, old);
    assert_eq!(
        std::fs::read(name(&crate::support::files::digest(&old))).unwrap(),
        old
    );
    assert!(site.path().join("v2/app/_types/2.0.om").exists());
    assert!(
        !site.path().join("v2/app/_types/2.0.d2").exists(),
        "the type has changed"
    );
    assert!(
        site.path().join("v2/app/manifests/1.0").exists(),
        "what the source does not name stays"
    );
    verify(site.path());
}

#[test]
fn a_tag_that_moves_to_an_artifact_leaves_v1() {
    let site = TempDir::new("artifact");
    build(&["fixtures/oci-layout=app"], site.path());
    assert!(site.path().join("v1/repositories/app/tags/1").exists());
    let artifact = "oci:fixtures/oci-layout-referrer:tiny:sha256-081ac4d472b37fcf4dd4142cf08fe7de7790cf76255c5bffd7a71fd067e0810b.sig";
    let folder = TempDir::new("artifact-source");
    copy_with_name(&folder, artifact);
    build(&[format!("{}=app", folder.path().display())], site.path());
    assert!(!site.path().join("v1/repositories/app/tags/1").exists());
    verify(site.path());
}

/// The layout of the artifact, with an entry that calls it `app:1`.
fn copy_with_name(folder: &TempDir, artifact: &str) {
    let (source, _) = artifact
        .strip_prefix("oci:")
        .unwrap()
        .split_once(':')
        .unwrap();
    succeed(Command::new("cp").args([
        "-r",
        &format!("{source}/."),
        folder.path().to_str().unwrap(),
    ]));
    let index = folder.path().join("index.json");
    let mut json = crate::support::site::json(&index);
    let entries = json["manifests"].as_array_mut().unwrap();
    entries.retain(|entry| {
        entry["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .is_some_and(|name| name.contains("sha256-"))
    });
    entries[0]["annotations"]["org.opencontainers.image.ref.name"] = "1".into();
    std::fs::write(index, json.to_string()).unwrap();
}

/// A dry run knows the digests and writes nothing.
#[test]
fn a_dry_run_is_true_and_writes_nothing() {
    let folder = TempDir::new("dry");
    let site = folder.path().join("site");
    let run = |dry: &[&str]| {
        let output = succeed(
            stillage(["build", "--json", "-o", site.to_str().unwrap()])
                .args(SOURCES)
                .args(dry),
        );
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let dry = run(&["--dry-run"]);
    assert!(!site.exists());
    assert_eq!(run(&[]), dry);
}

#[test]
fn one_api_can_be_left_out_and_added_later() {
    for (without, with) in [("--no-v1", "v1"), ("--no-v2", "v2")] {
        let both = TempDir::new("both");
        build(&["fixtures/docker-20.10.tar"], both.path());
        let site = TempDir::new("one");
        build(&["fixtures/docker-20.10.tar", without], site.path());
        assert!(!site.path().join(with).exists());
        verify(site.path());
        build(&["fixtures/docker-20.10.tar"], site.path());
        assert_same(&tree(site.path()), &tree(both.path()));
        let refused = stillage([
            "build",
            "fixtures/docker-20.10.tar",
            without,
            "-o",
            both.path().to_str().unwrap(),
        ])
        .output();
        assert_eq!(refused.unwrap().status.code(), Some(2));
    }
}

/// Sites are sources: merging them gives what their sources give together.
#[test]
fn merged_sites_equal_one_build() {
    let direct = TempDir::new("direct");
    build(&SOURCES, direct.path());
    let shards: Vec<TempDir> = SOURCES
        .iter()
        .map(|source| {
            let shard = TempDir::new("shard");
            build(&[source], shard.path());
            shard
        })
        .collect();
    let merged = TempDir::new("merged");
    let sources: Vec<&str> = shards
        .iter()
        .map(|shard| shard.path().to_str().unwrap())
        .collect();
    build(&sources, merged.path());
    assert_same(&tree(merged.path()), &tree(direct.path()));
    verify(merged.path());
}

/// How many bytes a run reads of its source: what the kernel counts for it, thread by thread.
fn bytes_read(site: &Path, source: &str, more: &[&str]) -> u64 {
    let logs = TempDir::new("strace");
    let mut command = Command::new(crate::support::process::tool("strace"));
    command.args([
        "-ff",
        "-y",
        "-e",
        "trace=read,pread64,copy_file_range",
        "-o",
    ]);
    command
        .arg(logs.path().join("log"))
        .arg(env!("CARGO_BIN_EXE_stillage"));
    succeed(
        command
            .args(["build", "-q", source, "-o"])
            .arg(site)
            .args(more),
    );
    let logs = fs::read_dir(logs.path()).unwrap();
    let text: String = logs
        .map(|log| fs::read_to_string(log.unwrap().path()).unwrap())
        .collect();
    let of_source = text
        .lines()
        .filter(|line| line.contains(&format!("<{source}>")));
    let counts = of_source.filter_map(|line| line.rsplit_once("= ")?.1.parse::<u64>().ok());
    counts.sum()
}

#[test]
fn layers_of_a_file_that_has_not_changed_are_not_read_again() {
    let folder = TempDir::new("cache");
    let source = folder.path().join("archive.tar");
    let noise = |seed: u32| {
        (0..300_000_u32)
            .map(|n| char::from(b'a' + ((n ^ seed).wrapping_mul(2_654_435_761) >> 27) as u8))
            .collect::<String>()
    };
    let save = |seed| {
        let image = Image::new(&["app:1"]).layer("etc/noise", &noise(seed));
        fs::write(&source, Archive::docker_20(&[image]).tar()).unwrap();
    };
    save(1);
    let site = folder.path().join("site");
    let path = source.to_str().unwrap().to_owned();
    let read = |more: &[&str]| bytes_read(&site, &path, more);
    // What was written a moment ago, or later, is not remembered.
    let hour = std::time::Duration::from_hours(1);
    let set_modified = |time| {
        fs::File::options()
            .write(true)
            .open(&source)
            .unwrap()
            .set_modified(time)
            .unwrap();
    };
    let now = std::time::SystemTime::now();
    set_modified(now + hour);
    assert!(read(&[]) > 300_000);
    assert!(read(&[]) > 300_000);
    set_modified(now - hour);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert!(read(&[]) > 300_000);
    let before = inodes(&site);
    assert!(read(&[]) < 50_000);
    assert!(read(&["--no-cache"]) > 300_000);
    assert_same(&before, &inodes(&site));
    // The same length and time: the file system knows better.
    let times = fs::metadata(&source).unwrap().modified().unwrap();
    save(2);
    set_modified(times);
    assert!(read(&[]) > 300_000);
    crate::support::site::verify(&site);
    // What was deleted from the site is made again.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    read(&[]);
    let whole = tree(&site);
    let blobs = fs::read_dir(site.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let layer = blobs
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    fs::remove_file(layer).unwrap();
    assert!(read(&[]) > 300_000);
    assert_same(&whole, &tree(&site));
}
