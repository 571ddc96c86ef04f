//! Hostile sources that take long to refuse: see `tests/it/bad_input.rs`.

#![allow(
    clippy::too_many_lines,
    clippy::semicolon_if_nothing_returned,
    reason = "a table of cases is long, and reads best without ceremony"
)]

mod bombs;
mod limits;
mod many;
#[path = "../it/bad_input/run.rs"]
#[allow(dead_code, reason = "the other test target uses the rest")]
mod run;
