//! Archives on the standard input, which are read once.

use super::run::{app, check, stdin};
use crate::support::archive::{Archive, cut, gzip, zstd};

fn save() -> Archive {
    Archive::docker_20(&[app()])
}

#[test]
fn archives() {
    check(vec![
        stdin("the archive that the others are made of", &[], || {
            save().tar()
        })
        .taken(),
        stdin("nothing", &["is empty", "hint: did the command"], || ""),
        stdin("a text", &["is not an image archive"], || {
            "no archive\n".repeat(200)
        }),
        stdin("a tar cut in a member", &["truncated"], || {
            cut(Archive::default().file("bin", vec![7; 5000]).tar(), 3000)
        }),
        stdin("a tar cut in a header", &["block"], || {
            cut(save().tar(), 512 * 5 + 100)
        }),
        stdin(
            "a tar without its end",
            &["truncated", "end", "hint: did the command"],
            || {
                let end = save().tar().len() - 1024;
                cut(save().tar(), end)
            },
        ),
        stdin("a gzip cut", &["cannot read"], || cut(save().tar_gz(), 400)),
        stdin("a gzip of a tar without its end", &["truncated"], || {
            let end = save().tar().len() - 1024;
            gzip(&cut(save().tar(), end))
        }),
        stdin("something behind a gzip", &["cannot read"], || {
            [save().tar_gz(), b"garbage".to_vec()].concat()
        }),
        stdin("a zstd cut", &["cannot read"], || {
            let packed = zstd(&save().tar());
            let half = packed.len() / 2;
            cut(packed, half)
        }),
        stdin(
            "a member that leads out",
            &["`../x`", "leads outside"],
            || save().file("../x", "x").tar(),
        ),
        stdin("a member twice", &["`manifest.json`", "twice"], || {
            save().file("manifest.json", "[]").tar()
        }),
        stdin("no image", &["is not an image in a known format"], || {
            Archive::default().file("README", "hello").tar()
        }),
        stdin(
            "a layer that is another",
            &["layer.tar", "has the diff ID"],
            || {
                let layer = save().names("layer.tar").remove(0);
                save().flip(&layer).tar()
            },
        ),
        stdin("the same without writing", &["has the diff ID"], || {
            let layer = save().names("layer.tar").remove(0);
            save().flip(&layer).tar_gz()
        })
        .with(&["--dry-run"]),
    ]);
}
