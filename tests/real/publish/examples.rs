//! The examples for CI services in `stillage help ci`, carried out but for what the services bring: checkout, docker, and the
//! command of AWS.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::listed;
use crate::support::archive::{Archive, Image};
use crate::support::clients::installed;
use crate::support::process::program;
use crate::support::servers::bucket::Store;
use crate::support::site::{copy_program, succeed};
use crate::support::temp::TempDir;

/// Prints the variables and the commands of each example.
const EXAMPLES: &str = r#"
import json, re, yaml
texts = re.findall(r"```yaml\n(.*?)```", open("src/topics/ci.md").read(), re.S)
texts = [text for text in texts if "stillage publish" in text]
github, gitlab = (yaml.safe_load(text)["jobs" if "jobs:" in text else "publish"] for text in texts)
steps = github["publish"]["steps"]
commands = [step["run"] for step in steps if "run" in step]
print(json.dumps([
    {"variables": github["publish"]["env"], "commands": commands},
    {"variables": gitlab["variables"], "commands": gitlab["script"]},
]))
"#;

#[test]
fn jobs_of_ci_services_publish() {
    let (store, folder) = (Store::start(), TempDir::new("examples"));
    let path = folder.path();
    let mut python = Command::new(installed(".venv/bin/python"));
    let printed = succeed(python.args(["-c", EXAMPLES]));
    let examples: Vec<Value> = serde_json::from_slice(&printed.stdout).unwrap();
    copy_program(&path.join("stillage"));
    program(path, "docker", r#"[ "$1" = build ] || cat "$WORK/$2.tar""#);
    program(path, "aws", r#"printf '%s\n' "$@" > "$WORK/purged""#);
    for (number, example) in examples.iter().enumerate() {
        let name = format!("app:{number}");
        let image = Image::new(&[&name]).layer("file", &name);
        fs::write(
            path.join(format!("{name}.tar")),
            Archive::docker_20(&[image]).tar(),
        )
        .unwrap();
        let job = path.join(number.to_string());
        fs::create_dir(&job).unwrap();
        let commands = example["commands"].as_array().unwrap();
        assert!(commands.len() >= 4, "{commands:?}");
        for command in commands {
            let command = command
                .as_str()
                .unwrap()
                .replace("registry.example.org", "site");
            let mut shell = Command::new("bash");
            shell
                .args([
                    "-euo",
                    "pipefail",
                    "-c",
                    &command.replace("${{", "$(echo '").replace("}}", "')"),
                ])
                .current_dir(&job)
                .env_clear()
                .env("PATH", format!("{}:/usr/bin:/bin", path.display()))
                .env("HOME", &job)
                .env("WORK", path)
                .env("TOKEN", "a.b.c")
                .env(
                    "AWS_ENDPOINT_URL",
                    format!("http://127.0.0.1:{}", store.port),
                );
            for (variable, value) in example["variables"].as_object().unwrap() {
                shell.env(variable, value.as_str().unwrap());
            }
            shell.env("IMAGE", &name);
            if number == 0 {
                // What the step before gives to those after it.
                shell.envs([
                    ("AWS_ACCESS_KEY_ID", "key"),
                    ("AWS_SECRET_ACCESS_KEY", "secret"),
                ]);
            } else {
                shell.env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/publish");
                shell.env("AWS_WEB_IDENTITY_TOKEN_FILE", job.join("token"));
            }
            succeed(&mut shell);
        }
        assert!(listed(&store).contains(&name), "{name}");
    }
    let purged = fs::read_to_string(path.join("purged")).unwrap();
    assert!(
        purged.lines().any(|line| line == "/v2/app/manifests/0"),
        "{purged}"
    );
}
