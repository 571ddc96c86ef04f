//! Layers at the edges of what Docker 1.x unpacks right, each kind once. Every image is built by the command; its
//! v1 layers are unpacked by the models of Docker 1.4.1 and 1.9.1 and compared with what today's clients unpack.

use tar::{Builder, EntryType, Header};

use crate::fuzz::targets::apply_layer::{Docker, Kind, Member, Tree, cleaned};
use crate::support::archive::{Archive, Image, Pack};
use crate::support::site::{build, v1_layers, verify};
use crate::support::temp::TempDir;

/// Images by name: layers between `|`, members in the order of the tar: `folder/:MODE`, `file`, `link->target`,
/// `hard=>target`, `.wh.x`. `~cut` cuts the last block of the layer short, `~open` leaves out the end of the tar;
/// `~sparse` is a GNU sparse file with extension blocks, `~binary` a file with an attribute of binary bytes.
const IMAGES: [(&str, &str); 55] = [
    (
        "folder-twice-for-a-link",
        "k/l/:755 h->/k/l | h/i->h | h/:711 h/i/:751 h/i/f h/:711",
    ),
    ("folder-by-link", "h/:711 a->h | a/b/:751 a/b/c/d"),
    ("implied", "a/:711 a/b/:1777 a/b/keep | a/b/c/d/new"),
    ("implied-base", "x/y/z q/:700 | q/w/e"),
    (
        "opaque",
        "d/:755 d/sub/:700 d/sub/x d/file d/link->sub other | d/:755 d/.wh..wh..opq d/sub/:755 d/sub/z",
    ),
    (
        "opaque-last",
        "d/:755 d/sub/:700 d/sub/x d/file | d/:755 d/sub/:755 d/sub/z d/sub/x d/.wh..wh..opq",
    ),
    (
        "opaque-implied",
        "d/:755 d/sub/:700 d/sub/x d/sub/deep/:755 d/sub/deep/y | d/.wh..wh..opq d/sub/z",
    ),
    ("opaque-root", "d/:755 d/file other | .wh..wh..opq n"),
    (
        "opaque-nested",
        "d/:755 d/sub/:700 d/sub/x | d/sub/:755 d/sub/.wh..wh..opq | d/sub/back",
    ),
    (
        "opaque-link",
        "r/:755 r/old d->r | d/:755 d/.wh..wh..opq d/new",
    ),
    ("link", "usr/:755 usr/lib/:750 lib->usr/lib | lib/foo.so"),
    (
        "link-sub",
        "usr/:755 usr/lib/:750 usr/lib/old lib->usr/lib | lib/sub/foo.so",
    ),
    (
        "link-absolute",
        "usr/:755 usr/lib/:750 abs->/usr/lib | abs/sub/foo.so",
    ),
    (
        "link-whiteout",
        "usr/:755 usr/lib/:750 usr/lib/old lib->usr/lib | lib/.wh.old",
    ),
    ("link-same-layer", "usr/lib/:750 lib->usr/lib lib/sub/foo"),
    (
        "same-link-file",
        "usr/:755 usr/lib/:750 lib->usr/lib lib/foo",
    ),
    (
        "same-link-folder",
        "usr/:755 usr/lib/:750 lib->usr/lib lib/sub/:755 lib/sub/foo",
    ),
    (
        "same-link-early",
        "lib->usr/lib usr/:755 usr/lib/:750 usr/lib/z lib/sub/foo",
    ),
    (
        "same-link-late",
        "usr/:755 usr/lib/:750 lib/sub/foo usr/lib/z | .wh.lib lib->usr/lib lib/n/foo",
    ),
    (
        "same-link-absolute",
        "usr/:755 usr/lib/:750 lib->/usr/lib lib/sub/foo",
    ),
    (
        "folder-to-link",
        "usr/:755 usr/lib/:755 lib/:755 lib/a | lib->usr/lib lib/x/foo",
    ),
    (
        "link-to-folder",
        "usr/:755 usr/lib/:755 lib->usr/lib | lib/:700 lib/x/foo",
    ),
    (
        "two-links",
        "usr/:755 usr/lib/:755 lib->usr/lib l2->lib | l2/p/q/f",
    ),
    ("links-of-two-layers", "a/:711 | b->a | c->b | c/d/e"),
    (
        "hard-links",
        "x y=>x ./dd/:755 ./dd/v=>./x | z=>x w=>/x | x",
    ),
    ("again", "d/:700 d/a | .wh.d | d/:755 d/b"),
    ("again-implied", "d/:700 d/a | .wh.d | d/b"),
    ("again-same-layer", "d/:700 d/a | .wh.d d/:751 d/b"),
    ("again-same-layer-late", "d/:700 d/a | d/:751 d/b d/.wh.a"),
    ("again-same-layer-implied", "d/:700 d/a | .wh.d d/b"),
    (
        "again-same-layer-implied-deep",
        "p/:710 p/d/:700 p/d/a | p/.wh.d p/d/e/b",
    ),
    ("whiteout-of-nothing", "f | n/m/.wh.x .wh.nothing"),
    ("whiteout-last", "p/:710 p/a p/b | p/c p/.wh.a"),
    (
        "whiteout-deep",
        "p/:755 p/q/:755 p/q/f p/q/g | p/q/.wh.f | p/.wh.q p/r",
    ),
    ("file-then-implied", "a | .wh.a a/b/c"),
    ("empty", "f |  | g | "),
    (
        "replaced",
        "a/:755 a/x b c->b e->a | a b/:755 b/in c/:755 e/:700",
    ),
    (
        "dots",
        "./:750 ./a/:700 ./a/b /abs/:755 /abs/f a//c a/./e | ./a/n/f",
    ),
    ("late-folder", "a/f a/:700 | k/l/f k/:700"),
    ("folder-twice", "a/:700 a/f a/:711 | a/:755 a/g a/:750"),
    ("file-twice", "a/:700 a/f a/f | a/g a/g"),
    ("link-twice", "t/:755 l->x l->t | l/deep/f"),
    (
        "folder-twice-other-spelling",
        "a/:700 ./a/f a//f | ./b/:700 b/:711 b/x",
    ),
    ("cut", "f ~cut"),
    ("cut-implied", "d/:755 | d/f ~cut"),
    ("open", "f ~open | d/f ~open"),
    (
        "aufs",
        ".wh..wh.aufs .wh..wh.orph/:700 .wh..wh.plnk/:700 .wh..wh.plnk/1.2 h1=>.wh..wh.plnk/1.2 d/f",
    ),
    ("gone-and-back", "x | .wh.x | x"),
    ("sparse", "d/:710 | ~sparse d/e/f"),
    ("sparse-first-layer", "~sparse d/e/f"),
    ("binary-attribute", "d/:710 | ~binary d/e/f"),
    (
        "binary-attribute-of-implied",
        "d/:710 d/e/:711 | d/e/f ~binary d/e/g",
    ),
    (
        "opaque-and-whiteout",
        "d/:755 d/a d/b | d/.wh..wh..opq d/.wh.a d/c",
    ),
    (
        "opaque-twice",
        "d/:755 d/a | d/.wh..wh..opq d/e/:700 d/.wh..wh..opq d/e/f",
    ),
    (
        "modes-below-implied",
        "a/:1777 a/b/:2755 a/b/c/:700 | a/b/c/d/e/f",
    ),
];

/// The tar of a layer, and its members as the models take them.
fn layer(text: &str) -> (Vec<u8>, Vec<Member>) {
    let (mut tar, mut members) = (Builder::new(Vec::new()), Vec::new());
    let mut left_out = 0;
    for word in text.split_whitespace() {
        match word {
            "~open" => left_out = 1024,
            "~cut" => left_out = 1024 + 511,
            "~sparse" => {
                add_sparse(&mut tar);
                members.push(("sparse".to_owned(), Kind::File));
            }
            "~binary" => {
                let value = &b"\x01\x00\n\x02=\x00\xff"[..];
                tar.append_pax_extensions([("SCHILY.xattr.security.capability", value)])
                    .unwrap();
                members.extend(add(&mut tar, "binary"));
            }
            _ => members.extend(add(&mut tar, word)),
        }
    }
    let mut tar = tar.into_inner().unwrap();
    tar.truncate(tar.len() - left_out);
    (tar, members)
}

/// Adds a member to a tar; `None` if no client unpacks it.
fn add(tar: &mut Builder<Vec<u8>>, word: &str) -> Option<Member> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    let (name, kind) = if let Some((folder, mode)) = word.split_once("/:") {
        let mode = u32::from_str_radix(mode, 8).unwrap();
        header.set_entry_type(EntryType::Directory);
        header.set_mode(mode);
        (folder, Kind::Folder(mode))
    } else if let Some((name, target)) = word.split_once("->") {
        header.set_entry_type(EntryType::Symlink);
        header.set_link_name_literal(target).unwrap();
        (name, Kind::Link(target.to_owned()))
    } else if let Some((name, target)) = word.split_once("=>") {
        header.set_entry_type(EntryType::Link);
        header.set_link_name_literal(target).unwrap();
        (name, Kind::File)
    } else {
        (word, Kind::File)
    };
    let is_file = header.entry_type() == EntryType::Regular;
    header.set_size(u64::from(is_file));
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    let content = if is_file { &b"x"[..] } else { b"" };
    tar.append(&header, content).unwrap();
    member(name, kind)
}

/// Five pieces of a block each: four fit the header, the fifth is in a block of its own.
fn add_sparse(tar: &mut Builder<Vec<u8>>) {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(5 * 512);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..6].copy_from_slice(b"sparse");
    for (piece, at) in gnu.sparse.iter_mut().zip(0..) {
        piece.set_offset(at * 1024);
        piece.set_length(512);
    }
    gnu.set_is_extended(true);
    gnu.set_real_size(4 * 1024 + 512);
    header.set_cksum();
    let mut more = tar::GnuExtSparseHeader::new();
    more.sparse_mut()[0].set_offset(4 * 1024);
    more.sparse_mut()[0].set_length(512);
    let out = tar.get_mut();
    out.extend(header.as_bytes());
    out.extend(more.as_bytes());
    out.extend([b's'; 5 * 512]);
}

fn member(path: &str, kind: Kind) -> Option<Member> {
    let path = cleaned(path);
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    if path.is_empty() || folder.contains(".wh..wh.") {
        return None;
    }
    if name == ".wh..wh..opq" {
        return Some((folder.to_owned(), Kind::Opaque));
    }
    if name.starts_with(".wh..wh.") {
        return None;
    }
    Some(match name.strip_prefix(".wh.") {
        Some(hidden) => (cleaned(&format!("{folder}/{hidden}")), Kind::Whiteout),
        None => (path, kind),
    })
}

#[test]
fn every_docker_unpacks_what_todays_clients_unpack() {
    let folder = TempDir::new("edges");
    let (source, site) = (folder.path().join("source"), folder.path().join("site"));
    let layers = IMAGES.map(|(_, text)| text.split('|').map(layer).collect::<Vec<_>>());
    let packs = [Pack::Plain, Pack::Gzip, Pack::Zstd].into_iter().cycle();
    let images = IMAGES.iter().zip(&layers).zip(packs);
    let images = images.map(|(((name, _), layers), pack)| {
        let mut image = Image::new(&[format!("edge/{name}:1").as_str()]).packed(pack);
        image.layers = layers.iter().map(|(tar, _)| tar.clone()).collect();
        image
    });
    Archive::oci(&images.collect::<Vec<_>>()).folder(&source);
    build(&[source.to_str().unwrap()], &site);
    verify(&site);
    let mut failures = Vec::new();
    for ((name, text), layers) in IMAGES.iter().zip(layers) {
        let mut today = Tree::default();
        for (_, members) in layers {
            today.apply(&members);
        }
        for docker in [Docker::V1_4, Docker::V1_9] {
            let mut old = Tree::default();
            let unpacked = v1_layers(&site, &format!("edge/{name}"))
                .iter()
                .try_for_each(|tar| old.unpack(tar, docker));
            if unpacked.is_err() || old != today {
                failures.push(format!(
                    "{name} ({text}), {docker:?}: {unpacked:?}\n  {old:?}\n  {today:?}"
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{}\n{}",
        failures.len(),
        failures.join("\n")
    );
}
