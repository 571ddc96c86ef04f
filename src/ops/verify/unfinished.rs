//! What a run that was killed, or found the disk full, has left: tags and lists that do not match the catalogue yet, or
//! any more. Clients pull what they name, and the next run completes them.

use std::sync::atomic::Ordering;

use serde::de::IgnoredAny;

use crate::fsx;
use crate::ops::verify::Verifier;
use crate::plan::Part;
use crate::plan::tree::Stage;
use crate::plan::v2::OVER_1000;
use crate::routes::Route;
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::name::Repository;
use crate::spec::v1::V1Id;

impl Verifier<'_> {
    /// Whether a problem with a planned file is not reported: an interrupted run left it, or it is a list of referrers, to
    /// which a lost manifest may belong.
    pub(super) fn is_judged_elsewhere(&self, part: Part<'_>, path: &str, stage: Stage) -> bool {
        let is_pending = match part {
            Part::Repository(name) => {
                let mut names = name.aliases().into_iter();
                if names.any(|name| path.starts_with(&format!("v2/{name}/referrers/")))
                    && self.plan.images.has_lost_manifest(name)
                {
                    return self.is_whole(path).unwrap_or_default();
                }
                self.pending.contains(name)
            }
            Part::Lists => !self.pending.is_empty(),
            Part::Blob(_) | Part::V1Image(_) => false,
        };
        is_pending && stage >= Stage::Pointer && self.is_unfinished(path)
    }

    /// The same for a tag or list that is not planned.
    pub(super) fn is_unplanned_yet(&self, path: &str) -> bool {
        let is_in = |name: &String| {
            path.starts_with(&format!("v2/{name}/"))
                || path.starts_with(&format!("v1/repositories/{name}/"))
                || path.starts_with(&format!("_pages/{name}/"))
        };
        let is_of_all = path.starts_with("_pages/_")
            || ["v1/_ping", "v1/search", "v2/index.html", "v2/_catalog"].contains(&path);
        if is_of_all && !self.pending.is_empty() {
            return self.is_unfinished(path);
        }
        let mut names = self.pending.iter().flat_map(Repository::aliases);
        names.any(|name| is_in(&name)) && self.is_unfinished(path)
    }

    fn is_unfinished(&self, path: &str) -> bool {
        let is_whole = self.is_whole(path).unwrap_or_default();
        self.unfinished
            .fetch_add(is_whole.into(), Ordering::Relaxed);
        is_whole
    }

    /// Whether a tag or list is whole in itself: it leads to something, or is JSON.
    fn is_whole(&self, path: &str) -> anyhow::Result<bool> {
        let file = self.files.path(path);
        if fsx::is_link(&file)? {
            let target = fsx::link_target(&file)?.unwrap_or_default();
            return Ok(target.starts_with("../_types") && file.exists());
        }
        let Some(bytes) = fsx::read(&file, MAX_JSON)? else {
            return Ok(false);
        };
        if path.ends_with(OVER_1000) {
            return Ok(true);
        }
        if path.ends_with(".htaccess")
            || matches!(Route::of(&format!("/{path}")), Some(Route::Page(_)))
        {
            return Ok(!bytes.is_empty());
        }
        let of_tag = path
            .rsplit_once("/manifests/")
            .or_else(|| path.rsplit_once("/_types/"));
        if let Some((folder, _)) = of_tag {
            let manifest = Manifest::parse(bytes.into(), None)?;
            let same = format!("{folder}/manifests/{}", manifest.digest);
            return Ok(self.files.path(&same).exists());
        }
        if path.contains("/tags/") && !path.contains("/tags/index.") && path.starts_with("v1/") {
            let id: V1Id = serde_json::from_slice::<String>(&bytes)?.parse()?;
            return Ok(self.files.v1_json(id)?.is_some());
        }
        Ok(serde_json::from_slice::<IgnoredAny>(&bytes).is_ok())
    }
}
