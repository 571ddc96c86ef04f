//! Signatures: a policy that demands one is met by a site, and refuses what has none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::archive::{Archive, Image};
use crate::support::clients::Podman;
use crate::support::distribution::Distribution;
use crate::support::files::digest;
use crate::support::machine::Machine;
use crate::support::place::{Place, image};
use crate::support::process::{run, tool};
use crate::support::servers::nginx::Nginx;
use crate::support::site::{assert_same, build, stderr, tree, verify};

/// Who the images say they are; the policy does not ask the server.
const IDENTITY: &str = "registry.example/app";

/// Keys, and what clients are configured with.
struct Signer<'a> {
    place: &'a Place,
}

impl Signer<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    fn gpg(&self) -> Command {
        let mut gpg = Command::new(tool("gpg"));
        gpg.args(["--batch", "--quiet", "--homedir"])
            .arg(self.path("gpg"));
        gpg
    }

    /// A signature by GPG of a manifest.
    fn simple(&self, manifest: &[u8]) -> Vec<u8> {
        let home = self.path("gpg");
        if !home.exists() {
            fs::create_dir(&home).unwrap();
            let key = [
                "--passphrase",
                "",
                "--quick-gen-key",
                "test@registry.example",
            ];
            run(self.gpg().args(key)).unwrap();
            let public = [
                "--output",
                self.path("public.gpg").to_str().unwrap(),
                "--export",
            ]
            .map(str::to_owned);
            run(self.gpg().args(public)).unwrap();
        }
        fs::write(self.path("payload"), payload(manifest)).unwrap();
        let signed = self.path("signature");
        let _ = fs::remove_file(&signed);
        run(self
            .gpg()
            .arg("--output")
            .arg(&signed)
            .arg("--sign")
            .arg(self.path("payload")))
        .unwrap();
        fs::read(signed).unwrap()
    }

    /// A signature in the form of sigstore of a manifest.
    fn sigstore(&self, manifest: &[u8]) -> Vec<u8> {
        let (key, public) = (self.path("key.pem"), self.path("public.pem"));
        let openssl = || Command::new(tool("openssl"));
        if !key.exists() {
            let curve = [
                "ecparam",
                "-name",
                "prime256v1",
                "-genkey",
                "-noout",
                "-out",
            ];
            run(openssl().args(curve).arg(&key)).unwrap();
            run(openssl()
                .args(["ec", "-pubout", "-in"])
                .arg(&key)
                .arg("-out")
                .arg(&public))
            .unwrap();
        }
        let payload = payload(manifest);
        let (file, signed) = (self.path("payload"), self.path("signature"));
        fs::write(&file, &payload).unwrap();
        let sign = ["dgst", "-sha256", "-sign"];
        run(openssl()
            .args(sign)
            .arg(&key)
            .arg("-out")
            .arg(&signed)
            .arg(&file))
        .unwrap();
        let signature = STANDARD.encode(fs::read(signed).unwrap());
        let json = json!({
            "mimeType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "payload": STANDARD.encode(payload),
            "annotations": {"dev.cosignproject.cosign/signature": signature},
        });
        format!("\0sigstore-json\n{json}").into_bytes()
    }

    /// `skopeo copy` of a tag to a `dir:` folder, with a policy that demands signatures of this kind.
    fn pull(&self, port: u16, name: &str, requirement: &Value) -> (bool, String) {
        let folder = self.path("pulled");
        let _ = fs::remove_dir_all(&folder);
        let policy = json!({"default": [requirement]});
        fs::write(self.path("policy.json"), policy.to_string()).unwrap();
        configure(&self.path("registries.d"), port);
        let output = Command::new(tool("skopeo"))
            .arg("--policy")
            .arg(self.path("policy.json"))
            .arg("--registries.d")
            .arg(self.path("registries.d"))
            .args(["copy", "--src-tls-verify=false"])
            .arg(format!("docker://127.0.0.1:{port}/{name}"))
            .arg(format!("dir:{}", folder.display()))
            .output()
            .unwrap();
        (output.status.success(), stderr(&output))
    }

    fn by_gpg(&self) -> Value {
        json!({
            "type": "signedBy",
            "keyType": "GPGKeys",
            "keyPath": self.path("public.gpg"),
            "signedIdentity": {"type": "exactRepository", "dockerRepository": IDENTITY},
        })
    }

    /// Whether a signature in the form of sigstore is one of this manifest by the key. Debian's skopeo copies them,
    /// and refuses every policy that demands them ("Debian-local change: sigstore disabled").
    fn has_signed(&self, signature: &[u8], manifest: &[u8]) -> bool {
        let json: Value = match signature.strip_prefix(b"\0sigstore-json\n") {
            Some(json) => serde_json::from_slice(json).unwrap(),
            None => return false,
        };
        let decoded = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
        let payload = decoded(&json["payload"]);
        let (file, signature) = (self.path("payload"), self.path("signature"));
        fs::write(&file, &payload).unwrap();
        let by_key = &json["annotations"]["dev.cosignproject.cosign/signature"];
        fs::write(&signature, decoded(by_key)).unwrap();
        let mut verify = Command::new(tool("openssl"));
        verify
            .args(["dgst", "-sha256", "-verify"])
            .arg(self.path("public.pem"));
        verify.arg("-signature").arg(&signature).arg(&file);
        let signed: Value = serde_json::from_slice(&payload).unwrap();
        run(&mut verify).is_ok()
            && signed["critical"]["image"]["docker-manifest-digest"] == digest(manifest)
    }
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// What a signature signs (containers/image `docs/containers-signature.5.md`).
fn payload(manifest: &[u8]) -> String {
    json!({
        "critical": {
            "identity": {"docker-reference": format!("{IDENTITY}:1")},
            "image": {"docker-manifest-digest": digest(manifest)},
            "type": "atomic container signature",
        },
        // Of two signatures within a second by GPG, none is the other.
        "optional": {"number": NUMBER.fetch_add(1, Ordering::Relaxed)},
    })
    .to_string()
}

fn configure(folder: &Path, port: u16) {
    fs::create_dir_all(folder).unwrap();
    let host = format!("127.0.0.1:{port}");
    let text = format!(
        "docker:\n  {host}:\n    lookaside: http://{host}/lookaside\n    use-sigstore-attachments: true\n"
    );
    fs::write(folder.join("site.yaml"), text).unwrap();
}

type Sign<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// A `dir:` folder of an image, with these signatures of its manifest.
fn folder(place: &Place, name: &str, image: &Image, sign: &[Sign<'_>]) -> String {
    let path = place.path(name);
    Archive::dir(image).folder(&path);
    let manifest = fs::read(path.join("manifest.json")).unwrap();
    for (number, sign) in (1..).zip(sign) {
        fs::write(path.join(format!("signature-{number}")), sign(&manifest)).unwrap();
    }
    path.to_str().unwrap().to_owned()
}

#[test]
fn policies_that_demand_signatures_are_met() {
    let place = Place::new();
    let signer = Signer { place: &place };
    let (simple, sigstore) = (
        |manifest: &[u8]| signer.simple(manifest),
        |manifest: &[u8]| signer.sigstore(manifest),
    );
    let both = folder(&place, "both", &image("", "both"), &[&simple, &sigstore]);
    let none = folder(&place, "none", &image("", "none"), &[]);
    place.build(&[
        &format!("dir:{both}=app:1"),
        &format!("dir:{none}=app:none"),
    ]);
    let nginx = Nginx::start(&place.site());
    let (is_pulled, said) = signer.pull(nginx.port, "app:none", &signer.by_gpg());
    assert!(!is_pulled && said.contains("signature"), "{said}");
    let (is_pulled, said) = signer.pull(nginx.port, "app:1", &signer.by_gpg());
    assert!(is_pulled, "{said}\n{}", nginx.log());
    let pulled = |name: &str| fs::read(place.path("pulled").join(name)).unwrap();
    let is_signed = |name| signer.has_signed(&pulled(name), &pulled("manifest.json"));
    assert!(is_signed("signature-1") || is_signed("signature-2"));
    // What was pulled has all signatures, and gives the same site.
    let again = Place::new();
    let pulled = format!("dir:{}=app:1", place.path("pulled").display());
    again.build(&[&pulled]);
    let site = Place::new();
    site.build(&[&format!("dir:{both}=app:1")]);
    assert_same(&tree(&again.site()), &tree(&site.site()));
    assert!(site.has("lookaside/library"));
}

#[test]
fn signatures_travel_from_site_to_site_and_are_kept() {
    let place = Place::new();
    let signer = Signer { place: &place };
    let simple = |manifest: &[u8]| signer.simple(manifest);
    let one = folder(&place, "one", &image("", "one"), &[&simple]);
    let source = format!("dir:{one}=app:1");
    place.build(&[&source]);
    let path = |number: u32| {
        let hex = image("", "one").manifest_digest().replace("sha256:", "");
        format!("lookaside/app@sha256={hex}/signature-{number}")
    };
    let first = place.read(&path(1));
    // A second signature gets the next number, here and in a site that has the first one from another source.
    let two = folder(&place, "two", &image("", "one"), &[&simple]);
    place.build(&[&format!("dir:{two}=app:1")]);
    assert_eq!(place.read(&path(1)), first);
    assert!(place.has(&path(2)) && !place.has(&path(3)));
    let copy = Place::new();
    copy.build(&[&format!("site:{}:app:1", place.site().display())]);
    assert!(copy.has(&path(2)));
    let prune = ["prune", "--grace", "0s", copy.site().to_str().unwrap()].map(str::to_owned);
    run(&mut crate::support::site::stillage(prune)).unwrap();
    verify(&copy.site());
    assert!(copy.has(&path(2)));
    // They go with their image.
    let remove = ["remove", copy.site().to_str().unwrap(), "app:1"].map(str::to_owned);
    run(&mut crate::support::site::stillage(remove)).unwrap();
    let prune = ["prune", "--grace", "0s", copy.site().to_str().unwrap()].map(str::to_owned);
    run(&mut crate::support::site::stillage(prune)).unwrap();
    assert!(!copy.has("lookaside"));
}

/// What skopeo makes of signatures in the form of sigstore when it pushes them to a registry.
#[test]
fn the_signature_tag_is_that_of_skopeo() {
    let place = Place::new();
    let signer = Signer { place: &place };
    let sigstore = |manifest: &[u8]| signer.sigstore(manifest);
    let path = folder(
        &place,
        "signed",
        &image("", "signed"),
        &[&sigstore, &sigstore],
    );
    place.build(&[&format!("dir:{path}=app:1")]);
    let registry = Distribution::start();
    configure(&place.path("registries.d"), registry.port);
    run(Command::new(tool("skopeo"))
        .arg("--insecure-policy")
        .arg("--registries.d")
        .arg(place.path("registries.d"))
        .args(["copy", "--dest-tls-verify=false"])
        .arg(format!("dir:{path}"))
        .arg(format!("docker://127.0.0.1:{}/app:1", registry.port)))
    .unwrap();
    let pushed = Place::new();
    build(
        &[format!("registry-v2:{}", registry.storage().display())],
        &pushed.site(),
    );
    let tag = image("", "signed").manifest_digest().replace(':', "-");
    let path = format!("v2/app/manifests/{tag}.sig");
    assert_eq!(
        String::from_utf8(place.read(&path)).unwrap(),
        String::from_utf8(pushed.read(&path)).unwrap()
    );
}

/// The files that `clients` prints, with the key set: by the name of the site the identity is remapped, by that of the
/// registry it is that which was signed.
#[test]
fn the_policy_of_the_client_files_is_met() {
    let place = Place::new();
    let signer = Signer { place: &place };
    let simple = |manifest: &[u8]| signer.simple(manifest);
    let sigstore = |manifest: &[u8]| signer.sigstore(manifest);
    let both = folder(&place, "both", &image("", "both"), &[&simple, &sigstore]);
    let none = folder(&place, "none", &image("", "none"), &[]);
    let sources = [
        format!("dir:{both}={IDENTITY}:1"),
        format!("dir:{none}={IDENTITY}:none"),
    ];
    place.build(&[&sources[0], &sources[1], "--full-names"]);
    let nginx = Nginx::start(&place.site());
    let host = format!("127.0.0.1:{}", nginx.port);
    let out = place.path("clients");
    let mut clients =
        crate::support::site::stillage(["clients", "--url", &format!("http://{host}"), "-o"]);
    run(clients.arg(&out).arg(place.site())).unwrap();
    let machine = Machine::new("mirror.test", "127.0.0.1");
    machine.install(&out.join("podman/etc"));
    let example = fs::read_to_string(machine.path("containers/policy.json.example")).unwrap();
    let key = place.path("public.gpg").display().to_string();
    let policy = example.replace("/etc/pki/containers/key.gpg", &key);
    fs::write(machine.path("containers/policy.json"), policy).unwrap();
    for name in [IDENTITY.to_owned(), format!("{host}/{IDENTITY}")] {
        for (tag, is_signed) in [("1", true), ("none", false)] {
            let reference = format!("{name}:{tag}");
            let pulled = place.path("pulled");
            let _ = fs::remove_dir_all(&pulled);
            let mut skopeo = Command::new(tool("skopeo"));
            skopeo.args(["copy", "--quiet", &format!("docker://{reference}")]);
            let copied = run(&mut machine.on(skopeo.arg(format!("dir:{}", pulled.display()))));
            let podman = Podman::new();
            let mut pull = podman.command();
            let taken = run(&mut machine.on(pull.args(["pull", "--quiet", &reference])));
            for result in [&copied, &taken] {
                match result {
                    Ok(_) => assert!(is_signed, "{reference}"),
                    Err(error) => {
                        let said = error.to_string();
                        assert!(
                            !is_signed && said.contains("signature"),
                            "{reference}: {said}"
                        );
                    }
                }
            }
            if is_signed {
                let read = |name: &str| fs::read(pulled.join(name)).unwrap();
                let is_signed = |name| signer.has_signed(&read(name), &read("manifest.json"));
                assert!(is_signed("signature-1") || is_signed("signature-2"));
            }
        }
    }
}
