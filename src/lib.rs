//! Stillage turns local container images into a folder of plain files that any static web server,
//! CDN or bucket serves as a read-only registry: the Docker Registry API v1 for Docker up to 1.9, the
//! v2 (OCI distribution) API for everything newer. No daemon is needed, and no database: the folder is the
//! registry.
//!
//! # Modules
//! Data flows one way. A test enforces which modules may use which.
//! ```text
//!  SOURCE   a local archive, image layout or storage folder
//!    │      source/  reads everything but the layers
//!  Draft    manifests to keep or to make, and a list of content to import
//!    │      import/  reads each layer once
//!  Stored   checked, compressed content
//!    │      images/  makes manifests, and adds what the site lists already
//!  Images   repositories, tags, manifests, blobs, v1 images
//!    │      plan/    names every file that the site needs
//!  Tree     paths, each with its content and its Stage
//!    │      writer/  writes what is missing, in the order of the stages
//!  SITE     the folder that is served
//! ```
//! 1. [`source`] recognises the format and fills a [draft](import::draft): manifests that are kept byte for
//!    byte, manifests that [`images`] will make, and the content to import.
//! 2. [`import::ingest`] reads every layer and config once, in parallel. It checks digests and diff IDs,
//!    compresses plain tars, and writes the results to [staging](import::staging): a folder inside the site that
//!    no server gives out.
//! 3. [`images`] makes manifests from drafts and content, and merges them with the repositories that the
//!    [catalogue](site_files::catalogue), the site's `index.json`, lists. `site` loads those repositories.
//! 4. [`plan`] names the files of a site part by part, as a [tree](plan::tree). It reads nothing but configs and
//!    signatures and writes nothing, so `build`, `verify` and dry runs use the same plan.
//! 5. `writer` takes the site's lock and brings the folder to the plan. Only it changes what clients see. A dry
//!    run goes the same way without the lock, with a staging area and a `writer::disk` that keep nothing.
//!
//! [`ops`] holds the commands without their printing, [`cli`] the printing, `topics` what `stillage help` explains.
//!
//! [`pages`] makes the pages for people: it renders what it is given, and reads only configs.
//!
//! The other way, [`export`] writes images of a site as archives and folders that image loaders read.
//!
//! All of these use [`spec`] (the rules of the specifications, without IO), [`content`] (bytes that can be
//! read again), [`layer`] (compression; what to add to a layer so that Docker 1.x unpacks it correctly),
//! [`site_files`] (reading single files of a site), `fsx` (the only module that calls `std::fs`),
//! [`progress`] (counts of bytes read), `note` (what a run reports besides its result) and [`error`] (errors
//! with hints, and escaping of untrusted names).
//!
//! What a server must answer is data too. [`routes`] defines it for every URL path; `serve`, the built-in
//! server, follows it; [`server_config`] expresses it in the configuration of each web server, [`client_config`] in that of each
//! client; `check_url` sends
//! requests to a running server and judges its answers. [`bucket`] is the client of an S3-compatible store, into which
//! `ops::publish` merges a site.
//!
//! # What happens to content
//! ```text
//! state         where it is                           what ends it
//! Content       in the source                         import::ingest keeps or compresses it, as its Job says
//! Stored        in .stillage/staging, or in the site  plan::tree names a file that holds it
//! File          planned; generated files are bytes    writer::write gives it a temporary file, unless the
//!               in memory so far                      site has it: then it is published already
//! staged        in .stillage/staging, with its name   synced with its group, then renamed in stage order
//! published     under its name in the site            its last reference is removed; tags and lists have none,
//!                                                     and are replaced or deleted at once
//! unreferenced  still served, for pulls under way     `prune` deletes it after the grace period; a build that
//!                                                     needs it again makes it published
//! ```
//! The stages are, in this order: content (blobs, v1 layers), manifests, v1 JSON, signatures, pointers (tags,
//! referrers), tag lists, other lists and pages, the catalogue. The first four are a group each, and the others are one.
//! The files of a group and their names are durable before those of the next get their names. Deletion goes the
//! other way.
//!
//! # Adding something
//! One new file, with a `mod` line and a line in the table beside it: an input format in [`source::FORMATS`], an
//! export format in [`export::FORMATS`], a web server in [`server_config::SERVERS`], a client in
//! [`client_config::CLIENTS`], pages or configuration files inside the site in `plan::AREAS`, a topic in `topics::TOPICS`.

#[cfg(feature = "publish")]
pub mod bucket;
#[cfg(feature = "verify-url")]
pub(crate) mod check_url;
pub mod cli;
pub mod client_config;
pub mod content;
pub mod error;
pub mod export;
pub(crate) mod fsx;
pub mod images;
pub mod import;
pub mod layer;
pub(crate) mod note;
pub mod ops;
pub mod pages;
pub mod plan;
pub mod progress;
pub mod routes;
#[cfg(feature = "serve")]
pub mod serve;
pub mod server_config;
pub(crate) mod site;
pub mod site_files;
pub mod source;
pub mod spec;
pub(crate) mod text;
pub(crate) mod topics;
pub(crate) mod writer;
