//! Numbers as people read them.

/// A number and its noun.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Formats a number of bytes for people.
#[expect(clippy::cast_precision_loss, reason = "one decimal place is shown")]
pub(crate) fn bytes(length: u64) -> String {
    let mut value = length as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{length} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// The first names, and how many more there are.
pub(crate) fn some(names: &[String], limit: usize) -> String {
    let shown = names[..names.len().min(limit)].join(", ");
    match names.len().saturating_sub(limit) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The known word that a mistyped one may stand for.
pub(crate) fn nearest(word: &str, known: impl Iterator<Item = String>) -> Option<String> {
    // Stricter than clap: a word that is not meant is worse than none.
    const ALIKE: f64 = 0.8;
    // A few letters are like those of any long word.
    let is_as_long = |known: &String| {
        let [short, long] = [word.len().min(known.len()), word.len().max(known.len())];
        2 * short >= long
    };
    let known = known.filter(is_as_long);
    let rated = known.map(|known| (strsim::jaro(word, &known), known));
    let best = rated.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(alike, _)| *alike > ALIKE)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_by_one_that_is_like_it() {
        let known = || ["app:1.0", "tool:1.0"].iter().map(ToString::to_string);
        assert_eq!(nearest("ap:1.0", known()).as_deref(), Some("app:1.0"));
        assert_eq!(nearest("something-else", known()), None);
        assert_eq!(nearest("x", std::iter::empty()), None);
        assert_eq!(nearest("fixtures", std::iter::once("x".into())), None);
    }

    #[test]
    fn long_lists_are_cut() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(some(&names, 3), "a, b, c");
        assert_eq!(some(&names, 1), "a and 2 more");
    }

    #[test]
    fn lengths_are_readable() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 40), "5.0 TiB");
    }
}
