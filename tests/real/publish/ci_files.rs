//! The action for GitHub and the job for GitLab, carried out as those services do it: with inputs, and all but docker
//! for real.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::listed;
use crate::support::archive::{Archive, Image};
use crate::support::clients::installed;
use crate::support::process::program;
use crate::support::servers::bucket::Store;
use crate::support::site::{copy_program, succeed};
use crate::support::temp::TempDir;

/// Prints the steps of the action, each with its variables, and its outputs, for the inputs in the argument.
const ACTION: &str = r#"
import json, re, sys, yaml
given = json.loads(sys.argv[1])
action = yaml.safe_load(open(".github/actions/publish/action.yml"))
assert set(given) <= set(action["inputs"]), given
missing = [name for name, about in action["inputs"].items() if about.get("required") and name not in given]
assert not missing, missing
inputs = {name: given.get(name, about.get("default")) for name, about in action["inputs"].items()}
fill = lambda text: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: inputs[found[1]], text)
for step in action["runs"]["steps"]:
    assert step["shell"] == "bash" and "${{" not in step["run"], step
    step["env"] = {name: fill(text) for name, text in step.get("env", {}).items()}
print(json.dumps({"steps": action["runs"]["steps"], "outputs": list(action["outputs"])}))
"#;

/// Prints the job with its inputs, which may contain variables.
const JOB: &str = r#"
import json, re, sys, yaml
given = json.loads(sys.argv[1])
header, jobs = yaml.safe_load_all(open(".gitlab/publish.yml"))
about = header["spec"]["inputs"]
assert set(given) <= set(about), given
inputs = {name: given[name] if name in given else what["default"] for name, what in about.items()}
def filled(value):
    if isinstance(value, dict):
        return {filled(name): filled(what) for name, what in value.items()}
    if isinstance(value, list):
        return [filled(what) for what in value]
    whole = re.fullmatch(r"\$\[\[ inputs\.(\w+) \]\]", value)
    return inputs[whole[1]] if whole else re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda found: inputs[found[1]], value)
assert not any("$[[" in line for line in jobs["$[[ inputs.job ]]"]["script"])
print(json.dumps(filled(jobs)))
"#;

fn read(script: &str, inputs: &Value) -> Value {
    let mut python = Command::new(installed(".venv/bin/python"));
    let printed = succeed(python.args(["-c", script, &inputs.to_string()]));
    serde_json::from_slice(&printed.stdout).unwrap()
}

/// A job's folder, with two images in docker and one in a file.
fn job(name: &str) -> TempDir {
    let folder = TempDir::new(name);
    let path = folder.path();
    let archive = |file: &str, images: &[&str]| {
        let image = |name: &&str| Image::new(&[name]).layer("file", name);
        let images: Vec<Image> = images.iter().map(image).collect();
        fs::write(path.join(file), Archive::docker_20(&images).tar()).unwrap();
    };
    archive("saved.tar", &["app:1", "tool:2"]);
    archive("a file.tar", &["other:3"]);
    copy_program(&path.join("program"));
    program(
        path,
        "docker",
        r#"[ "$*" = "save app:1 tool:2" ] && cat saved.tar"#,
    );
    // What no step may do.
    program(path, "pwn", "touch pwned");
    folder
}

/// A shell of the job, which has nothing in its environment but what every job has.
fn shell(words: &[&str], script: &str, folder: &Path, store: &Store) -> Command {
    let store = format!("http://127.0.0.1:{}", store.port);
    let mut shell = Command::new(words[0]);
    shell
        .args(&words[1..])
        .args(["-c", script])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env("HOME", folder)
        .env("AWS_ENDPOINT_URL_STS", store);
    shell
}

fn lines(path: impl AsRef<Path>) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_action_publishes() {
    let (store, folder) = (Store::start(), job("action"));
    let path = folder.path();
    program(
        path,
        "cargo",
        "printf '%s\\n' \"$@\" > cargo-was-asked\ncp program stillage",
    );
    let action = read(
        ACTION,
        &json!({
            "images": "app:1\n  tool:2\n",
            "sources": "\na file.tar\n",
            "site": "site $(pwn) `pwn`",
            "destination": "s3://site",
            "endpoint": format!("http://127.0.0.1:{}", store.port),
            "region": "us-east-1",
            "options": "--no-move  --check-headers",
        }),
    );
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail"];
    for step in action["steps"].as_array().unwrap() {
        let mut shell = shell(&bash, step["run"].as_str().unwrap(), path, &store);
        shell
            .env(
                "GITHUB_ACTION_PATH",
                checkout.join(".github/actions/publish"),
            )
            .env("GITHUB_OUTPUT", path.join("outputs"))
            .env("RUNNER_TEMP", path)
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
        for (name, value) in step["env"].as_object().unwrap() {
            shell.env(name, value.as_str().unwrap());
        }
        succeed(&mut shell);
    }
    assert!(!path.join("pwned").exists());
    assert!(path.join("site $(pwn) `pwn`/index.json").exists());
    let asked = lines(path.join("cargo-was-asked"));
    assert_eq!(asked[..4], ["install", "--locked", "--force", "--path"]);
    let source = fs::canonicalize(&asked[4]).unwrap();
    assert_eq!(source, fs::canonicalize(checkout).unwrap());
    let names = ["app:1", "other:3", "tool:2"];
    assert_eq!(Vec::from_iter(listed(&store)), names);

    assert_eq!(action["outputs"], json!(["purge", "references"]));
    let outputs = lines(path.join("outputs"));
    assert_eq!(outputs[1], "references<<END");
    assert_eq!(outputs[2..], [&names[..], &["END"]].concat());
    let purged = lines(outputs[0].strip_prefix("purge=").unwrap());
    assert!(purged.contains(&"/v2/app/manifests/1".into()), "{purged:?}");
}

#[test]
fn the_action_says_what_it_lacks() {
    let (store, folder) = (Store::start(), job("action"));
    let action = read(ACTION, &json!({"destination": "s3://site"}));
    let build = &action["steps"][1];
    fs::rename(
        folder.path().join("program"),
        folder.path().join("stillage"),
    )
    .unwrap();
    let script = build["run"].as_str().unwrap();
    let mut shell = shell(&["bash", "-eo", "pipefail"], script, folder.path(), &store);
    for (name, value) in build["env"].as_object().unwrap() {
        shell.env(name, value.as_str().unwrap());
    }
    let output = shell.output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("::error::"), "{said}");
}

#[test]
fn the_job_publishes() {
    for words in [&["sh", "-e"][..], &["bash", "-eo", "pipefail"]] {
        let (store, folder) = (Store::start(), job("job"));
        let path = folder.path();
        fs::rename(path.join("program"), path.join("stillage")).unwrap();
        let endpoint = format!("http://127.0.0.1:{}", store.port);
        let role = "arn:aws:iam::123456789012:role/publish";
        // With a role and images, then with keys and a file.
        for inputs in [
            json!({"images": "app:$TAG tool:2", "role": role, "job": "images", "options": "--no-move --check-headers"}),
            json!({"sources": "\na file.tar\n", "site": "files $(pwn)", "job": "files", "services": []}),
        ] {
            let mut inputs = inputs;
            inputs["image"] = "registry.example.org/ci/stillage".into();
            inputs["destination"] = "s3://site".into();
            inputs["endpoint"] = endpoint.as_str().into();
            let jobs = read(JOB, &inputs);
            let job = &jobs[inputs["job"].as_str().unwrap()];
            let script = job["script"].as_array().unwrap();
            let script: Vec<&str> = script.iter().map(|line| line.as_str().unwrap()).collect();
            let mut shell = shell(words, &script.join("\n"), path, &store);
            for (name, value) in job["variables"].as_object().unwrap() {
                // The service replaces variables in variables.
                shell.env(name, value.as_str().unwrap().replace("$TAG", "1"));
            }
            let token = job["id_tokens"].as_object().unwrap().keys().next().unwrap();
            shell.env(token, "a.b.c");
            if inputs["role"].is_null() {
                shell.env("AWS_ACCESS_KEY_ID", "key");
                shell.env("AWS_SECRET_ACCESS_KEY", "secret");
            }
            succeed(&mut shell);
            let changed = job["artifacts"]["paths"][0].as_str().unwrap();
            assert!(!lines(path.join(changed)).is_empty());
        }
        let names = ["app:1", "other:3", "tool:2"];
        assert_eq!(Vec::from_iter(listed(&store)), names);
        assert!(!path.join("pwned").exists());
    }
}
