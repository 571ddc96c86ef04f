//! The order of tags as versions.

use std::cmp::{Ordering, Reverse};

use alphanumeric_sort::compare_str;

/// Compares tags, so that of two versions the newer comes first: numbers by value, and `1.0-rc1` before `1.0` was
/// released. Tags that are no versions, such as `latest`, come before all versions.
pub(super) fn newest_first(a: &str, b: &str) -> Ordering {
    let by_version = || {
        let ((a, a_rest), (b, b_rest)) = (split(a), split(b));
        let behind_dash = || match (a_rest, b_rest) {
            (Some(a), Some(b)) => compare_str(b, a),
            _ => b_rest.is_none().cmp(&a_rest.is_none()),
        };
        compare_str(b, a).then_with(behind_dash)
    };
    match (is_version(a), is_version(b)) {
        (true, true) => by_version().then_with(|| a.cmp(b)),
        (false, false) => Reverse(a == "latest")
            .cmp(&Reverse(b == "latest"))
            .then_with(|| compare_str(a, b)),
        (a, b) => a.cmp(&b),
    }
}

/// Whether it begins with a number, as `1.2` and `v1.2`. The hash of a commit, `7f3a9c2`, is none.
pub(super) fn is_version(tag: &str) -> bool {
    let rest = number(tag).trim_start_matches(|c: char| c.is_ascii_digit());
    let has_digits = rest.len() < number(tag).len();
    has_digits && (rest.is_empty() || rest.starts_with(['.', '-', '_', '+']))
}

fn number(tag: &str) -> &str {
    tag.strip_prefix('v').unwrap_or(tag)
}

/// The version, and what follows its dash.
fn split(tag: &str) -> (&str, Option<&str>) {
    let tag = number(tag);
    match tag.split_once('-') {
        Some((version, rest)) => (version, Some(rest)),
        None => (tag, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_their_natural_order() {
        let expected = [
            "latest", "7f3a9c2", "edge", "main", "10.0", "v2.10.1", "2.9", "2.9-rc2", "2.9-rc1",
            "2.9-beta", "1.10", "1.9.1", "1.9", "1", "0.1",
        ];
        let mut sorted = expected;
        sorted.reverse();
        sorted.sort_by(|a, b| newest_first(a, b));
        assert_eq!(sorted, expected);
    }
}
