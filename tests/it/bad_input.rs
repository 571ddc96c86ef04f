//! Bad and hostile input, from the outside: every case is a source that the program must refuse (or,
//! where it says so, take quickly), run against a site that holds an image already.
//!
//! A refusal is exit code 1, an `error:` that names the file, the member and the reason, and a site
//! that is byte for byte, inode and mtime what it was. Every run has little time and memory.
//!
//! # Known bugs
//!
//! A case marked with [`run::Case::bug`] fails today for the reason that the mark gives. The test fails
//! when such a case passes, so that no mark outlives its bug:
//! ```text
//! grep -rn -B1 '\.bug(' tests
//! ```

#![allow(
    clippy::too_many_lines,
    clippy::semicolon_if_nothing_returned,
    reason = "a table of cases is long, and reads best without ceremony"
)]

mod archives;
mod docker;
mod docker_25;
mod folders;
mod layouts;
mod legacy;
mod manifests;
mod names;
mod registries;
#[allow(dead_code, reason = "the other test target uses the rest")]
mod run;
mod sites;
mod stdin;
mod usage;
