//! Parsers of JSON and of names.

use std::collections::BTreeMap;

use stillage::content::Content;
use stillage::import::draft::{Blobs, Draft, ImportOptions};
use stillage::import::request::Request;
use stillage::import::selection::Selection;
use stillage::routes::Route;
use stillage::server_config::Prefix;
use stillage::site_files::catalogue::Catalogue;
use stillage::source::{oci::Index, oci_names};
use stillage::spec::descriptor::Platform;
use stillage::spec::digest::Digest;
use stillage::spec::go_v1_image::{self, History};
use stillage::spec::manifest::{Manifest, ManifestKind};
use stillage::spec::media_type::MANIFEST_TYPES;
use stillage::spec::name::{Reference, Repository, Tag};
use stillage::spec::new_name::NewName;
use stillage::spec::signature::{Attachment, Signature};
use stillage::spec::source_name::Hosts;
use stillage::spec::v1::{self, ChainLink, Config, V1Id};
use stillage::spec::{legacy, remake, ssh_command};

/// The bytes stay, the digest is theirs, and a manifest made anew is one too.
pub(super) fn manifest(data: &[u8]) {
    let types = MANIFEST_TYPES.iter().map(|(name, _)| Some(*name));
    for described in types.chain([None, Some("text/plain")]) {
        let Ok(manifest) = Manifest::parse(data.into(), described) else {
            continue;
        };
        assert_eq!(&*manifest.bytes, data);
        if !matches!(manifest.kind, ManifestKind::Schema1(_)) {
            assert_eq!(manifest.digest, Digest::of(data));
        }
        assert_eq!(manifest.descriptor().digest, manifest.digest);
        let again = Manifest::parse(data.into(), Some(manifest.media_type)).expect("twice");
        assert_eq!(again.digest, manifest.digest);
        let remade = match &manifest.kind {
            ManifestKind::Index(_) => remake::with_children(data, &BTreeMap::new()),
            ManifestKind::Image { layers, .. } if !layers.is_empty() => {
                remake::with_layers(data, &BTreeMap::new())
            }
            _ => continue,
        };
        if let Ok(remade) = remade {
            let remade = Manifest::parse(remade.into(), Some(manifest.media_type));
            let remade = remade.expect("what is made of a manifest is one");
            assert_eq!(remade.media_type, manifest.media_type);
            assert_eq!(remade.children(), manifest.children());
        }
    }
}

/// Signatures of sigstore become a manifest that can be read, with all its content.
pub(super) fn signature(data: &[u8]) {
    if let Ok(Signature::Sigstore(signature)) = Signature::parse(data) {
        let made = Attachment::new(&[signature.clone(), signature]);
        let bytes = &made.content[&made.manifest.digest];
        let manifest = Manifest::parse(bytes.as_slice().into(), None).expect("a manifest");
        let has = |digest: &Digest| made.content.contains_key(digest);
        assert!(manifest.blobs().iter().all(|blob| has(&blob.digest)));
        assert_eq!(manifest.digest, made.manifest.digest);
    }
}

/// Nothing but the manifests that the fuzzer writes itself.
struct Own<'a>(&'a [u8]);

impl Blobs for Own<'_> {
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        let own = Digest::of(self.0) == *digest;
        Ok(own.then(|| Content::memory(self.0, "`own`")))
    }
}

/// Names are legal or refused, and entries without content are refused.
pub(super) fn index(data: &[u8]) {
    let Ok(index) = Index::parse(&Content::memory(data, "`index.json`")) else {
        return;
    };
    let (rules, selection) = (ImportOptions::default(), Selection::default());
    let request = Request::new(&rules, &selection, std::path::Path::new(""));
    for descriptor in &index.entries.manifests {
        if let Ok(Some(root)) = oci_names::root(descriptor, 0, &request) {
            root.repository.as_ref().map(check_repository);
            root.tag.as_ref().map(check_tag);
        }
    }
    let mut draft = Draft::new("`fuzz`");
    if index.add_to(&mut draft, &Own(data), &request).is_ok() {
        assert!(
            index.entries.manifests.len() < 2 || draft.roots.len() <= index.entries.manifests.len()
        );
    }
}

/// What v1 gets of a config is JSON that v1 reads, and it is the same twice.
pub(super) fn config(data: &[u8]) {
    let id: V1Id = Digest::of(data).hex().parse().expect("an id");
    let parent: V1Id = Digest::of(b"below").hex().parse().expect("an id");
    if let Some(diff_ids) = Config::parse(data).ok().and_then(|config| config.diff_ids) {
        let ids = v1::chain(Digest::of(data), &diff_ids);
        assert_eq!(ids.len(), diff_ids.len().max(1));
        let json = v1::ancestry_json(&ids);
        assert_eq!(json.len(), 67 * ids.len() + 1);
    }
    for parent in [None, Some(parent)] {
        let Ok(json) = v1::top_json(data, id, parent) else {
            continue;
        };
        assert_eq!(
            ChainLink::parse(&json).expect("a place"),
            ChainLink { id, parent }
        );
        let again = v1::top_json(&json, id, parent).expect("what was made is JSON");
        assert_eq!(again, json);
    }
}

/// What is made of the JSON of v1 images is a config.
pub(super) fn v1_json(data: &[u8]) {
    let chain: Vec<&[u8]> = data.split(|byte| *byte == 0).take(8).collect();
    let diff_ids: Vec<Digest> = chain.iter().map(|json| Digest::of(json)).collect();
    for json in &chain {
        let _ = (ChainLink::parse(json), History::parse(json));
        let _ = go_v1_image::normalised(json);
    }
    if let Ok(config) = legacy::config(&chain, &diff_ids) {
        let parsed = Config::parse(&config);
        if let Ok(parsed) = parsed {
            assert_eq!(parsed.diff_ids.as_ref(), Some(&diff_ids));
        }
        assert_eq!(legacy::config(&chain, &diff_ids).expect("twice"), config);
    }
}

fn check_repository(repository: &Repository) {
    let text = repository.to_string();
    assert_eq!(text.parse::<Repository>().expect("a name"), *repository);
    for name in repository.aliases() {
        assert_eq!(name.parse::<Repository>().expect("a name"), *repository);
        assert!(name.len() <= 255);
        let parts = name.split('/').all(|part| {
            !part.is_empty() && !part.starts_with(['.', '_']) && !part.contains(['\\', '\0'])
        });
        assert!(parts, "{name:?}");
        let path = format!("/v2/{name}/tags/list");
        assert_eq!(Route::of(&path), Some(Route::Tags(&name)));
    }
}

fn check_tag(tag: &Tag) {
    assert_eq!(tag.as_str().parse::<Tag>().expect("a tag"), *tag);
    assert!(tag.as_str().len() <= 128 && !tag.as_str().starts_with('.'));
    let path = format!("/v2/x/manifests/{tag}");
    assert_eq!(Route::of(&path), Some(Route::Tagged("x", tag.as_str())));
    if let Some(digest) = tag.attached_to() {
        assert!(tag.as_str().contains(&digest.hex()));
    }
}

/// Names that are taken print as what they are, and are safe as paths.
pub(super) fn name(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(repository) = text.parse::<Repository>() {
        check_repository(&repository);
        assert!(repository.to_string() == text || text.strip_prefix("library/").is_some());
    }
    if let Ok(tag) = text.parse::<Tag>() {
        check_tag(&tag);
        assert_eq!(tag.to_string(), text);
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(id) = text.parse::<V1Id>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(prefix) = text.parse::<Prefix>() {
        let prefix = prefix.to_string();
        let legal = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        assert!(
            prefix.chars().all(legal) && !prefix.contains("/."),
            "{prefix}"
        );
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert!(platform.covers(&platform));
        assert_eq!(platform.to_string(), text);
    }
    let from_source = |hosts| Reference::from_source(&text, hosts, None);
    let parsed = [
        text.parse(),
        from_source(Hosts::Drop),
        from_source(Hosts::Keep),
        from_source(Hosts::Full),
    ];
    for parsed in parsed.into_iter().flatten() {
        check_repository(&parsed.repository);
        parsed.tag.iter().for_each(check_tag);
        let again = parsed.to_string().parse::<Reference>();
        assert_eq!(again.expect("what was printed is a reference"), parsed);
    }
}

/// What is taken names images and nothing else; what is refused is told in a line that cannot drive a terminal.
pub(super) fn ssh_command(data: &[u8]) {
    let command = String::from_utf8_lossy(data);
    let request = match ssh_command::Request::parse(&command) {
        Ok(request) => request,
        Err(error) => {
            let said = format!("{error:#}");
            assert!(said.len() < 600 && !said.contains(char::is_control));
            return;
        }
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || "._:/@=- \t".contains(c);
    assert!(command.len() <= 4096 && command.chars().all(legal));
    assert!(
        command
            .split([' ', '\t'])
            .all(|word| !word.starts_with('-'))
    );
    match request {
        ssh_command::Request::Get(references) => {
            assert!(!references.is_empty());
            for reference in references {
                let reference = reference.parse::<Reference>().expect("a reference");
                check_repository(&reference.repository);
            }
        }
        ssh_command::Request::Put(Some(NewName::Name(name))) => check_repository(&name.repository),
        ssh_command::Request::Put(Some(NewName::Prefix(prefix))) => {
            check_repository(&format!("{prefix}/x").parse().expect("a name"));
        }
        ssh_command::Request::Put(None)
        | ssh_command::Request::List
        | ssh_command::Request::Index
        | ssh_command::Request::Export { .. } => {}
    }
}

/// A catalogue reads what it wrote.
pub(super) fn catalogue(data: &[u8]) {
    let is_one = Catalogue::is_one(data);
    let Ok(catalogue) = Catalogue::parse(data) else {
        return;
    };
    assert!(is_one);
    let written = catalogue.to_json().expect("a catalogue can be written");
    let read = Catalogue::parse(&written).expect("a catalogue reads what it wrote");
    assert_eq!(read, catalogue);
    assert_eq!(read.to_json().expect("twice"), written);
}
