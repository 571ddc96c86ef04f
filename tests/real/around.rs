//! Around the server: in an existing nginx, on all addresses, behind a link, searched.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::mirrors::digest;
use crate::support::archive::{Archive, Image};
use crate::support::expected::build_site;
use crate::support::http;
use crate::support::process::{run, tool};
use crate::support::servers::nginx::{Nginx, config_of};
use crate::support::servers::{SERVERS, builtin::SERVE, free_port};
use crate::support::site::{build, succeed};
use crate::support::temp::TempDir;

/// A copy of Debian's `/etc/nginx`, with a folder of its own for logs and the port of its page.
fn debian(folder: &Path) -> PathBuf {
    let etc = folder.join("etc");
    succeed(
        std::process::Command::new("cp")
            .arg("-rL")
            .arg("/etc/nginx")
            .arg(&etc),
    );
    let port = format!("listen 127.0.0.1:{} default_server", free_port());
    let modules = fs::read_dir(etc.join("modules-enabled")).unwrap();
    let modules = modules.map(|entry| entry.unwrap().path());
    for file in modules.chain([etc.join("nginx.conf"), etc.join("sites-enabled/default")]) {
        let text = fs::read_to_string(&file).unwrap();
        let text = text
            // Relative to `-p`, which is the test's here.
            .replace(
                "load_module modules/",
                "load_module /usr/share/nginx/modules/",
            )
            .replace("/etc/nginx", etc.to_str().unwrap())
            .replace("/var/log/nginx", folder.to_str().unwrap())
            .replace("/run/nginx.pid", folder.join("pid").to_str().unwrap())
            .replace("listen 80 default_server", &port)
            .replace("listen [::]:80 default_server;", "");
        fs::write(file, text).unwrap();
    }
    etc
}

#[test]
fn the_nginx_of_debian_takes_the_file() {
    let site = build_site();
    for (folder, more) in [
        ("conf.d/registry.conf", &["--conf-d"][..]),
        ("sites-enabled/registry", &["--conf-d", "--prefix", "/hub"]),
        ("conf.d/registry.conf", &["--conf-d", "--exact"]),
    ] {
        let work = TempDir::new("debian");
        let etc = debian(work.path());
        let ports = std::cell::Cell::new(0);
        let nginx = Nginx::start_with(|port| {
            ports.set(port);
            config_of(site.path(), port, &etc.join(folder), more);
            fs::read_to_string(etc.join("nginx.conf")).unwrap()
        });
        let below = if more.contains(&"/hub") { "/hub" } else { "" };
        let reference = format!("127.0.0.1:{}{below}/tiny:1", nginx.port);
        let copy = [
            "--insecure-policy",
            "copy",
            "--quiet",
            "--src-tls-verify=false",
        ];
        let mut skopeo = std::process::Command::new(tool("skopeo"));
        skopeo.args(copy).arg(format!("docker://{reference}"));
        run(skopeo.arg(format!("dir:{}", work.path().join("out").display()))).unwrap();
        let answer = http::get(nginx.port, &format!("{below}/v2/tiny/manifests/1"));
        let by_tag = digest(site.path(), "tiny", "1");
        assert_eq!(
            answer.header("Docker-Content-Digest"),
            Some(by_tag.as_str())
        );
        assert_eq!(answer.header("Content-Encoding"), None);
    }
}

#[test]
fn every_configuration_listens_on_ipv4_and_ipv6() {
    let site = build_site();
    for server in SERVERS {
        if server.skills.is_copy || ["serve", "apache-shared-host"].contains(&server.name) {
            continue; // an edge has no addresses of its own; these have their own rule
        }
        let running = server.start_with(site.path(), "", &[]);
        for host in ["127.0.0.1", "::1"] {
            let answer = http::get_from(host, running.port, "/v2/");
            assert_eq!(
                answer.status,
                200,
                "{} on {host}\n{}",
                server.name,
                running.log()
            );
        }
    }
}

#[test]
fn switching_a_link_switches_the_release() {
    let folder = TempDir::new("releases");
    let link = folder.path().join("current");
    for text in ["one", "two"] {
        let archive = folder.path().join(format!("{text}.tar"));
        let image = Image::new(&["app:1"]).layer("etc/text", text);
        fs::write(&archive, Archive::docker_20(&[image]).tar()).unwrap();
        build(
            &[archive.to_str().unwrap(), "--server", "apache"],
            &folder.path().join(text),
        );
    }
    symlink("one", &link).unwrap();
    for server in SERVERS.into_iter().filter(|server| !server.skills.is_copy) {
        let running = server.start(&link);
        let tag = || http::get(running.port, "/v2/app/manifests/1").body;
        let first = tag();
        assert!(!first.is_empty());
        fs::remove_file(&link).unwrap();
        symlink("two", &link).unwrap();
        let second = fs::read(folder.path().join("two/v2/app/manifests/1")).unwrap();
        assert_ne!(first, second);
        assert_eq!(tag(), second, "{}", server.name);
        fs::remove_file(&link).unwrap();
        symlink("one", &link).unwrap();
    }
}

/// The servers that can compute answer a search alike; the others have the whole list.
#[test]
fn searches_are_answered_alike() {
    let site = build_site();
    let whole: serde_json::Value = crate::support::site::json(site.path().join("v1/search"));
    assert!(whole["num_results"].as_u64().unwrap() > 5);
    let queries = [
        "",
        "?q=",
        "?q=hello",
        "?q=HELLO",
        "?q=sample/&n=2",
        "?q=sample/&n=2&page=2",
        "?q=sample%2Fh",
        "?q=none",
        "?n=3",
        "?page=2",
        "?q=hello&page=99",
        "?q=hello&n=0",
        "?q=e&n=1000",
        "?q=e&n=x&page=y",
        "?q=a+b",
        "?q=%22%5C%0a",
        "?q=%C3%A4",
        "?q=.",
        "?q=%25",
        "?x=1",
        "?q=hello&page=18446744073709551615",
    ];
    let ask = |port: u16, query: &str| -> serde_json::Value {
        let answer = http::get(port, &format!("/v1/search{query}"));
        assert_eq!(
            answer.header("Content-Length"),
            Some(answer.body.len().to_string().as_str())
        );
        serde_json::from_slice(&answer.body)
            .unwrap_or_else(|error| panic!("{query}: {error}: {answer:?}"))
    };
    let serve = SERVE.start(site.path());
    let mut narrowed = 0;
    for server in SERVERS {
        let running = server.start(site.path());
        for query in queries {
            let answer = ask(running.port, query);
            let expected = if server.skills.search {
                ask(serve.port, query)
            } else {
                whole.clone()
            };
            // Of the largest page number only the results matter: JavaScript has it as a float.
            let same = ["num_results", "num_pages", "page_size", "query", "results"];
            for key in same {
                assert_eq!(answer[key], expected[key], "{} {query}", server.name);
            }
            narrowed += usize::from(answer["num_results"] != whole["num_results"]);
        }
    }
    assert!(narrowed > 20, "{narrowed}");
}
