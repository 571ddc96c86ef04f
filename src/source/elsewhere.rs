//! What names begin with that are no sources: what they name is not here, and not fetched.

use crate::error::escaped;
use crate::source::walk::ARCHIVES;
use crate::spec::name::{Reference, Tag};
use crate::spec::source_name::Hosts;

struct Place {
    /// What the name begins with.
    start: &'static str,
    what: &'static str,
    /// What to do, given the name and its rest behind `start`.
    advice: fn(&str, &str) -> String,
}

const PLACES: &[Place] = &[
    place("docker://", "an image in a registry", copy),
    place("oci://", "an image in a registry", copy),
    place("http://", "a URL", download),
    place("https://", "a URL", download),
    place("ftp://", "a URL", download),
    place("s3://", "a URL", |url, _| {
        let is_file = ARCHIVES.iter().any(|ending| url.ends_with(ending));
        download_by(if is_file { "aws s3 cp" } else { "aws s3 sync" }, url)
    }),
    place("gs://", "a URL", |url, _| {
        download_by("gcloud storage cp -r", url)
    }),
    place("file://", "a URL", |_, path| {
        format!("use the path, without `file://`: `{path}`")
    }),
    place(
        "docker-daemon:",
        "an image of a Docker daemon",
        |_, image| format!("pipe it: {}", save(image, None)),
    ),
    place(
        "containers-storage:",
        "an image in the storage of podman",
        |_, image| {
            format!(
                "save it with `podman save --format oci-archive -o FILE {image}`, then `stillage build FILE -o SITE`"
            )
        },
    ),
];

const fn place(start: &'static str, what: &'static str, advice: fn(&str, &str) -> String) -> Place {
    Place {
        start,
        what,
        advice,
    }
}

/// What is said of a name of something elsewhere: the error, and the hint.
pub(super) fn of(text: &str) -> Option<(String, String)> {
    let begins = |place: &&Place| text.starts_with(place.start);
    let place = PLACES.iter().find(begins)?;
    let (text, rest) = (escaped(text), escaped(&text[place.start.len()..]));
    Some((
        format!("`{text}` is {}; a source is local", place.what),
        (place.advice)(&text, &rest),
    ))
}

/// How to give an image that Docker has, under its name or a new one.
pub(super) fn save(image: &str, name: Option<&str>) -> String {
    let source = name.map_or_else(|| "-".into(), |name| format!("docker-archive:-={name}"));
    format!("`docker save {image} | stillage build {source} -o SITE`")
}

/// How to get an image from a registry, with all that belongs to it.
fn copy(_: &str, image: &str) -> String {
    let Ok(name) = Reference::from_source(image, Hosts::Drop, None) else {
        return "fetch it with `skopeo copy --all docker://IMAGE oci:FOLDER:NAME`".into();
    };
    let folder = name.repository.as_str().rsplit('/').next();
    let folder = folder.unwrap_or_default().to_owned();
    let tag = name.tag.unwrap_or_else(Tag::latest);
    let called = format!("{}:{tag}", name.repository);
    format!(
        "fetch it with `skopeo copy --all docker://{image} oci:{folder}:{called}`, then `stillage build {folder} -o SITE`"
    )
}

fn download(url: &str, _: &str) -> String {
    format!(
        "download the file first: `curl -fLO {url}`; an image in a registry is fetched with `skopeo copy --all docker://IMAGE oci:FOLDER:NAME`"
    )
}

fn download_by(command: &str, url: &str) -> String {
    format!("download it first: `{command} {url} FOLDER`, then `stillage build FOLDER -o SITE`")
}
