//! The `oras` of `PyPI`: it takes the layers of a manifest, whatever they are.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::{installed, script};
use crate::support::process::run;
use crate::support::temp::TempDir;

/// oras has no state.
pub(crate) struct Oras;

impl Oras {
    /// The layers of a reference as they came, in the manifest's order.
    pub(crate) fn pull(reference: &str) -> Result<Vec<Vec<u8>>> {
        let folder = TempDir::new("oras");
        let mut python = Command::new(installed(".venv/bin/python"));
        let script = python.arg(script("oras.py"));
        run(script.arg(reference).arg(folder.path()))?;
        let blobs = folder.path().join("blobs");
        let count = fs::read_dir(&blobs)?.count();
        (0..count)
            .map(|number| Ok(fs::read(blobs.join(number.to_string()))?))
            .collect()
    }
}
