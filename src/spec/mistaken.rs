//! What a file is that should be a tar or JSON, and what its user can do about it.

use crate::error::{Hint, invalid_input};

/// What files begin with, what they are then, and the hint.
const OTHERS: &[(&[u8], &str, &str)] = &[
    (
        b"\xff\xfe",
        "text in UTF-16",
        "`>` in PowerShell changes what it writes; let the program write the file, as in `docker save -o FILE`",
    ),
    (
        b"\xfe\xff",
        "text in UTF-16",
        "`>` in PowerShell changes what it writes; let the program write the file, as in `docker save -o FILE`",
    ),
    (
        b"\xef\xbb\xbf",
        "text with a byte order mark",
        "save it without the mark, as an editor's \"UTF-8\"; an archive must be written anew",
    ),
    (
        b"version https://git-lfs",
        "a Git LFS pointer",
        "fetch the file that it stands for with `git lfs pull`",
    ),
    (b"<!doctype", "an HTML page", PAGE),
    (b"<html", "an HTML page", PAGE),
    (b"<?xml", "an XML document", PAGE),
    (
        b"\x04\x22\x4d\x18",
        "compressed with lz4",
        "unpack it with `lz4 -d`",
    ),
    (
        b"\x02\x21\x4c\x18",
        "compressed with lz4",
        "unpack it with `lz4 -d`",
    ),
    (b"LZIP", "compressed with lzip", "unpack it with `lzip -d`"),
    (
        b"\x89LZO",
        "compressed with lzop",
        "unpack it with `lzop -d`",
    ),
    (
        b"\x1f\x9d",
        "compressed with compress",
        "unpack it with `gzip -d`",
    ),
    (
        b"\x5d\0\0",
        "compressed with lzma",
        "unpack it with `xz -d`",
    ),
    (b"FROM ", "a Dockerfile", DOCKERFILE),
    (b"ARG ", "a Dockerfile", DOCKERFILE),
    (b"# syntax=", "a Dockerfile", DOCKERFILE),
    (b"PK\x03\x04", "a zip archive", "unpack it with `unzip`"),
    (
        b"7z\xbc\xaf\x27\x1c",
        "a 7z archive",
        "unpack it with `7z x`",
    ),
];

const DOCKERFILE: &str = "Stillage does not make images: `docker build -t NAME .`, then `docker save NAME | stillage build - -o SITE`";
const PAGE: &str = "a server answered with a page, such as an error or a login, instead of the file; download it again";

/// The error for bytes that are not `wanted`: `an image archive`, or `JSON`.
pub fn error(start: &[u8], wanted: &str) -> anyhow::Error {
    if start.is_empty() {
        return invalid_input(format!("it is empty, which is not {wanted}")).context(Hint(
            "did the command that should have written it fail?".into(),
        ));
    }
    match recognised(start) {
        Some((what, hint)) => {
            invalid_input(format!("it is {what}, not {wanted}")).context(Hint(hint.into()))
        }
        None => invalid_input(format!("it is not {wanted}")),
    }
}

/// What bytes are that begin so, and the hint.
pub fn recognised(start: &[u8]) -> Option<(&'static str, &'static str)> {
    let text = start.trim_ascii_start();
    let begins = |with: &[u8]| {
        let same = |bytes: &[u8]| {
            let first = bytes.get(..with.len());
            first.is_some_and(|first| first.eq_ignore_ascii_case(with))
        };
        start.starts_with(with) || (with.starts_with(b"<") && same(text))
    };
    let found = OTHERS.iter().find(|(with, ..)| begins(with));
    found.map(|(_, what, hint)| (*what, *hint))
}
