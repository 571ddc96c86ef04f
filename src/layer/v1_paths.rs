//! Paths in tars, as bytes without a slash at either end.

use std::collections::HashMap;

pub(super) fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        name.to_vec()
    } else {
        [folder, b"/", name].concat()
    }
}

/// A path without `.`, empty parts, and slashes at either end.
pub(super) fn normal(name: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = name
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    parts.join(&b'/')
}

/// The folder that contains a path; `None` if that is the root.
pub(super) fn parent(path: &[u8]) -> Option<&[u8]> {
    path.iter()
        .rposition(|byte| *byte == b'/')
        .map(|slash| &path[..slash])
}

/// The folder that contains a path, empty for the root, and the last part of the path.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match parent(path) {
        Some(folder) => (folder, &path[folder.len() + 1..]),
        None => (b"", path),
    }
}

/// Tells whether something holds for a path or any folder above it. It remembers this for folders, so that paths deep
/// in the same folders take no quadratic time: what holds for a folder must not change.
#[derive(Default)]
pub(super) struct Above {
    folders: HashMap<Vec<u8>, bool>,
    /// The bytes of their paths.
    bytes: usize,
}

/// The most bytes of paths that are remembered.
const MAX_BYTES: usize = 16 << 20;

impl Above {
    pub(super) fn any(&mut self, path: &[u8], holds: impl Fn(&[u8]) -> bool) -> bool {
        holds(path) || self.any_folder(path, holds)
    }

    /// Like [`Self::any`], without the path itself.
    pub(super) fn any_folder(&mut self, path: &[u8], holds: impl Fn(&[u8]) -> bool) -> bool {
        let mut passed = Vec::new();
        let mut next = parent(path);
        let mut any = false;
        while let Some(path) = next {
            if let Some(known) = self.folders.get(path) {
                any = *known;
                break;
            }
            passed.push(path);
            next = parent(path);
        }
        for path in passed.into_iter().rev() {
            any = any || holds(path);
            if self.bytes < MAX_BYTES {
                self.bytes += path.len();
                self.folders.insert(path.to_vec(), any);
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_for_a_folder_holds_within_it() {
        let mut above = Above::default();
        for (path, expected) in [
            ("a", false),
            ("a/c/d", false),
            ("a/b", true),
            ("a/b/c/d", true),
            ("a/b/c/e", true),
            ("a/bb/c", false),
            ("a/c/b", false),
        ] {
            assert_eq!(
                above.any(path.as_bytes(), |path| path == b"a/b"),
                expected,
                "{path}"
            );
        }
    }
}
