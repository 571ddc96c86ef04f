//! A machine as its clients see it: with folders of its own in `/etc`, in a mount namespace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{run, tool};
use super::temp::TempDir;

/// Folders and files of `/etc` that differ from those of the real machine.
pub(crate) struct Machine {
    etc: TempDir,
}

impl Machine {
    /// A machine that knows a host by an address.
    pub(crate) fn new(host: &str, address: &str) -> Self {
        let etc = TempDir::new("machine");
        let hosts = format!("127.0.0.1 localhost\n{address} {host}\n");
        fs::write(etc.path().join("hosts"), hosts).unwrap();
        Self { etc }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.etc.path().join(name)
    }

    /// Copies what lies in a folder like `/etc` to it.
    pub(crate) fn install(&self, etc: &Path) {
        run(Command::new("cp")
            .arg("-r")
            .arg(etc.join("."))
            .arg(self.etc.path()))
        .unwrap();
    }

    /// The words before a program that runs it on this machine.
    pub(crate) fn words(&self) -> Vec<String> {
        let entries = fs::read_dir(self.etc.path()).unwrap();
        let mount = |entry: std::io::Result<fs::DirEntry>| {
            let from = entry.unwrap().path();
            let name = from.file_name().unwrap().to_str().unwrap().to_owned();
            format!("mount --bind '{}' /etc/{name} && ", from.display())
        };
        let mounts: String = entries.map(mount).collect();
        let script = format!("{mounts}exec \"$@\"");
        let unshare = tool("unshare").display().to_string();
        let words = [
            &unshare,
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            &script,
            "sh",
        ];
        words.map(str::to_owned).into()
    }

    /// A command, run on this machine.
    pub(crate) fn on(&self, command: &Command) -> Command {
        let words = self.words();
        let mut on = Command::new(&words[0]);
        on.args(&words[1..]).arg(command.get_program());
        on.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on.env(name, value),
                None => on.env_remove(name),
            };
        }
        on
    }
}
