//! Names in archives, none of which may lead outside.

use crate::error::{escaped, invalid_input};

/// The normalized name of a member: relative, without `.` and `..`.
pub(super) fn safe_name(path: &[u8]) -> anyhow::Result<String> {
    let path = String::from_utf8_lossy(path);
    resolve(&[], &path)
        .filter(|parts| {
            !path.starts_with('/') && !path.split('/').any(|part| part == "..") && !parts.is_empty()
        })
        .map(|parts| parts.join("/"))
        .ok_or_else(|| {
            invalid_input(format!(
                "the name of its member `{}` leads outside the archive",
                escaped(&path)
            ))
        })
}

/// The member that a link points to. A symbolic link is relative to its own folder, a hard link to the
/// root of the archive.
pub(super) fn link_target(name: &str, target: &[u8], symbolic: bool) -> anyhow::Result<String> {
    let target = String::from_utf8_lossy(target);
    let mut folder: Vec<&str> = name.split('/').collect();
    folder.pop();
    let from: &[&str] = if symbolic { &folder } else { &[] };
    resolve(from, &target)
        .filter(|_| !target.starts_with('/'))
        .map(|parts| parts.join("/"))
        .ok_or_else(|| {
            invalid_input(format!(
                "its member `{}` links to `{}`, outside the archive",
                escaped(name),
                escaped(&target)
            ))
        })
}

/// Resolves a relative path; `None` if it leaves the root.
fn resolve<'a>(from: &[&'a str], path: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = from.to_vec();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
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
        assert_eq!(safe_name(b"./a/b").unwrap(), "a/b");
        assert_eq!(safe_name(b"a//b/.").unwrap(), "a/b");
        for name in ["/a", "..", "a/../b", "../a", "", "./"] {
            assert!(safe_name(name.as_bytes()).is_err(), "{name}");
        }
    }

    #[test]
    fn links_stay_inside() {
        assert_eq!(
            link_target("a/layer.tar", b"../b/layer.tar", true).unwrap(),
            "b/layer.tar"
        );
        assert_eq!(link_target("a/b", b"c/d", false).unwrap(), "c/d");
        assert_eq!(link_target("a/b", b"c/d", true).unwrap(), "a/c/d");
        for target in ["../../x", "/etc/passwd", "../../../etc/passwd"] {
            assert!(
                link_target("a/layer.tar", target.as_bytes(), true).is_err(),
                "{target}"
            );
        }
        assert!(link_target("a/b", b"../x", false).is_err());
    }
}
