//! Checks a site from outside: what a server answers at every address that clients request, and which
//! clients fail on the answers.
//! ```text
//! offer     what there is to pull: by /index.json, or without it by the lists of the APIs
//! v2, v1    everything listed: content, lists, lengths
//! manners   the headers of every answer
//! sample    samples: ranges, conditional requests, missing content
//! locked    servers that let nobody in without a login
//! below     who finds a site below a path of the host
//! tls       connections to servers that have certificates of their own
//! kinds     the kinds of problems, each with the clients that it breaks
//! ```

use std::path::Path;

use anyhow::Context as _;
use rayon::prelude::*;

use crate::check_url::client::{Answer, Ask, Client, Trust};
use crate::check_url::finding::Findings;
use crate::check_url::kinds::Kind;
use crate::check_url::offer::Offer;
use crate::check_url::url::SiteUrl;
use crate::error::escaped;
use crate::fsx;
use crate::site_files::MAX_CATALOGUE;
use crate::spec::manifest::MAX_JSON;
use crate::spec::name::Repository;

mod below;
mod client;
mod finding;
mod kinds;
mod locked;
mod manners;
mod offer;
mod sample;
mod tls;
mod url;
mod v1;
mod v2;

pub(crate) use finding::ServerProblem;
pub(crate) use url::meant;

/// The longest list of tags, images or repositories that is read, in bytes.
const MAX_LIST: u64 = 64 << 20;
/// The longest file of trusted certificates that is read, in bytes.
const MAX_PEM: u64 = 16 << 20;

#[derive(Clone, Debug)]
pub(crate) struct CheckOptions {
    /// Download and hash every blob and layer, not only manifests and configs.
    pub deep: bool,
    /// Request only one reference of each repository.
    pub fast: bool,
    /// The number of requests at a time.
    pub jobs: usize,
    /// A PEM file with certificates to trust instead of the public ones.
    pub ca: Option<std::path::PathBuf>,
    /// Take any certificate. Excludes `ca`.
    pub insecure: bool,
}

/// Checks the site at a URL, the root of a host or a path. Writes nothing on either side.
///
/// # Errors
/// When the URL is not that of a site, or the server cannot be reached or lets nobody in. What is wrong with the server is
/// a finding.
pub(crate) fn verify(url: &str, options: &CheckOptions) -> anyhow::Result<Vec<ServerProblem>> {
    let site = SiteUrl::parse(url)?;
    let client = client(&site, options.ca.as_deref(), options.insecure, options.jobs)?;
    let findings = Findings::default();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .build()
        .context("cannot start threads")?;
    pool.install(|| -> anyhow::Result<()> {
        if site.is_plain() {
            findings.add(&kinds::PLAIN_HTTP, "/", "there is no TLS");
        }
        if options.insecure && site.is_tls() {
            findings.add(&kinds::INSECURE, "/", "the certificate was not checked");
        }
        let offer = Offer::find(&client, &findings)?;
        let probe = Probe {
            client: &client,
            findings: &findings,
            options,
            offer: &offer,
        };
        probe.all();
        if !site.prefix().is_empty() && (offer.v1 || offer.v2) {
            below::path(&probe, site.prefix());
        }
        Ok(())
    })?;
    Ok(findings.finish(site.prefix()))
}

/// A client that takes the certificates in the PEM file `ca` instead of the public ones, or any if `insecure`.
fn client(
    site: &SiteUrl,
    ca: Option<&Path>,
    insecure: bool,
    connections: usize,
) -> anyhow::Result<Client> {
    let pem = ca.map(|path| {
        fsx::read(path, MAX_PEM)?
            .with_context(|| format!("`{}` does not exist", fsx::escaped_path(path)))
    });
    let pem = pem.transpose()?;
    let trust = match &pem {
        Some(pem) => Trust::Pem(pem),
        None if insecure => Trust::Anyone,
        None => Trust::Public,
    };
    Client::new(site.clone(), trust, connections).with_context(|| {
        let path = fsx::escaped_path(ca.unwrap_or(Path::new("")));
        format!("cannot read certificates from `{path}`")
    })
}

/// The bytes of the catalogue of the site at a URL.
///
/// # Errors
/// If the server cannot be reached, lets nobody in or has no catalogue.
pub(crate) fn catalogue(url: &str, ca: Option<&Path>, insecure: bool) -> anyhow::Result<Vec<u8>> {
    let client = client(&SiteUrl::parse(url)?, ca, insecure, 1)?;
    let path = "/index.json";
    let answer = client.ask(Ask::get(path).with(&[("Accept-Encoding", "identity")]))?;
    let status = answer.status;
    locked::check(&client, status)?;
    let address = client.address(path);
    if status != 200 {
        anyhow::bail!(
            "there is no site at `{}`: the status of `{}` is {status}",
            escaped(url),
            escaped(address)
        );
    }
    let bytes = answer.read(MAX_CATALOGUE);
    bytes.with_context(|| format!("cannot read `{}`", escaped(address)))
}

struct Probe<'a> {
    client: &'a Client,
    findings: &'a Findings,
    options: &'a CheckOptions,
    offer: &'a Offer,
}

impl Probe<'_> {
    fn all(&self) {
        self.roots();
        let layers = v2::Layers::default();
        if self.offer.v2 {
            let repositories: Vec<_> = self.offer.repositories.iter().collect();
            repositories
                .par_iter()
                .for_each(|(name, repo)| v2::repository(self, name, repo, &layers));
        }
        if self.offer.v1 {
            v1::all(self, &layers);
        }
        sample::once(self);
    }

    /// Checks `/v2/` and the lists of repositories.
    fn roots(&self) {
        if self.offer.v2 {
            manners::v2_root(self);
            manners::api_version(self);
            self.list("/v2/_catalog", "/repositories", "");
        }
        if self.offer.v1 {
            self.list("/v1/search", "/results", "/name");
        }
    }

    /// Compares a list of repositories with the catalogue.
    fn list(&self, path: &str, pointer: &str, name: &str) {
        let Some(value) = self.json(path, MAX_LIST) else {
            return;
        };
        let items = value.pointer(pointer).and_then(|list| list.as_array());
        let names = items
            .into_iter()
            .flatten()
            .filter_map(|item| item.pointer(name)?.as_str());
        let mut listed: Vec<Repository> = names.filter_map(|name| name.parse().ok()).collect();
        listed.sort();
        if items.is_none() || !listed.iter().eq(self.offer.repositories.keys()) {
            self.add(
                &kinds::LISTS,
                path,
                "it does not list the repositories of the catalogue",
            );
        }
    }

    fn add(&self, kind: &'static Kind, path: &str, what: impl Into<String>) {
        self.findings.add(kind, path, what);
    }

    /// Sends a request and checks the headers of the answer; `None` if there is no answer.
    fn ask(&self, ask: Ask<'_>) -> Option<Answer> {
        match self.client.ask(ask) {
            Ok(answer) => {
                manners::judge(self, ask.path, &answer);
                Some(answer)
            }
            Err(error) => {
                self.add(
                    &kinds::NO_ANSWER,
                    ask.path,
                    format!("{:#}", error.root_cause()),
                );
                None
            }
        }
    }

    /// Requests something that must exist.
    fn get(&self, path: &str) -> Option<Answer> {
        let answer = self.ask(Ask::get(path))?;
        if answer.endless {
            return None;
        }
        if answer.status != 200 {
            let mut what = format!("the status is {}", answer.status);
            let mut breaks = kinds::clients_of(path);
            let is_manifest = path.rsplit('/').nth(1) == Some("manifests");
            if is_manifest && self.offer.v1 && answer.status == 404 {
                what += ", so that Docker 1.10 to 17.05 fall back to v1";
                breaks = kinds::V2_WITHOUT_V1;
            }
            self.findings.add_for(breaks, &kinds::MISSING, path, what);
            return None;
        }
        Some(answer)
    }

    /// The bytes of something that must exist, at most `limit` of them, without compression in transit.
    fn read(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        let answer = self.get(path)?;
        self.body(path, answer, limit)
    }

    /// The body of an answer as Go clients see it: decompressed if it is labelled gzip.
    fn body(&self, path: &str, answer: Answer, limit: u64) -> Option<Vec<u8>> {
        let encoding = answer.encoding();
        let bytes = match answer.read(limit) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.add(&kinds::WRONG_LENGTH, path, format!("{error:#}"));
                return None;
            }
        };
        if encoding.as_deref() != Some("gzip") {
            return Some(bytes);
        }
        let mut unpacked = Vec::new();
        let reader = flate2::read::MultiGzDecoder::new(bytes.as_slice());
        let result =
            std::io::Read::read_to_end(&mut std::io::Read::take(reader, limit), &mut unpacked);
        if result.is_err() {
            self.add(
                &kinds::CONTENT_ENCODING,
                path,
                "it is labelled `Content-Encoding: gzip` but is not gzip",
            );
            return Some(bytes);
        }
        Some(unpacked)
    }

    /// The JSON of something that must exist.
    fn json(&self, path: &str, limit: u64) -> Option<serde_json::Value> {
        let bytes = self.read(path, limit)?;
        let value = serde_json::from_slice(&bytes).ok();
        if value.is_none() {
            self.add(&kinds::WRONG_CONTENT, path, "it is not JSON");
        }
        value
    }

    /// As [`Self::json`], with the limit for manifests.
    fn short_json(&self, path: &str) -> Option<serde_json::Value> {
        self.json(path, MAX_JSON)
    }
}
