//! The commands of the README, in its order, on a machine with an nginx, an engine and a bucket of its own.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::archive::{Archive, Image};
use crate::support::clients::Docker;
use crate::support::http;
use crate::support::machine::Machine;
use crate::support::process::{program, tool};
use crate::support::servers::bucket::Store;
use crate::support::servers::free_port;
use crate::support::servers::nginx::Nginx;
use crate::support::site::{copy_program, json, stderr, succeed};
use crate::support::temp::TempDir;

/// What runs elsewhere: the demo in `packages`, the installation below, and `tests/run.sh` runs this.
const ELSEWHERE: [&str; 2] = ["fixtures/demo.sh ", "cargo install "];

/// The blocks of commands.
fn blocks() -> Vec<String> {
    let readme = fs::read_to_string("README.md").unwrap();
    let blocks = readme.split("\n```sh\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("\n```").next().unwrap().to_owned());
    blocks.collect()
}

#[test]
fn commands_of_the_readme_work() {
    let (folder, port) = (TempDir::new("readme"), free_port());
    let (store, docker) = (Store::start(), Docker::start());
    let cdn = cdn(&store);
    let work = folder.path();
    for name in ["bin", "home", "nginx/conf.d"] {
        fs::create_dir_all(work.join(name)).unwrap();
    }
    copy_program(&work.join("bin/stillage"));
    program(
        &work.join("bin"),
        "docker",
        &run_with_arguments(&docker.command()),
    );
    for tag in ["1.0", "1.1"] {
        let image = Image::new(&[&format!("app:{tag}")]).layer("file", tag);
        let file = if tag == "1.0" {
            "app.tar"
        } else {
            "app-1.1.tar"
        };
        fs::write(work.join(file), Archive::docker_20(&[image]).tar()).unwrap();
    }
    succeed(
        docker
            .command()
            .args(["load", "-i"])
            .arg(work.join("app.tar")),
    );
    let machine = machine(work);

    let mut script = String::from("mount -t tmpfs none /srv\nnginx\ntrap 'nginx -s stop' EXIT\n");
    for block in blocks() {
        if !ELSEWHERE.iter().any(|command| block.starts_with(command)) {
            let _ = writeln!(script, "set -x\n{block}");
        }
    }
    // What the site here and the mirror there have in the end.
    script.push_str("cp -r site /srv/registry clients \"$HOME\"\n");
    let script = script
        .replace(
            "https://registry.example.org",
            &format!("http://127.0.0.1:{}", cdn.port),
        )
        .replace("s3://registry.example.org", "s3://site")
        .replace("5000", &port.to_string());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &script]);
    let path = format!(
        "{}:/usr/sbin:/usr/bin:/sbin:/bin",
        work.join("bin").display()
    );
    let mut shell = machine.on(&shell);
    shell
        .current_dir(work)
        .env("PATH", path)
        .env("HOME", work.join("home"))
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env(
            "AWS_ENDPOINT_URL",
            format!("http://127.0.0.1:{}", store.port),
        );
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    let tags =
        |site: &str| json(work.join("home").join(site).join("v2/app/tags/list"))["tags"].clone();
    assert_eq!(tags("site"), serde_json::json!(["1.0", "1.1"]));
    assert_eq!(tags("registry"), tags("site"));
    docker
        .inspect(&format!("localhost:{port}/app:1.0"))
        .unwrap();
    let manifest = http::get(cdn.port, "/v2/app/manifests/1.0");
    assert_eq!(manifest.status, 200);
    let mirrors = machine.path("containers/registries.conf.d");
    assert!(fs::read_dir(mirrors).unwrap().count() > 0);
}

/// nginx in front of the bucket, with the lines of `stillage help bucket`.
fn cdn(store: &Store) -> Nginx {
    let topic = fs::read_to_string("src/topics/bucket.md").unwrap();
    let mut blocks = topic.split("```nginx\n").skip(1);
    let lines = blocks.find_map(|block| {
        block
            .split("```")
            .next()
            .filter(|text| text.contains("proxy_pass"))
    });
    let lines = lines.unwrap().replace(
        "https://BUCKET.s3.REGION.amazonaws.com/PREFIX",
        &store.address(),
    );
    Nginx::start_with(|port| {
        format!(
            "pid nginx.pid;\nevents {{}}\nhttp {{\n    access_log off;\n    proxy_temp_path temp;\n    server {{\n    listen 127.0.0.1:{port};\n{lines}}}\n}}\n"
        )
    })
}

/// The lines of a program that runs another with its arguments first.
fn run_with_arguments(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
    let mut text = String::new();
    for (name, value) in command.get_envs() {
        let value = value.unwrap_or_default().to_str().unwrap();
        let _ = writeln!(text, "export {}='{value}'", name.to_str().unwrap());
    }
    text + &format!("exec {} \"$@\"", words.join(" "))
}

/// A machine with an nginx that serves what is in `conf.d`, and no configuration of podman.
fn machine(work: &Path) -> Machine {
    tool("nginx");
    let machine = Machine::new("mirror.example", "127.0.0.1");
    fs::create_dir_all(machine.path("nginx/conf.d")).unwrap();
    fs::create_dir_all(machine.path("containers")).unwrap();
    let work = work.display();
    let config = format!(
        "user root;\npid {work}/nginx.pid;\nerror_log {work}/error.log;\nevents {{}}\n\
         http {{\n    access_log {work}/access.log;\n    include /etc/nginx/conf.d/*.conf;\n}}\n"
    );
    fs::write(machine.path("nginx/nginx.conf"), config).unwrap();
    machine
}

/// It takes minutes to compile.
#[test]
#[ignore = "compiles Stillage once more"]
fn stillage_is_installed_as_the_readme_has_it() {
    let folder = TempDir::new("installed");
    let block = blocks()
        .into_iter()
        .find(|block| block.starts_with("cargo install "));
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &block.unwrap()]);
    succeed(shell.env("CARGO_INSTALL_ROOT", folder.path()));
    let output = succeed(Command::new(folder.path().join("bin/stillage")).arg("--version"));
    let version = format!("stillage {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), version);
}

/// The action takes the inputs that the README gives to it.
#[test]
fn the_action_of_the_readme_exists() {
    let readme = fs::read_to_string("README.md").unwrap();
    let block = readme.split("```yaml\n").nth(1).unwrap();
    let (uses, with) = block
        .split("```")
        .next()
        .unwrap()
        .split_once("with:\n")
        .unwrap();
    let path = uses.split_once("stillage/stillage/").unwrap().1;
    let (path, version) = path.trim_end().split_once('@').unwrap();
    assert_eq!(version, format!("v{}", env!("CARGO_PKG_VERSION")));
    let action = fs::read_to_string(Path::new(path).join("action.yml")).unwrap();
    for line in with.lines() {
        let input = line.trim_start().split_once(':').unwrap().0;
        assert!(
            action.contains(&format!("\n  {input}:\n    description:")),
            "{input}"
        );
    }
}
