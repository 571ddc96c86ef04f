//! Names of members and repositories that want to be something else.

use super::run::{case, check, tar, text};
use crate::support::archive::{Archive, Image};

fn app() -> Image {
    Image::new(&["app:1"]).layer("bin/app", "one")
}

fn save() -> Archive {
    Archive::docker_20(&[app()])
}

fn repositories(names: &[&str]) -> Archive {
    Archive::docker_20(&[Image::new(names).layer("a", "b")])
}

#[test]
fn of_members() {
    let twice = |name: Vec<u8>| move || save().file(name.clone(), "").file(name.clone(), "x");
    check(vec![
        tar(
            "escape sequences",
            &["`\\x1b[2J\\x07`", "twice"],
            twice(b"\x1b[2J\x07".to_vec()),
        ),
        tar(
            "a line that looks like another message",
            &["`\\nhint: run\\r`"],
            twice(b"\nhint: run\r".to_vec()),
        ),
        tar(
            "text that runs backwards",
            &["`\\u{202e}x`"],
            twice("\u{202e}x".into()),
        ),
        tar("backticks", &["`\\u{60}x\\u{60}`"], twice(b"`x`".to_vec())),
        tar(
            "bytes that are no text",
            &["twice"],
            twice(vec![0xff, 0xfe, b'x']),
        ),
        tar("different bytes that are no text", &[], || {
            save().file([0xff], "").file([0xfe], "x")
        })
        .taken(),
        tar("99 bytes", &["twice"], twice(vec![b'x'; 99])),
        tar("1,000 bytes", &["twice"], twice(vec![b'x'; 1000])),
        tar(
            "1 MiB",
            &["header of more than 1 MiB"],
            twice(vec![b'x'; 1 << 20]),
        ),
        tar("1,000 folders", &["twice"], twice(b"a/".repeat(1000))),
        tar(
            "a link to a long name",
            &["`manifest.json`", "missing"],
            || {
                save().drop("repositories").set(
                    "manifest.json",
                    crate::support::archive::Kind::Symlink("x".repeat(50_000)),
                )
            },
        ),
        tar("backslashes are letters", &[], || {
            save().file("..\\..\\x", "")
        })
        .taken(),
        tar("names of Windows are letters", &[], || {
            save().file("C:\\x", "").file("NUL", "")
        })
        .taken(),
    ]);
}

#[test]
fn of_repositories() {
    check(vec![
        tar(
            "the files of another",
            &["`a/tags`", "`a`", "hint:"],
            || repositories(&["a:1", "a/tags:1"]),
        ),
        tar(
            "the files of another, deep",
            &["`a/b/manifests/c`", "`a/b`", "hint:"],
            || repositories(&["a/b/manifests/c:1", "a/b:1"]),
        ),
        tar(
            "the files of one in the site",
            &["`good/blobs`", "`good` in the site", "hint:"],
            || repositories(&["good/blobs:1"]),
        ),
        tar("the files of library", &["`library`", "hint:"], || {
            repositories(&["library:1", "images:1"])
        }),
        case(
            "the files of another source",
            &["`a/referrers`", "`a`"],
            |folder| {
                let write = |name: &str, image: &str| {
                    let path = folder.join(name);
                    std::fs::write(&path, repositories(&[image]).tar()).unwrap();
                    text(&path)
                };
                vec![write("one.tar", "a:1"), write("two.tar", "a/referrers:1")]
            },
        ),
        tar("names that only look like it", &[], || {
            repositories(&["x/tags:1", "tags:1", "y/manifests/z:1"])
        })
        .taken(),
        tar(
            "the page at the top of v2",
            &["`index.html`", "hint:"],
            || repositories(&["index.html:1"]),
        ),
        tar(
            "the page at the top of v2, by its full name",
            &["`index.html`"],
            || repositories(&["docker.io/library/index.html:1"]),
        ),
        tar("a page below another", &[], || {
            repositories(&["x/index.html:1", "x/index.json/y:1"])
        })
        .taken(),
        tar("a name of 255 characters", &[], || {
            repositories(&[&format!("{}:1", "x".repeat(255))])
        })
        .taken(),
        tar("a tag of 128 characters", &[], || {
            repositories(&[&format!("app:{}", "x".repeat(128))])
        })
        .taken(),
        tar("tags that differ by case are two", &[], || {
            repositories(&["app:a", "app:A"])
        })
        .taken(),
    ]);
}
