//! What a server offers to pull: by its catalogue, or without one by the lists of the APIs.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde_json::Value;

use crate::check_url::client::{Ask, Client};
use crate::check_url::finding::Findings;
use crate::check_url::{MAX_LIST, kinds, locked};
use crate::site_files::MAX_CATALOGUE;
use crate::site_files::catalogue::{Catalogue, Entry};
use crate::spec::digest::Digest;
use crate::spec::name::Repository;

#[derive(Debug, Default)]
pub(super) struct Offer {
    pub(super) v1: bool,
    pub(super) v2: bool,
    /// Whether this comes from the catalogue, which has digests.
    pub(super) exact: bool,
    pub(super) repositories: BTreeMap<Repository, OfferedRepo>,
}

#[derive(Debug, Default)]
pub(super) struct OfferedRepo {
    pub(super) tags: BTreeMap<String, Option<Digest>>,
    pub(super) manifests: BTreeMap<Digest, Entry>,
}

impl Offer {
    /// Fetches the offer. This makes the first request of a run, so it fails if the server cannot be reached
    /// or lets nobody in without a login.
    pub(super) fn find(client: &Client, findings: &Findings) -> anyhow::Result<Self> {
        let path = "/index.json";
        let answer = client.ask(Ask::get(path).with(&[("Accept-Encoding", "identity")]))?;
        let (status, endless) = (answer.status, answer.endless);
        locked::check(client, status)?;
        let why = if status == 200 {
            let bytes = answer.read(MAX_CATALOGUE);
            match bytes.and_then(|bytes| Catalogue::parse(&bytes)) {
                Ok(catalogue) => return Ok(Self::of(catalogue)),
                Err(error) => format!("{error:#}"),
            }
        } else if endless {
            "there are too many redirects".into()
        } else {
            format!("the status is {status}")
        };
        let offer = Self::from_lists(client);
        let kind = if offer.v1 || offer.v2 {
            &kinds::NO_CATALOGUE
        } else {
            &kinds::NO_LIST
        };
        findings.add(kind, path, why);
        Ok(if offer.v1 || offer.v2 {
            offer
        } else {
            // Nothing is listed: still check the APIs that are there.
            let is_there = |path| {
                let answer = client.ask(Ask::get(path));
                answer.is_ok_and(|answer| answer.status == 200)
            };
            Self {
                v1: is_there("/v1/_ping"),
                v2: is_there("/v2/"),
                ..offer
            }
        })
    }

    fn of(catalogue: Catalogue) -> Self {
        let repositories = catalogue.repositories.into_iter().map(|(name, repo)| {
            let tags = repo.tags.into_iter();
            let repo = OfferedRepo {
                tags: tags
                    .map(|(tag, digest)| (tag.to_string(), Some(digest)))
                    .collect(),
                manifests: repo.manifests,
            };
            (name, repo)
        });
        Self {
            v1: catalogue.apis.v1,
            v2: catalogue.apis.v2,
            exact: true,
            repositories: repositories.collect(),
        }
    }

    fn from_lists(client: &Client) -> Self {
        let mut offer = Self::default();
        if let Some(value) = json(client, "/v2/_catalog") {
            offer.v2 = value["repositories"].is_array();
            offer.add_names(value["repositories"].as_array(), "");
        }
        if let Some(value) = json(client, "/v1/search") {
            offer.v1 = value["results"].is_array();
            offer.add_names(value["results"].as_array(), "/name");
        }
        let names: Vec<_> = offer.repositories.keys().collect();
        let tags: Vec<Vec<String>> = names
            .par_iter()
            .map(|name| {
                let name = name.with_namespace();
                let v2 = json(client, &format!("/v2/{name}/tags/list"));
                let v1 = json(client, &format!("/v1/repositories/{name}/tags"));
                let list = v2
                    .as_ref()
                    .and_then(|value| value["tags"].as_array())
                    .into_iter()
                    .flatten();
                let map = v1.as_ref().and_then(Value::as_object).into_iter().flatten();
                let names = list
                    .filter_map(Value::as_str)
                    .chain(map.map(|(tag, _)| tag.as_str()));
                names.map(str::to_owned).collect()
            })
            .collect();
        for (repo, tags) in offer.repositories.values_mut().zip(tags) {
            let legal = tags
                .into_iter()
                .filter(|tag| tag.parse::<crate::spec::name::Tag>().is_ok());
            repo.tags = legal.map(|tag| (tag, None)).collect();
        }
        offer
    }

    fn add_names(&mut self, list: Option<&Vec<Value>>, pointer: &str) {
        let items = list.into_iter().flatten();
        for name in items.filter_map(|item| item.pointer(pointer)?.as_str()) {
            if let Ok(name) = name.parse() {
                self.repositories.entry(name).or_default();
            }
        }
    }

    /// The name of some repository; a made-up one if there is none.
    pub(super) fn any_name(&self) -> String {
        let first = self.repositories.keys().next();
        first.map_or("library/stillage".into(), ToString::to_string)
    }
}

fn json(client: &Client, path: &str) -> Option<Value> {
    let answer = client
        .ask(Ask::get(path).with(&[("Accept-Encoding", "identity")]))
        .ok()?;
    if answer.status != 200 {
        return None;
    }
    serde_json::from_slice(&answer.read(MAX_LIST).ok()?).ok()
}
