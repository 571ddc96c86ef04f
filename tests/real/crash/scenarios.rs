//! What is disturbed: the runs that make a site, and the run that changes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::archive::{Archive, Image, Pack};
use crate::support::files::digest;
use crate::support::process::run;
use crate::support::site::stillage;
use crate::support::temp::TempDir;

/// One change of a site. Arguments are as on the command line, in the folder of the [`Sources`];
/// `SITE` is the site.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) before: &'static [&'static str],
    pub(crate) run: &'static str,
}

const fn scenario(
    name: &'static str,
    before: &'static [&'static str],
    run: &'static str,
) -> Scenario {
    Scenario { name, before, run }
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("first build", &[], "build old.tar long -o SITE"),
    scenario("short name", &[], "build short.tar -o SITE"),
    scenario(
        "more images",
        &["build old.tar -o SITE"],
        "build long new.tar -o SITE",
    ),
    scenario(
        "moved tag",
        &["build app.tar -o SITE"],
        "build moved.tar -o SITE",
    ),
    scenario(
        "schema 2 becomes OCI",
        &["build app.tar -o SITE"],
        "build app.oci -o SITE",
    ),
    scenario(
        "OCI becomes an index",
        &["build app.oci -o SITE"],
        "build app.index -o SITE",
    ),
    scenario(
        "an index becomes schema 2",
        &["build app.index -o SITE"],
        "build app.tar -o SITE",
    ),
    scenario(
        "a mirror drops",
        &["build app.tar short.tar both.tar -o SITE"],
        "build both-less.tar --mirror -o SITE",
    ),
    scenario(
        "Apache joins",
        &["build app.tar -o SITE"],
        "build app.tar --server apache -o SITE",
    ),
    scenario(
        "Apache and another type",
        &["build app.tar --server apache -o SITE"],
        "build app.oci -o SITE",
    ),
    scenario(
        "Apache and a mirror that drops",
        &["build app.tar both.tar --server apache -o SITE"],
        "build both-less.tar --mirror -o SITE",
    ),
    scenario(
        "v1 joins",
        &["build app.tar long --no-v1 -o SITE"],
        "build app.tar -o SITE",
    ),
    scenario(
        "v2 joins",
        &["build app.tar --no-v2 -o SITE"],
        "build app.tar -o SITE",
    ),
    scenario("v1 gets layers of its own", &[], "build zstd -o SITE"),
    scenario(
        "a tag moves by hand",
        &["build both.tar -o SITE"],
        "tag SITE o/both:2 1 new",
    ),
    scenario(
        "a tag goes",
        &["build both.tar --server apache -o SITE"],
        "remove SITE o/both:2 --ignore-missing",
    ),
    scenario(
        "a repository goes",
        &["build app.tar short.tar -o SITE"],
        "remove SITE short --ignore-missing",
    ),
    scenario(
        "unused content goes",
        &[
            "build app.tar short.tar old.tar long -o SITE",
            "remove SITE short o/old:1 o/long",
        ],
        "prune SITE --grace 0",
    ),
    scenario(
        "a site is merged",
        &["build app.tar -o SITE"],
        "build other-site -o SITE",
    ),
    scenario(
        "an export is merged",
        &["build app.tar -o SITE"],
        "build first.tar -o SITE",
    ),
    scenario(
        "an export of what is new is a mirror",
        &["build first.tar -o SITE", "build short.tar -o SITE"],
        "build second.tar --mirror -o SITE",
    ),
    scenario(
        "volumes are merged",
        &["build first.tar -o SITE"],
        "build volumes -o SITE",
    ),
];

/// A folder with all that the scenarios build from.
pub(crate) struct Sources(TempDir);

impl Sources {
    pub(crate) fn new() -> Self {
        let sources = Self(TempDir::in_memory("sources"));
        let image = |name: &str, text: &str| Image::new(&[name]).layer("etc/text", text);
        let app = image("o/app:1", "app");
        let both = [image("o/both:1", "both"), image("o/both:2", "two")];
        sources.tar("old.tar", &Archive::docker_1(&[image("o/old:1", "old")]));
        sources.tar("new.tar", &Archive::docker_20(&[image("o/new:1", "new")]));
        sources.tar("short.tar", &Archive::docker_20(&[image("short:1", "s")]));
        sources.tar("app.tar", &Archive::docker_20(std::slice::from_ref(&app)));
        sources.tar("moved.tar", &Archive::docker_20(&[image("o/app:1", "new")]));
        sources.tar("both.tar", &Archive::docker_20(&both));
        sources.tar("both-less.tar", &Archive::docker_20(&both[..1]));
        let long = image("o/long:1", &incompressible(12_000));
        Archive::oci(&[long]).folder(&sources.path("long"));
        let zstd = image("o/zstd:1", "zstd").packed(Pack::Zstd);
        Archive::oci(&[zstd]).folder(&sources.path("zstd"));
        let index = Image::index(
            &["o/app:1"],
            vec![
                image("", "one"),
                image("", "other").platform("linux", "arm64"),
            ],
        );
        Archive::oci(&[app]).folder(&sources.path("app.oci"));
        Archive::oci(&[index]).folder(&sources.path("app.index"));
        let other = sources.path("other-site");
        fs::create_dir(sources.path("volumes")).unwrap();
        for args in [
            "build old.tar moved.tar -o SITE",
            "export SITE -o first.tar",
            "build both.tar long zstd -o SITE",
            "remove SITE o/old:1",
            "export SITE --since first.tar -o second.tar",
            "export SITE --since first.tar --max-size 20K -o volumes/v.tar",
        ] {
            run(&mut sources.command(args, &other)).unwrap();
        }
        sources
    }

    fn tar(&self, name: &str, archive: &Archive) {
        fs::write(self.path(name), archive.tar()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The command that these arguments are, with so many threads.
    pub(crate) fn with_jobs(&self, args: &str, site: &Path, jobs: &str) -> Command {
        let mut command = self.command(args, site);
        command.env("RAYON_NUM_THREADS", jobs);
        command
    }

    /// The command that these arguments are.
    pub(crate) fn command(&self, args: &str, site: &Path) -> Command {
        let site = site.to_str().unwrap();
        let words = args.split(' ').map(|word| match word {
            "SITE" => site,
            word => word,
        });
        let mut command = stillage(words);
        command.current_dir(self.0.path());
        command
    }
}

/// Text that stays long when it is packed, so that its names are links.
pub(crate) fn incompressible(length: usize) -> String {
    let numbers = 0_u32..;
    let text = numbers.flat_map(|number| {
        let hex = digest(&number.to_le_bytes());
        hex[7..].chars().collect::<Vec<_>>()
    });
    text.take(length).collect()
}
