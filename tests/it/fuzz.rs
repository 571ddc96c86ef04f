//! A short run of every fuzzer, `tests/fuzz`: seeds out of the fixtures, changed by chance that is the
//! same each time. `STILLAGE_LONG=1` runs them longer.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::archive::{Archive, pax};
use crate::support::chance::Chance;

pub(crate) mod targets;

/// Executions of a target.
const RUNS: usize = 2000;
/// Longer seeds are cut.
const LONGEST: usize = 80 << 10;
/// What one input may take; a slow machine under load takes some of it.
const SLOWEST: Duration = Duration::from_mins(1);

/// Text that parsers look for.
const TOKENS: [&str; 26] = [
    "\0",
    "/",
    "..",
    "\"",
    "{}",
    "[]",
    "null",
    "-1",
    "18446744073709551615",
    "1e999",
    "\\ud800",
    "\u{202e}",
    ".wh.",
    ".wh..wh..opq",
    "library/",
    "sha256:",
    "sha256-",
    "\"schemaVersion\":1",
    "\"manifests\":",
    "\"layers\":",
    "\"config\":",
    "\"parent\":",
    "77777777777",
    "\u{ff}",
    "<script>",
    "\"><img src=x onerror='",
];

/// A piece of some bytes.
fn piece(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let start = chance.below(bytes.len());
    let length = 1 + chance.below(bytes.len() - start).min(600);
    bytes[start..(start + length).min(bytes.len())].to_vec()
}

fn changed(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = chance.of(seeds).clone();
    for _ in 0..chance.below(5) {
        let at = chance.below(bytes.len() + 1);
        match chance.below(7) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            2 if at < bytes.len() => bytes[at] = *chance.of(b"\0\xff\x80 09aZ/.:\"{}[],"),
            3 => {
                bytes.splice(at..at, chance.of(&TOKENS).bytes());
            }
            4 if at < bytes.len() => {
                let end = (at + 1 + chance.below(1024)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let other = chance.of(seeds).clone();
                let other = piece(&other, chance);
                bytes.splice(at..at, other);
            }
            6 => {
                // Over what is there, so that the blocks of a tar stay where they are.
                let other = chance.of(seeds).clone();
                let other = piece(&other, chance);
                let end = (at + other.len()).min(bytes.len());
                bytes.splice(at..end, other);
            }
            _ => {}
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

/// The files of the fixtures that a target can begin with.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let text = |lines: &[&str]| lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    match name {
        "archive" | "load" => [files(|path, _| is_tar(path)), sparse()].concat(),
        "signature" => text(&[
            "\0sigstore-json\n{\"mimeType\":\"x/y\",\"payload\":\"eyJ9\",\"annotations\":{\"a\":\"b\"}}",
            "\0simple-signing\n",
        ]),
        "pages" => {
            let html = "\"><script>x</script><a href='javascript:x' style='x'>&lt;";
            let config = r#"{"created":"2024-01-01T00:00:00Z","os":"HTML","config":{"Labels":{"HTML":"HTML","url":"https://HTML"},
                "Cmd":["HTML"],"User":"HTML"},"history":[{"created_by":"/bin/sh -c HTML"},{"created_by":"HTML","empty_layer":true}],
                "rootfs":{"type":"layers","diff_ids":["sha256:EMPTY"]}}"#;
            let config = config
                .replace("HTML", &html.replace('"', "\\\""))
                .replace("EMPTY", empty);
            text(&[
                html,
                &config,
                r#"{"repositories":[{"name":"a/c","tags":1,"description":"<"}]}"#,
            ])
        }
        "packed" => files(|path, bytes| !is_tar(path) && !bytes.starts_with(b"{")),
        "layers" => {
            let mut chance = Chance(7);
            let mut byte =
                || [chance.next().to_le_bytes()[0], 255][usize::from(chance.below(9) == 0)];
            (0..200)
                .map(|_| (0..40).map(|_| byte()).collect())
                .collect()
        }
        "name" => text(&[
            "docker.io/library/alpine:3.20",
            &format!("quay.io/org/app@sha256:{empty}"),
            "localhost:5000/a/b-c/d__e.f:v1.0_x",
            &format!("sha256-{empty}.sig"),
            "linux/arm64/v8",
        ]),
        "ssh_command" => text(&[
            "get app:1 org/app",
            &format!("registryget app@sha256:{empty}"),
            "put quay.io/org/app:1",
            "registryput\tmirror/",
            "list",
            "put --site=/ -o x",
        ]),
        "lines" => {
            text(&["alpine:3.20 library/x:Latest a.b/c:1.0-x a.b/c:1.0-X a/b__c-d:_ a:1.htaccess"])
        }
        "http" => text(&[
            "/v2/app/manifests/1",
            &format!("/v2/app/blobs/sha256:{empty}\nRange: bytes=0-1"),
            "/v2/app/tags/list?n=1&last=1",
            "/v1/search?q=a&n=1&page=2",
            &format!("/v2/app/referrers/sha256:{empty}?artifactType=x"),
            "/v2/../%2e%2e/etc/passwd",
        ]),
        "catalogue" => text(&[&format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"x/y","digest":"sha256:{empty}","size":3,"annotations":{{"org.opencontainers.image.ref.name":"tiny:1"}}}}],"annotations":{{"org.stillage.apis":"v1,v2","org.stillage.format":"1","org.stillage.v1.platform":"linux/arm64/v8"}}}}"#
        )]),
        "export" => {
            let digest = format!("sha256:{empty}");
            text(&[
                &format!(
                    "\0{{\"format\":1,\"catalogue\":\"{digest}\",\"base\":\"{digest}\",\"requires\":{{\"{digest}\":3}},\"v1_layers\":{{\"{empty}\":\"{digest}\"}},\"volume\":{{\"number\":2,\"of\":3,\"list\":\"{digest}\"}}}}"
                ),
                &format!(
                    "\x01{{\"schemaVersion\":2,\"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"{digest}\",\"size\":3,\"annotations\":{{\"org.opencontainers.image.ref.name\":\"tiny:1\"}}}}],\"annotations\":{{\"org.stillage.apis\":\"v1,v2\",\"org.stillage.format\":\"2\"}}}}"
                ),
                &format!(
                    "\x02{{\"catalogue\":\"{digest}\",\"volumes\":[[{{\"path\":\"blobs/sha256/{empty}\",\"size\":3,\"part\":1,\"of\":\"tiny:1\"}}]]}}"
                ),
                &format!("\x03{empty}  stillage-export.json\n"),
            ])
        }
        "index" => files(|path, _| path.ends_with("index.json")),
        _ => files(|path, bytes| !is_tar(path) && bytes.starts_with(b"{")),
    }
}

/// Archives with a sparse member, in three of the four kinds.
fn sparse() -> Vec<Vec<u8>> {
    let of = |records: &[(&str, &str)], stored: Vec<u8>| {
        let archive = Archive::default().raw(pax(records));
        archive.file("a/layer.tar", stored).tar()
    };
    let size = ("GNU.sparse.size", "2048");
    let offset = |text| ("GNU.sparse.offset", text);
    let length = |text| ("GNU.sparse.numbytes", text);
    let mut map = b"2\n0\n512\n1024\n512\n".to_vec();
    map.resize(512, 0);
    map.extend([7; 1024]);
    let version = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")];
    let whole = ("GNU.sparse.realsize", "2048");
    vec![
        of(
            &[
                size,
                offset("0"),
                length("512"),
                offset("1024"),
                length("512"),
            ],
            vec![7; 1024],
        ),
        of(&[size, ("GNU.sparse.map", "0,512,1024,512")], vec![7; 1024]),
        of(&[version[0], version[1], whole], map),
    ]
}

fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tar")
}

fn files(wanted: impl Fn(&Path, &[u8]) -> bool) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            if !bytes.is_empty() && wanted(entry.path(), &bytes) {
                found.push(bytes);
            }
        }
    }
    found
}

fn check(name: &str) {
    let seeds = seeds(name);
    let times = if std::env::var_os("STILLAGE_LONG").is_some() {
        20
    } else {
        1
    };
    let mut chance = Chance(0x5eed_0000 + name.len() as u64);
    for seed in &seeds {
        targets::run(name, seed);
    }
    for number in 0..times * RUNS {
        let bytes = changed(&seeds, &mut chance);
        let start = Instant::now();
        let ran = catch_unwind(|| targets::run(name, &bytes));
        let took = start.elapsed();
        if ran.is_err() || took > SLOWEST {
            let path = std::env::temp_dir().join(format!("stillage-{name}-{number}"));
            fs::write(&path, &bytes).unwrap();
            panic!("{name} takes {took:?} for {}", path.display());
        }
    }
}

#[test]
fn archives_are_indexed() {
    check("archive");
}

#[test]
fn archives_are_built() {
    check("load");
}

#[test]
fn layers_are_unpacked() {
    check("packed");
}

/// All that is small and quick, one after the other.
#[test]
fn all_else() {
    let own = ["archive", "load", "packed"];
    let others = targets::TARGETS
        .iter()
        .filter(|(name, _)| !own.contains(name));
    others.for_each(|(name, _)| check(name));
}
