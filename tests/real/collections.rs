//! What is taken out of broken collections can be pulled.

use anyhow::{Result, ensure};

use crate::support::archive::Image;
use crate::support::clients::{Client, Docker, Podman, Skopeo};
use crate::support::collections::{Row, Want, archives, folders, members, multi};
use crate::support::files::digest;
use crate::support::place::{Place, image};
use crate::support::servers::nginx::Nginx;
use crate::support::site::build;
use crate::support::temp::TempDir;

/// A reference, with what a client must get.
struct Expected {
    reference: String,
    /// The digest of a manifest that came with the source, for an index also that of the image in it.
    manifests: Vec<String>,
    /// The text of the image for linux/amd64; `None` of an artifact.
    text: Option<&'static str>,
}

impl Expected {
    fn new(place: &Place, reference: String, want: &Want) -> Self {
        let entry = |number| {
            Row::entry(place, number)["digest"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let (manifests, text) = match *want {
            Want::Artifact(number) => (vec![entry(number)], None),
            Want::Entry(number) => {
                let child = multi().children[0].manifest_digest();
                (vec![entry(number), child], Some("amd64"))
            }
            Want::Kept(image, text) => {
                let image = image();
                let all = std::iter::once(&image).chain(&image.children);
                (all.map(Image::manifest_digest).collect(), Some(text))
            }
            Want::Image(text) => (vec![image("", text).manifest_digest()], Some(text)),
            Want::Made(text) | Want::Legacy(text) => (Vec::new(), Some(text)),
        };
        Self {
            reference,
            manifests,
            text,
        }
    }

    fn pull(&self, client: &dyn Client, port: u16) -> Result<()> {
        let reference = format!("127.0.0.1:{port}/{}", self.reference);
        let Some(text) = self.text else {
            if let Some(copied) = client.copy(&reference) {
                let manifest = copied?.swap_remove(0);
                ensure!(self.manifests.contains(&manifest), "it is {manifest}");
            }
            return Ok(());
        };
        let pulled = client.pull(&reference, Some("linux/amd64"))?;
        let diff_id = digest(&image("", text).layers[0]);
        ensure!(pulled.diff_ids == [diff_id], "{:?}", pulled.diff_ids);
        let (digests, known) = (pulled.manifest_digests, &self.manifests);
        let is_known = |digest| known.contains(digest);
        ensure!(
            known.is_empty() || digests.iter().any(is_known),
            "{digests:?}"
        );
        Ok(())
    }
}

/// The collections are in one site, each below a prefix of its own.
#[test]
fn what_is_taken_out_of_broken_collections_can_be_pulled() {
    let site = TempDir::new("collections");
    let mut expected = Vec::new();
    let rows = [members::ROWS, archives::ROWS, folders::ROWS].concat();
    for (number, row) in rows.iter().enumerate() {
        let place = Place::new();
        let mut args = (row.make)(&place);
        let sources = args
            .iter_mut()
            .filter(|arg| arg.starts_with('/') || arg.contains(":/"));
        sources.for_each(|source| *source = format!("{source}=row{number}/"));
        if row.code == 0 {
            build(&args, site.path());
        }
        let references = row.references.iter();
        expected.extend(
            references
                .map(|(name, want)| Expected::new(&place, format!("row{number}/{name}"), want)),
        );
    }
    assert!(expected.len() >= members::ROWS.len() + archives::ROWS.len());
    let nginx = Nginx::start(site.path());
    let (docker, podman, skopeo) = (Docker::start(), Podman::new(), Skopeo::new());
    let clients: [&dyn Client; 3] = [&docker, &podman, &skopeo];
    let mut wrong = Vec::new();
    for expected in &expected {
        for client in clients {
            if let Err(error) = expected.pull(client, nginx.port) {
                wrong.push(format!(
                    "{} {}: {error:#}",
                    client.name(),
                    expected.reference
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), nginx.log());
}
