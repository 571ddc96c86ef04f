//! What many references cost: requests and memory.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::crash::is_long;
use crate::support::process::peak_of;
use crate::support::servers::bucket::Store;
use crate::support::site::{stillage, succeed};
use crate::support::temp::TempDir;

const TAGS: usize = 10;
/// In KiB.
const MOST_MEMORY: u64 = 300 << 10;

/// An image under many references, ten tags to a repository.
fn layout(folder: &Path, references: usize) {
    succeed(
        Command::new("cp")
            .args(["-r", "fixtures/oci-layout"])
            .arg(folder),
    );
    let path = folder.join("index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let image = index["manifests"][0].clone();
    let entry = |number: usize| {
        let (app, tag) = (number / TAGS, number % TAGS);
        let mut entry = image.clone();
        let name = format!("team{:04}/app{}:{tag}", app / 10, app % 10);
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        entry
    };
    index["manifests"] = (0..references).map(entry).collect();
    std::fs::write(path, index.to_string()).unwrap();
}

/// Publishes, and returns the most memory it took, in KiB, and what it said.
fn publish(store: &Store, site: &Path) -> (u64, String) {
    let mut command = store.publish(site, &[]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let said = child.stderr.take().unwrap();
    let reading = thread::spawn(move || std::io::read_to_string(said).unwrap());
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_of(child.id()));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let said = reading.join().unwrap();
    assert!(status.success(), "{said}");
    (peak, said)
}

#[test]
fn many_references_cost_little() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let references = if is_long() { 100_000 } else { 1_000 };
    let source = folder.path().join("layout");
    layout(&source, references);
    let site = folder.path().join("site");
    let build = ["build", "-q", "--no-v1", "-o"];
    succeed(stillage(build).args([&site, &source]));
    let plan = succeed(stillage(["publish", "--plan"]).arg(&site)).stdout;
    let objects = plan.split(|byte| *byte == b'\n').count() - 1;
    let (peak, _) = publish(&store, &site);
    assert!(peak < MOST_MEMORY, "{} MiB", peak >> 10);
    let requests = store.requests();
    let writes = requests
        .iter()
        .filter(|request| request.contains("PUT "))
        .count();
    // A write for each object, and those that try the store; nothing is looked at before.
    assert!(
        (objects..objects + 20).contains(&writes),
        "{writes} for {objects}"
    );
    let gets = requests
        .iter()
        .filter(|request| request.contains("GET "))
        .count();
    assert!(gets < 20, "{gets}");

    let before = store.requests().len();
    let (peak, said) = publish(&store, &site);
    assert_eq!(said, "nothing to do\n");
    assert!(peak < MOST_MEMORY, "{} MiB", peak >> 10);
    let again = store.requests().split_off(before);
    let lists = again
        .iter()
        .filter(|request| request.contains("list-type=2"))
        .count();
    assert_eq!(lists, objects.div_ceil(1000), "a page has 1,000 keys");
    assert!(again.len() <= lists + 3, "{again:#?}");
    assert!(!again.iter().any(|request| request.contains("PUT ")));
}
