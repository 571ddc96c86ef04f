//! One fuzzer for each target: the name of the binary says which.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../it/fuzz/targets.rs"]
mod targets;

fuzz_target!(|data: &[u8]| targets::run(env!("CARGO_BIN_NAME"), data));
