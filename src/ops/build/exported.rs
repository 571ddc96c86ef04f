//! What the export of another site means for this one.

use std::collections::BTreeMap;

use crate::import::draft::{Draft, ImportOptions};
use crate::import::ingest::Work;
use crate::site_files::catalogue::{Apis, Catalogue, Repo};
use crate::spec::name::Repository;
use crate::spec::source_name::Hosts;

/// Makes a new site like the one that was exported, except for what the options say. One that has images keeps its APIs:
/// an update for a site without v1 has no v1 forms.
pub(super) fn adopt(
    of: Catalogue,
    catalogue: &mut Catalogue,
    apis: &mut Apis,
    rules: &mut ImportOptions,
) {
    let is_new = catalogue.repositories.is_empty();
    let both = Apis {
        v1: apis.v1 && of.apis.v1,
        v2: apis.v2 && of.apis.v2,
    };
    if !is_new {
        *apis = catalogue.apis;
    } else if both.v1 || both.v2 {
        *apis = both;
    }
    rules.v1 = apis.v1;
    if is_new {
        if of.full_names && rules.hosts == Hosts::Drop {
            rules.hosts = Hosts::Full;
        }
        catalogue.v1_platform = of.v1_platform;
        catalogue.servers.extend(of.servers);
        catalogue.title = of.title;
        catalogue.pages = of.pages;
    }
}

/// Whether all that is read comes from exports.
pub(super) fn are_all(drafts: &[Draft]) -> bool {
    let mut drafts = drafts.iter();
    drafts.all(|draft| draft.is_export || draft.is_empty())
}

/// Leaves out what only v1 needs, if the site has no v1.
pub(super) fn forget_v1(drafts: &mut [Draft], rules: &ImportOptions) {
    for draft in drafts.iter_mut().filter(|_| !rules.v1) {
        for job in &mut draft.jobs {
            if let Work::Verbatim { diff_id } = &mut job.work {
                *diff_id = false;
            }
        }
        draft.roots.iter_mut().for_each(|root| root.v1 = None);
        draft.v1.clear();
    }
}

/// The references that exports list, and that stay as the site has them.
pub(super) fn listed(
    drafts: &[Draft],
    before: &BTreeMap<Repository, Repo>,
) -> BTreeMap<Repository, Repo> {
    let mut listed: BTreeMap<Repository, Repo> = BTreeMap::new();
    for reference in drafts.iter().flat_map(|draft| &draft.listed) {
        let Some((repo, digest)) = before.get(&reference.repository).zip(reference.digest) else {
            continue;
        };
        let kept = listed.entry(reference.repository.clone()).or_default();
        if let Some(entry) = repo.manifests.get(&digest) {
            kept.manifests.insert(digest, entry.clone());
            kept.tags
                .extend(reference.tag.clone().map(|tag| (tag, digest)));
        }
    }
    listed
}
