//! What is printed, for which sites and URLs, and what is refused.

use super::authority;
use crate::mirrors::mirror;
use crate::support::site::{build, stderr, stillage, succeed};
use crate::support::temp::TempDir;

#[test]
fn what_is_no_url_and_no_certificate_is_told() {
    let folder = TempDir::new("client-files");
    let site = folder.path().join("site");
    build(&["fixtures/docker-20.10.tar"], &site);
    authority(&folder.path().join("ours"));
    let key = folder.path().join("ours/ca.key");
    for (args, words) in [
        (&["--url", "mirror.test"][..], "is not a URL"),
        (&["--url", "https://[::1]:5000"], "IPv6 address"),
        (
            &[
                "--url",
                "https://m.test",
                "--upstream",
                "docker.io",
                "--upstream",
                "index.docker.io=x",
            ],
            "twice",
        ),
        (
            &[
                "--url",
                "https://m.test",
                "--upstream",
                "docker.io",
                "--upstream",
                "quay.io",
            ],
            "the same names",
        ),
        (
            &["--url", "https://m.test", "--upstream", "m.test"],
            "is the site itself",
        ),
        (
            &["--url", "https://m.test", "--upstream", "quay.io=nosuch"],
            "no name begins with",
        ),
        (
            &["--url", "https://m.test", "-o", site.to_str().unwrap()],
            "would become part of",
        ),
        (&["--url", "https://mirror.test/HUB"], "lower-case"),
        (
            &["--url", "https://mirror.test/v2"],
            "which clients add themselves",
        ),
        (
            &["--url", "https://m.test", "--upstream", "quay"],
            "is not the host of a registry",
        ),
        (
            &["--url", "https://m.test", "--upstream", "quay.io=A B"],
            "not the beginning of names",
        ),
        (
            &["--url", "https://m.test", "--ca", key.to_str().unwrap()],
            "a private key",
        ),
        (
            &["--url", "https://m.test", "--ca", "README.md"],
            "no certificate in PEM",
        ),
        (
            &["--url", "https://m.test", "--ca", "nothing"],
            "does not exist",
        ),
    ] {
        let output = stillage(["clients"])
            .arg(&site)
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            stderr(&output).contains(words),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty());
    }
    // A site without hosts in its names is a mirror only where that is said.
    let print = |more: &[&str]| {
        let mut clients = stillage(["clients", "--url", "https://m.test"]);
        String::from_utf8(succeed(clients.arg(&site).args(more)).stdout).unwrap()
    };
    assert!(!print(&[]).contains("docker.io"));
    let hub = print(&["--upstream", "docker.io"]);
    for part in [
        "\"https://m.test\"",
        "[[registry.mirror]]\nlocation = \"m.test\"\n",
        "podman pull docker.io/library/tiny:1",
    ] {
        assert!(hub.contains(part), "{part}: {hub}");
    }
}

/// Where names overlap, the longest prefix decides; below a path, each client still gets what it can use.
#[test]
fn names_and_paths_in_the_files_are_right() {
    let folder = TempDir::new("client-files");
    let site = folder.path().join("site");
    build(
        &["fixtures/docker-20.10.tar", "fixtures/oci-layout=quay/"],
        &site,
    );
    let print = |url: &str, more: &[&str]| {
        let mut clients = stillage(["clients", "--url", url]);
        String::from_utf8(succeed(clients.arg(&site).args(more)).stdout).unwrap()
    };
    for upstreams in [["docker.io", "quay.io=quay"], ["quay.io=quay", "docker.io"]] {
        let text = print(
            "https://m.test",
            &["--upstream", upstreams[0], "--upstream", upstreams[1]],
        );
        assert!(text.contains("podman pull quay.io/tiny:1\n"), "{text}");
        assert!(
            text.contains("podman pull docker.io/library/tiny:1\n"),
            "{text}"
        );
        assert!(!text.contains("docker.io/quay"), "{text}");
    }
    // Docker mirrors Docker Hub at the root alone, and nobody asks for `hub/tiny`.
    let text = print("https://m.test", &["--upstream", "docker.io=quay"]);
    assert!(
        text.contains("docker pull m.test/quay/sample/hello:1.0\n"),
        "{text}"
    );
    assert!(
        text.contains("podman pull docker.io/sample/hello:1.0\n"),
        "{text}"
    );
    assert!(text.contains("podman pull m.test/quay/tiny:1\n"), "{text}");
    let text = print("http://m.test:5000/hub", &["--upstream", "quay.io=quay"]);
    for part in [
        "\n[host.\"http://m.test:5000\"]\n",
        "\n[host.\"http://m.test:5000/hub/v2/quay\"]\n",
        "location = \"m.test:5000/hub/quay\"\ninsecure = true\n",
        "\"^(.*)$\": \"hub/quay/$1\"\n",
        "\"type\": \"sigstoreSigned\"",
        "docker pull m.test:5000/hub/tiny:1\n",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(
        !text.contains("lookaside") && !text.contains("=== docker-1"),
        "{text}"
    );
}

#[test]
fn files_of_an_earlier_run_are_named() {
    let folder = TempDir::new("client-files");
    let site = folder.path().join("site");
    build(&["fixtures/docker-20.10.tar"], &site);
    let written = folder.path().join("written");
    let write = |url: &str, more: &[&str]| {
        let mut clients = stillage(["clients", "--url", url, "-o"]);
        stderr(&succeed(clients.arg(&written).arg(&site).args(more)))
    };
    let hub = ["--upstream", "DOCKER.IO"];
    assert!(!write("https://m.test/hub", &hub).contains("is not of this run"));
    let again = write("https://n.test", &[]);
    for left in ["containerd/etc/containerd/certs.d/docker.io", "m.test"] {
        assert!(again.contains(left), "{again}");
    }
}

#[test]
fn registries_of_full_names_need_no_prefix() {
    let site = mirror();
    let print = |upstream: &str| {
        let mut clients = stillage(["clients", "--url", "https://m.test", "--upstream", upstream]);
        clients.arg(site.path()).output().unwrap()
    };
    let (short, long) = (print("quay.io"), print("quay.io=quay.io"));
    assert!(short.status.success(), "{}", stderr(&short));
    assert_eq!(short.stdout, long.stdout);
    let other = print("ghcr.io");
    assert_eq!(other.status.code(), Some(2), "{}", stderr(&other));
}
