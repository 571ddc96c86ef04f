//! Checks the files of v1 images.

use crate::content::Content;
use crate::fsx;
use crate::images::v1_claims::JsonSource;
use crate::layer;
use crate::ops::verify::{Depth, Finding, Problem, Verifier, damaged, missing, or_error};
use crate::site_files::v1_files;
use crate::spec::digest::Digest;
use crate::spec::manifest::MAX_JSON;
use crate::spec::v1::{self, ChainLink, V1Id};

/// The names of the files that do not match, each with what is wrong; `""` for the image as a whole.
type Problems = Vec<(&'static str, Problem)>;

impl Verifier<'_> {
    pub(super) fn v1_image(&self, id: V1Id) -> Vec<Finding> {
        let mut problems = Problems::new();
        let checked = self.v1_content(id, &mut problems).map(|()| None);
        let json = or_error(checked).map(|problem| ("json", problem));
        let ancestry = or_error(self.v1_ancestry(id)).map(|problem| ("ancestry", problem));
        problems.extend(json.into_iter().chain(ancestry));
        let layer = self.plan.v1.images[&id].candidates.first();
        let folder = format!("v1/images/{id}");
        let mut findings: Vec<Finding> = problems
            .into_iter()
            .map(|(name, problem)| match name {
                "" => Finding::new(folder.as_str(), problem),
                "layer" => Finding::new(format!("{folder}/{name}"), problem).of(layer.copied()),
                _ => Finding::new(format!("{folder}/{name}"), problem),
            })
            .collect();
        for path in v1_files(id) {
            let access = or_error(self.access(&path, false));
            findings.extend(access.map(|problem| Finding::new(path, problem)));
        }
        findings
    }

    /// Checks the JSON, the layer and the checksum.
    fn v1_content(&self, id: V1Id, problems: &mut Problems) -> anyhow::Result<()> {
        let json = self.files.v1_json(id)?;
        let layer = match self.files.v1_layer(id) {
            Ok(layer) => layer,
            Err(error) => {
                problems.push(("layer", damaged(format!("{error:#}"))));
                return Ok(());
            }
        };
        let lacks = [("json", json.is_none()), ("layer", layer.is_none())];
        problems.extend(
            lacks
                .iter()
                .filter(|(_, lacks)| *lacks)
                .map(|(name, _)| (*name, missing())),
        );
        let (Some(json), Some(layer)) = (json, layer) else {
            return Ok(());
        };
        if !ChainLink::parse(&json).is_ok_and(|place| place.id == id) {
            problems.push(("json", damaged("it is not the JSON of the image")));
            return Ok(());
        }
        match self.files.v1_checksum(id) {
            Ok(Some(expected)) => self.with_checksum(id, &json, &layer, expected, problems)?,
            Ok(None) => {
                problems.extend(self.v1_json(id, &json)?.map(|problem| ("json", problem)));
                self.without_checksum(id, &layer, problems)?;
            }
            Err(error) => problems.push(("checksum", damaged(format!("{error:#}")))),
        }
        Ok(())
    }

    /// Checks an image whose JSON or layer the site got from a source, or made.
    fn with_checksum(
        &self,
        id: V1Id,
        json: &[u8],
        layer: &Content,
        expected: Digest,
        problems: &mut Problems,
    ) -> anyhow::Result<()> {
        let path = self.files.path(&format!("v1/images/{id}/checksum"));
        if fsx::read(&path, MAX_JSON)? != Some(format!("{expected}\n").into_bytes()) {
            problems.push(("checksum", damaged("it is not a digest and a newline")));
            return Ok(());
        }
        if self.depth == Depth::Fast {
            return Ok(());
        }
        if expected != self.checksum(id, json, layer)? {
            let is_derived = self.plan.v1.images[&id].form != JsonSource::InSite
                && !self.plan.images.v1.contains_key(&id)
                && self.v1_json(id, json)?.is_none();
            problems.push(if is_derived && self.is_candidate(id, layer)? {
                (
                    "checksum",
                    damaged("it does not match the JSON and the layer"),
                )
            } else {
                ("", damaged("its JSON, layer and checksum do not match"))
            });
        } else if self.depth == Depth::Deep && !self.is_candidate(id, layer)? {
            let unpacked = layer::tar(layer).map(|_| None);
            problems.extend(or_error(unpacked).map(|problem| ("layer", problem)));
        }
        Ok(())
    }

    /// Checks the layer of an image that follows from the images of the site.
    fn without_checksum(
        &self,
        id: V1Id,
        layer: &Content,
        problems: &mut Problems,
    ) -> anyhow::Result<()> {
        let is_kept = self.plan.v1.images[&id].form == JsonSource::InSite;
        if is_kept {
            // Nothing is left to compare it with.
            let kept = self.plan.images.damage.kept_v1.get(&id);
            if kept.is_some_and(|kept| kept.needs_checksum) {
                problems.push(("checksum", missing()));
            }
        } else if !self.is_candidate(id, layer)? && !self.is_same_tar(id, layer) {
            problems.push(("layer", damaged("it is not a layer of the image")));
        }
        Ok(())
    }

    /// Whether the layer has the tar that it should have, in another compression than any blob: as an image had it that is
    /// removed.
    fn is_same_tar(&self, id: V1Id, layer: &Content) -> bool {
        let tar = |content: &Content| layer::tar(content).ok();
        let blob = self.plan.v1.images[&id].tar;
        let blob = blob.and_then(|digest| self.plan.images.blobs.get(&digest));
        let expected = blob.and_then(|blob| tar(&blob.content));
        let found = tar(layer).filter(|tar| !tar.incomplete_for_v1);
        found
            .zip(expected)
            .is_some_and(|(found, expected)| found.diff_id == expected.diff_id)
    }

    fn v1_json(&self, id: V1Id, json: &[u8]) -> anyhow::Result<Option<Problem>> {
        if self.plan.v1.images[&id].form == JsonSource::InSite {
            return Ok(None);
        }
        let expected = self.plan.v1.json(self.plan.images, id)?;
        Ok((*json != *expected).then(|| damaged("it does not match the image's config")))
    }

    /// Whether the layer is a blob that may be the layer of the image. With [`Depth::Fast`], whether it is as long.
    fn is_candidate(&self, id: V1Id, layer: &Content) -> anyhow::Result<bool> {
        let candidates = &self.plan.v1.images[&id].candidates;
        if self.depth == Depth::Fast {
            let blobs = &self.plan.images.blobs;
            let mut blobs = candidates.iter().filter_map(|digest| blobs.get(digest));
            return Ok(blobs.any(|blob| blob.size == layer.len()));
        }
        let path = self.files.path(&format!("v1/images/{id}/layer"));
        let Some(meta) = fsx::meta(&path)? else {
            return Ok(false);
        };
        Ok(candidates.contains(&self.hash(path, meta)?))
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
