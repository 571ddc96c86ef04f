//! Tests that run anywhere: no root, no servers, no other programs.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::needless_raw_string_hashes,
    reason = "a test may fail, print, use files and the clock, and keep the lines of a table alike"
)]

mod bad_input;
mod collections;
mod content;
mod credentials;
mod damage;
mod edit;
mod export;
mod format;
mod fuzz;
mod get;
mod grace;
mod hints_builds;
mod hints_sites;
mod hints_sources;
mod hints_usage;
mod list;
mod locks;
mod mirror;
mod mutations;
mod names;
mod objects;
mod old_docker;
mod options;
mod pages;
mod properties;
mod put;
mod samples;
mod selection;
mod shell;
mod sources;
mod ssh_command;
mod structure;
#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the other test target uses the rest"
)]
mod support;
mod v1_edges;
mod v1_layers;
mod verify;
mod verify_url;
