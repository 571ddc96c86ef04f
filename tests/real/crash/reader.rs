//! A reader that knows the APIs and nothing of the program: it starts where clients do and follows
//! every reference to its end. Manifests that nothing lists yet must have their content too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::support::files::{decompressed, digest};
use crate::support::hand_site::TYPES;

/// Reads all that a site lists; gives the references, of both APIs.
pub(crate) fn read(site: &Path) -> Result<BTreeSet<String>> {
    read_as(site, true)
}

/// The same of a site that is being copied, in which there may be manifests that nothing lists yet.
pub(crate) fn read_listed(site: &Path) -> Result<BTreeSet<String>> {
    read_as(site, false)
}

fn read_as(site: &Path, unlisted: bool) -> Result<BTreeSet<String>> {
    let mut reader = Reader {
        site,
        unlisted,
        found: BTreeSet::new(),
    };
    reader.v2().context("v2")?;
    reader.v1().context("v1")?;
    reader.layout().context("layout")?;
    Ok(reader.found)
}

struct Reader<'a> {
    site: &'a Path,
    /// Whether what nothing lists must be whole, too.
    unlisted: bool,
    found: BTreeSet<String>,
}

impl Reader<'_> {
    fn get(&self, path: &str) -> Result<Vec<u8>> {
        fs::read(self.site.join(path)).with_context(|| format!("GET {path}"))
    }

    fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_slice(&self.get(path)?).with_context(|| format!("GET {path}"))
    }

    fn has(&self, path: &str) -> bool {
        self.site.join(path).exists()
    }

    fn v2(&mut self) -> Result<()> {
        if self.has("v2/_catalog") {
            for name in texts(&self.json("v2/_catalog")?["repositories"]) {
                self.json(&format!("v2/{name}/tags/list"))?;
            }
        }
        for path in self.files("v2") {
            let Some((rest, last)) = path.rsplit_once('/') else {
                continue;
            };
            match rest
                .strip_prefix("v2/")
                .and_then(|rest| rest.rsplit_once('/'))
            {
                Some((name, "tags")) if last == "list" => self.v2_tags(name)?,
                _ if !self.unlisted => {}
                Some((name, "manifests")) if last != ".htaccess" => {
                    self.content(name, &self.get(&path)?).context(path)?;
                }
                Some((name, "_types")) => {
                    let bytes = self.typed(name, last).context(path.clone())?;
                    self.content(name, &bytes).context(path)?;
                }
                Some((types, digest)) if digest.starts_with("sha256:") => {
                    let name = types.strip_suffix("/_types").context(path.clone())?;
                    let file = format!("{digest}/{last}");
                    let bytes = self.typed(name, &file).context(path.clone())?;
                    self.content(name, &bytes).context(path)?;
                }
                Some((_, "referrers")) => drop(self.json(&path)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn v2_tags(&mut self, name: &str) -> Result<()> {
        let list = self.json(&format!("v2/{name}/tags/list"))?;
        ensure!(list["name"] == *name, "{name} is called {list}");
        for tag in texts(&list["tags"]) {
            self.v2_tag(name, &tag)
                .with_context(|| format!("{name}:{tag} is listed"))?;
            self.found.insert(format!("v2 {name}:{tag}"));
        }
        Ok(())
    }

    fn v2_tag(&self, name: &str, tag: &str) -> Result<()> {
        self.manifest(name, &self.get(&format!("v2/{name}/manifests/{tag}"))?)?;
        // Servers that type by extension look in this order.
        let file = TYPES
            .iter()
            .map(|(extension, _)| format!("{tag}.{extension}"))
            .find(|file| self.has(&format!("v2/{name}/_types/{file}")))
            .context("no type has it")?;
        self.manifest(name, &self.typed(name, &file)?)?;
        // Servers that resolve the link of a tag look for the digest in its target.
        let link = self.site.join(format!("v2/{name}/_tags/{tag}"));
        if link.is_symlink() {
            let target = fs::read_link(link)?;
            let digest = target
                .to_str()
                .and_then(|target| target.strip_prefix("../_types/"));
            self.by_digest(name, digest.context("the link leads elsewhere")?)?;
        }
        if self.has(".htaccess") {
            let rules = self.get(&format!("v2/{name}/manifests/.htaccess"))?;
            let rules = String::from_utf8(rules)?;
            let about = format!("/manifests/{}$\" manifest=", tag.replace('.', r"\."));
            let rule = rules.lines().find(|line| line.contains(&about));
            let (_, file) = rule
                .context("no rule for Apache")?
                .rsplit_once('=')
                .unwrap();
            self.by_digest(name, file.rsplit_once('.').context(file.to_owned())?.0)?;
        }
        Ok(())
    }

    /// The manifest with this digest by its second name.
    fn by_digest(&self, name: &str, digest: &str) -> Result<()> {
        let file = TYPES
            .iter()
            .map(|(extension, _)| format!("{digest}/{digest}.{extension}"))
            .find(|file| self.has(&format!("v2/{name}/_types/{file}")));
        self.manifest(name, &self.typed(name, &file.context("no type has it")?)?)
    }

    /// A file whose extension says the type of the manifest in it.
    fn typed(&self, name: &str, file: &str) -> Result<Vec<u8>> {
        let bytes = self.get(&format!("v2/{name}/_types/{file}"))?;
        let extension = file.rsplit_once('.').context("no extension")?.1;
        let (_, expected) = TYPES
            .iter()
            .find(|(known, _)| *known == extension)
            .context("an unknown extension")?;
        let manifest: Value = serde_json::from_slice(&bytes)?;
        let said = manifest["mediaType"].as_str().unwrap_or(expected);
        ensure!(said == *expected, "{file} has the type {said}");
        Ok(bytes)
    }

    /// A manifest that is listed, with all that it points to.
    fn manifest(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let own = digest(bytes);
        let by_digest = self.get(&format!("v2/{name}/manifests/{own}"))?;
        ensure!(by_digest == bytes, "{own} differs by digest");
        for child in self.content(name, bytes)? {
            let digest = text(&child, "digest")?;
            let content = self.get(&format!("v2/{name}/manifests/{digest}"))?;
            whole(&content, &child)?;
            self.manifest(name, &content)?;
        }
        Ok(())
    }

    /// The content of a manifest; gives its children.
    fn content(&self, name: &str, bytes: &[u8]) -> Result<Vec<Value>> {
        let manifest: Value = serde_json::from_slice(bytes)?;
        let layers = manifest["layers"].as_array().into_iter().flatten();
        let config = manifest.get("config");
        for blob in config.into_iter().chain(layers) {
            let digest = text(blob, "digest")?;
            let content = self.get(&format!("v2/{name}/blobs/{digest}"))?;
            whole(&content, blob)?;
            whole(&self.get(&blob_path(digest))?, blob)?;
        }
        let children = manifest["manifests"].as_array();
        Ok(children.cloned().unwrap_or_default())
    }

    fn v1(&mut self) -> Result<()> {
        if self.has("v1/search") {
            for result in self.json("v1/search")?["results"].as_array().unwrap() {
                let name = text(result, "name")?;
                self.json(&format!("v1/repositories/{name}/images"))?;
                self.json(&format!("v1/repositories/{name}/tags/index.json"))?;
            }
        }
        for path in self.files("v1") {
            if let Some(folder) = path
                .strip_suffix("/index.json")
                .or_else(|| path.strip_suffix("/index.html"))
            {
                self.v1_tags(folder, &path).context(path)?;
            } else if self.unlisted
                && let Some(id) = path
                    .strip_prefix("v1/images/")
                    .and_then(|rest| rest.strip_suffix("/json"))
            {
                self.v1_image(id).context(path)?;
            }
        }
        Ok(())
    }

    fn v1_tags(&mut self, folder: &str, list: &str) -> Result<()> {
        let name = folder
            .strip_prefix("v1/repositories/")
            .and_then(|rest| rest.strip_suffix("/tags"))
            .context("a list of something else")?;
        let images = self.json(&format!("v1/repositories/{name}/images"))?;
        for image in images.as_array().context("no list of images")? {
            self.v1_image(text(image, "id")?)?;
        }
        let tags = self.json(list)?;
        for (tag, id) in tags.as_object().context("no map of tags")? {
            let alone = self.json(&format!("{folder}/{tag}"))?;
            for id in [id, &alone] {
                self.v1_image(id.as_str().context("no id")?)
                    .with_context(|| format!("{name}:{tag} is listed"))?;
            }
            self.found.insert(format!("v1 {name}:{tag}"));
        }
        Ok(())
    }

    fn v1_image(&self, id: &str) -> Result<()> {
        let ancestry = texts(&self.json(&format!("v1/images/{id}/ancestry"))?);
        ensure!(ancestry.first().is_some_and(|first| first == id));
        for (number, id) in ancestry.iter().enumerate() {
            let path = |file: &str| format!("v1/images/{id}/{file}");
            let json = self.json(&path("json"))?;
            ensure!(text(&json, "id")? == id, "{id} has another id");
            let parent = json
                .get("parent")
                .map(|parent| parent.as_str().unwrap_or(""));
            let below = ancestry.get(number + 1).map(String::as_str);
            ensure!(parent == below, "{id} has another parent");
            let layer = self.get(&path("layer"))?;
            let tar = decompressed(&layer)?;
            for entry in tar::Archive::new(&tar[..]).entries()? {
                entry?;
            }
            if self.has(&path("checksum")) {
                let expected = String::from_utf8(self.get(&path("checksum"))?)?;
                let bytes = [&self.get(&path("json"))?, &b"\n"[..], &layer].concat();
                ensure!(digest(&bytes) == expected.trim_end(), "{id}: checksum");
            }
        }
        Ok(())
    }

    /// The OCI layout: the catalogue, and what it names in the APIs that it says are offered.
    fn layout(&mut self) -> Result<()> {
        if !self.has("index.json") {
            return Ok(());
        }
        self.json("oci-layout")?;
        let index = self.json("index.json")?;
        let apis = index["annotations"]["org.stillage.apis"].as_str();
        let has_v2 = apis.context("no APIs")?.contains("v2");
        for entry in index["manifests"].as_array().context("no manifests")? {
            let digest = text(entry, "digest")?;
            whole(&self.get(&blob_path(digest))?, entry)?;
            let reference = text(&entry["annotations"], "org.opencontainers.image.ref.name")?;
            let (name, tag) = match reference.split_once('@') {
                Some((name, _)) => (name, digest),
                None => reference.rsplit_once(':').context("no tag")?,
            };
            if has_v2 {
                for reference in [tag, digest] {
                    self.get(&format!("v2/{name}/manifests/{reference}"))
                        .with_context(|| format!("{reference} is in the catalogue"))?;
                }
            }
        }
        Ok(())
    }

    /// The paths of all files below a folder.
    fn files(&self, folder: &str) -> Vec<String> {
        let entries = walkdir::WalkDir::new(self.site.join(folder));
        entries
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| {
                let path = entry.path().strip_prefix(self.site).unwrap();
                path.to_str().unwrap().to_owned()
            })
            .collect()
    }
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn whole(bytes: &[u8], descriptor: &Value) -> Result<()> {
    let expected = text(descriptor, "digest")?;
    let got = digest(bytes);
    if got != expected || descriptor["size"] != bytes.len() {
        bail!("{} bytes of {got}, not {descriptor}", bytes.len());
    }
    Ok(())
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name]
        .as_str()
        .with_context(|| format!("no `{name}` in {value}"))
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items
        .filter_map(Value::as_str)
        .map(ToOwned::to_owned)
        .collect()
}
