//! What a path is that is no site: what a message says of it, and what the user can do.

use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use anyhow::anyhow;

use crate::error::{Hint, escaped};
use crate::fsx::{self, escaped_path};
use crate::layer::Compression;
use crate::site::is_site;
use crate::site_files::SiteFiles;
use crate::spec::name::Reference;
use crate::spec::site_export::DESCRIPTION;

/// How much of a file is looked at.
const START: u64 = 1 << 16;
/// The length of the header of a member, in bytes.
const HEADER: u64 = 512;

/// What is said of a path, and the hint.
struct Said {
    /// Goes on after the path.
    what: String,
    hint: String,
}

/// The error for a path that is not the folder of a site.
pub(super) fn error(root: &Path) -> anyhow::Error {
    let Said { what, hint } = match fsx::meta(root) {
        Err(error) => return error,
        Ok(None) => nothing(root),
        Ok(Some(meta)) => part(root).unwrap_or_else(|| {
            if meta.is_dir {
                folder(root)
            } else {
                file(root)
            }
        }),
    };
    anyhow!("`{}` {what}", escaped_path(root)).context(Hint(hint))
}

/// Where nothing is: an argument in the wrong place, or a site that is yet to be made.
fn nothing(root: &Path) -> Said {
    let text = root.to_string_lossy();
    let lower = text.to_ascii_lowercase();
    let shown = escaped(&text);
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return Said {
            what: "is a URL, not the folder of a site".into(),
            hint: format!(
                "`stillage verify {shown}` checks a server, and `stillage diff SITE {shown}` compares a site with it"
            ),
        };
    }
    if lower.starts_with("s3://") {
        return Said {
            what: "is a bucket, not the folder of a site".into(),
            hint: format!(
                "`stillage publish SITE {shown}` writes to it, and `stillage verify URL` checks what it serves"
            ),
        };
    }
    let is_path = text.starts_with(['.', '/', '~']);
    let image = text.parse::<Reference>().ok().filter(|_| !is_path);
    let hint = if image.is_some_and(|image| image.tag.is_some() || image.digest.is_some()) {
        format!("the folder of the site comes first, and then `{shown}`")
    } else {
        "create a site with `stillage build SOURCE -o SITE`".into()
    };
    Said {
        what: "does not exist".into(),
        hint,
    }
}

/// The site that a path is inside of.
pub(crate) fn enclosing(root: &Path) -> Option<PathBuf> {
    let whole = |path: &Path| {
        let mut above = path.ancestors().skip(1);
        let found = above.find(|above| is_site(&SiteFiles::new(*above)).unwrap_or_default());
        let found = found?;
        Some(if found.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            found.to_owned()
        })
    };
    let is_plain = root
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::RootDir));
    whole(root)
        .filter(|_| is_plain)
        .or_else(|| whole(&fsx::canonical(root)))
}

fn part(root: &Path) -> Option<Said> {
    let site = enclosing(root)?;
    let site = escaped_path(&site);
    Some(Said {
        what: format!("is part of the site `{site}`"),
        hint: format!("give the folder of the site: `{site}`"),
    })
}

fn folder(root: &Path) -> Said {
    let built = |what: &str| Said {
        what: format!("is not a site but {what}"),
        hint: to_build(root),
    };
    if root.join(DESCRIPTION).exists() {
        return built("an unpacked export");
    }
    let has = |name: &str| root.join(name).exists();
    if has("v2/_catalog") && has(".stillage") && !has("index.json") {
        return Said {
            what: "has the content of a site, but no `index.json`".into(),
            hint:
                "restore `index.json` from a copy of the site, or build a new site from the sources"
                    .into(),
        };
    }
    if root.join("oci-layout").exists() {
        return built("an OCI layout");
    }
    let files = fsx::files(root).unwrap_or_default();
    if files.iter().any(|name| is_export(&root.join(name))) {
        return built("a folder with exports");
    }
    let has_index = root.join("index.json").exists();
    let folders = fsx::folders(root).unwrap_or_default();
    let below = folders.into_iter().map(|name| root.join(name));
    let mut sites = below.filter(|path| is_site(&SiteFiles::new(path)).unwrap_or_default());
    let site = sites.next();
    Said {
        what: if has_index {
            "is not a site: its `index.json` is another".into()
        } else {
            "is not a site: it has no `index.json`".into()
        },
        hint: match site {
            Some(site) => format!("did you mean `{}`?", escaped_path(&site)),
            None => "create a site with `stillage build SOURCE -o SITE`".into(),
        },
    }
}

fn file(root: &Path) -> Said {
    let start = start(root, HEADER);
    let is_archive = is_tar(&start) || Compression::of_start(&start) != Compression::Plain;
    let (what, hint) = if is_export(root) {
        ("an export", to_build(root))
    } else if is_archive {
        ("an archive", to_build(root))
    } else {
        ("a file", "give the folder of a site".into())
    };
    Said {
        what: format!("is not a site but {what}"),
        hint,
    }
}

fn to_build(root: &Path) -> String {
    let shown = fsx::quoted_path(root);
    format!("make a site of it with `stillage build {shown} -o SITE`")
}

/// Whether a file looks like what `export` writes. Reads only its start.
pub(crate) fn is_export(path: &Path) -> bool {
    let name = DESCRIPTION.as_bytes();
    // Most files of a folder are no archives.
    is_tar(&start(path, HEADER))
        && start(path, START)
            .windows(name.len())
            .any(|part| part == name)
}

fn is_tar(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
}

/// The first bytes of a file; none if it cannot be read, or is a pipe.
fn start(path: &Path, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(Some((file, _))) = fsx::open_regular(path) {
        let _ = file.take(length).read_to_end(&mut bytes);
    }
    bytes
}
