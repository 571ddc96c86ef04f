//! Checks the files of v1 images.

use crate::fsx;
use crate::images::v1_claims::JsonSource;
use crate::layer;
use crate::ops::verify::{Depth, Finding, Problem, Verifier, damaged, missing, or_error};
use crate::site_files::checksum;
use crate::spec::manifest::MAX_JSON;
use crate::spec::v1::{self, V1Id};

impl Verifier<'_> {
    pub(super) fn v1_image(&self, id: V1Id) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |name: &str, checked: anyhow::Result<Option<Problem>>| {
            let path = format!("v1/images/{id}/{name}");
            let problem = or_error(checked).or_else(|| or_error(self.access(&path, false)));
            if let Some(problem) = problem {
                findings.push(Finding::new(path, problem));
            }
        };
        find("json", self.v1_json(id));
        find("layer", self.v1_layer(id));
        find("ancestry", self.v1_ancestry(id));
        find("checksum", self.v1_checksum(id));
        findings
    }

    fn v1_json(&self, id: V1Id) -> anyhow::Result<Option<Problem>> {
        let Some(json) = self.files.v1_json(id)? else {
            return Ok(Some(missing()));
        };
        if self.plan.v1.images[&id].form == JsonSource::InSite {
            return Ok(None);
        }
        let expected = self.plan.v1.json(self.plan.images, id)?;
        // The site keeps the first JSON that it got for an id. If it differs, a checksum was written with it.
        let same = *json == *expected || self.has_good_checksum(id)?;
        Ok((!same).then(|| damaged("it does not match the image's config")))
    }

    fn v1_layer(&self, id: V1Id) -> anyhow::Result<Option<Problem>> {
        let path = self.files.path(&format!("v1/images/{id}/layer"));
        let Some(meta) = fsx::meta(&path)? else {
            return Ok(Some(missing()));
        };
        let candidates = &self.plan.v1.images[&id].candidates;
        let is_candidate = if self.depth == Depth::Fast {
            let blobs = candidates
                .iter()
                .filter_map(|digest| self.plan.images.blobs.get(digest));
            blobs.map(|blob| blob.size).any(|size| size == meta.len)
        } else {
            candidates.contains(&self.hash(path, meta)?)
        };
        if is_candidate {
            return Ok(None);
        }
        if !self.has_good_checksum(id)? {
            let problem = "it is not a layer of the image and does not match its checksum";
            return Ok(Some(damaged(problem)));
        }
        if let (Depth::Deep, Some(layer)) = (self.depth, self.files.v1_layer(id)?) {
            layer::tar(&layer)?;
        }
        Ok(None)
    }

    fn v1_checksum(&self, id: V1Id) -> anyhow::Result<Option<Problem>> {
        let is_there = self.files.v1_checksum(id)?.is_some();
        let wrong = is_there && !self.has_good_checksum(id)?;
        Ok(wrong.then(|| damaged("it does not match the JSON and the layer")))
    }

    /// Whether a checksum exists and matches JSON and layer. With [`Depth::Fast`], whether all three exist.
    fn has_good_checksum(&self, id: V1Id) -> anyhow::Result<bool> {
        match (
            self.files.v1_checksum(id)?,
            self.files.v1_json(id)?,
            self.files.v1_layer(id)?,
        ) {
            (Some(_), Some(_), Some(_)) if self.depth == Depth::Fast => Ok(true),
            (Some(expected), Some(json), Some(layer)) => Ok(expected == checksum(&json, &layer)?),
            _ => Ok(false),
        }
    }

    fn v1_ancestry(&self, id: V1Id) -> anyhow::Result<Option<Problem>> {
        let expected = v1::ancestry_json(&self.plan.v1.ancestry(id)?);
        let actual = fsx::read(
            &self.files.path(&format!("v1/images/{id}/ancestry")),
            MAX_JSON,
        )?;
        Ok(match actual {
            None => Some(missing()),
            Some(actual) => (actual != expected).then(|| damaged("it does not match the parents")),
        })
    }
}
