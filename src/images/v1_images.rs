//! Which v1 images a site has: for each tag the chain of an image's layers. Their ids came with the source,
//! or are derived as by `docker push`.
//!
//! The content of an id never changes, since clients cache it forever. If several images claim an id, the one
//! in the site wins. Otherwise a derived form precedes a stored one, a blob precedes a new layer, and a
//! lower digest precedes a higher one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use crate::bail_invalid;
use crate::images::Images;
use crate::images::v1_claims::{
    Claim, Claims, Encode, JsonSource, LayerSource, Made, SiteLayer, Unfit, derived_claims,
    stored_claim, top_of,
};
use crate::images::v1_clashes::Clash;
use crate::note::{Note, NoteKind};
use crate::site_files::{MAX_CHAIN, SiteFiles};
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::{self, ChainLink, V1Id};

#[derive(Debug, Default)]
pub struct V1Images {
    pub images: BTreeMap<V1Id, V1Image>,
    /// The top image of each tag.
    pub tags: BTreeMap<Repository, BTreeMap<Tag, V1Id>>,
    /// Why references have no v1 form, and which image won a conflict.
    pub notes: BTreeSet<Note>,
    /// Images whose JSON Docker up to 1.6 refuses.
    text_commands: BTreeSet<V1Id>,
    clashes: BTreeMap<V1Id, Clash>,
}

#[derive(Debug)]
pub struct V1Image {
    pub parent: Option<V1Id>,
    pub form: JsonSource,
    pub layer: LayerSource,
    /// All blobs that could be its layer, best first.
    pub candidates: Vec<Digest>,
    /// A blob with the tar of its layer, which v1 clients may not be able to use.
    pub tar: Option<Digest>,
    /// The checksum, if it is known: of a layer that was made, came with a checksum, or is in the site and no longer
    /// equal to any blob.
    pub checksum: Option<Digest>,
}

/// The most layers of an image that Docker 1.10 to 25 pull (classic store; observed with 1.12.6). Docker up to 1.9
/// pulls more, but creates containers only from images with fewer (observed with 1.4.1, 1.6.2 and 1.9.1).
const MAX_LAYERS: usize = 125;

impl V1Images {
    /// Finds the v1 images of all tags. Images in `site` stay as they are; with `is_upgrade`, layers that were made
    /// for it are made anew.
    pub fn find(
        images: &mut Images,
        site: Option<&SiteFiles>,
        is_upgrade: bool,
        platform: Option<&Platform>,
        encode: &Encode<'_>,
    ) -> anyhow::Result<Self> {
        let mut found = Self {
            clashes: images.v1_clashes.clone(),
            ..Self::default()
        };
        let derived = derived_claims(images)?;
        let mut wanted = BTreeSet::new();
        for (repository, repo) in &images.repositories {
            for (tag, digest) in &repo.tags {
                match top_of(images, repo, digest, platform)? {
                    Ok(top) => {
                        wanted.insert(top);
                        found
                            .tags
                            .entry(repository.clone())
                            .or_default()
                            .insert(tag.clone(), top);
                    }
                    // Nobody asks for signatures over v1.
                    Err(_) if tag.attached_to().is_some() => {}
                    Err(reason) => {
                        let name = format!("{repository}:{tag}");
                        let note =
                            NoteKind::Client.note(format!("{name} has no v1 form: {reason}"));
                        found.notes.insert(note.about(name));
                    }
                }
            }
        }
        // Only exports have v1 forms of manifests without a tag.
        let entries = images
            .repositories
            .values()
            .flat_map(|repo| repo.manifests.values());
        let is_new = |top: &V1Id| images.v1.get(top).is_some_and(|form| form.layer.is_some());
        wanted.extend(entries.filter_map(|entry| entry.v1).filter(is_new));
        let claims = found.claims(images, site, derived, wanted)?;
        let blobs = images.registry_blobs();
        let mut unfit = Vec::new();
        for (id, claim) in &claims {
            let is_renewed = is_upgrade && claim.needs_own_layer();
            if is_renewed || !found.keep(images, site, *id, claim)? {
                if is_renewed {
                    let note =
                        format!("v1 image {id}: its layer is made anew; purge it from caches");
                    found.notes.insert(NoteKind::Client.note(note));
                }
                if claim.has_text_command(images)? {
                    found.text_commands.insert(*id);
                }
                let layer = claim
                    .layer(images, &blobs, &claims)
                    .unwrap_or_else(|layer| {
                        unfit.push((*id, layer));
                        LayerSource::InSite
                    });
                let (parent, mut form, candidates) =
                    (claim.parent, claim.form.clone(), claim.candidates());
                // JSON says that an image is complete.
                if site.is_some() && claim.is_lost(images) {
                    form = JsonSource::InSite;
                }
                found.images.insert(
                    *id,
                    V1Image {
                        parent,
                        form,
                        layer,
                        candidates,
                        tar: claim.tar(),
                        checksum: claim.checksum(images, *id, layer),
                    },
                );
            }
        }
        let (ids, unfit): (Vec<V1Id>, Vec<_>) = unfit.into_iter().unzip();
        let unfit = ids.iter().zip(unfit).map(|(id, (below, layer))| {
            let json = found.json(images, *id)?;
            Ok(Unfit { below, layer, json })
        });
        let unfit: Vec<Unfit> = unfit.collect::<anyhow::Result<_>>()?;
        for (id, Made { stored, checksum }) in ids.into_iter().zip(encode(images, &unfit)?) {
            if let Some(image) = found.images.get_mut(&id) {
                image.layer = LayerSource::Own(stored.digest);
                image.checksum = checksum;
            }
            images.blobs.entry(stored.digest).or_insert(stored);
        }
        found.add_below(site)?;
        found.note_limits();
        let clashes = found.clash_notes(&found.clashes);
        found.notes.extend(clashes);
        Ok(found)
    }

    /// The claims for the top images and all images below them. Derived claims precede stored ones.
    fn claims(
        &mut self,
        images: &Images,
        site: Option<&SiteFiles>,
        mut derived: Claims,
        tops: BTreeSet<V1Id>,
    ) -> anyhow::Result<Claims> {
        let mut claims = Claims::new();
        for top in tops {
            let mut next = Some(top);
            let mut length = 0;
            while let Some(id) = next {
                length += 1;
                if length > MAX_CHAIN {
                    bail_invalid!("the parents of the v1 image {top} form a cycle");
                }
                if let Some(claim) = claims.get(&id) {
                    next = claim.parent;
                    continue;
                }
                let derived = derived.remove(&id);
                let is_stored = images.v1.contains_key(&id);
                let kept = images.damage.kept_v1.get(&id).filter(|_| !is_stored);
                if let (None, Some(kept)) = (&derived, kept) {
                    self.images.insert(id, V1Image::in_site(kept.parent));
                    next = kept.parent;
                    continue;
                }
                let claim = match derived {
                    Some(claim) => {
                        let other = images.v1.get(&id);
                        if let Some(other) = other.filter(|other| other.layer.is_some())
                            && !(claim.has_json(images, id, &other.json)?
                                && claim.has_layer(other.layer))
                        {
                            self.clashes.insert(id, Clash::Derived);
                        }
                        claim
                    }
                    None => stored_claim(images, site, id)?,
                };
                next = claim.parent;
                claims.insert(id, claim);
            }
        }
        Ok(claims)
    }

    /// Keeps an image of the site unless its layer is damaged. Returns whether it is kept.
    fn keep(
        &mut self,
        images: &Images,
        site: Option<&SiteFiles>,
        id: V1Id,
        claim: &Claim,
    ) -> anyhow::Result<bool> {
        let Some((site, json)) = site.map_or(Ok(None), |site| {
            Ok::<_, anyhow::Error>(site.v1_json(id)?.map(|json| (site, json)))
        })?
        else {
            return Ok(false);
        };
        let checksum = match claim.kept_layer(images, site, id, &json)? {
            SiteLayer::Candidate => None,
            SiteLayer::Older(checksum) => Some(checksum),
            SiteLayer::Damaged => return Ok(false),
        };
        let is_derived = matches!(claim.form, JsonSource::Dependency | JsonSource::Top(_));
        let has_json = claim.has_json(images, id, &json)?;
        // JSON of a source has a checksum.
        if is_derived && !has_json && !site.v1_checksum(id).is_ok_and(|it| it.is_some()) {
            return Ok(false);
        }
        if !has_json {
            self.clashes.insert(id, Clash::InSite);
        }
        self.note_command(id, &json);
        let place = ChainLink::parse(&json).ok();
        let parent = place.map_or(claim.parent, |place| place.parent);
        let candidates = claim.candidates();
        self.images.insert(
            id,
            V1Image {
                candidates,
                checksum,
                ..V1Image::in_site(parent)
            },
        );
        Ok(true)
    }

    fn note_command(&mut self, id: V1Id, json: &[u8]) {
        if v1::has_text_command(json) {
            self.text_commands.insert(id);
        }
    }

    /// Notes which images and names old clients refuse.
    fn note_limits(&mut self) {
        let mut limits = BTreeSet::new();
        for (repository, tags) in &self.tags {
            for (tag, top) in tags {
                let Ok(ancestry) = self.ancestry(*top) else {
                    continue;
                };
                let name = format!("{repository}:{tag}");
                if ancestry.iter().any(|id| self.text_commands.contains(id)) {
                    let note = format!(
                        "{name}: `container_config.Cmd` is a string, which Docker up to 1.6 refuses"
                    );
                    limits.insert(NoteKind::Client.note(note).about(name.as_str()));
                }
                let layers = ancestry.len();
                if layers >= MAX_LAYERS {
                    let but = if layers > MAX_LAYERS {
                        ", and Docker 1.10 to 25 cannot pull it"
                    } else {
                        ""
                    };
                    let note = NoteKind::Client.note(format!(
                        "{name} has {layers} layers: Docker up to 1.9 cannot run it{but}"
                    ));
                    limits.insert(note.about(name));
                }
            }
        }
        self.notes.extend(limits);
        let mut refused: BTreeMap<&str, Vec<&Repository>> = BTreeMap::new();
        for name in self.tags.keys() {
            if let Some(version) = name.refused_up_to() {
                refused.entry(version).or_default().push(name);
            }
        }
        for (version, names) in refused {
            let names = some_of(&names);
            let note = format!("names that Docker up to {version} refuses over v1: {names}");
            self.notes.insert(NoteKind::Client.note(note));
        }
    }

    /// Adds the images of the site that are below others, for ancestries.
    fn add_below(&mut self, site: Option<&SiteFiles>) -> anyhow::Result<()> {
        let Some(site) = site else { return Ok(()) };
        let parents: Vec<V1Id> = self
            .images
            .values()
            .filter_map(|image| image.parent)
            .collect();
        for mut id in parents {
            while !self.images.contains_key(&id) {
                let Some(json) = site.v1_json(id)? else { break };
                self.note_command(id, &json);
                let parent = ChainLink::parse(&json).ok().and_then(|place| place.parent);
                self.images.insert(id, V1Image::in_site(parent));
                let Some(below) = parent else { break };
                id = below;
            }
        }
        Ok(())
    }

    /// The ancestry of an image: itself and all images below it, base last. Fails if one is missing, or if
    /// the parents form a cycle.
    pub fn ancestry(&self, top: V1Id) -> anyhow::Result<Vec<V1Id>> {
        let mut ids = Vec::new();
        let mut next = Some(top);
        while let Some(id) = next {
            if ids.len() > MAX_CHAIN {
                bail_invalid!("the parents of the v1 image {top} form a cycle");
            }
            ids.push(id);
            let image = self
                .images
                .get(&id)
                .with_context(|| format!("the v1 image {id}, below {top}, is missing"))?;
            next = image.parent;
        }
        Ok(ids)
    }
}

/// The first five names, and the number of the others.
fn some_of(names: &[&Repository]) -> String {
    let some: Vec<&str> = names.iter().take(5).map(|name| name.as_str()).collect();
    let some = some.join(", ");
    match names.len().saturating_sub(5) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}
