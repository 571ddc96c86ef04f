//! The order of names within a stage: what names others gets its name after them, and loses it before.

use std::path::Path;

/// The order of names within a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// What names no other.
    File,
    /// The JSON of a v1 image says that the rest of it is there.
    V1Image,
    /// What lists the tags of a repository.
    TagList,
    /// What lists repositories, and the rules of Apache that need those of each repository.
    List,
    /// `index.json`.
    Catalogue,
}

impl Turn {
    /// The turn of a path within the site.
    pub fn of(path: &Path) -> Self {
        let is = |end: &str| path.ends_with(end);
        if path == Path::new("index.json") {
            Self::Catalogue
        } else if is("v2/_catalog") || is("v1/search") || path == Path::new(".htaccess") {
            Self::List
        } else if is("tags/index.json") || is("tags/index.html") || is("tags/list") {
            Self::TagList
        } else if path.starts_with("v1/images") && is("json") {
            Self::V1Image
        } else {
            Self::File
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_others_gets_its_name_after_them() {
        let v1 = "v1/images/00/";
        let order = [
            vec![
                format!("{v1}ancestry"),
                format!("{v1}checksum"),
                "v2/a/manifests/.htaccess".into(),
                "v1/_ping".into(),
            ],
            vec![format!("{v1}json")],
            vec![
                "v1/repositories/a/tags/index.json".into(),
                "v2/a/tags/list".into(),
            ],
            vec!["v1/search".into(), "v2/_catalog".into(), ".htaccess".into()],
            vec!["index.json".into()],
        ];
        for (before, after) in order.iter().zip(&order[1..]) {
            for (before, after) in before
                .iter()
                .flat_map(|b| after.iter().map(move |a| (b, a)))
            {
                assert!(
                    Turn::of(before.as_ref()) < Turn::of(after.as_ref()),
                    "{before} {after}"
                );
            }
        }
    }
}
