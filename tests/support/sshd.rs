//! A host that is reached through SSH: Debian's sshd on loopback, with a configuration and keys of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Daemon, tool};
use super::servers::free_port;
use super::site::succeed;

pub(crate) struct Sshd {
    folder: PathBuf,
    pub(crate) port: u16,
    _daemon: Daemon,
}

impl Sshd {
    /// Starts one with a key for each name, and what `authorized_keys` says before it. Keys and logs go into the folder.
    pub(crate) fn start(folder: &Path, keys: &[(&str, &str)]) -> Self {
        let folder = folder.join("ssh");
        fs::create_dir(&folder).unwrap();
        let at = |name: &str| folder.join(name).display().to_string();
        let mut authorized = String::new();
        for (name, options) in [("host", "")].iter().chain(keys) {
            let mut keygen = Command::new(tool("ssh-keygen"));
            succeed(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &at(name)]));
            if *name != "host" {
                let public = fs::read_to_string(at(&format!("{name}.pub"))).unwrap();
                authorized.push_str(format!("{options} {public}").trim_start());
            }
        }
        fs::write(at("authorized"), authorized).unwrap();
        let port = free_port();
        // Where it looks for a folder of its own; Debian's service makes it.
        fs::create_dir_all("/run/sshd").unwrap();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nPermitRootLogin prohibit-password\nUsePAM no\nSubsystem sftp internal-sftp\n",
            at("host"),
            at("authorized")
        );
        fs::write(at("config"), config).unwrap();
        let args = ["-D", "-e", "-f", &at("config")];
        let ready = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let log = folder.join("log");
        let daemon = Daemon::start(&tool("sshd"), &args, &log).wait_until(ready);
        Self {
            folder,
            port,
            _daemon: daemon,
        }
    }

    /// The client as one uses it with a key, in words; the host is 127.0.0.1.
    pub(crate) fn words(&self, key: &str) -> String {
        format!(
            "{} -F none -p {} -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
            tool("ssh").display(),
            self.port,
            self.folder.join(key).display()
        )
    }

    /// The client with a key and options, so far without a command for the host.
    pub(crate) fn ssh(&self, key: &str, options: &[&str]) -> Command {
        let words = self.words(key);
        let mut words = words.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(options)
            .arg("127.0.0.1")
            .env_remove("SSH_AUTH_SOCK");
        command
    }
}
