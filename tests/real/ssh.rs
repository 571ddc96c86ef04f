//! A site that is reached through SSH, by keys with forced commands.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::archive::{Archive, Image, cut};
use crate::support::place::feed;
use crate::support::site::{
    assert_same, build, everything, inodes, stderr, stillage, succeed, tree, verify,
};
use crate::support::ssh_commands::hostile;
use crate::support::sshd::Sshd;
use crate::support::temp::TempDir;

/// A site with `good`, and a host with two keys for it: `reads` and `writes`.
struct Place {
    sshd: Sshd,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new("ssh");
        let site = folder.path().join("site");
        build(&["fixtures/docker-20.10.tar=good"], &site);
        let key = |option: &str| {
            let program = env!("CARGO_BIN_EXE_stillage");
            let site = site.display();
            format!("command=\"{program} ssh-command --site {site}{option}\",restrict")
        };
        let [reads, writes] = [key(" --read-only"), key("")];
        let sshd = Sshd::start(folder.path(), &[("reads", &reads), ("writes", &writes)]);
        Self { sshd, folder }
    }

    fn site(&self) -> PathBuf {
        self.folder.path().join("site")
    }
}

fn archive(name: &str) -> Vec<u8> {
    let text = format!("the text of {name}\n").repeat(20_000);
    Archive::docker_20(&[Image::new(&[name]).layer("etc/text", &text)]).tar()
}

#[test]
fn ssh_carries_images_into_a_site() {
    let place = Place::new();
    let (site, bytes) = (place.site(), archive("org/app:7"));
    for (words, name) in [
        (&["put", "app:1"][..], Some("app:1")),
        (&["put"], None),
        (&["registryput", "mirror/"], Some("mirror/")),
    ] {
        let output = feed(place.sshd.ssh("writes", &[]).args(words), &bytes);
        assert!(output.status.success(), "{output:?}");
        let other = place.folder.path().join("other");
        build(&["fixtures/docker-20.10.tar=good"], &other);
        let mut put = stillage(["put", other.to_str().unwrap()]);
        let by_command = feed(put.args(name), &bytes);
        assert_eq!(stderr(&output), stderr(&by_command));
        assert_same(&tree(&site), &tree(&other));
        for key in ["reads", "writes"] {
            let index = succeed(place.sshd.ssh(key, &[]).arg("index"));
            assert_eq!(index.stdout, fs::read(site.join("index.json")).unwrap());
            for word in ["get", "registryget"] {
                let got = succeed(place.sshd.ssh(key, &[]).args([word, "good:1"]));
                let here = succeed(stillage(["get"]).arg(&site).arg("good:1"));
                assert!(got.stdout == here.stdout && got.stdout.len() > 4096);
            }
            let list = succeed(place.sshd.ssh(key, &[]).arg("list"));
            let listed = succeed(stillage(["list"]).arg(&other));
            assert_eq!(list.stdout, listed.stdout);
        }
        verify(&site);
        fs::remove_dir_all(&site).unwrap();
        fs::remove_dir_all(&other).unwrap();
        build(&["fixtures/docker-20.10.tar=good"], &site);
    }
}

#[test]
fn ssh_refuses_all_else_and_the_site_stays() {
    let place = Place::new();
    let (site, bytes) = (place.site(), archive("new:1"));
    let before = everything(&site);
    for name in ["put", "put new:1", "registryput"] {
        let output = feed(place.sshd.ssh("reads", &[]).arg(name), &bytes);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        assert!(stderr(&output).contains("can only read"), "{output:?}");
    }
    // The client sends none of no characters; the tests by environment variable do.
    let rows: Vec<_> = hostile()
        .into_iter()
        .filter(|row| !row.0.is_empty())
        .collect();
    for (command, reason) in rows.iter().step_by(rows.len() / 24) {
        let mut ssh = place.sshd.ssh("writes", &[]);
        let output = feed(ssh.arg("--").arg(command), &bytes);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{command:?}: {output:?}");
        let said = stderr(&output);
        assert_eq!(said.lines().count(), 1, "{command:?}: {said:?}");
        assert!(said.contains(reason), "{command:?}: {said:?}");
    }
    let login = feed(&mut place.sshd.ssh("writes", &["-T"]), &bytes);
    assert_eq!(login.status.code(), Some(2), "{login:?}");
    assert!(stderr(&login).contains("put [NAME[:TAG]]"), "{login:?}");
    let sftp = feed(place.sshd.ssh("writes", &["-s"]).arg("sftp"), &bytes);
    assert_eq!(sftp.status.code(), Some(2), "{sftp:?}");
    assert!(sftp.stdout.is_empty(), "{sftp:?}");
    // What `restrict` is for.
    let forward = format!("127.0.0.1:{}", place.sshd.port);
    let forwarded = feed(&mut place.sshd.ssh("writes", &["-W", &forward]), b"x");
    assert!(!forwarded.status.success(), "{forwarded:?}");
    assert!(!String::from_utf8_lossy(&forwarded.stdout).contains("SSH-"));
    assert_same(&everything(&site), &before);
}

fn wait_until(ready: impl Fn() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < Duration::from_mins(2), "not ready");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn ssh_that_breaks_off_leaves_the_site_as_it_was() {
    let place = Place::new();
    let (site, bytes) = (place.site(), archive("new:1"));
    let seen = || (tree(&site), inodes(&site));
    let before = seen();
    for part in 1..8 {
        let half = cut(bytes.clone(), bytes.len() * part / 8);
        let mut client = place
            .sshd
            .ssh("writes", &[])
            .arg("put")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = client.stdin.take().unwrap();
        input.write_all(&half).unwrap();
        // The host has the lock of the site now, and part of the layer.
        wait_until(|| {
            let staged = fs::read_dir(site.join(".stillage/staging"));
            staged.is_ok_and(|mut names| names.next().is_some())
        });
        if part % 2 == 0 {
            client.kill().unwrap();
        }
        drop(input);
        assert!(!client.wait().unwrap().success());
        // It waits until the host has noticed, and has nothing to do.
        build(&["fixtures/docker-20.10.tar=good"], &site);
        let now = seen();
        assert_same(&now.0, &before.0);
        assert_same(&now.1, &before.1);
        assert!(!site.join(".stillage/staging").exists());
    }
    verify(&site);
}
