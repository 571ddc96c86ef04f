//! `stillage build`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::cli::args::{Globs, NoMove, Writing, jobs};
use crate::cli::progress::{Verb, with_progress};
use crate::cli::put::{refuse_stream, refuse_terminal};
#[cfg(feature = "serve")]
use crate::cli::serve::{bind, serve};
use crate::cli::ui::Ui;
use crate::cli::{parsed, report};
use crate::content::Packing;
use crate::import::draft::ImportOptions;
use crate::ops::build::{self, BuildOptions};
#[cfg(feature = "serve")]
use crate::server_config::Listen;
use crate::site_files::catalogue::{Apis, ServedBy};
use crate::source::Source;
use crate::spec::descriptor::Platform;
use crate::spec::source_name::Hosts;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Compress {
    Gzip,
    Zstd,
}

impl From<Compress> for Packing {
    fn from(compress: Compress) -> Self {
        match compress {
            Compress::Gzip => Self::Gzip,
            Compress::Zstd => Self::Zstd,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// Images: [FORMAT:]PATH[:REF][=NAME[:TAG]], or - for a tar on standard input; see `stillage help sources`
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<OsString>,
    /// The folder of the site; created if it does not exist
    #[arg(short, long, value_name = "SITE")]
    output: PathBuf,
    /// List only what the sources have: other names are removed (their content stays), except those missing
    /// because a source is damaged
    #[arg(long)]
    mirror: bool,
    #[command(flatten)]
    no_move: NoMove,
    /// Threads to use at a time; 0 is one for each core
    #[arg(short, long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = jobs())]
    jobs: u16,
    /// Read all sources again, even if their files have not changed since an earlier run
    #[arg(long)]
    no_cache: bool,
    /// Hard-link files of the sources into the site instead of copying them
    #[arg(long)]
    link: bool,
    #[command(flatten)]
    taken: Taken,
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    made: Made,
    #[command(flatten)]
    for_people: ForPeople,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    serving: Serving,
    #[command(flatten)]
    writing: Writing,
}

/// What is taken from the sources.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection options")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
struct Taken {
    #[command(flatten)]
    globs: Globs,
    /// Take only these platforms from indexes, such as linux/arm64 or linux/arm/v7; repeatable
    #[arg(long, value_name = "PLATFORM", value_parser = parsed::<Platform>)]
    platform: Vec<Platform>,
    /// Fail if anything in a source is damaged, missing or unknown, instead of leaving it out
    #[arg(long)]
    strict: bool,
    /// If sources give a tag to different manifests, use the last source
    #[arg(long)]
    last_wins: bool,
    /// Include repositories that an old registry marks as private
    #[arg(long)]
    include_private: bool,
    /// Serve foreign layers, such as those of Windows base images, that a source has although they have URLs: for
    /// networks that do not reach these
    #[arg(long)]
    include_foreign: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Naming options")]
struct Names {
    /// Keep the host in names, without its port
    #[arg(long, conflicts_with = "full_names")]
    keep_host: bool,
    /// Keep the host in names, and complete names without one as Docker does: alpine becomes
    /// docker.io/library/alpine; the site remembers it
    #[arg(long)]
    full_names: bool,
}

/// What is made of the images.
#[derive(Debug, Args)]
#[command(next_help_heading = "Site options")]
struct Made {
    /// How plain layers are compressed. zstd is smaller and faster, and read by Docker since 23.0, containerd since
    /// 1.5, podman, skopeo and crane; v1 clients still get gzip
    #[arg(long, value_name = "FORMAT", default_value = "gzip")]
    compress: Compress,
    /// Serve manifests with uncompressed layers (Docker 25 and later) unchanged
    #[arg(long)]
    keep_manifests: bool,
    /// The platform that v1 clients get from an index [default: linux/amd64]
    #[arg(long, value_name = "PLATFORM", value_parser = parsed::<Platform>)]
    v1_platform: Option<Platform>,
    /// Leave out the v1 API, which Docker up to 1.9 pulls from; diff IDs are then left to `verify --deep`
    #[arg(long)]
    no_v1: bool,
    /// Leave out the v2 API, which all newer clients pull from
    #[arg(long, conflicts_with = "no_v1")]
    no_v2: bool,
    /// Write configuration files for this server into the site: `apache`; the site remembers it
    #[arg(long, value_name = "SERVER")]
    server: Vec<ServedBy>,
}

/// The pages for people.
#[derive(Debug, Args)]
#[command(next_help_heading = "Page options")]
struct ForPeople {
    /// The title of the page that lists the repositories; the site remembers it. With an empty one, the default
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Leave out the pages for people, `index.html` and `_pages/`; the site remembers it
    #[arg(long)]
    no_pages: bool,
    /// Make the pages that `--no-pages` left out; `index.html` is replaced
    #[arg(long, conflicts_with = "no_pages")]
    pages: bool,
}

#[cfg(feature = "serve")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Server options")]
struct Serving {
    /// Serve the site after building it
    #[arg(long, conflicts_with = "dry_run")]
    serve: bool,
    /// The address to serve it on; 127.0.0.1 unless a host is given
    #[arg(
        long,
        value_name = "[HOST:]PORT",
        default_value = "5000",
        requires = "serve"
    )]
    listen: Listen,
    /// Serve it over TLS, with this certificate, in PEM
    #[arg(long, value_name = "FILE", requires_all = ["serve", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires_all = ["serve", "tls_cert"])]
    tls_key: Option<PathBuf>,
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    (
        "stillage build app.tar -o site",
        "the images of an archive by `docker save`",
    ),
    (
        "docker save app:1 | stillage build - -o site",
        "without a file in between",
    ),
    (
        "stillage build layout=team/app:2 -o site",
        "an OCI layout with one image, under this name",
    ),
    (
        "stillage build images/ --mirror -o site",
        "all that a folder holds, and nothing else",
    ),
    (
        "stillage build registry-v2:/var/lib/registry -o site",
        "the storage of an old registry",
    ),
    (
        "stillage build app.tar -o site --serve",
        "then serve it at http://127.0.0.1:5000",
    ),
];

impl BuildArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let sources: Vec<Source> = self
            .sources
            .iter()
            .map(|text| Source::parse_os(text))
            .collect::<anyhow::Result<_>>()?;
        refuse_stream(&self.output, "stillage build .. -o SITE")?;
        match sources.iter().filter(|source| source.is_stdin()).count() {
            0 => {}
            1 => refuse_terminal("docker save app:1 | stillage build - -o SITE")?,
            _ => anyhow::bail!("`-` is given twice; standard input can be read once"),
        }
        let (taken, made) = (self.taken, self.made);
        let apis = Apis {
            v1: !made.no_v1,
            v2: !made.no_v2,
        };
        let hosts = match (self.names.keep_host, self.names.full_names) {
            (_, true) => Hosts::Full,
            (true, false) => Hosts::Keep,
            (false, false) => Hosts::Drop,
        };
        let rules = ImportOptions {
            v1: apis.v1,
            compress: false,
            packing: made.compress.into(),
            hosts,
            keep_manifests: made.keep_manifests,
            private: taken.include_private,
            foreign: taken.include_foreign,
            platforms: taken.platform,
        };
        let for_people = self.for_people;
        let options = BuildOptions {
            sources,
            output: self.output,
            apis,
            servers: made.server.into_iter().collect(),
            pages: (for_people.pages || for_people.no_pages).then_some(for_people.pages),
            title: for_people.title,
            rules,
            selection: taken.globs.selection()?,
            no_move: self.no_move.glob()?,
            last_wins: taken.last_wins,
            mirror: self.mirror,
            exports_only: false,
            strict: taken.strict,
            v1_platform: made.v1_platform,
            link: self.link,
            cache: !self.no_cache,
            dry_run: self.writing.dry_run,
        };
        // Binding first reports a port in use or a bad certificate before a long build.
        #[cfg(feature = "serve")]
        let endpoint = {
            let Serving {
                serve,
                listen,
                tls_cert,
                tls_key,
            } = self.serving;
            serve
                .then(|| bind(&listen, tls_cert, tls_key))
                .transpose()?
        };
        build(&options, self.jobs, &self.writing)?;
        #[cfg(feature = "serve")]
        if let Some(endpoint) = endpoint {
            return serve(&options.output, endpoint, self.writing.ui());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Builds with so many threads, 0 for one for each core, and prints what was built.
pub(super) fn build(options: &BuildOptions, jobs: u16, writing: &Writing) -> anyhow::Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs.into())
        .build()?;
    let ui = writing.ui();
    let busy = || writing.busy(&options.output);
    let summary = with_progress(ui, Verb::Read, |progress| {
        pool.install(|| build::build(options, progress, busy))
    })?;
    if writing.output.json {
        Ui::data(&report::json(&summary)?)
    } else {
        if !ui.is_quiet() {
            Ui::data(&report::references(&summary.references))?;
        }
        ui.messages(report::built(&summary, options.dry_run));
        Ok(())
    }
}

pub(super) fn sources_help() -> String {
    let mut help = String::from("Source formats, detected by content or selected by a prefix:\n");
    for (prefix, about) in crate::source::prefixes_with_about() {
        let prefix = format!("{prefix}:");
        let _ = writeln!(help, "  {prefix:16} {about}");
    }
    help
}
