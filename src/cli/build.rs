//! `stillage build`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::cli::edit::NoMove;
use crate::cli::progress::{Verb, with_progress};
use crate::cli::put::refuse_terminal;
use crate::cli::report;
#[cfg(feature = "serve")]
use crate::cli::serve::{bind, serve};
use crate::cli::ui::Ui;
use crate::content::Packing;
use crate::import::draft::ImportOptions;
use crate::import::selection::Selection;
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct BuildArgs {
    /// Images: [FORMAT:]PATH[:REF][=NAME[:TAG]], or - for a tar on standard input; see --help
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,
    /// The folder of the site; created if it does not exist
    #[arg(short, long, value_name = "SITE")]
    output: PathBuf,
    /// List only what the sources have: other names are dropped (their content stays), except those missing
    /// because a source is damaged
    #[arg(long)]
    mirror: bool,
    /// Take only repositories, or images REPO:TAG, that match a glob; `*` does not match `/`,
    /// `**` does
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Leave out repositories, or images REPO:TAG, that match a glob
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Take only these platforms from indexes, such as linux/arm64 or linux/arm/v7
    #[arg(long, value_name = "PLATFORM")]
    platform: Vec<Platform>,
    /// Fail if anything in a source is damaged, missing or unknown, instead of leaving it out
    #[arg(long)]
    strict: bool,
    /// The platform that v1 clients get from an index [default: linux/amd64]
    #[arg(long, value_name = "PLATFORM")]
    v1_platform: Option<Platform>,
    /// If sources give a tag to different manifests, use the last source
    #[arg(long)]
    last_wins: bool,
    /// Keep the host in names, without its port
    #[arg(long, conflicts_with = "full_names")]
    keep_host: bool,
    /// Keep the host in names, and complete names without one as Docker does: alpine becomes
    /// docker.io/library/alpine; the site remembers it
    #[arg(long)]
    full_names: bool,
    /// How plain layers are compressed. zstd is smaller and faster, and read by Docker since 23.0, containerd since
    /// 1.5, podman, skopeo and crane; v1 clients still get gzip
    #[arg(long, value_name = "FORMAT", default_value = "gzip")]
    compress: Compress,
    /// Serve manifests with uncompressed layers (Docker 25 and later) unchanged
    #[arg(long)]
    keep_manifests: bool,
    /// Include repositories that an old registry marks as private
    #[arg(long)]
    include_private: bool,
    /// Serve foreign layers, such as those of Windows base images, that a source has although they have URLs: for
    /// networks that do not reach these
    #[arg(long)]
    include_foreign: bool,
    /// Hard-link source files into the site instead of copying them
    #[arg(long)]
    link: bool,
    /// Leave out the v1 API, which Docker up to 1.9 pulls from; diff IDs are then left to `verify --deep`
    #[arg(long)]
    no_v1: bool,
    /// Leave out the v2 API, which all newer clients pull from
    #[arg(long, conflicts_with = "no_v1")]
    no_v2: bool,
    /// Leave out the pages for people, `index.html` and `_pages/`; the site remembers it
    #[arg(long)]
    no_pages: bool,
    /// Make the pages that `--no-pages` left out; `index.html` is replaced
    #[arg(long, conflicts_with = "no_pages")]
    pages: bool,
    /// The title of the page that lists the repositories; the site remembers it. With an empty one, the default
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Write configuration files for this server into the site: `apache`; the site remembers it
    #[arg(long, value_name = "SERVER")]
    server: Vec<ServedBy>,
    /// Read all sources again, even if their files have not changed since an earlier run
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    no_move: NoMove,
    /// Number of threads to use
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    jobs: usize,
    /// Serve the site after building it
    #[cfg(feature = "serve")]
    #[arg(long, conflicts_with = "dry_run")]
    serve: bool,
    /// The address to serve it on; 127.0.0.1 unless a host is given
    #[cfg(feature = "serve")]
    #[arg(
        long,
        value_name = "[HOST:]PORT",
        default_value = "5000",
        requires = "serve"
    )]
    listen: Listen,
    /// Serve it over TLS, with this certificate, in PEM
    #[cfg(feature = "serve")]
    #[arg(long, value_name = "FILE", requires_all = ["serve", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[cfg(feature = "serve")]
    #[arg(long, value_name = "FILE", requires_all = ["serve", "tls_cert"])]
    tls_key: Option<PathBuf>,
    /// Read and check everything, write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

// The options that `put` has too.
#[derive(Debug, Default, Args)]
pub(super) struct Common {
    /// Fail at once if another run is writing to the site, instead of waiting for it
    #[arg(long)]
    no_wait: bool,
    /// Print what was built as JSON
    #[arg(long)]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "json")]
    pub(super) quiet: bool,
}

impl BuildArgs {
    pub(super) fn run(self, ui: &Ui) -> anyhow::Result<ExitCode> {
        let sources: Vec<Source> = self
            .sources
            .iter()
            .map(|text| Source::parse(text))
            .collect::<anyhow::Result<_>>()?;
        if sources.iter().any(Source::is_stdin) {
            refuse_terminal("docker save app:1 | stillage build - -o SITE")?;
        }
        let apis = Apis {
            v1: !self.no_v1,
            v2: !self.no_v2,
        };
        let hosts = match (self.keep_host, self.full_names) {
            (_, true) => Hosts::Full,
            (true, false) => Hosts::Keep,
            (false, false) => Hosts::Drop,
        };
        let rules = ImportOptions {
            v1: apis.v1,
            compress: false,
            packing: self.compress.into(),
            hosts,
            keep_manifests: self.keep_manifests,
            private: self.include_private,
            foreign: self.include_foreign,
            platforms: self.platform,
        };
        let options = BuildOptions {
            sources,
            output: self.output,
            apis,
            servers: self.server.into_iter().collect(),
            pages: (self.pages || self.no_pages).then_some(self.pages),
            title: self.title,
            rules,
            selection: Selection::new(&self.only, &self.exclude)?,
            no_move: self.no_move.glob()?,
            last_wins: self.last_wins,
            mirror: self.mirror,
            exports_only: false,
            strict: self.strict,
            v1_platform: self.v1_platform,
            link: self.link,
            cache: !self.no_cache,
            dry_run: self.dry_run,
        };
        // Binding first reports a port in use or a bad certificate before a long build.
        #[cfg(feature = "serve")]
        let endpoint = self
            .serve
            .then(|| bind(&self.listen, self.tls_cert, self.tls_key))
            .transpose()?;
        build(&options, self.jobs, &self.common, ui)?;
        #[cfg(feature = "serve")]
        if let Some(endpoint) = endpoint {
            return serve(&options.output, endpoint, ui);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Builds with so many threads, 0 for one for each core, and prints what was built.
pub(super) fn build(
    options: &BuildOptions,
    jobs: usize,
    common: &Common,
    ui: &Ui,
) -> anyhow::Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build()?;
    let busy = || ui.busy(&options.output, common.no_wait);
    let summary = with_progress(ui.quiet, Verb::Read, |progress| {
        pool.install(|| build::build(options, progress, busy))
    })?;
    if common.json {
        Ui::data(&report::json(&summary)?)
    } else {
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
    help.push_str("\n`PATH=NAME` puts a source's images under that name and keeps their tags, `PATH=NAME:TAG` names one image,\n`PATH=PREFIX/` keeps the names of a source below a prefix.\n");
    help
}
