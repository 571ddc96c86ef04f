//! Inflates and hashes gzip files on all cores, their bytes as well as what is in them, and does nothing else:
//! what taking in an OCI layout costs at least. `inflate FILE...`

#![expect(
    clippy::disallowed_methods,
    reason = "what the program's own way costs is measured by it"
)]

use std::io::{self, Read};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// Hashes what is read from it.
struct Hashed<R>(R, Sha256);

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.0.read(buffer)?;
        self.1.update(&buffer[..got]);
        Ok(got)
    }
}

fn main() -> io::Result<()> {
    let mut files = Vec::new();
    for path in std::env::args_os().skip(1) {
        files.push((std::fs::metadata(&path)?.len(), path));
    }
    files.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    files.into_iter().par_bridge().try_for_each(|(_, path)| {
        let file = Hashed(std::fs::File::open(path)?, Sha256::default());
        let packed = io::BufReader::with_capacity(256 << 10, file);
        let mut tar = Hashed(
            flate2::bufread::MultiGzDecoder::new(packed),
            Sha256::default(),
        );
        // Configs are no gzip.
        let mut buffer = vec![0; 256 << 10];
        while tar.read(&mut buffer).is_ok_and(|got| got > 0) {}
        Ok(())
    })
}
