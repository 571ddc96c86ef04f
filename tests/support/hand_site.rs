//! A site made by hand, with names and types that are legal and rare.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use sha2::{Digest, Sha256};

/// The extension in `_types/` of every manifest type.
pub(crate) const TYPES: [(&str, &str); 6] = [
    ("om", "application/vnd.oci.image.manifest.v1+json"),
    ("oi", "application/vnd.oci.image.index.v1+json"),
    ("d2", "application/vnd.docker.distribution.manifest.v2+json"),
    (
        "dl",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ),
    (
        "s1",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    ),
    ("s0", "application/vnd.docker.distribution.manifest.v1+json"),
];

/// Repositories whose components are words that the APIs use.
pub(crate) const ODD_NAMES: [&str; 6] = [
    "myorg/images",
    "a/tags",
    "a/blobs/b",
    "deep/er/and/deep/er/manifests",
    "x/referrers/tags/list",
    "v1/images",
];

/// Tags that look like something else.
pub(crate) const ODD_TAGS: [&str; 5] = ["tags", "list", "UPPER_case.x-1", "name.om", "page.html"];

/// Lower-case hexadecimal SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Replaces a file the way Stillage does: never written in place.
pub(crate) fn put(site: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let target = site.join(path);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    let temp = target.with_file_name(".new");
    fs::write(&temp, bytes).unwrap();
    fs::rename(temp, target).unwrap();
}

/// Fills an empty folder.
pub(crate) fn hand_made_site(site: &Path) {
    put(site, "index.html", "<!doctype html><title>Images</title>");
    for page in [
        "names.html",
        "style.css",
        "script.js",
        "icon.svg",
        "search.json",
    ] {
        put(site, &format!("_pages/_{page}"), page);
    }
    put(site, "oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let annotations = r#"{"org.stillage.apis":"v1,v2","org.stillage.format":"1"}"#;
    let index = format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{annotations}}}"#);
    put(site, "index.json", index);
    put(site, ".stillage/lock", "not content");
    put(site, "v1/_ping", "{}");
    let search =
        r#"{"num_results":0,"num_pages":1,"page":1,"page_size":25,"query":"","results":[]}"#;
    put(site, "v1/search", search);
    put(site, "v2/index.html", "{}");
    put(site, "v2/_catalog", r#"{"repositories":["sample/app"]}"#);
    for (extension, media_type) in TYPES {
        image(site, "sample/app", extension, extension, media_type);
    }
    for tag in ODD_TAGS {
        image(site, "sample/app", tag, "om", TYPES[0].1);
    }
    for name in ["tiny", "library/tiny"].iter().chain(&ODD_NAMES) {
        image(site, name, "latest", "d2", TYPES[2].1);
    }
}

/// One image with a tag, in both APIs.
fn image(site: &Path, name: &str, tag: &str, extension: &str, media_type: &str) {
    let config = format!(r#"{{"os":"linux","made-for":"{name}:{tag}"}}"#);
    let digest = blob(site, name, config.as_bytes());
    // Whatever its type, each has a `config`, which tests look for; one type comes without `mediaType`.
    let said = match extension {
        "om" => String::new(),
        _ => format!(r#""mediaType":"{media_type}","#),
    };
    let manifest = format!(r#"{{"schemaVersion":2,{said}"config":{{"digest":"{digest}"}}}}"#);
    let by_digest = format!("sha256:{}", sha256(manifest.as_bytes()));
    put(
        site,
        &format!("blobs/{}", by_digest.replace(':', "/")),
        &manifest,
    );
    for reference in [tag, &by_digest] {
        put(site, &format!("v2/{name}/manifests/{reference}"), &manifest);
    }
    for typed in [tag, &format!("{by_digest}/{by_digest}")] {
        let path = format!("v2/{name}/_types/{typed}.{extension}");
        put(site, &path, &manifest);
    }
    let tags = site.join(format!("v2/{name}/_tags"));
    fs::create_dir_all(&tags).unwrap();
    symlink(format!("../_types/{by_digest}"), tags.join(tag)).unwrap();
    let referrers = format!(r#"{{"schemaVersion":2,"manifests":[],"of":"{name}"}}"#);
    put(site, &format!("v2/{name}/referrers/{by_digest}"), referrers);
    let list = format!(r#"{{"name":"{name}","tags":["{tag}"]}}"#);
    put(site, &format!("v2/{name}/tags/list"), list);
    v1_image(site, name, tag, &sha256(config.as_bytes()));
}

/// The v1 form: one layer, whose id is the config's digest.
fn v1_image(site: &Path, name: &str, tag: &str, id: &str) {
    put(
        site,
        &format!("v1/images/{id}/json"),
        format!(r#"{{"id":"{id}"}}"#),
    );
    put(
        site,
        &format!("v1/images/{id}/ancestry"),
        format!(r#"["{id}"]"#),
    );
    put(site, &format!("v1/images/{id}/layer"), [0; 1024]);
    let folder = format!("v1/repositories/{name}");
    put(
        site,
        &format!("{folder}/images"),
        format!(r#"[{{"id":"{id}"}}]"#),
    );
    put(site, &format!("{folder}/tags/{tag}"), format!("\"{id}\""));
    for list in ["index.json", "index.html"] {
        let tags = format!(r#"{{"{tag}": "{id}"}}"#);
        put(site, &format!("{folder}/tags/{list}"), tags);
    }
}

/// Content in both of its places; its digest.
fn blob(site: &Path, name: &str, bytes: &[u8]) -> String {
    let hex = sha256(bytes);
    put(site, &format!("blobs/sha256/{hex}"), bytes);
    put(site, &format!("v2/{name}/blobs/sha256:{hex}"), bytes);
    format!("sha256:{hex}")
}
