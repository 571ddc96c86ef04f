//! Compresses layers in chunks, each to a stream of its own: several cores work on one layer, and every client reads
//! concatenated streams as one. The bytes are part of the site's format.
//!
//! | | input of a stream | compressor |
//! |---|---|---|
//! | gzip | 1 MiB | libdeflate, level 1 or 2; no name or time in the header |
//! | zstd | 4 MiB, since its window is larger | libzstd, level 3; with the content size, without a checksum |
//!
//! Level 1 of libdeflate takes a quarter less time than level 2, for 4 % more bytes. The difference is large for
//! programs, which have many zero bytes, and small for text. So the level depends on the share of zero bytes: the
//! output is about as small as skopeo's in half the time (`tests/bench.sh build`).
//!
//! Where that time goes (2 cores, both busy): 80 % compressing, 11 % SHA-256 of input and output, the rest copies
//! between kernel and program. Level 1 alone would save another tenth, for blobs larger than skopeo's.

use std::cell::RefCell;
use std::io::{self, Read};

use libdeflater::{CompressionLvl, Compressor};

use crate::content::Packing;

/// The share of zero bytes from which on level 2 is worth its time: one in so many.
const ZEROS: usize = 5;
const ZSTD_LEVEL: i32 = 3;

impl Packing {
    /// Input bytes in each stream.
    pub(super) fn chunk(self) -> usize {
        match self {
            Self::Gzip => 1 << 20,
            Self::Zstd => 4 << 20,
        }
    }

    /// Chunks in flight per core: enough to keep every core busy, few enough to hold in memory.
    pub(super) fn chunks_per_core(self) -> usize {
        match self {
            Self::Gzip => 4,
            Self::Zstd => 2,
        }
    }
}

/// A chunk of a layer, and the stream that it becomes. Its buffers are used again.
pub(super) struct Chunk {
    packing: Packing,
    plain: Vec<u8>,
    plain_len: usize,
    packed: Vec<u8>,
    packed_len: usize,
}

impl Chunk {
    pub(super) fn new(packing: Packing) -> Self {
        Self {
            packing,
            plain: vec![0; packing.chunk()],
            plain_len: 0,
            packed: Vec::new(),
            packed_len: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain_len == 0
    }

    pub(super) fn packed(&self) -> &[u8] {
        &self.packed[..self.packed_len]
    }

    /// Reads a chunk. Only the last one is short; an empty one marks the end.
    pub(super) fn fill(&mut self, plain: &mut impl Read) -> io::Result<()> {
        self.plain_len = 0;
        while self.plain_len < self.plain.len() {
            match plain.read(&mut self.plain[self.plain_len..]) {
                Ok(0) => break,
                Ok(count) => self.plain_len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn compress(&mut self) {
        COMPRESSORS.with_borrow_mut(|compressors| {
            self.packed_len = match self.packing {
                Packing::Gzip => self.gzip(&mut compressors.gzip),
                Packing::Zstd => self.zstd(compressors.zstd.get_or_insert_with(|| {
                    zstd::bulk::Compressor::new(ZSTD_LEVEL).expect("the level exists")
                })),
            };
        });
    }

    fn gzip(&mut self, compressors: &mut [Compressor; 2]) -> usize {
        let plain = &self.plain[..self.plain_len];
        let zeros_in = |bytes: &[u8]| bytes.iter().map(|byte| u8::from(*byte == 0)).sum::<u8>();
        let zeros: usize = plain
            .chunks(255)
            .map(|bytes| usize::from(zeros_in(bytes)))
            .sum();
        let compressor = &mut compressors[usize::from(zeros * ZEROS >= plain.len())];
        if self.packed.is_empty() {
            self.packed = vec![0; compressor.gzip_compress_bound(self.plain.len())];
        }
        compressor
            .gzip_compress(plain, &mut self.packed)
            .expect("the bound is enough")
    }

    fn zstd(&mut self, compressor: &mut zstd::bulk::Compressor<'_>) -> usize {
        let plain = &self.plain[..self.plain_len];
        if self.packed.is_empty() {
            self.packed = vec![0; zstd::zstd_safe::compress_bound(self.plain.len())];
        }
        compressor
            .compress_to_buffer(plain, &mut self.packed[..])
            .expect("the bound is enough")
    }
}

/// Those of a thread.
struct Compressors {
    /// For the levels 1 and 2.
    gzip: [Compressor; 2],
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

thread_local! {
    static COMPRESSORS: RefCell<Compressors> = RefCell::new(Compressors {
        gzip: [1, 2].map(|level| {
            Compressor::new(CompressionLvl::new(level).expect("the level exists"))
        }),
        zstd: None,
    });
}
