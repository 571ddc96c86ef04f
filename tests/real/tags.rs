//! Manifests by tag: body, type and digest are of one manifest, whatever is published meanwhile, and copies of a
//! site serve as the site does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::crash::is_long;
use crate::support::archive::{Archive, Image};
use crate::support::clients::Docker;
use crate::support::files::digest;
use crate::support::http::{self, Response};
use crate::support::process::run;
use crate::support::row::V2_VERSION;
use crate::support::servers::SERVERS;
use crate::support::site::{build, stillage, succeed};
use crate::support::temp::TempDir;

/// How many manifests the tag moves among.
const MANIFESTS: usize = 1000;

fn image(name: &str, text: &str) -> Image {
    Image::new(&[name]).layer("etc/text", text)
}

/// Images and indexes in turn, each with a tag; `moving` is at the first.
fn many(site: &Path) {
    let images: Vec<Image> = (0..MANIFESTS)
        .map(|number| {
            let name = format!("o/app:{number}");
            let text = format!("{number}");
            match number % 2 {
                0 => image(&name, &text),
                _ => Image::index(&[&name], vec![image("", &text)]),
            }
        })
        .collect();
    let folder = TempDir::in_memory("tags");
    let layout = folder.path().join("layout");
    Archive::oci(&images).folder(&layout);
    let mut build = stillage(["build", "--server", "apache", "-o", site.to_str().unwrap()]);
    succeed(build.arg(&layout));
    succeed(stillage(["tag"]).arg(site).args(["o/app:0", "moving"]));
}

/// Moves the tag as a build does: the names of the new type, the link, Apache's line, then the old type.
struct Mover<'a> {
    folder: &'a Path,
    rules: String,
    manifests: Vec<(String, &'static str, Vec<u8>)>,
}

impl<'a> Mover<'a> {
    fn new(folder: &'a Path) -> Self {
        let manifest = |number: usize| {
            let bytes = fs::read(folder.join(format!("manifests/{number}"))).unwrap();
            (digest(&bytes), ["om", "oi"][number % 2], bytes)
        };
        Self {
            folder,
            rules: fs::read_to_string(folder.join("manifests/.htaccess")).unwrap(),
            manifests: (0..MANIFESTS).map(manifest).collect(),
        }
    }

    fn replace(&self, path: &str, make: impl FnOnce(&Path)) {
        let staged = self.folder.join("_staged");
        make(&staged);
        fs::rename(staged, self.folder.join(path)).unwrap();
    }

    fn move_to(&self, number: usize) {
        let (digest, extension, bytes) = &self.manifests[number % MANIFESTS];
        for path in [
            "manifests/moving".to_owned(),
            format!("_types/moving.{extension}"),
        ] {
            self.replace(&path, |staged| fs::write(staged, bytes).unwrap());
        }
        self.replace("_tags/moving", |staged| {
            symlink(format!("../_types/{digest}"), staged).unwrap();
        });
        let lines = self.rules.lines().map(|line| {
            let (start, _) = line.rsplit_once(' ').unwrap();
            if start.contains("/moving$") {
                format!("{start} manifest={digest}.{extension}\n")
            } else {
                format!("{line}\n")
            }
        });
        let lines: String = lines.collect();
        self.replace("manifests/.htaccess", |staged| {
            fs::write(staged, lines).unwrap();
        });
        let other = ["om", "oi"].map(|other| (other != *extension).then_some(other));
        for other in other.into_iter().flatten() {
            let _ = fs::remove_file(self.folder.join(format!("_types/moving.{other}")));
        }
    }
}

/// What is wrong with the answer for a tag.
fn mismatch(answer: &Response) -> Option<String> {
    let expected = digest(&answer.body);
    let said = answer.header("Docker-Content-Digest");
    let manifest: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let media_type = answer.header("Content-Type");
    let fits = answer.status == 200
        && said == Some(&expected)
        && manifest["mediaType"].as_str() == media_type;
    (!fits).then(|| format!("{} {said:?} {media_type:?}, not {expected}", answer.status))
}

#[test]
fn body_type_and_digest_agree_while_a_tag_moves() {
    let site = TempDir::in_memory("moving");
    many(site.path());
    let folder = site.path().join("v2/o/app");
    let mover = Mover::new(&folder);
    let requests = if is_long() { 100_000 } else { 2_000 };
    for server in SERVERS.iter().filter(|server| !server.skills.is_copy) {
        let running = server.start(site.path());
        let (done, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    mover.move_to(count.fetch_add(1, Ordering::Relaxed));
                    std::thread::sleep(Duration::from_millis(15));
                }
            });
            let wrong: Vec<String> = (0..requests)
                .filter_map(|_| mismatch(&http::get(running.port, "/v2/o/app/manifests/moving")))
                .take(5)
                .collect();
            // A quick server is asked until the tag has moved often enough.
            let start = Instant::now();
            while count.load(Ordering::Relaxed) < 50 && start.elapsed() < Duration::from_mins(1) {
                assert_eq!(
                    mismatch(&http::get(running.port, "/v2/o/app/manifests/moving")),
                    None
                );
            }
            done.store(true, Ordering::Relaxed);
            assert!(wrong.is_empty(), "{}: {wrong:#?}", server.name);
        });
        assert!(count.into_inner() >= 50, "{}", server.name);
    }
}

#[test]
fn tags_that_differ_by_case_are_different_tags() {
    let folder = TempDir::new("case");
    let site = folder.path().join("site");
    let names = ["V1", "v1", "V-1", "mixed.Case_x"];
    let images = names.map(|tag| image(&format!("app:{tag}"), tag));
    Archive::oci(&images).folder(&folder.path().join("layout"));
    build(
        &[
            folder.path().join("layout").to_str().unwrap(),
            "--server",
            "apache",
        ],
        &site,
    );
    for server in SERVERS.iter().filter(|server| !server.skills.is_copy) {
        let running = server.start(&site);
        for tag in names {
            let answer = http::get(running.port, &format!("/v2/app/manifests/{tag}"));
            let file = fs::read(site.join("v2/app/manifests").join(tag)).unwrap();
            assert_eq!(answer.body, file, "{} {tag}", server.name);
            assert_eq!(mismatch(&answer), None, "{} {tag}", server.name);
        }
        for tag in ["v-1", "MIXED.CASE_X", "none", "..", "%2e%2e"] {
            let answer = http::get(running.port, &format!("/v2/app/manifests/{tag}"));
            assert_eq!(answer.status, 404, "{} {tag}", server.name);
        }
    }
}

/// With links followed, a copy has folders in their place. It serves as well; a build there mends it.
#[test]
fn every_copy_of_a_site_serves() {
    let folder = TempDir::new("copies");
    let site = folder.path().join("site");
    let sources = ["fixtures/docker-20.10.tar", "fixtures/oci-layout-multiarch"];
    build(&[&sources[..], &["--server", "apache"]].concat(), &site);
    let tag = "/v2/sample/hello/manifests/1.0";
    let expected = digest(&fs::read(site.join(&tag[1..])).unwrap());
    for (number, copy) in [
        "cp -a SITE COPY",
        "rsync -a SITE/ COPY/",
        "mkdir COPY && tar -C SITE -c . | tar -C COPY -x",
        "cp -rL SITE COPY",
        "cp -a SITE COPY && find COPY -type l -delete",
    ]
    .iter()
    .enumerate()
    {
        let copy_of = folder.path().join(format!("copy{number}"));
        let script = copy.replace("SITE", site.to_str().unwrap());
        let script = script.replace("COPY", copy_of.to_str().unwrap());
        run(Command::new("sh").args(["-euc", &script])).unwrap();
        for server in SERVERS.iter().filter(|server| !server.skills.is_copy) {
            let running = server.start(&copy_of);
            let answer = http::get(running.port, tag);
            assert_eq!(answer.status, 200, "{copy}: {}", server.name);
            assert_eq!(digest(&answer.body), expected, "{copy}: {}", server.name);
            let said = answer.header("Docker-Content-Digest");
            assert!(
                said.is_none_or(|said| said == expected),
                "{copy}: {}",
                server.name
            );
        }
        let mut verify = stillage(["verify", "-q"]);
        let is_whole = verify.arg(&copy_of).output().unwrap().status.success();
        assert_eq!(is_whole, number < 3, "{copy}");
        build(&sources, &copy_of);
        succeed(stillage(["verify", "-q"]).arg(&copy_of));
    }
}

/// `docker manifest` wants a version of the API, and a site without v1 says it to everybody.
#[test]
fn docker_inspects_manifests_on_every_server() {
    let folder = TempDir::new("inspect");
    let source = ["fixtures/docker-20.10.tar", "--server", "apache"];
    let (site, only_v2) = (folder.path().join("site"), folder.path().join("v2"));
    build(&source, &site);
    build(&[&source[..], &["--no-v1"]].concat(), &only_v2);
    let docker = Docker::start();
    for server in SERVERS {
        let running = server.start(&site);
        let reference = format!("127.0.0.1:{}/sample/hello:1.0", running.port);
        let mut inspect = docker.command();
        inspect.args(["manifest", "inspect", "--insecure", &reference]);
        let shown = run(&mut inspect).unwrap_or_else(|error| panic!("{}: {error}", server.name));
        assert!(shown.contains("schemaVersion"), "{}: {shown}", server.name);
        assert_eq!(http::get(running.port, "/v2/").header(V2_VERSION), None);
        let running = server.start(&only_v2);
        let said = http::get(running.port, "/v2/");
        assert_eq!(
            said.header(V2_VERSION),
            Some("registry/2.0"),
            "{}",
            server.name
        );
        assert_eq!(http::get(running.port, "/v2/x").header(V2_VERSION), None);
    }
}
