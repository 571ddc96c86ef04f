//! Two clients of the v1 API, `docker-registry-client` of npm and of `PyPI`.

use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use super::{installed, script};
use crate::support::process::{run, tool};

/// The client of npm: it reads everything, layers too.
pub(crate) struct Npm;

impl Npm {
    /// What it reads of repositories: `NAME`, or `NAME=TAG,..` where the registry need not list tags.
    pub(crate) fn read(port: u16, repositories: impl IntoIterator<Item = String>) -> Result<Value> {
        installed("clients/node_modules/docker-registry-client");
        read(
            Command::new(tool("node")).arg(script("v1.mjs")),
            port,
            repositories,
        )
    }
}

/// The client of `PyPI`: all but layers, which it takes for JSON.
pub(crate) struct PyPi;

impl PyPi {
    /// What it reads of repositories: `NAME=TAG,..`; of all that a search finds, where none is given.
    pub(crate) fn read(port: u16, repositories: impl IntoIterator<Item = String>) -> Result<Value> {
        let mut python = Command::new(installed(".venv/bin/python"));
        read(python.arg(script("v1.py")), port, repositories)
    }
}

fn read(
    command: &mut Command,
    port: u16,
    repositories: impl IntoIterator<Item = String>,
) -> Result<Value> {
    let host = format!("http://127.0.0.1:{port}");
    let text = run(command.arg(host).args(repositories))?;
    Ok(serde_json::from_str(&text)?)
}
