//! An image with a signed manifest of Docker schema 1: no sample has one, a registry makes it.

use std::path::Path;

use super::clients::Skopeo;
use super::distribution::Distribution;
use super::expected::{Expected, Kind, expected};
use super::process::run;
use super::site::build;
use super::temp::TempDir;

const NAME: &str = "samples/schema1";

/// The sample that is pushed as schema 1.
const SAMPLE: &str = "skopeo-1.9-docker-archive";

/// Adds the image to a site as distribution hands it out: unsigned in its storage, it is signed for
/// each client.
pub(crate) fn add_schema1(site: &Path) -> Expected {
    let registry = Distribution::start();
    let folder = TempDir::new("schema1");
    let copy = folder.path().join("copy");
    let copy = copy.to_str().unwrap();
    let skopeo = Skopeo::new();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/");
    let archive = format!("docker-archive:{archive}{SAMPLE}.tar");
    let pushed = format!("docker://127.0.0.1:{}/old/schema1:1", registry.port);
    let mut push = skopeo.command();
    push.args(["copy", "--quiet", "--dest-tls-verify=false"]);
    run(push.args(["--format", "v2s1", &archive, &pushed])).unwrap();
    let mut pull = skopeo.command();
    pull.args(["copy", "--quiet", "--src-tls-verify=false"]);
    run(pull.args([&pushed, &format!("dir:{copy}")])).unwrap();
    build(&[format!("dir:{copy}={NAME}:1")], site);
    let digest = run(skopeo
        .command()
        .arg("manifest-digest")
        .arg(format!("{copy}/manifest.json")));
    of_sample(digest.unwrap().trim())
}

/// The facts of the sample hold, but for its manifest.
fn of_sample(manifest_digest: &str) -> Expected {
    let name = format!("samples/{SAMPLE}");
    let mut all = expected().into_iter();
    let mut sample = all.find(|sample| sample.name == name).unwrap();
    // What has no config has no v1 form either.
    sample.images[0].v1_ids.clear();
    Expected {
        name: NAME.into(),
        tag: Some("1".into()),
        kind: Kind::Schema1,
        manifest_digest: Some(manifest_digest.into()),
        ..sample
    }
}
