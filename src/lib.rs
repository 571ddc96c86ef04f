//! Stillage turns local container images into a folder of plain files that any static web server,
//! CDN or bucket serves as a read-only registry: the Docker Registry API v1 for Docker up to 1.9, the
//! v2 (OCI distribution) API for everything newer. No daemon, no database: the folder is the
//! registry.
//!
//! # Rooms
//! Data flows one way, and a test holds the direction of imports.
//! ```text
//! SOURCE ─source/─> Draft ─import/─> Images ─plan/─> Tree ─writer/─> SITE
//!          one file  what a  layers   what the which    stage by
//!          a format  source  are read site     files    stage
//!                    says             lists
//! ```
//! 1. [`source`] recognises the format and reads everything but the layers. The result is a
//!    [draft](import::draft): manifests that are kept byte for byte, manifests that have to be made, and the
//!    content to import.
//! 2. [`import::ingest`] reads every layer once, in parallel: it checks digests and diff IDs, compresses plain
//!    tars, and writes the results to staging.
//! 3. [`images`] turns drafts into repositories, tags, manifests, blobs and v1 images, and merges them with
//!    what the [catalogue](site_files::catalogue) of the site lists, which `site` loads.
//! 4. [`plan`] says which files the site must hold ([`plan::tree`]), part by part. It does no IO, so a dry run
//!    and `verify` use the same plan.
//! 5. `writer` brings the folder to the plan: content first, the catalogue last. Each group of stages is
//!    durable before the next begins. It is the only room that changes a site, all through one
//!    `Disk`.
//!
//! [`ops`] holds the commands without their printing, [`cli`] the printing.
//!
//! Rules and bytes, below all of these: [`spec`] (the rules of the specifications, without IO), [`content`]
//! (bytes that can be opened again), [`layer`] (compression, and what Docker 1.x misses in a layer), `fsx`
//! (the only module that calls `std::fs`), [`progress`] (counts of bytes read) and `note` (what a run reports
//! besides its result).
//!
//! What a server must answer is data too. [`routes`] says it for every address; `serve`, the built-in server,
//! follows it; [`server_config`] says the same in the configuration of each web server; `check_url` asks a
//! running server from outside and judges its answers.
//!
//! # The states of content
//! ```text
//! Content        bytes that can be opened again: a file, part of a file, or memory      source/
//!    │           a Job says what to do with it: keep it verbatim, or compress it
//! Stored         checked and measured; in staging, or in the site already               import::ingest
//!    │           Images lists it by its digest
//! File           a path in the site, with its Stage                                     plan::tree
//!    │           written to staging, unless the site has it
//! staged         a file in .stillage/staging, made durable with its group               writer::write
//!    │           renamed: content, manifests, v1 JSON, pointers, lists, catalogue
//! published      clients can get it
//!    │           the last tag or manifest that leads to it goes
//! unreferenced   still served, for pulls under way; `prune` deletes it later            writer::unreferenced
//! ```
//!
//! # Adding something
//! One new file, and one line in a table: an input format in [`source::FORMATS`], a web server in
//! [`server_config::SERVERS`], files for people or for a server that reads its own in `plan::AREAS`.

#[cfg(feature = "verify-url")]
pub(crate) mod check_url;
pub mod cli;
pub mod content;
pub mod error;
pub(crate) mod fsx;
pub mod images;
pub mod import;
pub mod layer;
pub(crate) mod note;
pub mod ops;
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
pub(crate) mod writer;
