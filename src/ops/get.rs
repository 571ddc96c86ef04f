//! `get`: takes images out of a site, in a format that image loaders read. Needs no lock and no temporary copy, and works
//! on a read-only mount.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::error::WithHint as _;
use crate::export::out::{Folder, Out, Tar};
use crate::export::{Export, ExportFormat, Picked, TargetName};
use crate::fsx;
use crate::images::v1_choice;
use crate::ops::edit::{find, unknown};
use crate::ops::missing::{self, Alone, SHORT_ID};
use crate::ops::view::View;
use crate::site;
use crate::site_files::catalogue::Catalogue;
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::name::{Reference, Repository, Tag};

pub struct GetOptions {
    pub site: PathBuf,
    /// Tags, digests and v1 ids, as the user wrote them.
    pub references: Vec<String>,
    pub format: &'static ExportFormat,
    pub platform: Option<Platform>,
    /// Another name for the only image.
    pub name: Option<TargetName>,
}

/// Writes an archive of images.
///
/// # Errors
/// If the site lacks something or has other bytes than it says: then what was written is no archive, since its last bytes
/// are missing.
pub fn archive(options: &GetOptions, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let export = export(options)?;
    let mut tar = Tar::new(out);
    (options.format.write)(&export, &mut tar)?;
    tar.finish()
}

/// Writes an archive to a file, which appears when it is whole.
pub fn file(options: &GetOptions, path: &Path) -> anyhow::Result<()> {
    fsx::check_outside(path, &options.site)?;
    fsx::replace(&fsx::canonical(path), |out| archive(options, out))
}

/// Writes a folder, which appears when it is whole.
pub fn folder(options: &GetOptions, path: &Path) -> anyhow::Result<()> {
    fsx::check_outside(path, &options.site)?;
    let export = export(options)?;
    let mut folder = Folder::new(path)?;
    (options.format.write)(&export, &mut folder)?;
    folder.finish()
}

/// What a reference of the command line names.
enum Asked {
    Reference(Reference),
    /// The id of a v1 image, or its first characters.
    Image(String),
}

impl Asked {
    /// A name of a repository comes before an id that looks like it.
    fn parse(text: &str, catalogue: &Catalogue) -> anyhow::Result<Self> {
        let is_id = SHORT_ID <= text.len()
            && text.len() <= 64
            && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        match text.parse::<Reference>() {
            Ok(named) if !is_id || catalogue.find(&named.repository).is_some() => {
                Ok(Self::Reference(catalogue.in_site(&named)))
            }
            // A mistake of the user, not of the data.
            Err(error) if !is_id => bail!("{error:#}"),
            _ => Ok(Self::Image(text.to_owned())),
        }
    }
}

fn export(options: &GetOptions) -> anyhow::Result<Export> {
    let (files, mut catalogue) = site::read(&options.site)?;
    let asked = options.references.iter();
    let asked = asked.map(|text| Asked::parse(text, &catalogue));
    let asked: Vec<Asked> = asked.collect::<anyhow::Result<_>>()?;
    let wanted: Option<BTreeSet<&Repository>> = asked
        .iter()
        .map(|asked| match asked {
            Asked::Reference(reference) => Some(&reference.repository),
            Asked::Image(_) => None,
        })
        .collect();
    let references = asked.iter().filter_map(|asked| match asked {
        Asked::Reference(reference) => Some(reference),
        Asked::Image(_) => None,
    });
    missing::check(&catalogue, &options.site, references, Alone::Latest)?;
    if let Some(wanted) = wanted {
        catalogue
            .repositories
            .retain(|name, _| wanted.contains(name));
    }
    let preferred = options
        .platform
        .clone()
        .or_else(|| catalogue.v1_platform.clone());
    let view = View::of(&files, catalogue)?;
    let mut picked = Vec::new();
    for asked in &asked {
        let (repository, tag, digest) = match asked {
            Asked::Reference(reference) => named(&view, reference)?,
            Asked::Image(id) => by_id(&view, id).hint(LISTED)?,
        };
        let one = pick(options, &view, repository, tag, digest, preferred.as_ref())?;
        if !picked.iter().any(|known: &Picked| known.name == one.name) {
            picked.push(one);
        }
    }
    if let Some(name) = &options.name {
        let [one] = &mut picked[..] else {
            bail!("`--name` names one image, not {}", picked.len());
        };
        one.name = name.clone();
    }
    Ok(Export {
        files,
        images: view.images,
        v1: view.v1,
        picked,
    })
}

type Found = (Repository, Option<Tag>, Digest);

fn named(view: &View, reference: &Reference) -> anyhow::Result<Found> {
    let name = &reference.repository;
    let repo = view.catalogue.repositories.get(name);
    let repo = repo.ok_or_else(|| unknown(&reference.to_string()))?;
    let digest = find(repo, reference)?;
    let tag = reference.tag.clone();
    let tag = tag.or_else(|| reference.digest.is_none().then(Tag::latest));
    Ok((name.clone(), tag, digest))
}

const LISTED: &str = "`stillage list` shows the names and the v1 ids of images";

/// The first tag whose image has a v1 id.
fn by_id(view: &View, id: &str) -> anyhow::Result<Found> {
    let tops =
        view.v1.tags.iter().flat_map(|(repository, tags)| {
            tags.iter().map(move |(tag, top)| (repository, tag, top))
        });
    let mut found = tops.filter(|(_, _, top)| top.to_string().starts_with(id));
    let Some((repository, tag, first)) = found.next() else {
        return Err(unknown(id));
    };
    if found.any(|(_, _, other)| other != first) {
        bail!("`{id}` is the beginning of more than one id");
    }
    let digest = view.catalogue.repositories[repository].tags[tag];
    Ok((repository.clone(), Some(tag.clone()), digest))
}

fn pick(
    options: &GetOptions,
    view: &View,
    repository: Repository,
    tag: Option<Tag>,
    digest: Digest,
    preferred: Option<&Platform>,
) -> anyhow::Result<Picked> {
    let reference = Reference {
        repository: repository.clone(),
        digest: tag.is_none().then_some(digest),
        tag: tag.clone(),
    };
    let lost = view.images.damage_of(&repository, &digest);
    if let Some(lost) = lost.first() {
        return Err(lost.error(&reference.to_string()));
    }
    let called = format!("`{reference}`");
    let image = v1_choice::choose(&view.images, &digest, preferred)?;
    if let Some(platform) = &options.platform {
        let has_it = match &image {
            Some(image) => view.images.is_for(image, platform)?,
            None => false,
        };
        if !has_it {
            let others = view.images.measure(&digest)?.platforms;
            let others = match &others[..] {
                [] => "it is for no platform".to_owned(),
                others => format!("it has {}", others.join(", ")),
            };
            bail!("{called} has no image for {platform}; {others}");
        }
    }
    let repo = &view.images.repositories[&repository];
    // What v1 clients get of an index is one image of it.
    let is_usual = if options.platform.is_some() {
        let usual = view.catalogue.v1_platform.as_ref();
        let usual = v1_choice::choose(&view.images, &digest, usual)?;
        usual.map(|image| image.digest) == image.as_ref().map(|image| image.digest)
    } else {
        true
    };
    let tags = view.v1.tags.get(&repository).into_iter().flatten();
    let mut tops = tags.filter(|(tag, _)| repo.tags.get(*tag) == Some(&digest));
    let by_tag = tops.next().map(|(_, top)| *top);
    let by_entry = repo.manifests.get(&digest).and_then(|entry| entry.v1);
    let v1 = by_tag.or(by_entry.filter(|_| view.catalogue.apis.v1));
    Ok(Picked {
        name: TargetName::new(&repository, tag, digest),
        called,
        repository,
        root: digest,
        image: image.map(|image| image.digest),
        is_one_platform: options.platform.is_some(),
        v1: v1.filter(|_| is_usual),
    })
}
