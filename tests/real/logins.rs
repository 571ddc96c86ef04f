//! Sites that let nobody in without a login: nginx with `stillage config nginx --auth`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::expected::build_site;
use crate::support::http;
use crate::support::process::{run, tool};
use crate::support::servers::nginx::{Nginx, config_of};
use crate::support::site::{stillage, succeed};
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
