//! Divides files into volumes.

use crate::spec::site_export::{MAX_MEMBERS, part_path};

/// The bytes of a block of a tar.
const BLOCK: u64 = 512;
/// Less room than this at the end of a volume is not filled with a part of a file, in bytes.
const SMALLEST_PART: u64 = 64 << 10;

/// The most files of a volume, beside what it says of itself.
pub(super) const MOST_FILES: usize = MAX_MEMBERS - 16;

/// A file of a volume, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The index of the file.
    pub(super) file: usize,
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Its number, from 1 on, if it is not all of the file.
    pub(super) part: Option<u32>,
}

/// What a member takes in a tar, with its line in the list of digests, in bytes.
pub(super) fn cost(path: &str, len: u64) -> u64 {
    BLOCK + len.next_multiple_of(BLOCK) + line(path)
}

/// The length of a line in the list of digests.
fn line(path: &str) -> u64 {
    64 + 2 + path.len() as u64 + 1
}

/// Divides files, given by path and length, into volumes with so much room each, in bytes. Only a file that does not fit
/// into a volume by itself is split.
pub(super) fn split(files: &[(&str, u64)], room: u64) -> Vec<Vec<Piece>> {
    let mut volumes = vec![Vec::new()];
    let mut left = room;
    for (file, (path, len)) in files.iter().enumerate() {
        let whole = Piece {
            file,
            offset: 0,
            len: *len,
            part: None,
        };
        let needed = cost(path, *len);
        let is_full = volumes
            .last()
            .is_some_and(|last: &Vec<Piece>| last.len() >= MOST_FILES);
        if is_full {
            volumes.push(Vec::new());
            left = room;
        }
        if needed <= left {
            left -= needed;
            add(&mut volumes, whole);
        } else if needed <= room {
            volumes.push(vec![whole]);
            left = room - needed;
        } else {
            left = parts(&mut volumes, path, whole, left, room);
        }
    }
    volumes
}

/// Adds a file in parts; `left` is the room of the last volume. Gives the room that is left then.
fn parts(volumes: &mut Vec<Vec<Piece>>, path: &str, whole: Piece, mut left: u64, room: u64) -> u64 {
    let header = BLOCK + line(&part_path(path, Some(u32::MAX)));
    let fits = |left: u64| left.saturating_sub(header) / BLOCK * BLOCK;
    let (mut offset, mut number) = (0, 1);
    while offset < whole.len {
        if fits(left) < SMALLEST_PART.min(fits(room)) {
            volumes.push(Vec::new());
            left = room;
        }
        let len = fits(left).min(whole.len - offset);
        add(
            volumes,
            Piece {
                offset,
                len,
                part: Some(number),
                ..whole
            },
        );
        left -= header + len.next_multiple_of(BLOCK);
        offset += len;
        number += 1;
    }
    left
}

fn add(volumes: &mut [Vec<Piece>], piece: Piece) {
    if let Some(last) = volumes.last_mut() {
        last.push(piece);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn volumes_hold_everything_once_and_are_not_too_large(
            lens in prop::collection::vec(0_u64..5_000_000, 0..30),
            room in 2_000_u64..1_000_000,
        ) {
            let files: Vec<(&str, u64)> = lens.iter().map(|len| ("blobs/sha256/0", *len)).collect();
            let volumes = split(&files, room);
            let mut next = (0, 0, None);
            for volume in &volumes {
                let path = |piece: &Piece| part_path("blobs/sha256/0", piece.part);
                let size: u64 = volume.iter().map(|piece| cost(&path(piece), piece.len)).sum();
                prop_assert!(size <= room, "{size} > {room}");
                for piece in volume {
                    prop_assert_eq!((piece.file, piece.offset), (next.0, next.1));
                    let is_end = piece.offset + piece.len == lens[piece.file];
                    prop_assert_eq!(piece.part, next.2.or((!is_end).then_some(1)));
                    next = if is_end {
                        (next.0 + 1, 0, None)
                    } else {
                        (next.0, next.1 + piece.len, piece.part.map(|part| part + 1))
                    };
                }
            }
            prop_assert_eq!((next.0, next.1), (lens.len(), 0));
            prop_assert!(lens.is_empty() || volumes.iter().skip(1).all(|volume| !volume.is_empty()));
        }
    }
}
