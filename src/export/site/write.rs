//! The members of an archive.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::WithHint as _;
use crate::export::json;
use crate::export::out::{self, Out as _, Tar};
use crate::export::site::split::{MOST_FILES, Piece, cost, split};
use crate::export::site::{Carried, SiteExport};
use crate::fsx;
use crate::plan::layout::OCI_LAYOUT;
use crate::spec::digest::{Digest, Hasher};
use crate::spec::site_export::{
    CATALOGUE, DESCRIPTION, Description, Held, SUMS, VOLUMES, Volume as Number, Volumes, part_path,
    sum_line,
};

/// The end of a tar, and the most that the list of digests needs beside its lines, in bytes.
const END: u64 = 1024 + 512 + 511;

/// A volume of an export.
pub struct Volume {
    pub number: u32,
    /// The number of volumes.
    pub of: u32,
    /// The first members.
    head: Vec<(&'static str, Vec<u8>)>,
    pieces: Vec<Piece>,
}

impl SiteExport {
    /// The number of files of the site that are carried, and their bytes.
    pub fn carried(&self) -> (u64, u64) {
        let bytes = self.files.iter().map(|file| file.content.len()).sum();
        (self.files.len() as u64, bytes)
    }

    /// Writes all of it as one archive.
    ///
    /// # Errors
    /// If the site has other bytes than it says: then the archive has no end.
    pub fn archive(&self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        if self.files.len() > MOST_FILES {
            return Err(anyhow::anyhow!(
                "an archive of {} files is too large to be read again",
                self.files.len()
            ))
            .hint("write volumes, with `--max-size`");
        }
        let pieces = self.files.iter().enumerate().map(|(file, carried)| Piece {
            file,
            offset: 0,
            len: carried.content.len(),
            part: None,
        });
        let whole = Volume {
            number: 1,
            of: 1,
            head: self.head(&self.description, None)?,
            pieces: pieces.collect(),
        };
        self.write(&whole, &mut BTreeMap::new(), out)
    }

    /// Divides it into volumes of at most `max` bytes.
    ///
    /// # Errors
    /// If that is too little for what each volume says of the others.
    pub fn volumes(&self, max: u64) -> anyhow::Result<Vec<Volume>> {
        let files: Vec<(&str, u64)> = self
            .files
            .iter()
            .map(|carried| (carried.path.as_str(), carried.content.len()))
            .collect();
        // What each volume says of all depends on where they are divided, which depends on how much it says.
        let mut head_len = 0;
        loop {
            let room = max.saturating_sub(head_len + END);
            if room < MIN_ROOM {
                return Err(anyhow::anyhow!(
                    "volumes of {max} bytes are too small: each carries the list of all, and needs at least {} bytes",
                    head_len + END + MIN_ROOM
                ))
                .hint("make them larger with `--max-size`");
            }
            let volumes = self.heads(split(&files, room))?;
            let len = |volume: &Volume| -> u64 {
                let members = volume.head.iter();
                members
                    .map(|(path, bytes)| cost(path, bytes.len() as u64))
                    .sum()
            };
            let longest = volumes.iter().map(len).max().unwrap_or_default();
            if longest <= head_len {
                return Ok(volumes);
            }
            head_len = longest + longest / 64;
        }
    }

    /// Adds to pieces what each volume says of all.
    fn heads(&self, volumes: Vec<Vec<Piece>>) -> anyhow::Result<Vec<Volume>> {
        let held = |piece: &Piece| {
            let file = &self.files[piece.file];
            Held {
                path: file.path.clone(),
                size: piece.len,
                part: piece.part,
                of: file.of.to_string(),
            }
        };
        let list = serde_json::to_vec(&Volumes {
            catalogue: self.description.catalogue,
            base: self.description.base,
            volumes: volumes
                .iter()
                .map(|pieces| pieces.iter().map(held).collect())
                .collect(),
        })?;
        let (of, packed) = (u32::try_from(volumes.len())?, gzip(&list)?);
        let volume = |(number, pieces)| {
            let list = Digest::of(&list);
            let description = Description {
                volume: Some(Number { number, of, list }),
                ..self.description.clone()
            };
            Ok(Volume {
                number,
                of,
                head: self.head(&description, Some(&packed))?,
                pieces,
            })
        };
        (1..).zip(volumes).map(volume).collect()
    }

    /// The first members. Of several volumes, the first lists the manifests.
    fn head(
        &self,
        description: &Description,
        volumes: Option<&Vec<u8>>,
    ) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
        let is_first = description.volume.is_none_or(|volume| volume.number == 1);
        let entries = if is_first { &self.entries[..] } else { &[] };
        let mut head = vec![
            ("oci-layout", OCI_LAYOUT.to_vec()),
            (DESCRIPTION, serde_json::to_vec(description)?),
            (CATALOGUE, gzip(&self.catalogue)?),
        ];
        head.extend(volumes.map(|list| (VOLUMES, list.clone())));
        head.push(("index.json", json::index(entries)?));
        Ok(head)
    }

    /// Writes a volume. `split` has the hashers of files whose parts are written, which follow one another.
    ///
    /// # Errors
    /// If the site has other bytes than it says: then the archive has no end.
    pub fn write(
        &self,
        volume: &Volume,
        split: &mut BTreeMap<String, Hasher>,
        out: &mut (dyn Write + Send),
    ) -> anyhow::Result<()> {
        let mut tar = Tar::new(out);
        let mut sums = String::new();
        for (path, bytes) in &volume.head {
            tar.bytes(path, bytes)?;
            sums.push_str(&sum_line(&Digest::of(bytes), path));
        }
        for piece in &volume.pieces {
            let file = &self.files[piece.file];
            let path = part_path(&file.path, piece.part);
            let digest = if piece.part.is_some() {
                let whole = split.entry(file.path.clone()).or_default();
                write_part(&mut tar, &path, file, piece, whole)?
            } else {
                tar.content(&path, &file.content, &file.digest)?;
                file.digest
            };
            sums.push_str(&sum_line(&digest, &path));
        }
        tar.bytes(SUMS, sums.as_bytes())?;
        tar.finish()
    }
}

/// The least room for files in a volume, in bytes.
const MIN_ROOM: u64 = 4096;

/// Writes a part of a file; gives its digest. `whole` is the hasher of the parts before it.
fn write_part(
    tar: &mut Tar<'_>,
    path: &str,
    file: &Carried,
    piece: &Piece,
    whole: &mut Hasher,
) -> anyhow::Result<Digest> {
    let content = file.content.part(piece.offset, piece.len)?;
    let mut own = Hasher::default();
    tar.made(path, piece.len, &mut |sink| {
        let mut written = Ok(());
        content.visit(&mut |bytes| {
            own.update(bytes);
            whole.update(bytes);
            if written.is_ok() {
                written = sink.write_all(bytes);
            }
        })?;
        written.map_err(fsx::cannot_write)
    })?;
    if piece.offset + piece.len == file.content.len() {
        let found = std::mem::take(whole).finish().0;
        out::expect(&file.content, found, &file.digest)?;
    }
    Ok(own.finish().0)
}

fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes)?;
    Ok(packed.finish()?)
}
