//! Layers: unpacking, compressing, and what Docker 1.x makes of a completed one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use stillage::content::{Content, Packing};
use stillage::layer::{self, Completion, Compression, Place};
use stillage::spec::digest::{Digest, Hasher};

use super::apply_layer::{Docker, Kind, Member, Tree, tar_of};

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
    let measured = layer::compress(&content, Packing::Gzip, &mut made).expect("and compressed");
    assert_eq!(measured.tar, Some(tar));
    assert_eq!(measured.digest, Digest::of(&made));
    let again = layer::tar(&Content::memory(made, "`made`")).expect("and unpacked again");
    assert_eq!(again, tar);
    let alone = std::slice::from_ref(&content);
    let _ = completed_by(alone, &content, &|completion| {
        completion.map(|completion| {
            completion
                .compress(&mut std::io::sink())
                .expect("it was read before")
        })
    });
}

const PATHS: [&str; 14] = [
    "a", "a/b", "a/b/c", "a/b/c/d", "a/e", "a/f/g", "h", "h/i", "h/i/j", "k/l/m/n", "a/b/o",
    "h/.p", "a/b1", "a/b-x",
];
const TARGETS: [&str; 5] = ["h", "/a/e", "../h", "none", "/k/l"];

/// A byte for a member, 255 before the next layer. What has no one meaning is left out.
fn script(data: &[u8]) -> Vec<Vec<Member>> {
    let member = |byte: &u8| {
        let target = TARGETS[usize::from(byte / 7) % TARGETS.len()];
        let kind = [
            Kind::Folder(0o751),
            Kind::File,
            Kind::Whiteout,
            Kind::Opaque,
            Kind::Link(target.to_owned()),
        ];
        let path = PATHS[usize::from(byte / 5) % PATHS.len()];
        (path.to_owned(), kind[usize::from(byte % 5)].clone())
    };
    let mut tree = Tree::default();
    let mut layers = Vec::new();
    for bytes in data.split(|byte| *byte == 255).take(4) {
        let mut layer: Vec<Member> = Vec::new();
        for member in bytes.iter().take(24).map(member) {
            layer.push(member);
            if !has_one_meaning(&tree, &layer) {
                layer.pop();
            }
        }
        tree.apply(&layer);
        layers.push(layer);
    }
    layers
}

/// Whether all clients of today agree on what a layer means: nothing lies in something that is no folder, in the
/// layer itself or below; what is there twice is the same kind of thing; links on the way to a member stay.
fn has_one_meaning(below: &Tree, layer: &[Member]) -> bool {
    let Ok(ways) = below.ways(layer) else {
        return false;
    };
    let is_above = |above: &str, path: &str| path.starts_with(&format!("{above}/"));
    let is_solid = |kind: &Kind| !matches!(kind, Kind::Whiteout | Kind::Opaque);
    let agree = |one: usize, other: usize| {
        let ((path, kind), (other_path, other_kind)) = (&layer[one], &layer[other]);
        let is_file = is_solid(kind) && !is_folder(kind);
        let within = is_above(path, other_path) && is_file;
        let twice = path == other_path
            && is_solid(kind)
            && is_solid(other_kind)
            && is_folder(kind) != is_folder(other_kind);
        let emptied = path == other_path && *kind == Kind::Opaque && *other_kind != Kind::Opaque;
        let emptied = emptied && !is_folder(other_kind);
        // The other goes through a link, which this one changes or removes, or that to which it leads.
        let is_linked = ways[other].last() != Some(other_path);
        let is_earlier_folder = is_folder(kind) && is_solid(other_kind) && one < other;
        let on_the_way = [Some(path), ways[one].last()]
            .into_iter()
            .flatten()
            .any(|path| {
                let mut way = ways[other].iter().chain([other_path]);
                way.any(|way| path == way || is_above(path, way))
            });
        let moves = is_linked && on_the_way && !is_earlier_folder;
        !within && !twice && !emptied && !moves
    };
    let numbers = 0..layer.len();
    numbers.clone().all(|one| {
        let others = numbers.clone().filter(|other| *other != one);
        others.into_iter().all(|other| agree(one, other))
    })
}

fn is_folder(kind: &Kind) -> bool {
    matches!(kind, Kind::Folder(_))
}

/// What today's clients see of an image is what every Docker 1.x sees of its completed layer.
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
    let mut today = Tree::default();
    for layer in under {
        today.apply(layer);
    }
    let old = today.clone();
    today.apply(last);
    let mut tar = tar_of(last);
    let is_lacking = layer::tar(top).expect("a tar").incomplete_for_v1;
    if is_lacking {
        tar = completed(below, top);
    }
    for docker in [Docker::V1_4, Docker::V1_9] {
        let mut old = old.clone();
        let unpacked = old.unpack(&tar, docker);
        assert!(unpacked.is_ok(), "{docker:?} {unpacked:?}: {script:?}");
        assert_eq!(old, today, "{docker:?}: {script:?}");
    }
    // Some storage drivers unpack each layer into a folder of its own: there every folder needs an entry, unless a
    // link leads to it.
    let (folders, implied) = folders_of(&tar);
    let is_link = |path: &&String| old.has_link(path) || today.has_link(path);
    let missing: Vec<_> = implied
        .difference(&folders)
        .filter(|path| !is_link(path))
        .collect();
    assert!(
        missing.is_empty(),
        "only implied: {missing:?} in {script:?}"
    );
}

/// What `make` makes of the completion of a layer.
fn completed_by<T: Send + Sync>(
    below: &[Content],
    top: &Content,
    make: &(dyn Fn(Option<Completion>) -> T + Sync),
) -> anyhow::Result<T> {
    let digest = |content: &Content| content.hash(Hasher::default());
    let digests: Vec<Digest> = below.iter().map(digest).collect::<anyhow::Result<_>>()?;
    let (layer, all) = (digest(top)?, below.iter().chain([top]));
    let place = Place {
        below: &digests,
        layer,
    };
    let known: BTreeMap<Digest, &Content> =
        digests.iter().copied().chain([layer]).zip(all).collect();
    let layer_of = |digest: &Digest| (known[digest].clone(), None);
    let mut results = layer::complete(&[place], &layer_of, &|_, completion| {
        Ok(vec![make(completion)])
    })?;
    Ok(results.remove(0))
}

fn completed(below: &[Content], top: &Content) -> Vec<u8> {
    let (packed, size) = completed_by(below, top, &|completion| {
        let mut packed = Vec::new();
        let size = completion
            .expect("a tar can be completed")
            .compress(&mut packed)
            .expect("memory can be written");
        (packed, size)
    })
    .expect("memory can be read");
    let mut tar = Vec::new();
    Compression::Gzip
        .decoder(packed.as_slice(), packed.len() as u64)
        .and_then(|mut reader| reader.read_to_end(&mut tar))
        .expect("what was compressed");
    assert_eq!(size, packed.len() as u64);
    let again = layer::tar(&Content::memory(tar.as_slice(), "`completed`")).expect("a tar");
    assert_eq!(again.diff_id, Digest::of(&tar));
    tar
}

/// The folders that a tar has, and those that it implies.
fn folders_of(tar: &[u8]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut folders, mut implied) = (BTreeSet::new(), BTreeSet::new());
    for entry in tar::Archive::new(tar).entries().expect("a tar") {
        let entry = entry.expect("a completed layer can be read");
        let path = String::from_utf8_lossy(&entry.path_bytes())
            .trim_end_matches('/')
            .to_owned();
        let parents = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
        implied.extend(parents);
        if entry.header().entry_type().is_dir() {
            folders.insert(path);
        }
    }
    (folders, implied)
}
