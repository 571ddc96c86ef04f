//! Archives: their index, and everything that a build reads of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use stillage::content::Packing;
use stillage::error::is_bad;
use stillage::import::staging::Staging;
use stillage::ops::build::{BuildOptions, build};
use stillage::progress::Progress;
use stillage::source::Source;
use stillage::source::archive::Archive;
use stillage::spec::digest::Digest;
use stillage::spec::site_export::{CATALOGUE, DESCRIPTION, SUMS, VOLUMES, sum_line};

use super::scratch;

/// Whoever changes a header changes its checksum, which no fuzzer finds by itself.
fn with_checksums(data: &[u8]) -> Vec<u8> {
    let mut tar = data.to_vec();
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..at + 512) {
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let size = header.entry_size().unwrap_or(0);
        let Some(next) = size
            .checked_next_multiple_of(512)
            .and_then(|size| usize::try_from(size).ok()?.checked_add(at + 512))
        else {
            break;
        };
        at = next;
    }
    tar
}

/// Names stay inside, and an archive that passes by has the members of one in a file.
pub(super) fn archive(data: &[u8]) {
    for bytes in [data.to_vec(), with_checksums(data)] {
        let folder = scratch();
        check_archive(&bytes, &folder);
        let _ = fs::remove_dir_all(&folder);
    }
}

fn check_archive(bytes: &[u8], folder: &Path) {
    let staging = Staging::folder(folder.to_owned(), false);
    let path = folder.join("a.tar");
    fs::write(&path, bytes).expect("a file");
    let opened = Archive::open(&path, &staging, Packing::Gzip, &Progress::default());
    let read = Archive::read(bytes, &staging, Packing::Gzip, "`-`".into());
    for archive in [&opened, &read].into_iter().flatten() {
        for name in archive.names() {
            let inside = |part: &str| !matches!(part, "" | "." | "..");
            assert!(name.split('/').all(inside), "{name:?}");
            // A sparse member may be longer than memory.
            let content = archive.member(name).ok().flatten();
            if let Some(content) = content.filter(|content| content.len() < 1 << 24) {
                let mut bytes = Vec::new();
                let mut reader = content.open().expect("a member opens");
                let read = std::io::Read::read_to_end(&mut reader, &mut bytes);
                assert_eq!(read.expect("a member can be read") as u64, content.len());
            }
        }
    }
    for error in [&opened, &read]
        .into_iter()
        .filter_map(|found| found.as_ref().err())
    {
        assert!(is_bad(error), "{error:?}");
    }
    if let (Ok(opened), Ok(read)) = (&opened, &read) {
        let names = |archive: &Archive| archive.names().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(names(opened), names(read));
    }
}

/// A build of anything ends well or blames the input.
pub(super) fn load(data: &[u8]) {
    let folder = scratch();
    let path = folder.join("a.tar");
    fs::write(&path, with_checksums(data)).expect("a file");
    let text = path.to_str().expect("a path of text");
    for source in [format!("{text}=app"), text.to_owned()] {
        let source = Source::parse(&source).expect("a source");
        let mut options = BuildOptions::new(vec![source], folder.join("site"));
        options.rules.compress = true;
        options.dry_run = true;
        if let Err(error) = build(&options, &Arc::default(), || Ok(())) {
            assert!(is_bad(&error), "{error:?}");
        }
    }
    let _ = fs::remove_dir_all(&folder);
}

/// A build of an export ends well or blames the input, whatever it says of itself with the right digests. The first byte
/// says which member the others are.
pub(super) fn export(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    let catalogue = br#"{"schemaVersion":2,"manifests":[],"annotations":{"org.stillage.apis":"v1","org.stillage.format":"2"}}"#;
    let digest = Digest::of(if which % 4 == 1 { bytes } else { catalogue });
    let list = Digest::of(if which % 4 == 2 { bytes } else { b"{}" });
    let description = format!(
        r#"{{"format":1,"catalogue":"{digest}","requires":{{}},"v1_layers":{{}},"volume":{{"number":1,"of":1,"list":"{list}"}}}}"#
    );
    let mut members = vec![
        (DESCRIPTION, description.into_bytes()),
        (
            CATALOGUE,
            gzip(if which % 4 == 1 { bytes } else { catalogue }),
        ),
        (VOLUMES, gzip(if which % 4 == 2 { bytes } else { b"{}" })),
    ];
    if which % 4 == 0 {
        members[0].1 = bytes.to_vec();
    }
    let sums = members.iter();
    let sums: String = sums
        .map(|(name, bytes)| sum_line(&Digest::of(bytes), name))
        .collect();
    let sums = if which % 4 == 3 {
        bytes
    } else {
        sums.as_bytes()
    };
    members.push((SUMS, sums.to_vec()));
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in &members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        let added = tar.append_data(&mut header, name, &bytes[..]);
        added.expect("a member can be added");
    }
    build_of(&tar.into_inner().expect("a tar"));
}

fn build_of(tar: &[u8]) {
    let folder = scratch();
    let path = folder.join("a.tar");
    fs::write(&path, tar).expect("a file");
    let source = Source::parse(path.to_str().expect("a path of text")).expect("a source");
    let mut options = BuildOptions::new(vec![source], folder.join("site"));
    options.dry_run = true;
    if let Err(error) = build(&options, &Arc::default(), || Ok(())) {
        assert!(is_bad(&error), "{error:?}");
    }
    let _ = fs::remove_dir_all(&folder);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, bytes).expect("memory");
    packed.finish().expect("memory")
}
