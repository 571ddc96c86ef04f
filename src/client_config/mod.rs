//! The files that make clients use a site: as a registry, and as a mirror of others. Each is printed as it lies on the
//! client, and says where.
//! ```text
//! mod.rs         the table of clients, and what is known of the site
//! address.rs     the URL of the site
//! docker.rs, docker_1.rs, containerd.rs, containers.rs, k3s.rs, kubelet.rs    the clients
//! pull.rs        commands that pull each reference
//! ```
//! A new client is one file here and one line in [`CLIENTS`].

use std::fmt;
use std::str::FromStr;

use anyhow::ensure;

use crate::error::escaped;
use crate::site_files::catalogue::Catalogue;
use crate::spec::name::{Reference, Repository};

mod address;
mod containerd;
mod containers;
mod docker;
mod docker_1;
mod k3s;
mod kubelet;
mod pull;

pub use address::Address;

/// A kind of client.
pub struct Client {
    /// The folder that its files are written to.
    pub name: &'static str,
    /// One line for the help.
    pub about: &'static str,
    files: fn(&Setup) -> Vec<File>,
}

pub const CLIENTS: &[Client] = &[
    docker::CLIENT,
    containerd::CLIENT,
    containers::CLIENT,
    k3s::CLIENT,
    docker_1::CLIENT,
    kubelet::CLIENT,
    pull::CLIENT,
];

/// A file of a client.
pub struct File {
    /// Where it goes on the client: an absolute path, without the slash. A name alone is for people.
    pub path: String,
    /// What it is, for people: the file may have no comments.
    pub about: String,
    pub text: String,
}

impl File {
    fn new(path: impl Into<String>, about: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            about: about.into(),
            text: text.into(),
        }
    }
}

/// A registry that a site mirrors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Upstream {
    /// Its host, as in the names of images: `quay.io`.
    pub host: String,
    /// What its names in the site begin with, without a slash at the end; empty if they are just its names.
    pub below: String,
}

/// The host of Docker Hub in the names of images.
const HUB: &str = "docker.io";

impl FromStr for Upstream {
    type Err = anyhow::Error;

    /// Parses `HOST[=PREFIX]`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (host, below) = text.split_once('=').unwrap_or((text, ""));
        let host = &host.to_ascii_lowercase();
        let below = below.trim_end_matches('/');
        let shown = escaped(text);
        ensure!(
            Reference::host(&format!("{host}/x")) == Some(host.as_str()),
            "`{shown}` is not the host of a registry, such as quay.io, or `HOST=PREFIX`"
        );
        let host = if ["index.docker.io", "registry-1.docker.io"].contains(&host.as_str()) {
            HUB
        } else {
            host
        };
        ensure!(
            below.is_empty()
                || below
                    .parse::<Repository>()
                    .is_ok_and(|name| name.as_str() == below),
            "what `{shown}` has behind the `=` is not the beginning of names of repositories"
        );
        Ok(Self {
            host: host.to_owned(),
            below: below.to_owned(),
        })
    }
}

impl Upstream {
    /// The name of a repository of the site in the registry; `None` if it is of another.
    fn rest<'a>(&self, repository: &'a Repository) -> Option<&'a str> {
        let name = repository.as_str();
        if self.below.is_empty() {
            return Some(name).filter(|name| Reference::host(name).is_none());
        }
        name.strip_prefix(&self.below)?.strip_prefix('/')
    }
}

/// What is known of a site.
pub struct Setup {
    pub address: Address,
    pub upstreams: Vec<Upstream>,
    /// The certificates of the CA of its server, in PEM, if clients do not know it.
    pub ca: Option<String>,
    pub catalogue: Catalogue,
}

impl Setup {
    /// The registries that a site with full names mirrors: those that its names begin with.
    pub fn upstreams_of(catalogue: &Catalogue, address: &Address) -> Vec<Upstream> {
        if !catalogue.full_names {
            return Vec::new();
        }
        let names = catalogue.repositories.keys();
        let hosts = names.filter_map(|name| Reference::host(name.as_str()));
        let mut hosts: Vec<&str> = hosts.filter(|host| *host != address.host).collect();
        hosts.dedup();
        let upstream = |host: &str| Upstream {
            host: host.to_owned(),
            below: host.to_owned(),
        };
        hosts.into_iter().map(upstream).collect()
    }

    /// A registry as the site mirrors it: by default below its host if the names are full.
    pub fn upstream_in(catalogue: &Catalogue, upstream: &Upstream) -> Upstream {
        let host = &upstream.host;
        let mut names = catalogue.repositories.keys();
        let is_full = catalogue.full_names
            && upstream.below.is_empty()
            && names.any(|name| Reference::host(name.as_str()) == Some(host));
        let below = if is_full { host } else { &upstream.below };
        Upstream {
            host: host.clone(),
            below: below.clone(),
        }
    }

    /// Refuses what would make files that contradict themselves.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.ca.is_none() || self.address.is_tls,
            "`--ca` needs a URL that begins with `https://`"
        );
        for (index, upstream) in self.upstreams.iter().enumerate() {
            let Upstream { host, below } = upstream;
            let before = &self.upstreams[..index];
            ensure!(
                before.iter().all(|other| other.host != *host),
                "`--upstream` names `{host}` twice"
            );
            ensure!(
                *host != self.address.host,
                "`{host}` is the site itself, which is no mirror of itself"
            );
            ensure!(
                before.iter().all(|other| other.below != *below),
                "`--upstream` gives the same names to `{host}` and to another registry: use `{host}=PREFIX` with another prefix"
            );
            let mut names = self.catalogue.repositories.keys();
            let reason = if below.is_empty() {
                "every name begins with the host of a registry".to_owned()
            } else {
                format!("no name begins with `{below}/`")
            };
            ensure!(
                names.any(|name| upstream.rest(name).is_some()),
                "the site has no image of `{host}`: {reason}"
            );
        }
        Ok(())
    }

    /// Docker Hub, if Docker can mirror it: it asks at the root, by names without a host. With full names, nginx and
    /// `serve` know what these mean.
    fn docker_hub(&self) -> Option<&Upstream> {
        let is_known =
            |below: &str| below.is_empty() || (self.catalogue.full_names && below == HUB);
        let mut upstreams = self.upstreams.iter();
        upstreams.find(|upstream| upstream.host == HUB && is_known(&upstream.below))
    }

    /// The registry that a repository of the site is of, and its name there.
    fn upstream_of<'a>(&'a self, repository: &'a Repository) -> Option<(&'a Upstream, &'a str)> {
        let found = self.upstreams.iter();
        let found = found.filter_map(|upstream| Some((upstream, upstream.rest(repository)?)));
        let found = found.max_by_key(|(upstream, _)| upstream.below.len());
        // Clients ask for `hub/library/x`, which is not `hub/x`.
        let is_short = |(upstream, rest): &(&Upstream, &str)| {
            upstream.host == HUB && !upstream.below.is_empty() && !rest.contains('/')
        };
        found.filter(|found| !is_short(found))
    }

    /// The files of all clients, each with the folder of its client.
    pub fn files(&self) -> Vec<(&'static str, File)> {
        let files = |client: &Client| {
            let files = (client.files)(self).into_iter();
            let name = client.name;
            files.map(move |file| (name, file)).collect::<Vec<_>>()
        };
        CLIENTS.iter().flat_map(files).collect()
    }

    /// The certificate of the CA, for a path on the client.
    fn ca_file(&self, path: impl fmt::Display) -> Option<File> {
        let about = "the certificate of the CA that the server's certificate is from";
        let ca = self.ca.as_ref()?;
        Some(File::new(path.to_string(), about, ca.clone()))
    }

    /// What the names of a registry's images begin with for clients that know no mirrors.
    fn location(&self, upstream: &Upstream) -> String {
        let slash = if upstream.below.is_empty() { "" } else { "/" };
        format!("{}{slash}{}", self.address.name(), upstream.below)
    }
}
