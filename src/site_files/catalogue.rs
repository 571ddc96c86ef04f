//! The catalogue: `index.json` of the site, an OCI index. It has an entry for each tag, and for each untagged
//! manifest of a repository.
//! ```text
//! {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",
//!  "manifests":[
//!   {"mediaType":..,"digest":..,"size":..,"annotations":{
//!     "org.opencontainers.image.ref.name":"repo:tag"        or "repo@sha256:.." without a tag
//!     "org.stillage.v1.id":"<64 hex>",                      if the v1 form came with the source
//!     "org.stillage.foreign":"sha256:.. sha256:..",         foreign layers that are served
//!     "org.stillage.signatures":"sha256:.."}}],             simple-signing signatures, in the order of their numbers
//!  "annotations":{"org.stillage.apis":"v1,v2","org.stillage.format":"2",
//!   "org.stillage.names":"full",                           if names without a host are completed
//!   "org.stillage.pages":"1",                              the version of the pages for people, or "none"
//!   "org.stillage.title":"..",                             if they have one of their own
//!   "org.stillage.servers":"apache",                       if servers have their own files in the site
//!   "org.stillage.v1.platform":".."}}                     if v1 does not serve linux/amd64
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bail_invalid;
use crate::error::{WithHint as _, escaped, invalid_input};
pub use crate::site_files::entry::{CONTAINERD_NAME, Entry, REF_NAME, Repo, V1_ID};
use crate::spec::descriptor::{Descriptor, Platform};
use crate::spec::media_type::OCI_INDEX;
use crate::spec::name::{Reference, Repository};

const FORMAT: &str = "org.stillage.format";
const APIS: &str = "org.stillage.apis";
const NAMES: &str = "org.stillage.names";
const FULL: &str = "full";
const PAGES: &str = "org.stillage.pages";
/// What a site says that is to have no pages.
pub const NO_PAGES: &str = "none";
const SERVERS: &str = "org.stillage.servers";
const TITLE: &str = "org.stillage.title";
const V1_PLATFORM: &str = "org.stillage.v1.platform";
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apis {
    /// Docker Registry API v1.
    pub v1: bool,
    /// Docker Registry HTTP API v2, the OCI distribution-spec.
    pub v2: bool,
}

/// The version of the site's format: its layout, and how layers are compressed and completed. Every command
/// reads every format; `build` brings a site to the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Without links for tags. Its completed v1 layers are ones that some old clients refuse.
    One,
    #[default]
    Two,
}

impl Format {
    const ALL: [Self; 2] = [Self::One, Self::Two];

    fn number(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
        }
    }
}

/// A web server that needs its own files in the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServedBy {
    /// Apache httpd: `.htaccess` files.
    Apache,
}

impl ServedBy {
    pub const ALL: [Self; 1] = [Self::Apache];

    fn name(self) -> &'static str {
        match self {
            Self::Apache => "apache",
        }
    }
}

impl FromStr for ServedBy {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == Self::Apache.name() {
            return Ok(Self::Apache);
        }
        bail_invalid!(
            "`{}` is not a server with its own files in a site; only `apache` is",
            escaped(text)
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    pub format: Format,
    pub apis: Apis,
    /// Whether every name has a host: names of sources without one are completed.
    pub full_names: bool,
    pub servers: BTreeSet<ServedBy>,
    /// The version of the pages for people, or [`NO_PAGES`]; `None` for a site from before there were versions.
    pub pages: Option<String>,
    /// The title of the lists of repositories.
    pub title: Option<String>,
    /// The platform of the images of an index that v1 clients get, if it is not linux/amd64.
    pub v1_platform: Option<Platform>,
    pub repositories: BTreeMap<Repository, Repo>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<M> {
    schema_version: u64,
    media_type: Option<String>,
    manifests: M,
    annotations: Option<BTreeMap<String, String>>,
}

/// The entries, for reading. There may be very many, so they are never all in memory as descriptors.
struct Entries(BTreeMap<Repository, Repo>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of descriptors")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entries, A::Error> {
                let mut entries = Entries(BTreeMap::new());
                while let Some(descriptor) = seq.next_element()? {
                    let added = entries.add(&descriptor);
                    added.map_err(|error| serde::de::Error::custom(format!("{error:#}")))?;
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

impl Entries {
    fn add(&mut self, descriptor: &Descriptor) -> anyhow::Result<()> {
        let name = descriptor
            .annotation(REF_NAME)
            .ok_or_else(|| invalid_input("an entry of the catalogue has no name"))?;
        let reference: Reference = name.parse()?;
        let repo = self.0.entry(reference.repository).or_default();
        let entry = Entry::of(descriptor)?;
        repo.manifests.insert(descriptor.digest, entry);
        if let Some(tag) = reference.tag {
            let other = *repo.tags.entry(tag).or_insert(descriptor.digest);
            if other != descriptor.digest {
                bail_invalid!("the catalogue gives `{}` to two manifests", escaped(name));
            }
        }
        Ok(())
    }
}

/// The entries, for writing. They are ordered by repository; within it by tag, then the untagged by digest.
struct Descriptors<'a>(&'a BTreeMap<Repository, Repo>);

impl Serialize for Descriptors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().flat_map(|(repository, repo)| {
            let names = repo.names(repository).into_iter();
            names.map(move |(name, digest)| repo.descriptor(name, digest))
        }))
    }
}

impl Catalogue {
    pub fn empty(apis: Apis) -> Self {
        Self {
            format: Format::default(),
            apis,
            full_names: false,
            servers: BTreeSet::new(),
            pages: None,
            title: None,
            v1_platform: None,
            repositories: BTreeMap::new(),
        }
    }

    /// Whether the site has pages for people.
    pub fn has_pages(&self) -> bool {
        self.pages.as_ref().is_some_and(|pages| pages != NO_PAGES)
    }

    /// Whether an `index.json` is the catalogue of a site.
    pub fn is_one(bytes: &[u8]) -> bool {
        serde_json::from_slice::<Index<IgnoredAny>>(bytes).is_ok_and(|index| {
            index
                .annotations
                .is_some_and(|annotations| annotations.contains_key(FORMAT))
        })
    }

    /// Parses `index.json`. Fails if it is not a catalogue, or has another format version.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let (catalogue, Entries(repositories)) = Self::of_index(bytes)?;
        Ok(Self {
            repositories,
            ..catalogue
        })
    }

    /// Parses `index.json` without its entries.
    pub fn settings(bytes: &[u8]) -> anyhow::Result<Self> {
        Ok(Self::of_index::<IgnoredAny>(bytes)?.0)
    }

    fn of_index<'de, M: Deserialize<'de>>(bytes: &'de [u8]) -> anyhow::Result<(Self, M)> {
        let index: Index<M> = serde_json::from_slice(bytes)
            .map_err(|error| invalid_input(format!("not a catalogue: {error}")))?;
        let annotations = index.annotations.unwrap_or_default();
        let Some(number) = annotations.get(FORMAT) else {
            bail_invalid!("not a catalogue: the annotation `{FORMAT}` is missing");
        };
        let mut formats = Format::ALL.into_iter();
        let Some(format) = formats.find(|format| format.number() == number) else {
            return Err(invalid_input(format!(
                "the site has format `{}`, which this version of stillage does not know",
                escaped(number)
            )))
            .hint("use a newer version, or build the site anew with this one");
        };
        let offered = |api| {
            annotations
                .get(APIS)
                .is_some_and(|apis| apis.split(',').any(|offered| offered == api))
        };
        let mut catalogue = Self::empty(Apis {
            v1: offered("v1"),
            v2: offered("v2"),
        });
        catalogue.format = format;
        catalogue.full_names = annotations.get(NAMES).is_some_and(|names| names == FULL);
        catalogue.servers = annotations
            .get(SERVERS)
            .map(|names| names.split(',').map(str::parse).collect())
            .transpose()?
            .unwrap_or_default();
        catalogue.pages = annotations.get(PAGES).cloned();
        catalogue.title = annotations.get(TITLE).cloned();
        catalogue.v1_platform = annotations
            .get(V1_PLATFORM)
            .map(|text| Platform::parse(text))
            .transpose()?;
        Ok((catalogue, index.manifests))
    }

    /// The repository that a name means: the one that has it, or else the one that Docker means by it, with or without the
    /// host of Docker Hub.
    pub fn find(&self, name: &Repository) -> Option<&Repository> {
        let others = [name.without_hub(), name.completed()];
        let mut names = std::iter::once(name).chain(others.iter().flatten());
        let known = |name| Some(self.repositories.get_key_value(name)?.0);
        names.find_map(known)
    }

    /// A reference with the name that the site has for its repository, if it has one.
    pub fn in_site(&self, reference: &Reference) -> Reference {
        let found = self.find(&reference.repository);
        Reference {
            repository: found.unwrap_or(&reference.repository).clone(),
            ..reference.clone()
        }
    }

    /// The bytes of `index.json`.
    pub fn to_json(&self) -> anyhow::Result<Vec<u8>> {
        let apis: Vec<&str> = [("v1", self.apis.v1), ("v2", self.apis.v2)]
            .iter()
            .filter_map(|(api, offered)| offered.then_some(*api))
            .collect();
        let servers: Vec<&str> = self.servers.iter().map(|server| server.name()).collect();
        let servers = (!servers.is_empty()).then(|| (SERVERS, servers.join(",")));
        let platform = self
            .v1_platform
            .as_ref()
            .map(|platform| (V1_PLATFORM, platform.to_string()));
        let pages = self.pages.clone().map(|version| (PAGES, version));
        let title = self.title.clone().map(|title| (TITLE, title));
        let format = self.format.number().into();
        let annotations = [(FORMAT, format), (APIS, apis.join(","))]
            .into_iter()
            .chain(self.full_names.then(|| (NAMES, FULL.into())))
            .chain(servers)
            .chain(pages)
            .chain(title)
            .chain(platform);
        let index = Index {
            schema_version: 2,
            media_type: Some(OCI_INDEX.into()),
            manifests: Descriptors(&self.repositories),
            annotations: Some(
                annotations
                    .map(|(key, value)| (key.into(), value))
                    .collect(),
            ),
        };
        let mut bytes = serde_json::to_vec(&index)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::digest::Digest;
    use crate::spec::v1::V1Id;

    #[test]
    fn a_catalogue_reads_what_it_wrote() {
        let digest = Digest::of(b"a");
        let other = Digest::of(b"b");
        let entry = |v1| Entry {
            media_type: "x/y".into(),
            size: 3,
            v1,
            foreign: v1.map(|_| digest).into_iter().collect(),
            signatures: v1.map_or(Vec::new(), |_| vec![other, digest]),
        };
        let id: V1Id = "1".repeat(64).parse().unwrap();
        let mut catalogue = Catalogue::empty(Apis {
            v1: true,
            v2: false,
        });
        catalogue.repositories.insert(
            "tiny".parse().unwrap(),
            Repo {
                tags: [
                    ("1".parse().unwrap(), digest),
                    ("2".parse().unwrap(), digest),
                ]
                .into(),
                manifests: [(digest, entry(Some(id))), (other, entry(None))].into(),
            },
        );
        assert!(
            !catalogue
                .to_json()
                .unwrap()
                .windows(7)
                .any(|w| w == b"servers")
        );
        catalogue.servers.insert(ServedBy::Apache);
        catalogue.full_names = true;
        let json = catalogue.to_json().unwrap();
        assert!(Catalogue::is_one(&json));
        assert_eq!(Catalogue::parse(&json).unwrap(), catalogue);
        let text = String::from_utf8(json).unwrap();
        assert!(text.contains(&format!("\"tiny@{other}\"")) && text.contains("\"tiny:2\""));
        let with_format =
            |number: &str| text.replace("format\":\"2", &format!("format\":\"{number}"));
        assert!(Catalogue::parse(with_format("3").as_bytes()).is_err());
        let old = Catalogue::parse(with_format("1").as_bytes()).unwrap();
        assert_eq!(old.format, Format::One);
        assert_eq!(old.to_json().unwrap(), with_format("1").as_bytes());
        assert!(!Catalogue::is_one(br#"{"schemaVersion":2,"manifests":[]}"#));
    }
}
