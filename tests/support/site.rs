//! Runs of `stillage`, and all that can be seen of a site afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::files::{decompressed, digest};
use super::temp::TempDir;

/// `stillage` with these arguments, in the root of the project.
pub(crate) fn stillage<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stillage"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args);
    command
}

/// Copies the program, by another process: a file that this one writes is busy for as long as a child
/// that another test starts has it open.
pub(crate) fn copy_program(to: &Path) {
    succeed(
        Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_stillage"))
            .arg(to),
    );
}

/// `stillage build SOURCES -o SITE`, which must succeed.
pub(crate) fn build<S: AsRef<str>>(sources: &[S], site: &Path) -> Output {
    let sources = sources.iter().map(AsRef::as_ref);
    succeed(stillage(["build", "-o", site.to_str().unwrap()]).args(sources))
}

/// Sources of a site with every kind of file: links, legacy v1 images, v1 layers of their own, an index,
/// referrers.
pub(crate) const SMALL: [&str; 5] = [
    "fixtures/docker-20.10.tar",
    "fixtures/docker-1.4.1.tar=old",
    "fixtures/oci-layout-zstd=zstd",
    "fixtures/oci-layout-multiarch",
    "fixtures/oci-layout-referrer=referrer",
];

/// The site of these.
pub(crate) fn small_site() -> TempDir {
    let site = TempDir::new("site");
    build(&SMALL, site.path());
    site
}

/// What a reference in JSON is called: `repository:tag`, or `repository@digest`.
pub(crate) fn name_of(reference: &Value) -> String {
    let text = |key: &str| reference[key].as_str();
    let repository = text("repository").unwrap();
    match text("tag") {
        Some(tag) => format!("{repository}:{tag}"),
        None => format!("{repository}@{}", text("digest").unwrap()),
    }
}

/// `stillage verify SITE`, which must find nothing.
pub(crate) fn verify(site: &Path) {
    succeed(&mut stillage(["verify", site.to_str().unwrap()]));
}

/// The plain tars of the v1 layers of a repository's tag `1`, base first.
pub(crate) fn v1_layers(site: &Path, repository: &str) -> Vec<Vec<u8>> {
    let top = json(site.join(format!("v1/repositories/{repository}/tags/1")));
    let ids = json(site.join(format!("v1/images/{}/ancestry", top.as_str().unwrap())));
    let ids = ids.as_array().unwrap().iter().rev();
    let files = ids.map(|id| format!("v1/images/{}/layer", id.as_str().unwrap()));
    files
        .map(|file| decompressed(&fs::read(site.join(file)).unwrap()).unwrap())
        .collect()
}

/// The messages of a run.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// A JSON file.
pub(crate) fn json(path: impl AsRef<Path>) -> Value {
    let path = path.as_ref();
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

/// Compares what [`tree`] or [`inodes`] gave, and shows only what differs.
pub(crate) fn assert_same<T: PartialEq + std::fmt::Debug>(
    left: &BTreeMap<String, T>,
    right: &BTreeMap<String, T>,
) {
    let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| left.get(*name) != right.get(*name));
    let lines: Vec<String> = differ
        .map(|name| format!("{name}: {:?}, {:?}", left.get(name), right.get(name)))
        .collect();
    assert!(
        lines.is_empty(),
        "{} files differ:\n{}",
        lines.len(),
        lines[..lines.len().min(20)].join("\n")
    );
}

/// What a file is, without when and where: mode, and the digest of its content.
pub(crate) fn tree(site: &Path) -> BTreeMap<String, (u32, String)> {
    files(site, |path, meta| {
        let content = if meta.is_file() {
            digest(&fs::read(path).unwrap())
        } else {
            "folder".into()
        };
        (meta.mode(), content)
    })
}

/// Where a file is and when it was written: inode and mtime.
pub(crate) fn inodes(site: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    files(site, |_, meta| {
        (meta.ino(), meta.mtime(), meta.mtime_nsec())
    })
}

/// By path: mode, content, inode and mtime.
pub(crate) type Everything = BTreeMap<String, (u32, String, u64, i64, i64)>;

/// All that can be seen of the files in a folder, and when they were written: of a site also those in `.stillage`.
pub(crate) fn everything(folder: &Path) -> Everything {
    files_but("", folder, |path, meta| {
        let content = if meta.is_file() {
            digest(&fs::read(path).unwrap())
        } else {
            "folder".into()
        };
        let written = (meta.mtime(), meta.mtime_nsec());
        // Whoever takes the lock makes and removes the folder of staged files.
        let (seconds, nanoseconds) = if path.ends_with(".stillage") {
            (0, 0)
        } else {
            written
        };
        (meta.mode(), content, meta.ino(), seconds, nanoseconds)
    })
}

/// Every file and folder in a site but `.stillage`.
fn files<T>(site: &Path, of: impl Fn(&Path, &fs::Metadata) -> T) -> BTreeMap<String, T> {
    files_but(".stillage", site, of)
}

/// Every file and folder below a folder, but those of one name.
fn files_but<T>(
    name: &str,
    folder: &Path,
    of: impl Fn(&Path, &fs::Metadata) -> T,
) -> BTreeMap<String, T> {
    let entries = walkdir::WalkDir::new(folder)
        .min_depth(1)
        .into_iter()
        .filter_entry(|e| e.file_name() != name);
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry
                .path()
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            (name, of(entry.path(), &entry.metadata().unwrap()))
        })
        .collect()
}
