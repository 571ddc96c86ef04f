//! Selects images by `--only` and `--exclude`, so that the others need not be read.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use globset::{GlobBuilder, GlobMatcher};

use crate::error::escaped;
use crate::note::{Note, NoteKind};
use crate::spec::name::{Reference, Repository, Tag};

/// Globs of `REPOSITORY` or `REPOSITORY:TAG`. `*` does not match `/`, `**` does.
#[derive(Debug, Default)]
pub struct Selection {
    only: Vec<Glob>,
    exclude: Vec<Glob>,
    /// The first repositories in order that were checked, for messages.
    seen: Mutex<BTreeSet<Repository>>,
}

/// The most names in a message.
const SHOWN: usize = 10;

/// A glob of `REPOSITORY` or `REPOSITORY:TAG`.
#[derive(Debug)]
pub struct Glob {
    /// The option, and its value.
    option: &'static str,
    text: String,
    repository: GlobMatcher,
    /// The same without the host of Docker Hub, for names without a host.
    on_hub: Option<GlobMatcher>,
    /// If it is the name of one repository: that.
    name: Option<Repository>,
    tag: Option<GlobMatcher>,
    matched: AtomicBool,
    /// The same below any namespace, if it has none, for messages; and whether that would match.
    below: Option<GlobMatcher>,
    would_match_below: AtomicBool,
}

impl Glob {
    /// Compiles a glob. `option` is where it comes from, for messages.
    pub fn new(option: &'static str, text: &str) -> anyhow::Result<Self> {
        let compile = |part: &str| {
            let glob = GlobBuilder::new(part).literal_separator(true).build();
            let refused = |error: globset::Error| {
                let (text, kind) = (escaped(text), error.kind().to_string());
                anyhow::anyhow!("`{option} {text}`: it is not a glob: {kind}")
            };
            Ok::<_, anyhow::Error>(glob.map_err(refused)?.compile_matcher())
        };
        let (repository, tag) = match text.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(compile(tag)?)),
            None => (text, None),
        };
        let is_name = !repository.contains(['*', '?', '[', '{', '\\']);
        let on_hub = repository.strip_prefix("docker.io/");
        let below = (!repository.contains('/')).then(|| format!("**/{repository}"));
        Ok(Self {
            option,
            text: text.to_owned(),
            repository: compile(repository)?,
            on_hub: on_hub.map(compile).transpose()?,
            name: is_name.then(|| repository.parse().ok()).flatten(),
            tag,
            matched: AtomicBool::new(false),
            below: below.map(|glob| compile(&glob)).transpose()?,
            would_match_below: AtomicBool::new(false),
        })
    }

    fn is_of(&self, repository: &Repository) -> bool {
        let same = |name: &Repository| name.without_hub().unwrap_or_else(|| name.clone());
        if self.name.as_ref().map(same) == Some(same(repository)) {
            return true;
        }
        let names = repository.aliases();
        let matches = |glob: &GlobMatcher| names.iter().any(|name| glob.is_match(name));
        let is_of_hub = Reference::host(repository.as_str()).is_none();
        matches(&self.repository)
            || self
                .on_hub
                .as_ref()
                .is_some_and(|glob| is_of_hub && matches(glob))
    }

    /// A note if it has matched nothing so far.
    pub(crate) fn unmatched(&self) -> Option<Note> {
        let is_matched = self.matched.load(Ordering::Relaxed);
        (!is_matched).then(|| {
            let (option, text) = (self.option, escaped(&self.text));
            let meant = self.meant().unwrap_or_default();
            NoteKind::Choice.note(format!("`{option} {text}` matches nothing{meant}"))
        })
    }

    /// What one that matches nothing may be meant to be.
    fn meant(&self) -> Option<String> {
        let (option, text) = (self.option, escaped(&self.text));
        if self.would_match_below.load(Ordering::Relaxed) {
            return Some(format!("; did you mean `{option} '**/{text}'`?"));
        }
        let parts: Vec<&str> = self.text.split(',').map(str::trim).collect();
        let is_repeatable = matches!(option, "--only" | "--exclude");
        let is_list = is_repeatable && parts.len() > 1 && !self.text.contains('{');
        is_list.then(|| {
            let each = parts
                .iter()
                .map(|part| format!("{option} {}", escaped(part)));
            let each: Vec<String> = each.collect();
            format!("; repeat the option: `{}`", each.join(" "))
        })
    }

    pub fn matches(&self, repository: &Repository, tag: Option<&Tag>) -> bool {
        let is_tag = |glob: &GlobMatcher| tag.is_some_and(|tag| glob.is_match(tag.as_str()));
        let matches = self.is_of(repository) && self.tag.as_ref().is_none_or(is_tag);
        self.matched.fetch_or(matches, Ordering::Relaxed);
        matches
    }
}

impl Selection {
    /// Compiles the globs. If `only` is empty, all images are wanted that `exclude` does not match.
    pub fn new(only: &[String], exclude: &[String]) -> anyhow::Result<Self> {
        let compile = |option: &'static str, globs: &[String]| -> anyhow::Result<Vec<Glob>> {
            globs.iter().map(|text| Glob::new(option, text)).collect()
        };
        Ok(Self {
            only: compile("--only", only)?,
            exclude: compile("--exclude", exclude)?,
            seen: Mutex::default(),
        })
    }

    pub fn is_any(&self) -> bool {
        !self.only.is_empty() || !self.exclude.is_empty()
    }

    pub fn has_only(&self) -> bool {
        !self.only.is_empty()
    }

    /// Whether an image is wanted. Globs with a tag do not match an image without one.
    pub fn wants(&self, repository: &Repository, tag: Option<&Tag>) -> bool {
        self.see(repository);
        let is_only = |glob: &Glob| glob.matches(repository, tag);
        // Tries every glob, to know in the end which match nothing.
        let is_wanted = self.only.iter().filter(|glob| is_only(glob)).count() > 0;
        (self.only.is_empty() || is_wanted) && !self.excludes(repository, tag)
    }

    /// Whether an image is excluded, even if it belongs to one that is wanted.
    pub fn excludes(&self, repository: &Repository, tag: Option<&Tag>) -> bool {
        let excluding = self.exclude.iter();
        excluding
            .filter(|glob| glob.matches(repository, tag))
            .count()
            > 0
    }

    /// Whether any image of a repository may be wanted.
    pub fn may_want(&self, repository: &Repository) -> bool {
        self.see(repository);
        let is_only = self.only.iter().any(|glob| glob.is_of(repository));
        let is_excluded = |glob: &Glob| glob.tag.is_none() && glob.matches(repository, None);
        (self.only.is_empty() || is_only)
            && self.exclude.iter().filter(|glob| is_excluded(glob)).count() == 0
    }

    /// The hint if it leaves nothing: what `whose` has, and what may be meant.
    pub fn left_out(&self, whose: &str) -> String {
        let meant = self.only.iter().find_map(Glob::meant).unwrap_or_default();
        format!("{whose} {}{meant}", self.some_seen())
    }

    /// Notes about globs that matched nothing.
    pub fn unmatched(&self) -> impl Iterator<Item = Note> {
        let globs = self.only.iter().chain(&self.exclude);
        globs.filter_map(Glob::unmatched)
    }

    /// The first repositories in order that were checked, in backticks.
    fn some_seen(&self) -> String {
        let seen = self
            .seen
            .lock()
            .map(|seen| seen.clone())
            .unwrap_or_default();
        let names: Vec<String> = seen.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    }

    fn see(&self, repository: &Repository) {
        for glob in &self.only {
            let below = glob.below.as_ref();
            let below = below.filter(|_| !glob.would_match_below.load(Ordering::Relaxed));
            if below.is_some_and(|below| below.is_match(repository.as_str())) {
                glob.would_match_below.store(true, Ordering::Relaxed);
            }
        }
        if let Ok(mut seen) = self.seen.lock()
            && self.is_any()
            && !seen.contains(repository)
        {
            seen.insert(repository.clone());
            if seen.len() > SHOWN {
                seen.pop_last();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(only: &[&str], exclude: &[&str], repository: &str, tag: Option<&str>) -> bool {
        let texts = |globs: &[&str]| globs.iter().map(ToString::to_string).collect::<Vec<_>>();
        let selection = Selection::new(&texts(only), &texts(exclude)).unwrap();
        let tag = tag.map(|tag| tag.parse().unwrap());
        selection.wants(&repository.parse().unwrap(), tag.as_ref())
    }

    #[test]
    fn globs_name_repositories_and_tags() {
        for (only, exclude, repository, tag, wanted) in [
            (&[][..], &[][..], "app", Some("1"), true),
            (&["app"], &[], "app", Some("1"), true),
            (&["app"], &[], "app", None, true),
            (&["library/app"], &[], "app", Some("1"), true),
            (&["app:1"], &[], "app", Some("1"), true),
            (&["app:1"], &[], "app", Some("2"), false),
            (&["app:1"], &[], "app", None, false),
            (&["*:1.*"], &[], "app", Some("1.0"), true),
            (&["*:1.*"], &[], "o/app", Some("1.0"), false),
            (&["**:1.*"], &[], "o/app", Some("1.0"), true),
            (&[], &["app:1"], "app", Some("1"), false),
            (&[], &["app:1"], "app", Some("2"), true),
            (&[], &["app:1"], "app", None, true),
            (&["app"], &["**:*-rc"], "app", Some("2-rc"), false),
            (&["docker.io/library/app"], &[], "app", Some("1"), true),
            (&["docker.io/app"], &[], "app", Some("1"), true),
            (&["docker.io/o/*"], &[], "o/app", Some("1"), true),
            (&["docker.io/o/*"], &[], "docker.io/o/app", Some("1"), true),
            (&["docker.io/o/*"], &[], "quay.io/o/app", Some("1"), false),
            (&["docker.io/**"], &[], "quay.io/o/app", Some("1"), false),
            (&["docker.io/**"], &[], "docker.io/o/app", Some("1"), true),
            (&["app"], &[], "docker.io/library/app", Some("1"), true),
            (
                &["library/app:1"],
                &[],
                "docker.io/library/app",
                Some("1"),
                true,
            ),
            (
                &["docker.io/app"],
                &[],
                "docker.io/library/app",
                Some("1"),
                true,
            ),
            (&["o/app"], &[], "docker.io/o/app", Some("1"), true),
            (&["*/app"], &[], "docker.io/o/app", Some("1"), false),
            (&["app"], &[], "quay.io/library/app", Some("1"), false),
        ] {
            let wants = selects(only, exclude, repository, tag);
            assert_eq!(wants, wanted, "{only:?} {exclude:?} {repository} {tag:?}");
        }
    }

    #[test]
    fn a_glob_that_matches_nothing_is_told() {
        let selection = Selection::new(&["a".into(), "b:*".into()], &["c".into()]).unwrap();
        selection.wants(&"a".parse().unwrap(), None);
        let notes: Vec<String> = selection.unmatched().map(|note| note.message).collect();
        assert_eq!(
            notes,
            [
                "`--only b:*` matches nothing",
                "`--exclude c` matches nothing"
            ]
        );
    }
}
