//! Tests against real servers, clients and daemons, as root, and tests that take minutes. `tests/run.sh` installs
//! what they need.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::needless_raw_string_hashes,
    reason = "a test may fail, print, use files and the clock, and keep the lines of a table alike"
)]

mod answers;
mod apache;
mod around;
mod artifacts;
mod bad_input;
mod browser;
mod bytes_read;
mod client_files;
mod client_lists;
mod clients;
mod collections;
mod conformance;
mod crash;
mod delivery;
mod disk;
mod edges;
mod export;
mod file_systems;
mod get;
mod htaccess;
mod json;
mod legacy;
mod logins;
mod matrix;
mod mend;
mod mirrors;
mod moving;
mod nginx;
mod nginx_exact;
mod packages;
mod pages;
mod progress;
mod publish;
mod readme;
mod rebuild;
mod referrers;
mod registries;
mod rsync;
mod serve;
mod servers;
mod signatures;
mod sources;
mod ssh;
mod stores;
#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the other test target uses the rest"
)]
mod support;
mod tags;
mod v1_clients;
mod v1_ids;
mod verify_url;
mod zstd;
