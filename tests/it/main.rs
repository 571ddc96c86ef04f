//! The integration tests: one binary, so that it links once.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::needless_raw_string_hashes,
    reason = "a test may fail, print, use files and the clock, and keep the lines of a table alike"
)]

mod answers;
mod apache;
mod bad_input;
mod client_lists;
mod clients;
mod conformance;
mod crash;
mod delivery;
mod disk;
mod edit;
mod fuzz;
mod htaccess;
mod json;
mod legacy;
mod locks;
mod matrix;
mod mend;
mod mirror;
mod moving;
mod nginx;
mod nginx_exact;
mod objects;
mod options;
mod progress;
mod properties;
mod rebuild;
mod referrers;
mod registries;
mod rsync;
mod samples;
mod selection;
mod serve;
mod servers;
mod sources;
mod structure;
mod support;
mod v1_clients;
mod v1_ids;
mod v1_layers;
mod verify;
mod verify_url;
