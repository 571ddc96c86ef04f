//! Sites that let nobody in without a login: nginx with `stillage config nginx --auth`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use crate::client_files::authority;
use crate::crash::scenarios::incompressible;
use crate::support::archive::{Archive, Image};
use crate::support::clients::Docker;
use crate::support::expected::build_site;
use crate::support::http;
use crate::support::machine::Machine;
use crate::support::process::{run, tool};
use crate::support::servers::nginx::{Nginx, config_of};
use crate::support::servers::{SERVERS, free_port};
use crate::support::site::{build, stillage, succeed};
use crate::support::temp::TempDir;

/// Every address of a site.
fn addresses(site: &Path) -> Vec<String> {
    let listed = succeed(stillage(["config", "headers"]).arg(site)).stdout;
    let lines = String::from_utf8(listed).unwrap();
    let address = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["path"].as_str().unwrap().to_owned()
    };
    lines.lines().map(address).collect()
}

/// nginx with a login, after `adapt` has put the paths of the test into its configuration.
fn start(site: &Path, more: &[&str], adapt: impl Fn(&str) -> String) -> Nginx {
    let work = TempDir::new("login");
    Nginx::start_with(|port| {
        let file = work.path().join("nginx.conf");
        config_of(site, port, &file, more);
        adapt(&fs::read_to_string(file).unwrap())
    })
}

fn skopeo(port: u16, options: &[&str], to: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(tool("skopeo"));
    command.args(["--insecure-policy", "copy", "--quiet"]);
    command.args(options);
    command.arg(format!("docker://127.0.0.1:{port}/tiny:1"));
    run(command.arg(format!("dir:{}", to.display())))
}

#[test]
fn a_password_lets_in_and_nobody_else_gets_anything() {
    let site = build_site();
    let work = TempDir::new("passwords");
    let users = work.path().join("registry.htpasswd");
    let hash = run(Command::new("openssl").args(["passwd", "-6", "secret"])).unwrap();
    fs::write(&users, format!("user:{hash}")).unwrap();
    let nginx = start(site.path(), &["--auth", "basic"], |config| {
        let known = "/etc/nginx/registry.htpasswd";
        assert_eq!(config.matches(known).count(), 1);
        config.replace(known, users.to_str().unwrap())
    });
    let port = nginx.port;
    let mut asked = addresses(site.path());
    assert!(asked.len() > 100, "{}", asked.len());
    asked.extend(
        [
            "/v2", "/none", "/v2/none/manifests/1", "/v2/tiny/tags/list?n=1", "/v2/none/tags/list?n=1",
            "/v2/tiny/referrers/sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ]
        .map(str::to_owned),
    );
    for path in &asked {
        let answer = http::get(port, path);
        // What depends on nothing in the site may be said to everybody.
        if answer.status == 404 && path.contains("none") {
            continue;
        }
        assert_eq!(answer.status, 401, "{path}\n{}", nginx.log());
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["errors"][0]["code"], "UNAUTHORIZED", "{path}");
        let challenge = answer.header("WWW-Authenticate");
        assert_eq!(challenge, Some("Basic realm=\"Registry\""), "{path}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "{path}");
        assert_eq!(answer.header("Docker-Content-Digest"), None, "{path}");
    }
    let options = http::send(port, "OPTIONS", "/v2/", &[]).unwrap();
    assert_eq!(
        (options.status, options.header("Allow")),
        (405, Some("GET, HEAD"))
    );
    let wrong = [("Authorization", "Basic dXNlcjp3cm9uZw==")];
    assert_eq!(http::send(port, "GET", "/v2/", &wrong).unwrap().status, 401);
    let right = [("Authorization", "Basic dXNlcjpzZWNyZXQ=")];
    for path in ["/v2/", "/v1/_ping", "/v2/tiny/manifests/1", "/index.json"] {
        let answer = http::send(port, "GET", path, &right).unwrap();
        assert_eq!(
            (answer.status, answer.header("Access-Control-Allow-Origin")),
            (200, None),
            "{path}"
        );
    }
    let out = work.path().join("out");
    let plain = "--src-tls-verify=false";
    skopeo(port, &[plain, "--src-creds", "user:secret"], &out).unwrap();
    assert!(
        skopeo(
            port,
            &[plain, "--src-creds", "user:wrong"],
            &work.path().join("no")
        )
        .is_err()
    );
    assert!(skopeo(port, &[plain, "--src-no-creds"], &work.path().join("no")).is_err());
}

#[test]
fn a_certificate_lets_in() {
    let site = build_site();
    let keys = TempDir::new("keys");
    let openssl = |args: &str| {
        let mut command = Command::new("openssl");
        succeed(command.current_dir(keys.path()).args(args.split(' ')));
    };
    let at = |name: &str| keys.path().join(name).to_str().unwrap().to_owned();
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    for name in ["ca", "other"] {
        openssl(&format!(
            "req -x509 {new} -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }
    fs::write(at("server.ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    fs::write(at("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    fs::write(at("stranger.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    for (name, ca) in [("server", "ca"), ("client", "ca"), ("stranger", "other")] {
        openssl(&format!(
            "req {new} -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.cert"
        ));
    }
    let nginx = start(site.path(), &["--auth", "certificate"], |config| {
        config
            .replace("/etc/ssl/registry/fullchain.pem", &at("server.cert"))
            .replace("/etc/ssl/registry/privkey.pem", &at("server.key"))
            .replace("/etc/ssl/registry/clients.pem", &at("ca.pem"))
    });
    let url = format!("https://127.0.0.1:{}/v2/", nginx.port);
    let curl = |more: &[&str]| {
        let args = ["-s", "-o", "/dev/stderr", "-w", "%{http_code}", "--cacert"];
        let output = Command::new("curl")
            .args(args)
            .arg(at("ca.pem"))
            .args(more)
            .arg(&url)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let denied = |(status, body): (String, String)| {
        assert_eq!(status, "403", "{body}");
        assert!(body.contains("UNAUTHORIZED"), "{body}");
    };
    denied(curl(&[]));
    denied(curl(&[
        "--cert",
        &at("stranger.cert"),
        "--key",
        &at("stranger.key"),
    ]));
    let (status, body) = curl(&["--cert", &at("client.cert"), "--key", &at("client.key")]);
    assert_eq!((status.as_str(), body.as_str()), ("200", "{}"));

    // As docker, podman and skopeo keep them in `certs.d`.
    let certs = keys.path().join("certs");
    fs::create_dir(&certs).unwrap();
    for (from, to) in [
        ("ca.pem", "ca.crt"),
        ("client.cert", "client.cert"),
        ("client.key", "client.key"),
    ] {
        fs::copy(at(from), certs.join(to)).unwrap();
    }
    let out = keys.path().join("out");
    skopeo(
        nginx.port,
        &["--src-cert-dir", certs.to_str().unwrap()],
        &out,
    )
    .unwrap();
    fs::remove_file(certs.join("client.cert")).unwrap();
    fs::remove_file(certs.join("client.key")).unwrap();
    assert!(
        skopeo(
            nginx.port,
            &["--src-cert-dir", certs.to_str().unwrap()],
            &out
        )
        .is_err()
    );
}

/// A vendor's two sites, with content that is shared: whatever the server of the public one is, it gives all of the public
/// images and nothing of the others; the full one gives everything, to those who log in.
#[test]
fn a_public_and_a_full_site_side_by_side() {
    let work = TempDir::new("sponsors");
    let at = |name: &str| work.path().join(name);
    let image = |name: &str| Image::new(&[name]).layer("etc/text", &incompressible(9_000));
    let own = |name: &str| image(name).layer("etc/own", name);
    let images = [
        own("public/app:1"),
        own("private/app:1"),
        own("public/tool:2"),
    ];
    fs::write(at("images.tar"), Archive::docker_20(&images).tar()).unwrap();
    fs::write(
        at("old.tar"),
        Archive::docker_1(&[own("private/old:1")]).tar(),
    )
    .unwrap();
    let (full, public) = (at("full"), at("public"));
    build(
        &[at("images.tar"), at("old.tar")].map(|path| path.to_str().unwrap().to_owned()),
        &full,
    );
    let source = full.to_str().unwrap();
    build(
        &[
            source,
            "--only",
            "public/**",
            "--link",
            "--server",
            "apache",
        ],
        &public,
    );
    let blobs = fs::read_dir(public.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap());
    let shared = blobs.filter(|blob| {
        let same = full.join("blobs/sha256").join(blob.file_name());
        blob.metadata().unwrap().ino() == fs::metadata(same).unwrap().ino()
    });
    assert!(shared.count() > 0, "no layer is shared");

    let (of_public, of_full) = (addresses(&public), addresses(&full));
    let private: Vec<&String> = of_full
        .iter()
        .filter(|path| !of_public.contains(path))
        .collect();
    assert!(private.len() > 30 && of_public.len() > 30);
    for server in SERVERS {
        let running = server.start(&public);
        for path in &of_public {
            let answer = http::get(running.port, path);
            assert_eq!(
                answer.status,
                200,
                "{} {path}\n{}",
                server.name,
                running.log()
            );
            assert!(
                !String::from_utf8_lossy(&answer.body).contains("private"),
                "{} {path}",
                server.name
            );
        }
        for path in &private {
            let answer = http::get(running.port, path);
            // The referrers of what nobody has are none.
            let is_empty =
                path.contains("/referrers/") && answer.body.ends_with(b"\"manifests\":[]}");
            // Edges give blobs by the names of all repositories: here those that are public too.
            let hex = path.split("/blobs/sha256:").nth(1).unwrap_or("none");
            let is_public = public.join("blobs/sha256").join(hex).exists();
            let is_nothing = answer.status == 404 || is_empty || is_public;
            assert!(is_nothing, "{} {path}", server.name);
        }
    }

    // The full one, over TLS and behind a password; the README's lines, with the paths of this test.
    authority(&at("tls"));
    let hash = run(Command::new("openssl").args(["passwd", "-6", "secret"])).unwrap();
    fs::write(at("users"), format!("sponsor:{hash}")).unwrap();
    let port = free_port();
    let file = |name: &str| at("tls").join(name).display().to_string();
    let nginx = start(&full, &["--auth", "basic"], |config| {
        let lines = config
            .lines()
            .filter(|line| !line.trim_start().starts_with("# listen [::]"));
        let lines = lines.map(|line| match line.trim_start().strip_prefix("# ") {
            Some(tls) if tls.starts_with("ssl_") || tls.starts_with("listen 443") => tls,
            _ => line,
        });
        let config = lines.collect::<Vec<_>>().join("\n");
        config
            .replace("listen 443 ssl", &format!("listen [::1]:{port} ssl"))
            .replace(
                "/etc/nginx/registry.htpasswd",
                at("users").to_str().unwrap(),
            )
            .replace("/etc/ssl/registry/fullchain.pem", &file("server.pem"))
            .replace("/etc/ssl/registry/privkey.pem", &file("key.pem"))
    });
    for path in &of_full {
        assert_eq!(
            http::get(nginx.port, path).status,
            401,
            "{path}\n{}",
            nginx.log()
        );
    }
    let host = format!("mirror.test:{port}");
    let curl = |user: &str, path: &str| {
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--cacert",
            &file("ca.pem"),
        ]);
        curl.args(["--resolve", &format!("{host}:[::1]"), "-u", user]);
        run(curl.arg(format!("https://{host}{path}"))).unwrap()
    };
    for path in &of_full {
        assert_eq!(
            curl("sponsor:secret", path),
            "200",
            "{path}\n{}",
            nginx.log()
        );
    }
    assert_eq!(curl("sponsor:wrong", &of_full[0]), "401");
    // v1 clients learn from `_ping` that they may log in by a password.
    let mut ping = Command::new("curl");
    ping.args([
        "-s",
        "-i",
        "--cacert",
        &file("ca.pem"),
        "-u",
        "sponsor:secret",
    ]);
    ping.args(["--resolve", &format!("{host}:[::1]")]);
    let ping = run(ping.arg(format!("https://{host}/v1/_ping"))).unwrap();
    assert!(
        ping.contains("X-Docker-Registry-Standalone: true"),
        "{ping}"
    );

    let machine = Machine::new("mirror.test", "::1");
    let certs = machine.path(&format!("docker/certs.d/{host}"));
    fs::create_dir_all(&certs).unwrap();
    fs::copy(at("tls/ca.pem"), certs.join("ca.crt")).unwrap();
    let docker = Docker::start_by(&machine.words(), &[]);
    let pull = |name: &str| {
        run(docker
            .command()
            .args(["pull", "--quiet", &format!("{host}/{name}")]))
    };
    assert!(pull("private/app:1").is_err());
    let login = |password: &str| {
        let mut login = docker.command();
        run(login.args([
            "login",
            "--username",
            "sponsor",
            "--password",
            password,
            &host,
        ]))
    };
    assert!(login("wrong").is_err());
    login("secret").unwrap();
    for name in ["private/app:1", "private/old:1", "public/app:1"] {
        pull(name).unwrap();
    }
    run(docker.command().args(["logout", &host])).unwrap();
    assert!(pull("public/tool:2").is_err());
}
