//! How the manifests of a repository belong together.

use std::collections::{BTreeMap, BTreeSet};

use crate::images::Images;
use crate::images::damage::is_lost;
use crate::site_files::catalogue::Repo;
use crate::spec::digest::Digest;

impl Images {
    /// The manifests of a repository that neither a tag nor an index leads to.
    pub fn untagged(&self, repo: &Repo) -> BTreeSet<Digest> {
        let mut rest: BTreeSet<Digest> = repo.manifests.keys().copied().collect();
        for digest in repo.manifests.keys() {
            for child in self.manifests[digest].children() {
                rest.remove(&child.digest);
            }
        }
        for digest in repo.tags.values() {
            rest.remove(digest);
        }
        rest
    }

    /// The referrers of each manifest: those with a `subject`, and those that a fallback tag lists.
    pub fn referrers(&self, repo: &Repo) -> BTreeMap<Digest, BTreeSet<Digest>> {
        let mut attached: BTreeMap<Digest, BTreeSet<Digest>> = BTreeMap::new();
        for digest in repo.manifests.keys() {
            if let Some(subject) = self.manifests[digest].subject {
                attached.entry(subject).or_default().insert(*digest);
            }
        }
        for (tag, digest) in &repo.tags {
            if let Some(subject) = tag.attached_to() {
                let listed = self.manifests[digest].children().iter();
                let present = listed.map(|child| child.digest).filter(|digest| {
                    repo.manifests.contains_key(digest) && !is_lost(&self.manifests[digest])
                });
                attached.entry(subject).or_default().extend(present);
            }
        }
        attached
    }
}
