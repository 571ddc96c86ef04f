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
