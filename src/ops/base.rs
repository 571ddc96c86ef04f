//! The state of another site, by which `export` and `diff` know what it has.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::error::WithHint as _;
use crate::export::site::base::Known;
use crate::images::Images;
use crate::layer::Compression;
use crate::site::{self, load};
use crate::site_files::catalogue::Catalogue;
use crate::site_files::{MAX_CATALOGUE, SiteFiles};
use crate::source::export;
use crate::source::members::{about_tar, is_tar_header};
use crate::spec::digest::Digest;
use crate::{bail_invalid, fsx};

/// Where the state of a site is read from.
#[derive(Clone, Debug)]
pub struct Base {
    /// A site, its `index.json` in a file, in a pipe or (`-`) on standard input, an export, or the URL of a server.
    pub text: String,
    /// For a URL: a PEM file with certificates to trust instead of the public ones.
    pub ca: Option<PathBuf>,
    /// For a URL: take any certificate.
    pub insecure: bool,
}

/// The state of a site.
pub struct State {
    pub catalogue: Catalogue,
    /// Of `index.json`.
    pub digest: Digest,
    /// The site, if it is a folder.
    pub files: Option<SiteFiles>,
}

impl Base {
    /// Reads the state, once.
    ///
    /// # Errors
    /// If it is none of these things.
    pub fn read(&self) -> anyhow::Result<State> {
        let lower = self.text.to_ascii_lowercase();
        if lower.starts_with("http://") || lower.starts_with("https://") {
            return State::parse(&self.fetch()?);
        }
        anyhow::ensure!(
            self.ca.is_none() && !self.insecure,
            "`--ca` and `--insecure` only apply to a URL"
        );
        let path = Path::new(&self.text);
        let state = if self.text == "-" {
            State::of_pipe(io::stdin())
        } else {
            match fsx::meta(path)? {
                None => {
                    return Err(anyhow::anyhow!(
                        "`{}` does not exist",
                        fsx::escaped_path(path)
                    ))
                    .hint("give a site, its `index.json`, an export or the URL of a server");
                }
                Some(meta) if meta.is_dir => return State::of_site(path),
                Some(meta) if meta.is_file => State::of_stream(&mut fsx::open(path)?),
                Some(_) => State::of_pipe(fsx::open(path)?),
            }
        };
        let name = fsx::escaped_path(path);
        state
            .map_err(|error| about_tar(error, &format!("`{name}`")))
            .with_context(|| format!("cannot read the state of a site from `{name}`"))
    }

    #[cfg(feature = "verify-url")]
    fn fetch(&self) -> anyhow::Result<Vec<u8>> {
        crate::check_url::catalogue(&self.text, self.ca.as_deref(), self.insecure)
    }

    #[cfg(not(feature = "verify-url"))]
    fn fetch(&self) -> anyhow::Result<Vec<u8>> {
        Err(anyhow::anyhow!(
            "cannot fetch `{}`: this stillage was built without the feature `verify-url`",
            crate::error::escaped(&self.text)
        ))
        .hint("fetch its `index.json`, and give that")
    }
}

impl State {
    /// The images of the site, if it is a folder.
    pub(super) fn images(&self) -> Option<Images> {
        let files = self.files.as_ref()?;
        Some(load::all(files, &self.catalogue))
    }

    /// The content that the site has, `there` if its images are at hand, as far as it is known in another, `images` of `files`.
    pub(super) fn known(
        &self,
        there: Option<&Images>,
        files: &SiteFiles,
        images: &Images,
    ) -> Known {
        match there {
            Some(there) => Known::at(there, &self.catalogue, files, images),
            None => Known::of(&self.catalogue, files, images),
        }
    }

    fn parse(index: &[u8]) -> anyhow::Result<Self> {
        Ok(Self {
            catalogue: Catalogue::parse(index)?,
            digest: Digest::of(index),
            files: None,
        })
    }

    fn of_site(root: &Path) -> anyhow::Result<Self> {
        let files = site::recognise(root)?;
        let index = files.index()?.unwrap_or_default();
        let state = Self::parse(&index);
        let state = state.with_context(|| format!("cannot read the site {}", files.origin()))?;
        Ok(Self {
            files: Some(files),
            ..state
        })
    }

    /// Reads a pipe to its end, so that its writer does not fail.
    fn of_pipe(mut pipe: impl Read + Send) -> anyhow::Result<Self> {
        let state = Self::of_stream(&mut pipe)?;
        io::copy(&mut pipe, &mut io::sink())?;
        Ok(state)
    }

    /// Reads `index.json`, or as much of an export as is needed.
    fn of_stream(stream: &mut (impl Read + Send)) -> anyhow::Result<Self> {
        let mut start = Vec::new();
        stream.by_ref().take(512).read_to_end(&mut start)?;
        if start.is_empty() {
            bail_invalid!("it is empty");
        }
        let compression = Compression::of_start(&start);
        let is_json = start.trim_ascii_start().starts_with(b"{");
        let is_archive = compression != Compression::Plain || is_tar_header(&start);
        if !is_json && !is_archive {
            bail_invalid!("it is neither the `index.json` of a site nor an export");
        }
        let whole = io::Cursor::new(start).chain(stream);
        let mut index = Vec::new();
        if is_json {
            whole.take(MAX_CATALOGUE + 1).read_to_end(&mut index)?;
            if index.len() as u64 > MAX_CATALOGUE {
                bail_invalid!("it is too large");
            }
        } else {
            index = export::state(compression.decoder(whole, 0)?)?;
        }
        Self::parse(&index)
    }
}
