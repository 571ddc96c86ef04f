//! What a fuzzer feeds: each target takes any bytes and holds what must be true of them. The fuzzers
//! of `cargo fuzz` and the short run of the ordinary tests share it.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

#[path = "targets/apply_layer.rs"]
pub(crate) mod apply_layer;
#[path = "targets/archives.rs"]
mod archives;
#[path = "targets/layers.rs"]
mod layers;
#[path = "targets/pages.rs"]
mod pages;
#[path = "targets/parsers.rs"]
mod parsers;
#[path = "targets/servers.rs"]
mod servers;

/// Takes bytes; panics where something does not hold.
type Target = fn(&[u8]);

/// All targets by name.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("archive", archives::archive),
    ("load", archives::load),
    ("export", archives::export),
    ("layers", layers::layers),
    ("packed", layers::packed),
    ("manifest", parsers::manifest),
    ("index", parsers::index),
    ("config", parsers::config),
    ("v1_json", parsers::v1_json),
    ("signature", parsers::signature),
    ("name", parsers::name),
    ("ssh_command", parsers::ssh_command),
    ("catalogue", parsers::catalogue),
    ("pages", pages::pages),
    ("http", servers::http),
    ("lines", servers::lines),
];

/// Runs the target of a name.
pub(crate) fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a target of this name");
    target(data);
}

/// A folder of this process, in memory where the machine has such a place.
fn scratch() -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        base.join(format!("stillage-fuzz-{}", std::process::id()))
    });
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let path = FOLDER.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    std::fs::create_dir_all(&path).expect("a folder for a run");
    path
}
