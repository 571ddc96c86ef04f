//! The built-in server, and the lines that are written for other servers.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use stillage::images::Images;
use stillage::images::v1_images::V1Images;
use stillage::pages::Pages;
use stillage::plan::tree::File;
use stillage::plan::{Part, Plan};
use stillage::routes::Route;
use stillage::serve::answer_once;
use stillage::server_config::{Prefix, SERVERS, Setup};
use stillage::site_files::SiteFiles;
use stillage::site_files::catalogue::{Apis, Catalogue, ServedBy};
use stillage::spec::digest::Digest;
use stillage::spec::manifest::Manifest;
use stillage::spec::name::Reference;

use super::scratch;

/// The content of the one blob.
const BLOB: &[u8] = b"";

static SITE: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = scratch();
    let blob = Digest::of(BLOB);
    let list = r#"{"name":"app","tags":["1","2","3"]}"#.as_bytes();
    let results = r#"{"results":[{"name":"library/a"},{"name":"library/app"}]}"#.as_bytes();
    let referrers = r#"{"manifests":[{"artifactType":"x"},{"artifactType":"y"}]}"#.as_bytes();
    for (path, bytes) in [
        (format!("blobs/sha256/{}", blob.hex()), BLOB),
        (format!("v2/app/blobs/{blob}"), &[7; 1000][..]),
        ("v2/app/tags/list".into(), list),
        ("v2/_catalog".into(), br#"{"repositories":["a","app"]}"#),
        ("v2/app/manifests/1".into(), b"{}"),
        ("v2/app/_types/1.om".into(), b"{}"),
        (format!("v2/app/referrers/{blob}"), referrers),
        ("v1/search".into(), results),
        ("v1/_ping".into(), b"true"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
    fs::write(root.with_extension("secret"), "secret").expect("a file");
    root
});

/// An answer has a status of HTTP and never more than the longest file. The first line is the target,
/// those that follow are headers.
pub(super) fn http(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let target = lines.next().unwrap_or_default();
    if let Some(endpoint) = Route::of(target) {
        for file in endpoint.files() {
            let hidden = |part: &str| part.is_empty() || part.starts_with('.');
            assert!(!file.split('/').any(hidden), "{target:?} is {file:?}");
        }
    }
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    let Some((status, body)) = answer_once(&SITE, target, &headers) else {
        return;
    };
    let expected = [200, 206, 304, 400, 404, 416];
    assert!(expected.contains(&status), "{status} for {target:?}");
    assert!(body.len() < 3000 + 3 * target.len(), "{}", body.len());
    assert!(!body.windows(6).any(|word| word == b"secret") || target.contains("secret"));
}

/// Every tag has its line, and no name makes a line of its own.
pub(super) fn lines(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let bytes = format!(
        r#"{{"config":{{"digest":"{}","size":0}},"layers":[]}}"#,
        Digest::of(BLOB)
    );
    let manifest = Manifest::parse(bytes.into_bytes().into(), None).expect("a manifest");
    let manifest = Arc::new(manifest);
    let mut images = Images::default();
    for name in text.split_whitespace().take(20) {
        let Ok(reference) = name.parse::<Reference>() else {
            continue;
        };
        images.add_manifest(&reference.repository, manifest.clone(), None);
        if let Some(tag) = reference.tag {
            let repo = images.repositories.entry(reference.repository).or_default();
            repo.tags.insert(tag, manifest.digest);
        }
    }
    let mut catalogue = Catalogue::empty(Apis {
        v1: false,
        v2: true,
    });
    catalogue.servers.insert(ServedBy::Apache);
    catalogue.repositories.clone_from(&images.repositories);
    let v1 = V1Images::default();
    let plan = Plan {
        catalogue: &catalogue,
        images: &images,
        v1: &v1,
        pages: &Pages::of_images(&catalogue, &images),
    };
    htaccess(&plan);
    maps(plan);
}

fn htaccess(plan: &Plan<'_>) {
    for (repository, repo) in &plan.images.repositories {
        let tree = plan.tree(Part::Repository(repository));
        let tree = tree.expect("legal names can be planned");
        for (path, _, file) in tree
            .files()
            .filter(|(path, ..)| path.ends_with("/.htaccess"))
        {
            let File::TagLines { new: bytes, .. } = file else {
                panic!("{path}")
            };
            let text = std::str::from_utf8(bytes).expect("text");
            assert_eq!(text.lines().count(), repo.tags.len() + 1, "{text}");
            for line in text.lines().skip(1) {
                let rest = line.strip_prefix("SetEnvIf Request_URI \"^/v2/");
                let pattern = rest.and_then(|rest| rest.split_once("$\" manifest=sha256:"));
                let (pattern, _) = pattern.unwrap_or_else(|| panic!("{line}"));
                let unescaped = pattern.replace("\\.", "");
                let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_');
                assert!(unescaped.chars().all(known), "{line}");
            }
        }
    }
}

/// The map has a line for each file of an image whose layer has a length.
fn maps(plan: Plan<'_>) {
    let setup = Setup {
        site: SiteFiles::new(&**SITE),
        listen: "5000".parse().expect("a port"),
        prefix: Prefix::default(),
        exact: true,
        conf_d: false,
        auth: None,
        output: Some("nginx.conf".into()),
        plan: Some(plan),
    };
    let nginx = SERVERS.iter().find(|server| server.name == "nginx");
    let mut out = Vec::new();
    let files = (nginx.expect("nginx is a server").render)(&setup).expect("a configuration");
    files[1].write(&mut out).expect("maps can be written");
    let text = String::from_utf8(out).expect("text");
    assert!(text.ends_with("    default \"\";\n}\n"), "{text}");
}
