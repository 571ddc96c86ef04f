//! Compresses plain layers, in [`chunks`](super::chunk).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, sync_channel};

use crate::content::{Content, Packing};
use crate::layer::chunk::Chunk;
use crate::layer::v1_scan::Scanner;
use crate::layer::{BUFFER, Compression, Measured, Outline, Tar};
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
    let compression = Compression::of(content)?;
    let plain = compression
        .decoder(content.open()?, content.len())
        .map_err(|error| content.failed(error))?;
    compress_stream(plain, content.len() >= LARGE, packing, sink).map_err(|failure| match failure {
        CopyError::Read(error) => content.failed(error),
        CopyError::Write(error) => anyhow::Error::new(error).context(format!(
            "cannot write a compressed copy of {}",
            content.origin()
        )),
    })
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
    let mut output = Output::new(sink);
    output.hasher = Some(Hasher::default());
    let (tar, outline) = output.compress(plain, large, packing)?;
    Ok(Measured {
        digest: output.hasher.unwrap_or_default().finish().0,
        size: output.size,
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
    let mut output = Output::new(sink);
    let mut prefix = io::Cursor::new(prefix);
    let mut chunk = Chunk::new(Packing::Gzip);
    loop {
        chunk.fill(&mut prefix).map_err(CopyError::Read)?;
        if chunk.plain().is_empty() {
            break;
        }
        chunk.compress();
        output.take(chunk.packed()).map_err(CopyError::Write)?;
    }
    if compression == Compression::Gzip {
        let mut buffer = vec![0; BUFFER];
        loop {
            match packed.read(&mut buffer).map_err(CopyError::Read)? {
                0 => break,
                count => output.take(&buffer[..count]).map_err(CopyError::Write)?,
            }
        }
    } else {
        let plain = compression.decoder(packed, len);
        output.compress(plain.map_err(CopyError::Read)?, false, Packing::Gzip)?;
    }
    Ok(output.size)
}

/// Reads the next chunks while others are being compressed, and writes finished ones in order.
fn compress_parallel(
    input: &mut Input<impl Read>,
    packing: Packing,
    output: &mut Output<'_>,
) -> Result<(), CopyError> {
    let ahead = packing.chunks_per_core() * rayon::current_num_threads();
    rayon::in_place_scope_fifo(|scope| {
        let mut under_way = VecDeque::new();
        let mut free = Vec::new();
        let mut next = input.next(Chunk::new(packing)).map_err(CopyError::Read)?;
        loop {
            let (done, result) = sync_channel(1);
            under_way.push_back(result);
            scope.spawn_fifo(move |_| {
                next.compress();
                // The receiver is gone if reading or writing has failed meanwhile.
                drop(done.send(next));
            });
            let chunk = free.pop().unwrap_or_else(|| Chunk::new(packing));
            next = input.next(chunk).map_err(CopyError::Read)?;
            while under_way.len() >= ahead || next.plain().is_empty() {
                let Some(first) = under_way.pop_front() else {
                    return Ok(());
                };
                let chunk = wait(&first);
                output.take(chunk.packed()).map_err(CopyError::Write)?;
                free.push(chunk);
            }
        }
    })
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

struct Input<R> {
    plain: R,
    hasher: Hasher,
    scanner: Scanner,
}

impl<R: Read> Input<R> {
    /// Reads the next chunk into the buffers of `chunk`.
    fn next(&mut self, mut chunk: Chunk) -> io::Result<Chunk> {
        chunk.fill(&mut self.plain)?;
        self.hasher.update(chunk.plain());
        self.scanner.feed(chunk.plain());
        Ok(chunk)
    }
}

struct Output<'a> {
    sink: &'a mut (dyn Write + Send),
    /// `None` where the digest is not needed.
    hasher: Option<Hasher>,
    size: u64,
}

impl<'a> Output<'a> {
    fn new(sink: &'a mut (dyn Write + Send)) -> Self {
        Self {
            sink,
            hasher: None,
            size: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.size += bytes.len() as u64;
        self.sink.write_all(bytes)
    }

    /// Compresses a tar; `large` makes all threads work on it.
    fn compress(
        &mut self,
        plain: impl Read,
        large: bool,
        packing: Packing,
    ) -> Result<(Tar, Option<Outline>), CopyError> {
        let mut input = Input {
            plain,
            hasher: Hasher::default(),
            scanner: Scanner::default(),
        };
        if large {
            compress_parallel(&mut input, packing, self)?;
        } else {
            // Many small layers are compressed at once. Waiting for other threads here would let this thread
            // start further layers meanwhile, each with its own buffers.
            let mut chunk = input.next(Chunk::new(packing)).map_err(CopyError::Read)?;
            loop {
                chunk.compress();
                self.take(chunk.packed()).map_err(CopyError::Write)?;
                chunk = input.next(chunk).map_err(CopyError::Read)?;
                if chunk.plain().is_empty() {
                    break;
                }
            }
        }
        Ok(Tar::of(input.hasher, input.scanner))
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
