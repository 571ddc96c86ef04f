//! Stillage turns local container images into a folder of plain files that any static web server,
//! CDN or bucket serves as a read-only registry: Docker Registry API v1 for Docker up to 1.9, the
//! v2 (OCI distribution) API for everything newer. No daemon, no database: the folder is the
//! registry.
//!
//! # How it works
//! Data flows one way; a test holds the direction of imports.
//! ```text
//! SOURCE ──source/──> Draft ──import/──> Images ──plan/──> Tree ──writer/──> SITE
//!          one file    what is  layers    what   pure       which   stage
//!          a format    there    are read  it is             files   by stage
//! ```
//! 1. [`source`] recognises the format and reads all but the layers: a [draft](import::draft) of manifests
//!    that are kept byte for byte, manifests that must be made, and content to take in.
//! 2. [`import::ingest`] reads every layer once, in parallel: checks digests and diff IDs, compresses what
//!    is plain, and puts the results into staging.
//! 3. [`images`] are the drafts finished: repositories, tags, manifests, blobs, v1 images; merged
//!    with what the [catalogue](site_files::catalogue) of the site already has, which [`site`] loads.
//! 4. [`plan`] says which files the site must hold ([`plan::tree`]), part by part. It writes nothing, so
//!    a dry run and `verify` use the same plan.
//! 5. [`writer`] brings the folder to the plan, content first and tags last, each stage durable
//!    before the next begins.
//!
//! Below these lie [`spec`] (the rules of the specifications, without IO), [`content`] (bytes that
//! can be opened again), [`layer`] (compression), [`fsx`] (the only module that calls
//! `std::fs`), [`progress`] (counts of what was read) and [`note`] (what a run says besides its result).
//! [`ops`] are the commands without their printing, [`cli`] is the printing.
//!
//! What a server must answer is data too: [`endpoint`] says it for every address, `http`, the built-in
//! server, answers so, and [`server`] says the same in the configuration of each web server. `probe`
//! asks a running server from outside, and judges what it answers.
//!
//! A new input format is one file in `source/` and one line in [`source::FORMATS`]; a new server is
//! one file in `server/` and one line in [`server::SERVERS`].

pub mod cli;
pub mod content;
pub mod endpoint;
pub mod error;
pub mod fsx;
#[cfg(feature = "serve")]
pub mod http;
pub mod images;
pub mod import;
pub mod layer;
pub mod note;
pub mod ops;
pub mod plan;
#[cfg(feature = "verify-url")]
pub mod probe;
pub mod progress;
pub mod server;
pub mod site;
pub mod site_files;
pub mod source;
pub mod spec;
pub mod writer;
