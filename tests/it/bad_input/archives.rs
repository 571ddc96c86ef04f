//! Tars that are cut, packed badly, or have members that no honest archive has.

use std::io::Write as _;

use tar::EntryType;

use super::run::{bytes, check, tar};
use crate::support::archive::{Archive, Image, Kind, cut, gzip, header, pax, zstd};

fn save() -> Archive {
    Archive::docker_20(&[Image::new(&["app:1"])
        .layer("bin/app", "one")
        .layer("etc/app", "two")])
}

fn layer() -> String {
    save().names("layer.tar").pop().unwrap()
}

/// A gzip of blocks that are not compressed, so that a byte can be changed where it is.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// 2,000 letters, whose header says that they need a dictionary of 4 GiB.
const XZ_OF_4_GIB: &[u8] = b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x28\x00\x00\x00\xe6\xa0\x11\xb3\xe0\x07\xcf\x00\x11\x5d\x00\x3c\x6f\xfb\xbf\xfe\xa3\xb1\x5e\xe5\xf8\x3f\xb2\xa8\x1c\xeb\x32\x00\x00\x00\x00\x00\x1c\x89\x2a\x90\xb7\xd4\x4f\x48\x00\x01\x2d\xd0\x0f\x00\x00\x00\x3a\xad\xf1\xa9\xb1\xc4\x67\xfb\x02\x00\x00\x00\x00\x04\x59\x5a";

#[test]
fn cut_and_packed_badly() {
    check(vec![
        bytes("an empty file", &["is not an image archive"], || ""),
        bytes("a text", &["is not an image archive"], || {
            "no archive\n".repeat(200)
        }),
        bytes(
            "a short text",
            &["is not an image archive"],
            || "no archive\n",
        ),
        bytes("zeros", &["is not an image in a known format"], || {
            vec![0; 10240]
        }),
        bytes("an image of Windows", &["is not an image archive"], || {
            [b"MZ".to_vec(), vec![7; 4000]].concat()
        }),
        tar(
            "an archive that is no image",
            &["is not an image in a known format"],
            || Archive::default().file("README", "hello"),
        ),
        bytes("a tar cut in a member", &["truncated", "`bin`"], || {
            cut(Archive::default().file("bin", vec![7; 5000]).tar(), 3000)
        }),
        bytes("a tar cut in a header", &["block"], || {
            cut(save().tar(), 512 * 5 + 100)
        }),
        bytes("a tar cut between members", &["truncated", "end"], || {
            let end = save().tar().len() - 1024 - 2 * 1024;
            cut(save().tar(), end)
        }),
        bytes(
            "a tar without its end",
            &["truncated", "end", "hint: ", "/dev/zero"],
            || {
                let end = save().tar().len() - 1024;
                cut(save().tar(), end)
            },
        ),
        bytes("a gzip of one", &["truncated", "end"], || {
            let end = save().tar().len() - 1024;
            gzip(&cut(save().tar(), end))
        }),
        bytes("a tar with half of its end", &[], || {
            let end = save().tar().len() - 512;
            cut(save().tar(), end)
        })
        .taken(),
        bytes("a gzip cut", &["cannot read", "truncated"], || {
            cut(save().tar_gz(), 400)
        }),
        bytes(
            "a gzip without its end",
            &["cannot read", "truncated"],
            || {
                let length = save().tar_gz().len() - 4;
                cut(save().tar_gz(), length)
            },
        ),
        bytes("a gzip of a tar cut", &["truncated", "layer.tar"], || {
            let archive = Archive::default().file("a/layer.tar", vec![7; 5000]);
            gzip(&cut(archive.tar(), 3000))
        }),
        bytes("a gzip with a wrong bit", &["cannot read"], || {
            let mut packed = save().tar_gz();
            let middle = packed.len() / 2;
            packed[middle] ^= 4;
            packed
        }),
        bytes(
            "a gzip with a wrong bit in a layer without a digest",
            &["cannot read"],
            || {
                let image = Image::new(&["app:1"]).layer("a", &"x".repeat(500));
                let mut packed = stored(&Archive::docker_1(&[image]).tar());
                let at = packed
                    .windows(9)
                    .position(|text| text == b"xxxxxxxxx")
                    .unwrap();
                packed[at] = b'y';
                packed
            },
        ),
        bytes("only the head of a gzip", &["cannot read"], || {
            cut(save().tar_gz(), 10)
        }),
        bytes("a gzip in a gzip", &["cannot read"], || {
            gzip(&save().tar_gz())
        }),
        bytes("something behind a gzip", &["cannot read"], || {
            [save().tar_gz(), b"garbage".to_vec()].concat()
        }),
        bytes("a zstd cut", &["cannot read", "truncated"], || {
            let packed = zstd(&save().tar());
            let half = packed.len() / 2;
            cut(packed, half)
        }),
        bytes(
            "a zstd with a huge window",
            &["cannot read", "memory"],
            || {
                // Magic, a frame header that says: no single segment, a window of 2^41 bytes; a raw block.
                [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8][..], &[0x01, 0, 0]].concat()
            },
        ),
        bytes("a broken xz", &["cannot read"], || {
            *b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46"
        }),
        bytes("a broken bzip2", &["cannot read"], || {
            *b"BZh91AY&SY\0\0\0\0"
        }),
        bytes("an xz with a window of 4 GiB", &["cannot read"], || {
            XZ_OF_4_GIB
        }),
        bytes(
            "text that PowerShell wrote",
            &["UTF-16", "hint: ", "docker save -o"],
            || [b"\xff\xfe".to_vec(), b"m\0a\0".repeat(300)].concat(),
        ),
        bytes(
            "text with a byte order mark",
            &["byte order mark", "hint: "],
            || [b"\xef\xbb\xbf".to_vec(), save().tar()].concat(),
        ),
        bytes(
            "a pointer of Git LFS",
            &["Git LFS", "git lfs pull"],
            || "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        ),
        bytes(
            "a page",
            &["an HTML page", "download it again"],
            || "\r\n<!DOCTYPE html><html><body>Sign in</body></html>",
        ),
        bytes(
            "an error of a bucket",
            &["an XML document", "download it again"],
            || "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
        ),
        bytes("an archive packed with lz4", &["lz4", "lz4 -d"], || {
            [b"\x04\x22\x4d\x18".to_vec(), vec![7; 600]].concat()
        }),
        bytes("a zip archive", &["zip", "unzip"], || {
            [b"PK\x03\x04".to_vec(), vec![7; 600]].concat()
        }),
        bytes("a gzip of a page", &["an HTML page"], || {
            gzip(b"<html></html>")
        }),
        tar(
            "a folder packed with its name",
            &["in the folder `save`", "tar -C"],
            || {
                let mut inside = Archive::default();
                for name in save()
                    .names("")
                    .into_iter()
                    .filter(|name| !name.ends_with('/'))
                {
                    inside = inside.file(format!("save/{name}"), save().bytes(&name));
                }
                inside
            },
        ),
        tar(
            "a header with a wrong checksum",
            &["is not an image archive"],
            || {
                let mut head = header(b"x", EntryType::Regular, 0);
                head[0] = b'y';
                save().raw_first(head)
            },
        ),
    ]);
}

#[test]
fn names_and_links_that_lead_out() {
    let named = |name: &'static str| move || save().file(name, "x");
    check(vec![
        tar("..", &["`../x`", "leads outside"], named("../x")),
        tar(
            ".. inside",
            &["`a/../../x`", "leads outside"],
            named("a/../../x"),
        ),
        tar(
            ".. that stays inside",
            &["`a/../x`", "leads outside"],
            named("a/../x"),
        ),
        tar(
            "an absolute name",
            &["`/etc/passwd`", "leads outside"],
            named("/etc/passwd"),
        ),
        tar("no name", &["leads outside"], named("")),
        tar("a dot", &["`./`", "leads outside"], named("./")),
        tar(
            "a pax path outside",
            &["`../../x`", "leads outside"],
            || save().raw(pax(&[("path", "../../x")])).file("x", "y"),
        ),
        tar(
            "a symbolic link out",
            &["`a/link`", "`../../etc/passwd`", "outside the archive"],
            || save().symlink("a/link", "../../etc/passwd"),
        )
        .taken(),
        tar(
            "an absolute link",
            &["`a/link`", "`/etc/passwd`", "outside the archive"],
            || save().symlink("a/link", "/etc/passwd"),
        )
        .taken(),
        tar(
            "a hard link out",
            &["`a/link`", "`../x`", "outside the archive"],
            || save().hard_link("a/link", "../x"),
        )
        .taken(),
        tar(
            "a layer that is a link out",
            &["layer.tar", "outside the archive"],
            || save().set(&layer(), Kind::Symlink("../../../../etc/shadow".into())),
        ),
        tar("a link to itself", &["`a`", "leads back to itself"], || {
            save().symlink("a", "a")
        })
        .taken(),
        tar(
            "a hard link to itself",
            &["`a`", "leads back to itself"],
            || save().hard_link("a", "a"),
        )
        .taken(),
        tar("links in a circle", &["leads back to itself"], || {
            save()
                .symlink("a", "b")
                .symlink("b", "c")
                .hard_link("c", "a")
        })
        .taken(),
        tar(
            "a layer that is a link in a circle",
            &["layer.tar", "leads back to itself"],
            || save().set(&layer(), Kind::Symlink("layer.tar".into())),
        ),
        tar(
            "a layer that is a link to a folder",
            &["layer.tar", "missing"],
            || save().set(&layer(), Kind::Symlink("..".into())),
        ),
        tar("a member twice", &["`manifest.json`", "twice"], || {
            save().file("manifest.json", "[]")
        }),
        tar(
            "a member twice under other names",
            &["`manifest.json`", "twice"],
            || save().file("./manifest.json", "[]"),
        ),
        tar(
            "a link over a member",
            &["`manifest.json`", "twice"],
            || save().symlink("manifest.json", "repositories"),
        ),
    ]);
}

#[test]
fn odd_members() {
    let device = |kind| {
        move || {
            save()
                .drop(&layer())
                .raw(header(layer().as_bytes(), kind, 0))
        }
    };
    let sized = |kind, size: u64| move || save().raw(huge(kind, size)).file("after", "x");
    check(vec![
        tar("members in another order", &[], || save().reversed()).taken(),
        tar(
            "a member under another name",
            &["layer.tar", "is missing"],
            || save().rename(&layer(), "other.tar"),
        ),
        tar(
            "a layer that is a device",
            &["layer.tar", "is not a file"],
            device(EntryType::Char),
        ),
        tar(
            "a layer that is a pipe",
            &["layer.tar", "is not a file"],
            device(EntryType::Fifo),
        ),
        tar(
            "a layer of no known type",
            &["layer.tar", "is not a file"],
            device(EntryType::new(b'Z')),
        ),
        tar(
            "a file of 8 EiB",
            &["`huge`", "truncated"],
            sized(EntryType::Regular, 8 << 60),
        ),
        tar(
            "a file of 16 EiB",
            &["bad.tar"],
            sized(EntryType::Regular, u64::MAX),
        ),
        tar(
            "a folder of 8 EiB",
            &["bad.tar"],
            sized(EntryType::Directory, 8 << 60),
        )
        .taken(),
        tar(
            "a folder of almost 8 EiB",
            &["bad.tar"],
            sized(EntryType::Directory, (8 << 60) - 4096),
        )
        .taken(),
        tar(
            "a folder of more than the rest",
            &["truncated"],
            sized(EntryType::Directory, 1 << 40),
        )
        .taken(),
        tar(
            "a link of almost 8 EiB",
            &["bad.tar"],
            sized(EntryType::Symlink, (8 << 60) - 4096),
        )
        .taken(),
        tar("a negative size", &["bad.tar"], || {
            let mut head = header(b"huge", EntryType::Regular, 0);
            head[124..136].fill(0xff);
            save().raw(summed(head)).file("after", "x")
        }),
        tar("a size that is no number", &["bad.tar"], || {
            let mut head = header(b"huge", EntryType::Regular, 0);
            head[124..128].copy_from_slice(b"9x!\0");
            save().raw(summed(head))
        }),
        tar("a pax size of more than the rest", &["truncated"], || {
            save().raw(pax(&[("size", "99999999999")])).file("x", "y")
        }),
        tar("a pax size that is no number", &[], || {
            save().raw(pax(&[("size", "-1")])).file("x", "y")
        })
        .taken(),
        tar(
            "a pax size that hides a header",
            &["has the diff ID"],
            || {
                // For a reader that goes by the header, `inner` is a member; here it is content.
                let name = layer();
                let inner = Archive::default().file("inner", "x").tar();
                save()
                    .drop(&name)
                    .raw(pax(&[("size", "1024")]))
                    .raw(header(name.as_bytes(), EntryType::Regular, 0))
                    .raw(inner)
            },
        ),
        tar("pax records that are none", &["missing"], || {
            let head = header(b"pax", EntryType::XHeader, 512);
            save()
                .drop(&layer())
                .raw(head)
                .raw(vec![b'x'; 512])
                .file("x", "y")
        }),
        tar("two pax headers for a member", &["PAX"], || {
            save()
                .raw(pax(&[("path", "a")]))
                .raw(pax(&[("path", "b")]))
                .file("x", "y")
        }),
        tar(
            "a long name for no member",
            &["without a following"],
            || save().raw(header(&[b'x'; 300], EntryType::Link, 0)[..1024].to_vec()),
        ),
        tar(
            "a sparse layer of 1 TiB",
            &["layer.tar", "sparse", "unpacks to more than"],
            || {
                let name = layer();
                save().drop(&name).raw(sparse(name.as_bytes()))
            },
        ),
        tar(
            "a sparse layer without its map",
            &["layer.tar", "sparse"],
            || {
                let name = layer();
                let records = [("GNU.sparse.size", "1024"), ("GNU.sparse.numblocks", "0")];
                save().drop(&name).raw(pax(&records)).file(name, "")
            },
        ),
        tar(
            "a sparse layer whose pieces overlap",
            &["layer.tar", "sparse"],
            || {
                let name = layer();
                let records = [
                    ("GNU.sparse.size", "1024"),
                    ("GNU.sparse.map", "0,512,256,512"),
                ];
                save()
                    .drop(&name)
                    .raw(pax(&records))
                    .file(name, vec![7; 1024])
            },
        ),
        tar(
            "a sparse layer with less than its pieces",
            &["layer.tar", "sparse"],
            || {
                let name = layer();
                let records = [("GNU.sparse.size", "1024"), ("GNU.sparse.map", "0,512")];
                save()
                    .drop(&name)
                    .raw(pax(&records))
                    .file(name, vec![7; 100])
            },
        ),
        tar("a sparse file of 8 GiB that is stored", &["sparse"], || {
            let records = [
                ("GNU.sparse.major", "1"),
                ("GNU.sparse.minor", "0"),
                ("GNU.sparse.realsize", "9000000000"),
                ("size", "8999999999"),
            ];
            save().raw(pax(&records)).file("big", "1\n0\n8999999487\n")
        }),
        tar("a sparse file with a million pieces", &["sparse"], || {
            let records = [
                ("GNU.sparse.major", "1"),
                ("GNU.sparse.minor", "0"),
                ("GNU.sparse.realsize", "1000000"),
            ];
            let map = format!("1000000\n{}", "0\n0\n".repeat(1_000_000));
            save().raw(pax(&records)).file("big", map)
        })
        .within(10),
        tar("a sparse map without an end", &["truncated"], || {
            let records = [
                ("GNU.sparse.major", "1"),
                ("GNU.sparse.minor", "0"),
                ("GNU.sparse.realsize", "1000000"),
            ];
            save().raw(pax(&records)).file("big", vec![b'1'; 1000])
        })
        .within(10),
        tar(
            "a sparse map of 40 MB without an end",
            &["sparse map of more than"],
            || {
                let records = [
                    ("GNU.sparse.major", "1"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.realsize", "1000000"),
                ];
                save().raw(pax(&records)).file("big", vec![b'1'; 40 << 20])
            },
        )
        .within(10)
        .within_mib(200),
        tar(
            "sparse members of many gibibytes together",
            &["sparse", "unpacks"],
            || {
                let name = layer();
                let records = [("GNU.sparse.size", "900000000"), ("GNU.sparse.map", "0,0")];
                let archive = save().drop(&name).raw(pax(&records)).file("one", "");
                archive.raw(pax(&records)).file(name, "")
            },
        ),
        tar("fields that nobody needs", &[], || {
            let mut head = header(b"odd", EntryType::Regular, 0);
            head[108..115].copy_from_slice(b"-000001");
            head[136..147].copy_from_slice(b"-0000000001");
            head[329..337].fill(0xff);
            save().raw(summed(head))
        })
        .taken(),
        tar("an odd sparse file that nobody asks for", &[], || {
            save()
                .raw(pax(&[("GNU.sparse.map", "9,9,1,1")]))
                .file("x", "y")
        })
        .taken(),
    ]);
}

fn huge(kind: EntryType, size: u64) -> Vec<u8> {
    header(b"huge", kind, size)
}

/// The header with its checksum mended.
fn summed(mut head: Vec<u8>) -> Vec<u8> {
    head[148..156].fill(b' ');
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head
}

/// A sparse file of GNU tar: 1 TiB of which nothing is there.
fn sparse(name: &[u8]) -> Vec<u8> {
    let mut head = header(name, EntryType::GNUSparse, 0);
    head[386..398].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    head[398..410].copy_from_slice(b"00000000000\0");
    head[483..495].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    summed(head)
}
