//! The v1 images of configs of every shape, compared with an implementation of their own
//! (`tests/clients/v1_ids.py`) and, for the samples, with what Docker 17.06 pushed.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::archive::{Archive, Image, one_file_tar};
use crate::support::files::digest;
use crate::support::process::tool;
use crate::support::site::{build, json as read};
use crate::support::temp::TempDir;

/// What stands in a config before `rootfs`.
const CONFIGS: [&str; 32] = [
    r##""##,
    r##""os":"linux","##,
    r##" "os" : "linux" , "architecture" :"amd64" ,"##,
    r##""z":1,"a":2,"m":{"z":1,"a":2},"##,
    r##""a":"<b> & </b>","##,
    r##""a":"\u003cb\u003e","b":"\u003CB\u003E","##,
    "\"a\":\"\u{2028}\u{2029}\",",
    r##""a":"\u2028","##,
    r##""é":"é","##,
    r##""a":"\ud83d\ude00","b":"😀","##,
    r##""a":"\ud800","b":"\udc00\ud800","##,
    r##""a":1e999,"b":-0,"c":1.0,"d":12345678901234567890123456789,"##,
    r##""a":[1 , 2,	3 ],"b":{ "x" : [ ] },"##,
    r##""a":1,"a":2,"b":{"x":1,"x":2},"##,
    r##""a":null,"b":true,"c":false,"##,
    r##""a":"quote \" backslash \\ slash \/ nul \u0000","##,
    r##""<key>":1,"&":2,"##,
    r##""parent":"sha256:0000","##,
    r##""id":"something else","##,
    r##""os.version":"10.0","os.features":["win32k"],"os":"windows","##,
    r##""history":[{"created":"2020-01-01T00:00:00Z","empty_layer":true}],"##,
    r##""config":{"Env":["A=<1>"],"Cmd":["/bin/sh","-c","a && b"],"Labels":{"b":"2","a":"1"}},"##,
    r##""config":null,"container_config":{},"container":"","##,
    r##""created":"0001-01-01T00:00:00Z","docker_version":"","##,
    r##""author":"A <a@example.org>","comment":"buildkit.dockerfile.v0","variant":"v8","##,
    r##""Size":5,"sizes":6,"throwaway":true,"##,
    r##""moby.buildkit.buildinfo.v1":"eyJhIjoiYiJ9","moby.buildkit.cache.v0":null,"##,
    r##""a.b":1,"a-b":2,"a_b":3,"aB":4,"ac":5,"A":6,"##,
    r##""\u0061":1,"b\n":2,"c\t\"":3,"##,
    r##""\ud83d\ude00":1,"\uffff":2,"~":3,"##,
    "\n\t\"a\"\r\n:\t[\n{\n\"b\":\n1}\n]\n,",
    r##""\ud800x":1,"##,
];

/// What the other implementation says of a config: ids and JSON, the top first.
fn expected(config: &[u8]) -> Vec<(String, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/v1_ids.py");
    let mut python = Command::new(tool("python3"));
    let mut child = python
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(config)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Compares the v1 images of a tag.
fn compare(site: &Path, tag: &str, config: &[u8]) {
    let expected = expected(config);
    let top = read(site.join(format!("v1/repositories/{tag}")));
    assert_eq!(top, *expected[0].0, "{}", String::from_utf8_lossy(config));
    let ids: Vec<&String> = expected.iter().map(|(id, _)| id).collect();
    assert_eq!(
        read(site.join(format!("v1/images/{}/ancestry", ids[0]))),
        serde_json::json!(ids)
    );
    for (id, json) in &expected {
        let ours = fs::read_to_string(site.join(format!("v1/images/{id}/json"))).unwrap();
        assert_eq!(ours, *json, "{id} of {}", String::from_utf8_lossy(config));
    }
}

#[test]
fn configs_of_every_shape() {
    let tars = [
        one_file_tar("a", "1"),
        one_file_tar("b", "2"),
        one_file_tar("c", "3"),
    ];
    let mut images = Vec::new();
    for (number, start) in CONFIGS.iter().enumerate() {
        // One, two and three layers in turn.
        let layers = &tars[..=number % 3];
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|tar| format!("\"{}\"", digest(tar)))
            .collect();
        let config = format!(
            "{{{start}\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}}}}",
            diff_ids.join(",")
        );
        let mut image = Image::new(&[&format!("case/{number}:1")]).config_bytes(config);
        image.layers = layers.to_vec();
        images.push(image);
    }
    let folder = TempDir::new("ids");
    let (file, site) = (folder.path().join("archive"), folder.path().join("site"));
    fs::write(&file, Archive::docker_20(&images).tar()).unwrap();
    build(&[file.to_str().unwrap()], &site);
    for (number, image) in images.iter().enumerate() {
        compare(
            &site,
            &format!("case/{number}/tags/1"),
            &image.config_json(),
        );
    }
}

/// The reference server's storage holds what Docker 17.06 pushed of the very images that the archives
/// hold.
#[test]
fn the_samples_equal_what_docker_pushed() {
    let folder = TempDir::new("pushed");
    let site = folder.path().join("site");
    build(&["fixtures/docker-20.10.tar"], &site);
    let storage =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/docker-registry-0.9.1/images");
    let mut compared = 0;
    for entry in fs::read_dir(storage).unwrap() {
        let pushed = entry.unwrap().path();
        if pushed.join("_inprogress").exists() {
            continue;
        }
        let ours = site.join("v1/images").join(pushed.file_name().unwrap());
        assert_eq!(
            fs::read(ours.join("json")).unwrap(),
            fs::read(pushed.join("json")).unwrap()
        );
        assert_eq!(read(ours.join("ancestry")), read(pushed.join("ancestry")));
        compared += 1;
    }
    assert_eq!(compared, 8);
    for (name, tag) in [
        ("sample/hello", "1.0"),
        ("sample/child", "2.0"),
        ("tiny", "1"),
    ] {
        let manifest = read(site.join(format!("v2/{name}/manifests/{tag}")));
        let config = site.join(format!(
            "v2/{name}/blobs/{}",
            manifest["config"]["digest"].as_str().unwrap()
        ));
        compare(
            &site,
            &format!("{name}/tags/{tag}"),
            &fs::read(config).unwrap(),
        );
    }
}
