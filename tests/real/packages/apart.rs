//! The static binary where there is nothing else.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::static_binary;
use crate::support::process::{Daemon, run, tool};
use crate::support::servers::free_port;
use crate::support::site::{small_site, succeed};
use crate::support::temp::TempDir;

/// An address of loopback that nothing else listens at.
const NAME_SERVER: &str = "127.77.0.53";

/// A certificate for two hosts, by an authority: `ca.pem`, `server.pem`, `key.pem`.
const CERTIFICATES: &str = r#"
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "$@"; }
new -x509 -subj /CN=authority -keyout ca.key -out ca.pem -days 2
new -subj /CN=server -keyout key.pem -out server.csr
echo subjectAltName=DNS:file.test,DNS:dns.test > names
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out server.pem -days 2
"#;

/// A name server that knows `dns.test` alone: it has the address 127.0.0.1, and none of IPv6.
fn serve_names() {
    let socket = UdpSocket::bind((NAME_SERVER, 53)).unwrap();
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((_, client)) = socket.recv_from(&mut query) {
            // The question: a name in labels, its type, its class.
            let length = query[12..].iter().position(|byte| *byte == 0).unwrap();
            let end = 12 + length + 5;
            let is_known = query[12..].starts_with(b"\x03dns\x04test\0");
            let is_v4 = query[12 + length + 1..end - 2] == [0, 1];
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, if is_known { 0x80 } else { 0x83 }, 0, 1, 0]);
            answer.push(u8::from(is_known && is_v4));
            answer.extend([0; 4]);
            answer.extend(&query[12..end]);
            if is_known && is_v4 {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            let _ = socket.send_to(&answer, client);
        }
    });
}

#[test]
#[ignore = "compiles a release"]
fn the_static_binary_needs_nothing() {
    let folder = TempDir::new("apart");
    let root = folder.path();
    succeed(
        Command::new("sh")
            .args(["-ec", CERTIFICATES])
            .current_dir(root),
    );
    run(Command::new("cp")
        .arg(static_binary())
        .arg(root.join("stillage")))
    .unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/docker-20.10.tar");
    fs::copy(fixture, root.join("images.tar")).unwrap();
    let inside = |args: &[&str]| {
        let mut command = Command::new(tool("chroot"));
        command.arg(root).arg("/stillage").args(args).env_clear();
        command
    };
    succeed(&mut inside(&["build", "/images.tar", "-o", "/site"]));
    succeed(&mut inside(&["verify", "--deep", "/site"]));

    // It asks a server outside, whose name it finds in /etc/hosts, or by DNS.
    serve_names();
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(root.join("etc/hosts"), "127.0.0.1 file.test\n").unwrap();
    fs::write(
        root.join("etc/resolv.conf"),
        format!("nameserver {NAME_SERVER}\n"),
    )
    .unwrap();
    let (site, port) = (small_site(), free_port());
    let listen = format!("127.0.0.1:{port}");
    let file = |name: &str| root.join(name).display().to_string();
    let (certificate, key) = (file("server.pem"), file("key.pem"));
    #[rustfmt::skip]
    let args = [
        "serve", site.path().to_str().unwrap(), "--listen", &listen,
        "--tls-cert", &certificate, "--tls-key", &key,
    ];
    let program = Path::new(env!("CARGO_BIN_EXE_stillage"));
    let _server = Daemon::start(program, &args, &root.join("log"))
        .wait_until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    // Modules that a file names are not loaded: those of another C library would crash it.
    for modules in [
        None,
        Some("hosts: resolve [!UNAVAIL=return] mdns4\npasswd: systemd\n"),
    ] {
        if let Some(modules) = modules {
            fs::write(root.join("etc/nsswitch.conf"), modules).unwrap();
        }
        for host in ["file.test", "dns.test"] {
            let address = format!("https://{host}:{port}");
            succeed(&mut inside(&["verify", &address, "--ca", "/ca.pem"]));
        }
        let address = format!("https://none.test:{port}");
        let output = inside(&["verify", &address, "--ca", "/ca.pem"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}
