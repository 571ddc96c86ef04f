//! Compresses plain layers, in [`chunks`](super::chunk).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, sync_channel};

use crate::content::{Content, Packing};
use crate::layer::chunk::Chunk;
use crate::layer::{BUFFER, Compression, Hashing, Measured, Measuring};
use crate::spec::digest::Hasher;

/// Layers of this many bytes or more are compressed by all cores, one at a time. Smaller ones take one core
/// each.
pub const LARGE: u64 = 4 << 20;

/// Compresses the tar of a layer, which may be compressed in another format. One pass yields the diff ID, the
/// compressed bytes and their digest. Layers of [`LARGE`] bytes or more use all threads of the current pool. Memory
/// use is a fixed number of buffers per thread.
pub fn compress(
    content: &Content,
    packing: Packing,
    sink: &mut (dyn Write + Send),
) -> anyhow::Result<Measured> {
    let compressed = compress_stream(plain_of(content)?, content.len() >= LARGE, packing, sink);
    compressed.map_err(|failure| blamed(content, failure))
}

/// Like [`compress`], without measuring anything. Returns the length of what was written, in bytes.
pub fn recompress(
    content: &Content,
    packing: Packing,
    sink: &mut (dyn Write + Send),
) -> anyhow::Result<u64> {
    let compressed = pack(plain_of(content)?, content.len() >= LARGE, packing, sink);
    compressed.map_err(|failure| blamed(content, failure))
}

fn plain_of(content: &Content) -> anyhow::Result<Box<dyn Read + Send>> {
    Compression::of(content)?
        .decoder(content.open()?, content.len())
        .map_err(|error| content.failed(error))
}

fn blamed(content: &Content, failure: CopyError) -> anyhow::Error {
    match failure {
        CopyError::Read(error) => content.failed(error),
        CopyError::Write(error) => anyhow::Error::new(error).context(format!(
            "cannot write a compressed copy of {}",
            content.origin()
        )),
    }
}

/// Which side of a copy failed.
#[derive(Debug)]
pub enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

/// Compresses a tar that can be read only once; see [`compress`]. `large` makes all threads work on it.
pub fn compress_stream(
    plain: impl Read,
    large: bool,
    packing: Packing,
    sink: &mut (dyn Write + Send),
) -> Result<Measured, CopyError> {
    let mut plain = Measuring::new(plain);
    let mut sink = Hashing {
        inner: sink,
        hashers: vec![Hasher::default()],
    };
    let size = pack(&mut plain, large, packing, &mut sink)?;
    let (tar, outline) = plain.finish();
    Ok(Measured {
        digest: sink.finish().1[0],
        size,
        tar: Some(tar),
        outline,
    })
}

/// Writes a layer of `len` bytes as gzip, behind members with a prefix for its tar. A gzip layer keeps its bytes.
/// Returns the length of what was written, in bytes.
pub(super) fn prepend(
    prefix: &[u8],
    compression: Compression,
    mut packed: impl Read + Send,
    len: u64,
    sink: &mut (dyn Write + Send),
) -> Result<u64, CopyError> {
    let mut size = 0;
    if !prefix.is_empty() {
        size += pack(prefix, false, Packing::Gzip, sink)?;
    }
    if compression != Compression::Gzip {
        let plain = compression.decoder(packed, len).map_err(CopyError::Read)?;
        return Ok(size + pack(plain, false, Packing::Gzip, sink)?);
    }
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = packed.read(&mut buffer).map_err(CopyError::Read)?;
        if count == 0 {
            return Ok(size);
        }
        size += write(&buffer[..count], sink)?;
    }
}

/// Compresses bytes to at least one stream. Returns the length of what was written, in bytes.
pub(super) fn pack(
    mut plain: impl Read,
    large: bool,
    packing: Packing,
    sink: &mut (dyn Write + Send),
) -> Result<u64, CopyError> {
    if large {
        return pack_parallel(&mut plain, packing, sink);
    }
    // Many small layers are compressed at once. Waiting for other threads here would let this thread start further
    // layers meanwhile, each with its own buffers.
    let mut size = 0;
    let mut chunk = Chunk::new(packing);
    chunk.fill(&mut plain).map_err(CopyError::Read)?;
    loop {
        chunk.compress();
        size += write(chunk.packed(), sink)?;
        chunk.fill(&mut plain).map_err(CopyError::Read)?;
        if chunk.is_empty() {
            return Ok(size);
        }
    }
}

/// Reads the next chunks while others are being compressed, and writes finished ones in order.
fn pack_parallel(
    plain: &mut impl Read,
    packing: Packing,
    sink: &mut (dyn Write + Send),
) -> Result<u64, CopyError> {
    let ahead = packing.chunks_per_core() * rayon::current_num_threads();
    rayon::in_place_scope_fifo(|scope| {
        let mut size = 0;
        let mut under_way = VecDeque::new();
        let mut free = Vec::new();
        let mut next = Chunk::new(packing);
        next.fill(plain).map_err(CopyError::Read)?;
        loop {
            let (done, result) = sync_channel(1);
            under_way.push_back(result);
            scope.spawn_fifo(move |_| {
                next.compress();
                // The receiver is gone if reading or writing has failed meanwhile.
                drop(done.send(next));
            });
            next = free.pop().unwrap_or_else(|| Chunk::new(packing));
            next.fill(plain).map_err(CopyError::Read)?;
            while under_way.len() >= ahead || next.is_empty() {
                let Some(first) = under_way.pop_front() else {
                    return Ok(size);
                };
                let chunk = wait(&first);
                size += write(chunk.packed(), sink)?;
                free.push(chunk);
            }
        }
    })
}

fn write(bytes: &[u8], sink: &mut (dyn Write + Send)) -> Result<u64, CopyError> {
    sink.write_all(bytes).map_err(CopyError::Write)?;
    Ok(bytes.len() as u64)
}

/// Waits for a compressed chunk. Meanwhile this thread runs other jobs of the pool.
fn wait(result: &Receiver<Chunk>) -> Chunk {
    loop {
        if let Ok(chunk) = result.try_recv() {
            return chunk;
        }
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            return result.recv().expect("every job sends its chunk");
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::spec::digest::Digest;

    /// Pseudo-random words, the same on every run.
    pub(in crate::layer) fn text(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let words = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            format!("{:x} ", state >> 20).into_bytes()
        });
        words.flatten().take(len).collect()
    }

    pub(in crate::layer) fn compressed(bytes: &[u8], threads: usize) -> (Vec<u8>, Measured) {
        packed(bytes, threads, Packing::Gzip)
    }

    fn packed(bytes: &[u8], threads: usize, packing: Packing) -> (Vec<u8>, Measured) {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let mut out = Vec::new();
        let content = Content::memory(bytes, "`test`");
        let measured = pool
            .install(|| compress(&content, packing, &mut out))
            .unwrap();
        (out, measured)
    }

    /// The golden digests: changing one requires a new format number.
    #[test]
    fn compressed_bytes_never_change() {
        // Of the first 5 MB a fifth are zeros, so that every level is used.
        let mut bytes = text(9_500_000);
        bytes[..5_000_000]
            .iter_mut()
            .step_by(4)
            .for_each(|byte| *byte = 0);
        for (packing, expected) in [
            (
                Packing::Gzip,
                "sha256:7ad2215fe155b05d610e7f9f5664b734e8112ab67842a3a3c4742156fb145d39",
            ),
            (
                Packing::Zstd,
                "sha256:4b955ac84e795320764ce43b0dc66d0c2bce3534ef192b7362636e7a3356abc0",
            ),
        ] {
            let (made, measured) = packed(&bytes, 2, packing);
            assert_eq!(measured.digest, Digest::of(&made));
            assert_eq!(measured.size, made.len() as u64);
            assert_eq!(measured.digest.to_string(), expected);
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bytes() {
        for packing in [Packing::Gzip, Packing::Zstd] {
            let chunk = packing.chunk();
            for len in [0, 1, chunk - 1, chunk, chunk + 1, 5 * chunk + 5] {
                let bytes = text(len);
                let (one, measured) = packed(&bytes, 1, packing);
                assert_eq!(one, packed(&bytes, 3, packing).0, "{len}");
                assert_eq!(measured.tar.unwrap().diff_id, Digest::of(&bytes));
                let content = Content::memory(one, "`test`");
                let compression = Compression::of(&content).unwrap();
                let mut back = Vec::new();
                let mut plain = compression
                    .decoder(content.open().unwrap(), content.len())
                    .unwrap();
                plain.read_to_end(&mut back).unwrap();
                assert_eq!(back, bytes);
            }
        }
    }
}
