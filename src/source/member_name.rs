//! Names in archives, none of which may lead outside.

use crate::error::{escaped, invalid_input};

/// The normalized name of a member: relative, without `.` and `..`.
pub(super) fn safe_name(path: &[u8]) -> anyhow::Result<Vec<u8>> {
    let is_up = |part: &[u8]| part == b"..";
    resolve(&[], path)
        .filter(|_| !path.starts_with(b"/") && !path.split(|c| *c == b'/').any(is_up))
        .filter(|parts| !parts.is_empty())
        .map(|parts| parts.join(&b'/'))
        .ok_or_else(|| {
            invalid_input(format!(
                "the name of its member `{}` leads outside the archive",
                shown(path)
            ))
        })
}

/// The member that JSON of the archive names. `None` if the name leads outside.
pub(super) fn named(name: &str) -> Option<Vec<u8>> {
    resolve(&[], name.as_bytes()).map(|parts| parts.join(&b'/'))
}

/// A name for messages.
pub(super) fn shown(name: &[u8]) -> String {
    escaped(String::from_utf8_lossy(name))
}

/// The member that a link points to. A symbolic link is relative to its own folder, a hard link to the
/// root of the archive. `None` if it leads outside.
pub(super) fn link_target(name: &[u8], target: &[u8], symbolic: bool) -> Option<Vec<u8>> {
    let mut folder: Vec<&[u8]> = name.split(|c| *c == b'/').collect();
    folder.pop();
    let from: &[&[u8]] = if symbolic { &folder } else { &[] };
    resolve(from, target)
        .filter(|_| !target.starts_with(b"/"))
        .map(|parts| parts.join(&b'/'))
}

/// Resolves a relative path; `None` if it leaves the root.
fn resolve<'a>(from: &[&'a [u8]], path: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let mut parts = from.to_vec();
    for part in path.split(|c| *c == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        assert_eq!(safe_name(b"./a/b").unwrap(), b"a/b");
        assert_eq!(safe_name(b"a//b/.").unwrap(), b"a/b");
        assert_eq!(safe_name(b"\xff/b").unwrap(), b"\xff/b");
        assert_eq!(named("./a//../b").unwrap(), b"b");
        assert_eq!(named("../a"), None);
        for name in ["/a", "..", "a/../b", "../a", "", "./"] {
            assert!(safe_name(name.as_bytes()).is_err(), "{name}");
        }
    }

    #[test]
    fn links_stay_inside() {
        assert_eq!(
            link_target(b"a/layer.tar", b"../b/layer.tar", true).unwrap(),
            b"b/layer.tar"
        );
        assert_eq!(link_target(b"a/b", b"c/d", false).unwrap(), b"c/d");
        assert_eq!(link_target(b"a/b", b"c/d", true).unwrap(), b"a/c/d");
        for target in ["../../x", "/etc/passwd", "../../../etc/passwd"] {
            let found = link_target(b"a/layer.tar", target.as_bytes(), true);
            assert_eq!(found, None, "{target}");
        }
        assert_eq!(link_target(b"a/b", b"../x", false), None);
    }
}
