//! Layers: unpacking, compressing, and what Docker 1.x makes of a completed one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use stillage::content::Content;
use stillage::layer::{self, Completion, Compression};
use stillage::spec::digest::Digest;

/// Whatever is unpacked is unpacked twice the same, and compressing keeps it.
pub(super) fn packed(data: &[u8]) {
    let content = Content::memory(data, "`layer`");
    let packing = Compression::of(&content).expect("memory can be read");
    let Ok(tar) = layer::tar(&content) else {
        assert_ne!(packing, Compression::Plain, "any bytes are a plain layer");
        return;
    };
    let mut copy = Vec::new();
    let kept = layer::keep(&content, &mut copy, true).expect("what was measured can be kept");
    assert_eq!((copy.as_slice(), kept.tar), (data, Some(tar)));
    let mut made = Vec::new();
    let measured = layer::compress(&content, &mut made).expect("and compressed");
    assert_eq!(measured.tar, Some(tar));
    assert_eq!(measured.digest, Digest::of(&made));
    let again = layer::tar(&Content::memory(made, "`made`")).expect("and unpacked again");
    assert_eq!(again, tar);
    let alone = std::slice::from_ref(&content);
    if let Ok(Some(completion)) = Completion::of(alone, &content) {
        completion
            .compress(&mut std::io::sink())
            .expect("it was read before");
    }
}

const PATHS: [&str; 14] = [
    "a", "a/b", "a/b/c", "a/b/c/d", "a/e", "a/f/g", "h", "h/i", "h/i/j", "k/l/m/n", "a/b/o",
    "h/.p", "a/b1", "a/b-x",
];

#[derive(Clone, Copy, PartialEq)]
enum Op {
    Folder,
    File,
    Whiteout,
    Opaque,
    Link,
}

type Entry = (Op, String);

/// A byte for an entry, 255 before the next layer. What has no one meaning is left out.
fn script(data: &[u8]) -> Vec<Vec<Entry>> {
    let entry = |byte: &u8| {
        let op = [Op::Folder, Op::File, Op::Whiteout, Op::Opaque, Op::Link][usize::from(byte % 5)];
        (op, PATHS[usize::from(byte / 5) % PATHS.len()].to_owned())
    };
    let mut view = View::new();
    let mut layers = Vec::new();
    for bytes in data.split(|byte| *byte == 255).take(4) {
        let mut layer = Vec::new();
        for entry in bytes.iter().take(24).map(entry) {
            if fits(&view, &layer, &entry) {
                layer.push(entry);
            }
        }
        apply(&mut view, &layer);
        layers.push(layer);
    }
    layers
}

fn tar_of(entries: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (op, path) in entries {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let within = |folder: &str, name: &str| {
            format!("{folder}/{name}")
                .trim_start_matches('/')
                .to_owned()
        };
        let (kind, path) = match op {
            Op::Folder => (tar::EntryType::Directory, path.clone()),
            Op::File => (tar::EntryType::Regular, path.clone()),
            Op::Link => (tar::EntryType::Symlink, path.clone()),
            Op::Whiteout => (
                tar::EntryType::Regular,
                within(folder, &format!(".wh.{name}")),
            ),
            Op::Opaque => (tar::EntryType::Regular, within(path, ".wh..wh..opq")),
        };
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o751);
        header.set_size(0);
        builder
            .append_data(&mut header, path, std::io::empty())
            .expect("memory can be written");
    }
    builder.into_inner().expect("memory can be written")
}

/// Paths, and whether they are folders.
type View = BTreeMap<String, bool>;

fn remove(view: &mut View, path: &str, itself: bool) {
    let within = format!("{path}/");
    view.retain(|other, _| !(other.starts_with(&within) || (itself && other == path)));
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn put(view: &mut View, path: &str, is_folder: bool) {
    if !(is_folder && view.get(path) == Some(&true)) {
        remove(view, path, true);
    }
    for parent in parents(path) {
        view.entry(parent.into()).or_insert(true);
    }
    view.insert(path.into(), is_folder);
}

/// As today's clients do: what hides, hides what is below alone.
fn apply(view: &mut View, layer: &[Entry]) {
    for (op, path) in layer {
        match op {
            Op::Opaque => remove(view, path, false),
            Op::Whiteout => remove(view, path, true),
            _ => {}
        }
    }
    for (op, path) in layer {
        match op {
            Op::Folder | Op::File | Op::Link => put(view, path, *op == Op::Folder),
            Op::Opaque => put(view, path, true),
            Op::Whiteout => {
                for parent in parents(path) {
                    view.entry(parent.into()).or_insert(true);
                }
            }
        }
    }
}

/// As Docker 1.x does: one member after the other, opaque whiteouts are passed over.
fn apply_old(view: &mut View, tar: &[u8]) {
    let mut folders = BTreeSet::new();
    let mut implied = BTreeSet::new();
    for entry in tar::Archive::new(tar).entries().expect("a tar") {
        let entry = entry.expect("a completed layer can be read");
        let path = String::from_utf8_lossy(&entry.path_bytes())
            .trim_end_matches('/')
            .to_owned();
        let name = path.rsplit('/').next().unwrap_or_default();
        implied.extend(parents(&path).map(str::to_owned));
        if name.starts_with(".wh..wh.") {
            continue;
        }
        if let Some(hidden) = name.strip_prefix(".wh.") {
            let hidden = format!("{}{hidden}", &path[..path.len() - name.len()]);
            remove(view, &hidden, true);
            continue;
        }
        let is_folder = entry.header().entry_type().is_dir();
        if is_folder {
            folders.insert(path.clone());
        }
        put(view, &path, is_folder);
    }
    let missing: Vec<_> = implied.difference(&folders).collect();
    assert!(
        missing.is_empty(),
        "folders that are only implied: {missing:?}"
    );
}

/// Whether all clients agree on what an entry means in its layer: no path twice, nothing in what is
/// no folder, nothing both hidden and there.
fn fits(view: &View, layer: &[Entry], (op, path): &Entry) -> bool {
    use Op::{File, Folder, Link, Opaque, Whiteout};
    let is_file = |path: &str| view.get(path) == Some(&false);
    if parents(path).any(is_file) || (*op == Opaque && is_file(path)) {
        return false;
    }
    layer.iter().all(|(other, at)| {
        let above = path.starts_with(&format!("{at}/"));
        let within = at.starts_with(&format!("{path}/"));
        if !above && !within && at != path {
            return true;
        }
        match (other, op) {
            (Whiteout | File | Link, Folder | Opaque) => within,
            (Folder | Opaque, Whiteout | File | Link) => above,
            (Whiteout | File | Link, Whiteout | File | Link) => false,
            (Folder, Opaque) | (Opaque, Folder) => true,
            (Folder, Folder) | (Opaque, Opaque) => at != path,
        }
    })
}

/// What today's clients see of an image is what Docker 1.x sees of its completed layer.
pub(super) fn layers(data: &[u8]) {
    let script = script(data);
    let contents: Vec<Content> = script
        .iter()
        .map(|layer| Content::memory(tar_of(layer), "`layer`"))
        .collect();
    let (Some((top, below)), Some((last, under))) = (contents.split_last(), script.split_last())
    else {
        return;
    };
    let completion = Completion::of(below, top).expect("memory can be read");
    let completion = completion.expect("a tar can be completed");
    let mut packed = Vec::new();
    let measured = completion
        .compress(&mut packed)
        .expect("memory can be written");
    let mut tar = Vec::new();
    Compression::Gzip
        .decoder(packed.as_slice(), packed.len() as u64)
        .and_then(|mut reader| reader.read_to_end(&mut tar))
        .expect("what was compressed");
    assert_eq!(measured.tar.map(|tar| tar.diff_id), Some(Digest::of(&tar)));
    assert!(
        tar.ends_with(&tar_of(last)),
        "the layer itself stays as it is"
    );

    let mut view = View::new();
    for layer in under {
        apply(&mut view, layer);
    }
    let mut old = view.clone();
    apply(&mut view, last);
    apply_old(&mut old, &tar);
    assert_eq!(old, view, "{}", String::from_utf8_lossy(data));
}
