//! What is said of sources that are not what the user means, and of what is asked of them.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::archive::Archive;
use crate::support::place::feed;
use crate::support::site::{build, stderr, stillage};
use crate::support::temp::TempDir;

/// Arguments, the exit code, and words that must be said.
pub(super) type Said = (&'static [&'static str], i32, &'static [&'static str]);

/// Runs `build` with the arguments of a table, in which `T` is a folder. The standard input is empty.
pub(super) fn check(folder: &Path, table: &[Said]) {
    let mut wrong = Vec::new();
    for (args, code, words) in table {
        let place = |arg: &&str| arg.replace("T/", &format!("{}/", folder.display()));
        let args: Vec<String> = args.iter().map(place).collect();
        let output = pipe_nothing(&args, &folder.join("out"));
        let said = stderr(&output);
        let lacks = words.iter().find(|word| {
            let word = word.replace("T/", &format!("{}/", folder.display()));
            !said.contains(&word)
        });
        if output.status.code() != Some(*code) || lacks.is_some() {
            let got = output.status.code();
            wrong.push(format!("{args:?}: {got:?}, lacks {lacks:?}:\n{said}"));
        }
        let _ = fs::remove_dir_all(folder.join("out"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Builds a site, unless the arguments name another, with nothing on the standard input.
pub(super) fn pipe_nothing(args: &[String], site: &Path) -> Output {
    let mut command = stillage(["build"]);
    if !args.iter().any(|arg| arg == "-o") {
        command.arg("-o").arg(site);
    }
    feed(command.args(args), b"")
}

pub(super) const DOCKER: &str = "fixtures/docker-20.10.tar";

#[test]
fn images_that_are_elsewhere() {
    let folder = TempDir::new("hints");
    check(
        folder.path(),
        &[
            (
                &["alpine:3.20"],
                2,
                &["docker save alpine:3.20 | stillage build -"],
            ),
            (&["alpine"], 2, &["Stillage pulls nothing"]),
            (&["quay.io/org/app"], 2, &["docker save quay.io/org/app |"]),
            (&["docker:24"], 2, &["docker save docker:24 |"]),
            (
                &["docker.io/library/alpine:3=a:1"],
                2,
                &["docker save docker.io/library/alpine:3 | stillage build docker-archive:-=a:1"],
            ),
            (
                &["docker://alpine"],
                2,
                &[
                    "skopeo copy --all docker://alpine oci:alpine:alpine:latest",
                    "stillage build alpine",
                ],
            ),
            (
                &["docker://quay.io/org/app:1"],
                2,
                &["docker://quay.io/org/app:1 oci:app:org/app:1"],
            ),
            (
                &["docker-daemon:alpine:3"],
                2,
                &["docker save alpine:3 | stillage"],
            ),
            (
                &["containers-storage:alpine"],
                2,
                &["podman save", "-o FILE alpine"],
            ),
            (&["s3://bucket"], 2, &["aws s3 sync s3://bucket FOLDER"]),
            (
                &["s3://bucket/x.tar"],
                2,
                &["aws s3 cp s3://bucket/x.tar FOLDER"],
            ),
            (
                &["https://example.org/x.tar"],
                2,
                &["curl -fLO https://example.org/x.tar"],
            ),
        ],
    );
}

#[test]
fn wrong_names() {
    let folder = TempDir::new("hints");
    fs::copy(DOCKER, folder.path().join("x.tar")).unwrap();
    let long = format!("T/x.tar=app:{}", "x".repeat(129));
    let long: &'static str = Box::leak(long.into_boxed_str());
    let args: &'static [&'static str] = Box::leak(Box::new([long]));
    check(
        folder.path(),
        &[
            (
                &["T/x.tar=MyApp:1"],
                2,
                &["`MyApp` is not a repository name", "lower case: `myapp`"],
            ),
            (&["T/x.tar=App/"], 2, &["lower case: `app`"]),
            (&["T/x.tar=a//b"], 2, &["single slashes"]),
            (
                &["T/x.tar=localhost:5000/app:1"],
                2,
                &["a host and a port; leave out `localhost:5000/`"],
            ),
            (&["T/x.tar=app@sha256:12"], 2, &["give a tag, not a digest"]),
            (&["T/x.tar=app:sha256:12"], 2, &["give a tag, not a digest"]),
            (
                &["T/x.tar=app:-x"],
                2,
                &["`-x` is not a tag", "up to 128 letters"],
            ),
            (
                &["T/x.tar=app:a b"],
                2,
                &["`a b` is not a tag", "up to 128 letters"],
            ),
            (&["T/x.tar=app:"], 2, &["is not a tag: it is empty"]),
            (args, 2, &["is not a tag", "up to 128 letters"]),
            (&["T/x.tar=app:1"], 2, &["3 images", "omit the tag"]),
        ],
    );
}

#[test]
fn mistyped_sources() {
    let folder = TempDir::new("hints");
    fs::copy(DOCKER, folder.path().join("x.tar")).unwrap();
    check(
        folder.path(),
        &[
            (
                &["T/x.tar", "=", "app"],
                2,
                &["no source before `=`", "without spaces"],
            ),
            (
                &["T/x.tar", "=app"],
                2,
                &["no source before `=`", "without spaces"],
            ),
            (
                &["T/x.tar=", "app"],
                2,
                &["no name after `=`", "without spaces"],
            ),
            (&["T/x.tar=a=b"], 2, &["more than one `=`"]),
            (&["T/x.tar,"], 2, &["separate sources by spaces"]),
            (&["T/x.tar,T/x.tar"], 2, &["separate sources by spaces"]),
            (&["T/*.zip"], 2, &["no file matches `T/*.zip`"]),
            (&[""], 2, &["a source is empty"]),
            (&["T/x.tar "], 2, &["did you mean `T/x.tar`"]),
            (&["T/x.tra"], 2, &["did you mean `T/x.tar`"]),
            (
                &["T/x.tar:tiny:1"],
                2,
                &["write `docker-archive:T/x.tar:tiny:1`"],
            ),
            (
                &["fixtures/oci-layout:tiny:1"],
                2,
                &["write `oci:fixtures/oci-layout:tiny:1`"],
            ),
            (
                &["oci:T/none"],
                2,
                &["nothing at `T/none`", "an OCI image layout"],
            ),
            (
                &["docker-archive:"],
                2,
                &["the path is missing", "`docker-archive:PATH`"],
            ),
            (
                &["docker_archive:T/x.tar"],
                2,
                &["did you mean `docker-archive:T/x.tar`"],
            ),
            (
                &["Docker-Archive:T/x.tar"],
                2,
                &["did you mean `docker-archive:T/x.tar`"],
            ),
            (
                &["docker:T/x.tar"],
                2,
                &["not a format", "`docker-archive:T/x.tar`"],
            ),
            (
                &["tarball:T/x.tar"],
                2,
                &["not a format", "`docker-archive:T/x.tar`"],
            ),
            (
                &["ocidir://fixtures/oci-layout"],
                2,
                &["did you mean `oci:fixtures/oci-layout`"],
            ),
            (
                &["oci-dir:fixtures/oci-layout"],
                2,
                &["did you mean `oci:fixtures/oci-layout`"],
            ),
            (
                &["zip:/tmp"],
                2,
                &["not a format", "known formats: `site:`"],
            ),
            (&["-", "-"], 2, &["`-` is given twice"]),
            (
                &["-"],
                1,
                &["standard input is empty", "did the command before it fail?"],
            ),
            (
                &["T/x.tar", "-o", "-"],
                2,
                &["a site is a folder", "stillage export SITE"],
            ),
        ],
    );
}

#[test]
fn other_formats_and_other_images() {
    let folder = TempDir::new("hints");
    fs::copy(DOCKER, folder.path().join("x.tar")).unwrap();
    check(
        folder.path(),
        &[
            (
                &["oci:T/x.tar"],
                2,
                &["not a source for `oci:`", "`docker-archive:T/x.tar`"],
            ),
            (
                &["docker-archive:fixtures/oci-layout"],
                2,
                &[
                    "hint: it is an OCI image layout",
                    "`oci:fixtures/oci-layout`",
                ],
            ),
            (
                &["dir:fixtures/oci-layout"],
                2,
                &["`oci:fixtures/oci-layout`"],
            ),
            (
                &["docker-archive:T/x.tar:none:1"],
                2,
                &[
                    "no image `none:1`",
                    "it has `sample/child:2.0`, `sample/hello:1.0`",
                ],
            ),
            (
                &["docker-archive:T/x.tar:tiny"],
                2,
                &["no image `tiny:latest`", "did you mean `tiny:1`?"],
            ),
            (
                &["docker-archive:T/x.tar:TINY:1"],
                2,
                &["did you mean `tiny:1`?"],
            ),
            (
                &["oci:fixtures/oci-layout:nosuch"],
                2,
                &["it has `sample/child:2.0`"],
            ),
            (
                &["registry-v2:fixtures/distribution-2.8:tinny:1"],
                2,
                &["did you mean `tiny`?"],
            ),
            (
                &["dir:fixtures/dir-s2"],
                2,
                &["name it: `dir:fixtures/dir-s2=NAME:TAG`"],
            ),
            (
                &["fixtures/crane-oci-layout"],
                2,
                &["`fixtures/crane-oci-layout=NAME:TAG`"],
            ),
        ],
    );
}

#[test]
fn parts_of_sources() {
    let folder = TempDir::new("hints");
    build(&[DOCKER], &folder.path().join("site"));
    check(
        folder.path(),
        &[
            (
                &["fixtures/distribution-2.8/docker/registry/v2/repositories"],
                1,
                &[
                    "part of `fixtures/distribution-2.8/docker/registry/v2`",
                    "give that folder",
                ],
            ),
            (
                &["fixtures/distribution-2.8/docker/registry/v2/blobs"],
                1,
                &["give that folder"],
            ),
            (
                &["registry-v2:fixtures/distribution-2.8/docker/registry/v2/repositories"],
                2,
                &["part of `fixtures/distribution-2.8/docker/registry/v2`"],
            ),
            (
                &["fixtures/docker-registry-0.9.1/images"],
                1,
                &["part of `fixtures/docker-registry-0.9.1`"],
            ),
            (
                &["fixtures/docker-registry-0.9.1/repositories"],
                1,
                &["part of `fixtures/docker-registry-0.9.1`"],
            ),
            (
                &["fixtures/oci-layout/blobs"],
                1,
                &["part of `fixtures/oci-layout`"],
            ),
            (
                &["fixtures/oci-layout/index.json"],
                1,
                &["part of `fixtures/oci-layout`"],
            ),
            (&["T/site/blobs"], 1, &["part of `T/site`, a site"]),
            (&["T/site/v2"], 1, &["part of `T/site`, a site"]),
            (&["T/site/index.json"], 1, &["part of `T/site`, a site"]),
        ],
    );
}

#[test]
fn files_that_are_no_images() {
    let folder = TempDir::new("hints");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("Dockerfile", b"FROM scratch\n");
    write("text", b"hello\n");
    let root = Archive::default()
        .file("./etc/passwd", "a")
        .file("./bin/a", "a");
    write("rootfs.tar", &root.tar());
    check(
        folder.path(),
        &[
            (
                &["T/Dockerfile"],
                1,
                &["it is a Dockerfile", "docker build -t NAME"],
            ),
            (&["T/text"], 1, &["it is not an image archive"]),
            (
                &["T/rootfs.tar"],
                1,
                &["is a file system, not an image", "docker save IMAGE"],
            ),
        ],
    );
}
