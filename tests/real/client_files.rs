//! What `stillage clients` prints, used by the real clients as it is: over TLS with a CA of their own, by the names of the
//! registries that the site mirrors. With another CA, each refuses the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mirrors::{digest, mirror};
use crate::support::clients::{Ctr, Docker, Podman};
use crate::support::files;
use crate::support::machine::Machine;
use crate::support::process::{Daemon, run, tool};
use crate::support::servers::free_port;
use crate::support::site::{json, stillage, succeed};
use crate::support::temp::TempDir;

mod printed;

/// The name of the server. It is not on 127.0.0.1, whose certificates Docker does not check.
const HOST: &str = "mirror.test";

/// A CA and a certificate of it for the server, made as the README says.
pub(crate) fn authority(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let openssl = |args: &[&str]| {
        run(Command::new(tool("openssl")).args(args).current_dir(folder)).unwrap();
    };
    #[rustfmt::skip]
    let lines: [&[&str]; 3] = [
        &["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=Our CA",
          "-keyout", "ca.key", "-out", "ca.pem"],
        &["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mirror.test", "-addext",
          "subjectAltName=DNS:mirror.test", "-keyout", "key.pem", "-out", "server.csr"],
        &["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
          "-days", "365", "-copy_extensions", "copy", "-out", "server.pem"],
    ];
    for line in lines {
        openssl(line);
    }
}

/// A site that a server serves over TLS on `[::1]`, and files for its clients.
struct Served {
    _server: Daemon,
    site: TempDir,
    folder: TempDir,
    /// As in names of images.
    host: String,
}

impl Served {
    fn start() -> Self {
        let (site, folder) = (mirror(), TempDir::new("client-files"));
        authority(&folder.path().join("ours"));
        authority(&folder.path().join("other"));
        let port = free_port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (listen, root) = (format!("[::1]:{port}"), site.path().display().to_string());
        let (cert, key) = (at("ours/server.pem"), at("ours/key.pem"));
        let args = [
            "serve",
            &root,
            "--listen",
            &listen,
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
        ];
        let program = Path::new(env!("CARGO_BIN_EXE_stillage"));
        let server = Daemon::start(program, &args, Path::new(&at("log")))
            .wait_until(|| std::net::TcpStream::connect(("::1", port)).is_ok());
        Self {
            _server: server,
            site,
            folder,
            host: format!("{HOST}:{port}"),
        }
    }

    /// The files for clients that know this CA.
    fn files(&self, ca: &str) -> PathBuf {
        let out = self.folder.path().join(format!("clients-{ca}"));
        let ca = self.folder.path().join(ca).join("ca.pem");
        let url = format!("https://{}", self.host);
        let mut clients = stillage(["clients", "--url", &url]);
        clients.arg("--ca").arg(ca).arg("-o").arg(&out);
        succeed(clients.arg(self.site.path()));
        out
    }

    /// A machine with the files of a client.
    fn machine(&self, ca: &str, client: &str) -> Machine {
        let machine = Machine::new(HOST, "::1");
        machine.install(&self.files(ca).join(client).join("etc"));
        machine
    }

    fn digest(&self, name: &str) -> String {
        digest(self.site.path(), name, "1")
    }
}

#[test]
fn docker_takes_its_files() {
    let served = Served::start();
    let hub = served.digest("docker.io/library/tiny");
    let org = served.digest("quay.io/org/tiny");
    let by_name = format!("{}/quay.io/org/tiny", served.host);
    let pull = |docker: &Docker, name: &str| {
        run(docker.command().args(["pull", "--quiet", name]))
            .and_then(|_| docker.inspect(name))
            .map(|image| image["RepoDigests"][0].as_str().unwrap().to_owned())
    };
    let ours = served.machine("ours", "docker");
    let docker = Docker::start_by(&ours.words(), &[]);
    assert_eq!(pull(&docker, "tiny:1").unwrap(), format!("tiny@{hub}"));
    assert_eq!(
        pull(&docker, &format!("{by_name}:1")).unwrap(),
        format!("{by_name}@{org}")
    );
    drop(docker);
    let other = served.machine("other", "docker");
    let docker = Docker::start_by(&other.words(), &[]);
    assert!(pull(&docker, "tiny:1").is_err());
    let refused = pull(&docker, &format!("{by_name}:1"))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("certificate"), "{refused}");
}

#[test]
fn containerd_takes_its_files() {
    let served = Served::start();
    let own = format!("{}/quay.io/org/tiny:1", served.host);
    let pull = |machine: &Machine, ctr: &Ctr, folder: &str, name: &str| {
        let mut pull = ctr.command();
        pull.args([
            "images",
            "pull",
            "--snapshotter",
            "native",
            "--hosts-dir",
            folder,
            name,
        ]);
        run(&mut machine.on(&pull)).and_then(|_| ctr.target(name))
    };
    let names = [
        (
            "docker.io/library/tiny:1",
            served.digest("docker.io/library/tiny"),
        ),
        ("quay.io/org/tiny:1", served.digest("quay.io/org/tiny")),
        (&own, served.digest("quay.io/org/tiny")),
    ];
    let certs = "/etc/containerd/certs.d";
    let (ours, other) = (
        served.machine("ours", "containerd"),
        served.machine("other", "containerd"),
    );
    let ctr = Ctr::start();
    for (name, digest) in &names {
        assert_eq!(&pull(&ours, &ctr, certs, name).unwrap(), digest, "{name}");
    }
    // `_default` alone does for all registries.
    fs::remove_dir_all(ours.path("containerd/certs.d/quay.io")).unwrap();
    let ctr = Ctr::start();
    assert_eq!(pull(&ours, &ctr, certs, names[1].0).unwrap(), names[1].1);
    assert!(pull(&ours, &ctr, certs, "ghcr.test/library/tiny:1").is_err());
    let ctr = Ctr::start();
    for (name, _) in &names {
        let refused = pull(&other, &ctr, certs, name).unwrap_err().to_string();
        // What is not the site's own name is then asked of the registry itself.
        assert!(
            *name != own || refused.contains("certificate"),
            "{name}: {refused}"
        );
    }
    // What is added to its configuration is understood.
    let added = served.files("ours").join("containerd/config.toml");
    let config = served.folder.path().join("config.toml");
    fs::copy(added, &config).unwrap();
    let mut dump = Command::new(tool("containerd"));
    let dump = run(dump.arg("--config").arg(&config).args(["config", "dump"])).unwrap();
    assert!(
        dump.contains(&format!("config_path = \"{certs}\"")),
        "{dump}"
    );
    // k3s makes a `hosts.toml` of each mirror: its endpoint, with the name rewritten.
    let k3s = served.machine("ours", "k3s");
    let yaml = fs::read_to_string(k3s.path("rancher/k3s/registries.yaml")).unwrap();
    let hosts = k3s.path("rancher/hosts");
    let ca = k3s.path("rancher/k3s/registry-ca.crt");
    assert!(
        yaml.contains("ca_file: /etc/rancher/k3s/registry-ca.crt") && ca.exists(),
        "{yaml}"
    );
    let mirrors = yaml
        .split("mirrors:\n")
        .nth(1)
        .unwrap()
        .split("configs:")
        .next()
        .unwrap();
    let mut count = 0;
    for mirror in mirrors
        .split("\n  \"")
        .map(|mirror| mirror.trim_start().trim_start_matches('"'))
    {
        let name = mirror.split('"').next().unwrap();
        let quoted = |after: &str| Some(mirror.split(after).nth(1)?.split('"').nth(1)?.to_owned());
        let endpoint = quoted("endpoint:").unwrap();
        let rewrite = mirror.split("\"^(.*)$\": \"").nth(1);
        let below = rewrite.map_or("", |rewrite| rewrite.split("/$1\"").next().unwrap());
        let toml = format!(
            "server = \"{endpoint}\"\n[host.\"{endpoint}/v2/{below}\"]\ncapabilities = [\"pull\", \"resolve\"]\n\
             override_path = true\nca = \"{}\"\n",
            ca.display()
        );
        fs::create_dir_all(hosts.join(name)).unwrap();
        fs::write(hosts.join(name).join("hosts.toml"), toml).unwrap();
        count += 1;
    }
    assert_eq!(count, 3, "{yaml}");
    let ctr = Ctr::start();
    // The namespace has a folder for what k3s does not have.
    let machine = Machine::new(HOST, "::1");
    for (name, digest) in &names[..2] {
        assert_eq!(
            &pull(&machine, &ctr, hosts.to_str().unwrap(), name).unwrap(),
            digest,
            "{name}"
        );
    }
}

/// An `/etc/containers` with a policy.
fn containers(served: &Served, ca: &str, policy: &str) -> Machine {
    let machine = served.machine(ca, "podman");
    fs::write(machine.path("containers/policy.json"), policy).unwrap();
    machine
}

const ANYTHING: &str = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;

#[test]
fn podman_and_skopeo_take_their_files() {
    let served = Served::start();
    let own = format!("{}/quay.io/org/tiny:1", served.host);
    let names = [
        (
            "docker.io/library/tiny:1",
            served.digest("docker.io/library/tiny"),
        ),
        ("quay.io/org/tiny:1", served.digest("quay.io/org/tiny")),
        (&own, served.digest("quay.io/org/tiny")),
    ];
    let (ours, other) = (
        containers(&served, "ours", ANYTHING),
        containers(&served, "other", ANYTHING),
    );
    for (name, digest) in &names {
        let podman = Podman::new();
        let pull = |machine: &Machine| {
            let mut pull = podman.command();
            run(&mut machine.on(pull.args(["pull", "--quiet", name])))
        };
        pull(&ours).unwrap();
        let mut inspect = podman.command();
        inspect.args(["image", "inspect", "--format", "{{.Digest}}", name]);
        assert_eq!(run(&mut inspect).unwrap().trim(), digest, "{name}");
        let copy = |machine: &Machine| {
            let work = TempDir::new("skopeo");
            let folder = work.path().join("copy");
            let mut skopeo = Command::new(tool("skopeo"));
            skopeo.args(["copy", "--quiet", &format!("docker://{name}")]);
            run(&mut machine.on(skopeo.arg(format!("dir:{}", folder.display()))))?;
            anyhow::Ok(files::digest(&fs::read(folder.join("manifest.json"))?))
        };
        assert_eq!(&copy(&ours).unwrap(), digest, "{name}");
        for refused in [pull(&other), copy(&other)] {
            let said = refused.unwrap_err().to_string();
            assert!(
                *name != own || said.contains("certificate"),
                "{name}: {said}"
            );
        }
    }
}

/// The rules that the documentation of Docker 1.x has: a file for the CA, named by host and port, and one option.
#[test]
fn docker_1_gets_what_it_documents() {
    let served = Served::start();
    let file = served
        .files("ours")
        .join("docker-1/etc/docker/certs.d")
        .join(&served.host)
        .join("ca.crt");
    let (name, port) = served.host.split_once(':').unwrap();
    let ping = |ca: &Path| {
        let mut curl = Command::new(tool("curl"));
        curl.args(["--silent", "--show-error", "--fail", "--resolve"])
            .arg(format!("{name}:{port}:[::1]"));
        run(curl
            .arg("--cacert")
            .arg(ca)
            .arg(format!("https://{}/v1/_ping", served.host)))
    };
    assert_eq!(ping(&file).unwrap(), "{}");
    assert!(ping(&served.folder.path().join("other/ca.pem")).is_err());
    let out = served.folder.path().join("plain");
    let mut clients = stillage(["clients", "--url", "http://mirror.test:5000", "-o"]);
    succeed(clients.arg(&out).arg(served.site.path()));
    let options = fs::read_to_string(out.join("docker-1/etc/default/docker")).unwrap();
    assert!(
        options.contains("\nDOCKER_OPTS=\"--insecure-registry mirror.test:5000\"\n"),
        "{options}"
    );
    let daemon = json(out.join("docker/etc/docker/daemon.json"));
    assert_eq!(daemon["insecure-registries"][0], "mirror.test:5000");
}

/// Every command pulls something that the site has, by one of its names.
#[test]
fn the_commands_name_what_the_site_has() {
    let served = Served::start();
    let text = fs::read_to_string(served.files("ours").join("pull/pull.txt")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let catalogue = json(served.site.path().join("index.json"));
    let count = catalogue["manifests"].as_array().unwrap().iter();
    let tags = count.filter(|entry| {
        let name = entry["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .unwrap();
        !name.contains('@') && !name.contains(":sha256-")
    });
    assert_eq!(lines.len(), 4 * tags.count());
    for line in lines {
        let mut words = line.split(' ');
        let name = words.find(|word| word.contains(':')).unwrap();
        let name = name.strip_prefix("docker://").unwrap_or(name);
        let name = name
            .strip_prefix(&format!("{}/", served.host))
            .unwrap_or(name);
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let found = served
            .site
            .path()
            .join(format!("v2/{repository}/manifests/{tag}"));
        assert!(found.exists(), "{line}");
    }
}
