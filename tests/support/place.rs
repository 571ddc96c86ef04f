//! A folder for sources and a site, and `build` with bytes on its standard input.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::archive::{Archive, Image};
use super::site::{build, json as read, stderr, stillage, verify};
use super::temp::TempDir;

/// A folder for sources and a site.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new("options"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes an archive and gives its path.
    pub(crate) fn tar(&self, name: &str, images: &[Image]) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, Archive::docker_20(images).tar()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn layout(&self, name: &str, images: &[Image]) -> String {
        Archive::oci(images).folder(&self.path(name));
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn site(&self) -> PathBuf {
        self.path("site")
    }

    pub(crate) fn build(&self, args: &[&str]) -> Output {
        let output = build(args, &self.site());
        verify(&self.site());
        output
    }

    /// A build that is refused with this exit code and message.
    pub(crate) fn refused(&self, args: &[&str], code: i32, message: &str) {
        let mut command = stillage(["build", "-o", self.site().to_str().unwrap()]);
        let output = command.args(args).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(message), "{args:?}: {said}");
    }

    pub(crate) fn catalog(&self) -> serde_json::Value {
        read(self.site().join("v2/_catalog"))["repositories"].clone()
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.site().join(path).exists()
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.site().join(path)).unwrap()
    }
}

/// An image of one file.
pub(crate) fn image(name: &str, text: &str) -> Image {
    Image::new(&[name]).layer("etc/text", text)
}

/// Gives bytes to `build` on the standard input.
pub(crate) fn pipe(bytes: &[u8], args: &[&str]) -> Output {
    feed(stillage(["build"]).args(args), bytes)
}

/// Gives bytes to a command on its standard input.
pub(crate) fn feed(command: &mut Command, bytes: &[u8]) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || {
        // One that breaks off may be refused before all of it was written.
        let _ = stdin.write_all(&bytes);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}
