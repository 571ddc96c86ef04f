//! The built-in server with `--tls-cert` and `--tls-key`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Served, site};
use crate::support::clients::Skopeo;
use crate::support::http;
use crate::support::process::{run, tool};
use crate::support::site::stillage;
use crate::support::temp::TempDir;

fn openssl(args: &[&str], folder: &Path) {
    run(Command::new(tool("openssl")).args(args).current_dir(folder)).unwrap();
}

/// A folder with an authority, and with a certificate of it for 127.0.0.1: `trust/ca.crt`, `server.pem`, `key.pem`.
fn certificates() -> TempDir {
    let folder = TempDir::new("tls");
    fs::create_dir(folder.path().join("trust")).unwrap();
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    let new = |more: &[&str]| openssl(&[&["req"], &key[..], more].concat(), folder.path());
    new(&[
        "-x509",
        "-subj",
        "/CN=authority",
        "-keyout",
        "ca.key",
        "-out",
        "trust/ca.crt",
        "-days",
        "2",
    ]);
    new(&[
        "-subj",
        "/CN=server",
        "-keyout",
        "key.pem",
        "-out",
        "server.csr",
    ]);
    fs::write(folder.path().join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    let sign = [
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "trust/ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "names",
        "-days",
        "2",
        "-out",
        "server.pem",
    ];
    openssl(&sign, folder.path());
    folder
}

fn options(certificates: &TempDir) -> [PathBuf; 4] {
    let file = |name| certificates.path().join(name);
    [
        "--tls-cert".into(),
        file("server.pem"),
        "--tls-key".into(),
        file("key.pem"),
    ]
}

#[test]
fn clients_pull_over_tls() {
    let certificates = certificates();
    let folder = TempDir::new("serve");
    let site = site(&folder, &["app:1".into()]);
    let served = Served::start(&site, &options(&certificates));
    let (url, port) = (&served.url, served.port);
    let address = format!("127.0.0.1:{port}");
    assert_eq!(*url, format!("https://{address}/"));
    let list = fs::read_to_string(site.join("v2/app/tags/list")).unwrap();

    for [at_least, at_most] in [["--tlsv1.2", "1.2"], ["--tlsv1.3", "1.3"]] {
        let mut curl = Command::new(tool("curl"));
        curl.args([
            "-sS",
            at_least,
            "--tls-max",
            at_most,
            "-w",
            "|%{http_version}",
            "--cacert",
        ])
        .arg(certificates.path().join("trust/ca.crt"))
        .arg(format!("{url}v2/app/tags/list"));
        assert_eq!(
            run(&mut curl).unwrap(),
            format!("{list}|1.1"),
            "TLS {at_most}"
        );
    }
    // The layers too.
    let copied = folder.path().join("copied");
    let mut copy = Skopeo::new().command();
    copy.args(["copy", "--quiet", "--src-cert-dir"])
        .arg(certificates.path().join("trust"))
        .arg(format!("docker://{address}/app:1"))
        .arg(format!("dir:{}", copied.display()));
    run(&mut copy).unwrap();
    assert!(copied.join("manifest.json").is_file());
    // Who does not know the authority does not pull.
    let mut refused = Skopeo::new().command();
    refused.args(["inspect", &format!("docker://{address}/app:1")]);
    let why = run(&mut refused).unwrap_err().to_string();
    assert!(why.contains("certificate"), "{why}");
    // Plain HTTP gets no answer.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    plain
        .write_all(http::request("GET", "/v2/", &[]).as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    served.end();
}

/// What is wrong with a certificate or a key is said before anything is served or built.
#[test]
fn a_bad_certificate_or_key_is_an_error() {
    let certificates = certificates();
    let folder = TempDir::new("serve");
    let site = site(&folder, &["app:1".into()]);
    let write = |name: &str, text: &str| fs::write(certificates.path().join(name), text).unwrap();
    write("text.pem", "no PEM");
    write(
        "damaged.pem",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    );
    write(
        "wrong.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    write(
        "wrong.key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    for (cert, key, said, hint) in [
        (
            "none.pem",
            "key.pem",
            "there is no file `DIR/none.pem`",
            "--tls-cert",
        ),
        (
            "server.pem",
            "none.pem",
            "there is no file `DIR/none.pem`",
            "--tls-key",
        ),
        (".", "key.pem", "there is no file `DIR/.`", "--tls-cert"),
        (
            "text.pem",
            "key.pem",
            "there is no certificate in `DIR/text.pem`",
            "--tls-cert",
        ),
        (
            "key.pem",
            "server.pem",
            "there is no certificate in `DIR/key.pem`",
            "--tls-cert",
        ),
        (
            "damaged.pem",
            "key.pem",
            "cannot read `DIR/damaged.pem` as PEM",
            "--tls-cert",
        ),
        (
            "wrong.pem",
            "key.pem",
            "cannot use the certificate in `DIR/wrong.pem`",
            "openssl",
        ),
        (
            "server.pem",
            "server.pem",
            "there is no private key in `DIR/server.pem`",
            "--tls-key",
        ),
        (
            "server.pem",
            "wrong.key",
            "cannot use the private key in `DIR/wrong.key`",
            "--tls-key",
        ),
        (
            "server.pem",
            "ca.key",
            "`DIR/ca.key` is not that of the first certificate in `DIR/server.pem`",
            "belongs",
        ),
    ] {
        let path = |name: &str| format!("{}/{name}", certificates.path().display());
        let output = stillage(["serve", "--listen", "0", "--tls-cert", &path(cert)])
            .args(["--tls-key", &path(key)])
            .arg(&site)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        let text = text.replace(certificates.path().to_str().unwrap(), "DIR");
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with("error: ") && text.contains(said), "{text}");
        let last = text.lines().last().unwrap();
        assert!(last.starts_with("hint: ") && last.contains(hint), "{text}");
    }
    let new = folder.path().join("new");
    let output = stillage(["build", "fixtures/docker-20.10.tar", "--serve", "-o"])
        .arg(&new)
        .args(["--tls-cert", "/none.pem", "--tls-key", "/none.pem"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!new.exists(), "it was built first");
    for alone in ["--tls-cert", "--tls-key"] {
        let output = stillage(["serve", alone, "x"]).arg(&site).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
    }
}
