//! Benchmarks of what decides how long a build takes: `cargo bench`, or `cargo bench plan` for one.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark may fail and use files"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use serde_json::json;
use stillage::content::{Content, Packing};
use stillage::images::v1_claims::leave;
use stillage::images::v1_images::V1Images;
use stillage::images::{Images, memory_blob};
use stillage::import::ingest::Stored;
use stillage::import::staging::Staging;
use stillage::layer::{self, Compression, Tar};
use stillage::pages::Pages;
use stillage::plan::Plan;
use stillage::progress::Progress;
use stillage::site_files::catalogue::{Apis, Catalogue};
use stillage::source::archive::Archive;
use stillage::spec::digest::{Digest, Hasher};
use stillage::spec::manifest::Manifest;
use stillage::spec::name::Repository;

/// Bytes that are hashed or compressed.
const BYTES: usize = 16 << 20;
/// Members of the archive.
const MEMBERS: u64 = 20_000;
/// Repositories of the site.
const REPOSITORIES: u64 = 10_000;
/// Tags of each.
const TAGS: u64 = 10;

fn main() {
    divan::main();
}

/// What layers hold most of: a program, this one.
fn program() -> Vec<u8> {
    let program = fs::read(std::env::current_exe().unwrap()).unwrap();
    program.into_iter().cycle().take(BYTES).collect()
}

#[divan::bench]
fn hash(bencher: Bencher<'_, '_>) {
    let bytes = program();
    bencher.counter(BytesCount::new(BYTES)).bench(|| {
        let mut hasher = Hasher::default();
        hasher.update(divan::black_box(&bytes));
        hasher.finish()
    });
}

#[divan::bench(args = [1, 2, 4], sample_count = 20)]
fn compress(bencher: Bencher<'_, '_>, threads: usize) {
    let content = Content::memory(program(), "`benchmark`");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let pool = pool.build().unwrap();
    let run = || layer::compress(&content, Packing::Gzip, &mut std::io::sink()).unwrap();
    let bencher = bencher.counter(BytesCount::new(BYTES));
    bencher.bench(|| pool.install(run));
}

/// A file that is removed in the end.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[divan::bench(sample_count = 20)]
fn index_archive(bencher: Bencher<'_, '_>) {
    let name = format!("stillage-bench-{}.tar", std::process::id());
    let file = File(std::env::temp_dir().join(name));
    let mut tar = tar::Builder::new(fs::File::create(&file.0).unwrap());
    for number in 0..MEMBERS {
        let mut header = tar::Header::new_gnu();
        header.set_size(8);
        let name = format!("blobs/sha256/{}", digest(number).hex());
        tar.append_data(&mut header, name, &number.to_le_bytes()[..])
            .unwrap();
    }
    tar.finish().unwrap();
    let progress = Progress::default();
    bencher
        .counter(ItemsCount::new(MEMBERS))
        .bench(|| Archive::open(&file.0, &Staging::nowhere(), Packing::Gzip, &progress).unwrap());
}

#[divan::bench(sample_count = 10)]
fn read_catalogue(bencher: Bencher<'_, '_>) {
    let json = catalogue(&images()).to_json().unwrap();
    bencher
        .counter(ItemsCount::new(REPOSITORIES * TAGS))
        .bench(|| Catalogue::parse(&json).unwrap());
}

#[divan::bench(sample_count = 3)]
fn find_v1_images(bencher: Bencher<'_, '_>) {
    let mut images = images();
    bencher
        .counter(ItemsCount::new(REPOSITORIES * TAGS))
        .bench_local(|| v1(&mut images));
}

#[divan::bench(sample_count = 3)]
fn plan(bencher: Bencher<'_, '_>) {
    let mut images = images();
    let (catalogue, v1) = (catalogue(&images), v1(&mut images));
    let plan = Plan {
        catalogue: &catalogue,
        images: &images,
        v1: &v1,
        pages: &Pages::of_images(&catalogue, &images),
    };
    let files = || {
        let parts = plan.parts();
        let trees = parts.iter().map(|part| plan.tree(*part));
        trees.map(|tree| tree.unwrap().files().count()).sum()
    };
    let bencher = bencher.counter(ItemsCount::new(REPOSITORIES * TAGS));
    bencher.bench::<usize, _>(files);
}

fn digest(number: u64) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn catalogue(images: &Images) -> Catalogue {
    let mut catalogue = Catalogue::empty(Apis { v1: true, v2: true });
    catalogue.repositories.clone_from(&images.repositories);
    catalogue
}

fn v1(images: &mut Images) -> V1Images {
    V1Images::find(images, None, false, None, &leave).unwrap()
}

/// Repositories of one image each, with a config of its own on a layer that all share.
fn images() -> Images {
    let mut images = Images::default();
    let diff_id = Digest::of(b"tar");
    let layer = Stored {
        compression: Compression::Gzip,
        tar: Some(Tar {
            diff_id,
            incomplete_for_v1: false,
        }),
        ..memory_blob(b"layer".to_vec())
    };
    for number in 0..REPOSITORIES {
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Hostname": number.to_string()},
            "history": [{"created_by": "benchmark"}],
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        });
        let config = memory_blob(config.to_string().into_bytes());
        let manifest = Arc::new(manifest(&config, &layer));
        let repository: Repository = format!("team/app{number}").parse().unwrap();
        for tag in 0..TAGS {
            let repo = images.repositories.entry(repository.clone()).or_default();
            let tag = format!("1.{tag}").parse().unwrap();
            repo.tags.insert(tag, manifest.digest);
        }
        images.add_manifest(&repository, manifest, None);
        images.add_blob(config);
    }
    images.add_blob(layer);
    images
}

fn manifest(config: &Stored, layer: &Stored) -> Manifest {
    let described = |media_type: &str, blob: &Stored| {
        let media_type = format!("application/vnd.docker.{media_type}");
        json!({"mediaType": media_type, "digest": blob.digest, "size": blob.size})
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": described("container.image.v1+json", config),
        "layers": [described("image.rootfs.diff.tar.gzip", layer)],
    });
    Manifest::parse(manifest.to_string().into_bytes().into(), None).unwrap()
}
