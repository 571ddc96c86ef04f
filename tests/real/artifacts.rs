//! What is no image: Helm charts, models of Ollama, WebAssembly. Where a client cannot be installed, its requests are
//! sent as they were read from its source, and what it wants of the answers is checked.

use serde_json::{Value, json};

use crate::support::archive::{Archive, gzip};
use crate::support::clients::Oras;
use crate::support::files::digest;
use crate::support::http::{self, Response};
use crate::support::place::Place;
use crate::support::servers::SERVERS;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// An artifact: its name, the type of its manifest, its config, and its layers.
struct Artifact {
    name: &'static str,
    media_type: &'static str,
    config: (&'static str, Value),
    layers: Vec<(&'static str, Vec<u8>)>,
}

fn artifacts() -> [Artifact; 3] {
    let model: Vec<u8> = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
    [
        Artifact {
            name: "charts/app:1.0.0_1",
            media_type: OCI,
            config: (
                "application/vnd.cncf.helm.config.v1+json",
                json!({"name": "app", "version": "1.0.0+1", "apiVersion": "v2"}),
            ),
            layers: vec![(
                "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                gzip(b"Chart.yaml"),
            )],
        },
        Artifact {
            name: "library/model:latest",
            media_type: DOCKER,
            // The type is that of an image, the content is not.
            config: (
                "application/vnd.docker.container.image.v1+json",
                json!({"model_format": "gguf", "architecture": "amd64", "os": "linux",
                    "rootfs": {"type": "layers", "diff_ids": [digest(&model), digest(b"MIT")]}}),
            ),
            layers: vec![
                ("application/vnd.ollama.image.model", model),
                ("application/vnd.ollama.image.license", b"MIT".to_vec()),
            ],
        },
        Artifact {
            name: "wasm/component:0.1.0",
            media_type: OCI,
            config: (
                "application/vnd.wasm.config.v0+json",
                json!({"architecture": "wasm", "os": "wasip2"}),
            ),
            layers: vec![("application/wasm", b"\0asm\x0d\0\x01\0".to_vec())],
        },
    ]
}

/// A site of the artifacts, from a layout.
fn site() -> Place {
    let mut archive = Archive::default();
    let mut entries = Vec::new();
    for artifact in artifacts() {
        let (kind, config) = &artifact.config;
        let config = archive.blob(kind, config.to_string().as_bytes());
        let layers = artifact.layers.iter();
        let layers: Vec<Value> = layers
            .map(|(kind, bytes)| archive.blob(kind, bytes))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": artifact.media_type,
            "config": config, "layers": layers,
        });
        let mut entry = archive.blob(artifact.media_type, manifest.to_string().as_bytes());
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": artifact.name});
        entries.push(entry);
    }
    let place = Place::new();
    archive
        .json(
            "index.json",
            &json!({"schemaVersion": 2, "manifests": entries}),
        )
        .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
        .folder(&place.path("layout"));
    let layout = place.path("layout");
    place.build(&[layout.to_str().unwrap(), "--server", "apache"]);
    place
}

fn get(port: u16, path: &str, headers: &[(&str, &str)]) -> Response {
    http::send(port, "GET", path, headers).unwrap()
}

/// Ollama (`server/images.go`, `server/download.go`): a manifest without a ping, then each blob in parts from where the
/// answer of a first request says that it is.
fn pull_by_ollama(port: u16, artifact: &Artifact) -> Vec<Vec<u8>> {
    let (name, tag) = artifact.name.rsplit_once(':').unwrap();
    let manifest = get(
        port,
        &format!("/v2/{name}/manifests/{tag}"),
        &[("Accept", DOCKER)],
    );
    assert_eq!(manifest.status, 200);
    let manifest: Value = serde_json::from_slice(&http::whole(&manifest)).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    layers
        .iter()
        .map(|layer| {
            let wanted = layer["digest"].as_str().unwrap();
            let path = format!("/v2/{name}/blobs/{wanted}");
            let head = http::send(port, "HEAD", &path, &[]).unwrap();
            let length: usize = head.header("Content-Length").unwrap().parse().unwrap();
            let first = get(port, &path, &[]);
            assert_eq!(first.status, 200);
            let location = first.header("Location").expect("where it is");
            let folder = path.rsplit_once('/').unwrap().0;
            let direct = match location.strip_prefix("./") {
                Some(beside) => format!("{folder}/{beside}"),
                None => location.to_owned(),
            };
            let mut whole = Vec::new();
            while whole.len() < length {
                let end = (whole.len() + 500_000).min(length) - 1;
                let range = format!("bytes={}-{end}", whole.len());
                let piece = get(port, &direct, &[("Range", &range)]);
                assert_eq!(piece.status, 206, "{range}");
                whole.extend(http::whole(&piece));
            }
            assert_eq!(digest(&whole), wanted);
            whole
        })
        .collect()
}

/// Helm (`pkg/registry`, oras-go): a manifest by its tag, whose answer has type and length, and blobs of their length.
fn pull_by_helm(port: u16, artifact: &Artifact) -> Vec<Vec<u8>> {
    let accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, application/vnd.oci.artifact.manifest.v1+json";
    let (name, tag) = artifact.name.rsplit_once(':').unwrap();
    let answer = get(
        port,
        &format!("/v2/{name}/manifests/{tag}"),
        &[("Accept", accept)],
    );
    assert_eq!(answer.header("Content-Type"), Some(OCI));
    let body = http::whole(&answer);
    assert_eq!(
        answer.header("Docker-Content-Digest"),
        Some(&*digest(&body))
    );
    let manifest: Value = serde_json::from_slice(&body).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    layers
        .iter()
        .map(|layer| {
            let blob = layer["digest"].as_str().unwrap();
            let answer = get(port, &format!("/v2/{name}/blobs/{blob}"), &[]);
            assert_eq!(
                answer.header("Content-Length"),
                Some(&*layer["size"].to_string())
            );
            http::whole(&answer)
        })
        .collect()
}

/// wkg (`oci-client`): the tags, then the manifest and the first layer.
fn pull_by_wkg(port: u16, artifact: &Artifact) -> Vec<Vec<u8>> {
    let (name, tag) = artifact.name.rsplit_once(':').unwrap();
    let list = get(port, &format!("/v2/{name}/tags/list"), &[]);
    let list: Value = serde_json::from_slice(&http::whole(&list)).unwrap();
    assert_eq!(list["tags"], json!([tag]));
    pull_by_helm(port, artifact)
}

#[test]
fn charts_models_and_components_are_pulled() {
    let site = site();
    let [chart, model, component] = artifacts();
    for server in SERVERS {
        let running = server.start(&site.site());
        let port = running.port;
        let layers = |artifact: &Artifact| -> Vec<Vec<u8>> {
            artifact
                .layers
                .iter()
                .map(|(_, bytes)| bytes.clone())
                .collect()
        };
        assert_eq!(
            pull_by_ollama(port, &model),
            layers(&model),
            "{}",
            server.name
        );
        assert_eq!(
            pull_by_helm(port, &chart),
            layers(&chart),
            "{}",
            server.name
        );
        assert_eq!(
            pull_by_wkg(port, &component),
            layers(&component),
            "{}",
            server.name
        );
        for artifact in [&chart, &component] {
            let reference = format!("127.0.0.1:{port}/{}", artifact.name);
            assert_eq!(
                Oras::pull(&reference).unwrap(),
                layers(artifact),
                "{}",
                server.name
            );
        }
    }
}
