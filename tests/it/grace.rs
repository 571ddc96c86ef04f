//! Whatever is built, tagged, removed and pruned in whatever order, and however the clock of the machine is set: nothing
//! is deleted that was in use within the grace period.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::archive::{Archive, Image};
use crate::support::chance::Chance;
use crate::support::site::{json, stderr, stillage, verify};
use crate::support::temp::TempDir;

/// In seconds.
const HOUR: u64 = 3600;
const GRACE: u64 = 24 * HOUR;

/// A site, and what a model knows of its content.
struct Model<'a> {
    site: &'a Path,
    /// The hours that have really passed.
    hours: u64,
    /// Whether each prune removes manifests without a tag, which are in use no longer than their tags then.
    untagged: bool,
    /// When each blob and manifest was last in use, in hours.
    last_used: BTreeMap<String, u64>,
}

impl Model<'_> {
    /// Runs a command; gives what was deleted. One that has nothing to work on may fail.
    fn run(&mut self, args: &[&str], chance: &mut Chance) -> BTreeSet<String> {
        self.note_use();
        let before = blobs(self.site);
        let output = stillage(args).output().unwrap();
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 2)), "{args:?}: {}", stderr(&output));
        self.note_use();
        let passed = *chance.of(&[0, 1, 13, 20, 49]);
        self.pass(passed, chance);
        before.difference(&blobs(self.site)).cloned().collect()
    }

    fn note_use(&mut self) {
        for digest in in_use(self.site, self.untagged) {
            self.last_used.insert(digest, self.hours);
        }
    }

    /// Lets hours pass, and sets the clock of the machine to any time.
    fn pass(&mut self, hours: u64, chance: &mut Chance) {
        self.hours += hours;
        let (unused, clock) = (
            self.site.join(".stillage/unused"),
            self.site.join(".stillage/clock"),
        );
        let Ok(text) = fs::read_to_string(&unused) else {
            return;
        };
        let earlier = text.lines().map(|line| {
            let (time, what) = line.split_once(' ').unwrap();
            let time = time.parse::<u64>().unwrap() - hours * HOUR;
            format!("{time} {what}\n")
        });
        fs::write(unused, earlier.collect::<String>()).unwrap();
        let text = fs::read_to_string(&clock).unwrap();
        let mut words: Vec<&str> = text.trim().split(' ').collect();
        let machine = chance.of(&[0, 1, 1 << 31, 4_000_000_000_u64]).to_string();
        words[1] = &machine;
        fs::write(clock, words.join(" ") + "\n").unwrap();
    }
}

fn blobs(site: &Path) -> BTreeSet<String> {
    let folder = fs::read_dir(site.join("blobs/sha256"));
    let names = folder
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|hex| format!("sha256:{hex}")).collect()
}

/// The manifests that the catalogue lists, or those that a tag leads to, and their blobs.
fn in_use(site: &Path, tagged: bool) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let index = json(site.join("index.json"));
    for entry in index["manifests"].as_array().unwrap() {
        let name = entry["annotations"]["org.opencontainers.image.ref.name"].as_str();
        if tagged && name.unwrap().contains('@') {
            continue;
        }
        let digest = entry["digest"].as_str().unwrap();
        let manifest = json(site.join(format!("blobs/{}", digest.replace(':', "/"))));
        let layers = manifest["layers"].as_array().unwrap().iter();
        let blobs = layers.chain([&manifest["config"]]);
        used.extend(blobs.map(|blob| blob["digest"].as_str().unwrap().to_owned()));
        used.insert(digest.to_owned());
    }
    used
}

#[test]
fn nothing_in_use_within_the_grace_period_is_deleted() {
    let folder = TempDir::new("grace");
    let archive = |number: usize| {
        let path = folder.path().join(format!("{number}.tar"));
        let image = Image::new(&[&format!("app:{number}")])
            .layer("etc/base", "of all")
            .layer("etc/text", &format!("{number}"));
        fs::write(&path, Archive::docker_20(&[image]).tar()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let archives: Vec<String> = (0..3).map(archive).collect();
    let is_long = std::env::var_os("STILLAGE_LONG").is_some();
    let (mut deleted, mut kept) = (0, 0);
    // 86 is one that needs uses to end the time of what was unused.
    for seed in (1..=if is_long { 300 } else { 12 }).chain((!is_long).then_some(86)) {
        let mut chance = Chance(seed * 0x9e37_79b9);
        let site = folder.path().join(format!("site{seed}"));
        let path = site.to_str().unwrap();
        let first = stillage(["build", "-q", &archives[0], "-o", path])
            .output()
            .unwrap();
        assert!(first.status.success(), "{}", stderr(&first));
        let mut model = Model {
            site: &site,
            hours: 0,
            untagged: seed % 2 == 0,
            last_used: BTreeMap::new(),
        };
        let mut done: Vec<String> = Vec::new();
        for _ in 0..20 {
            let name = format!("app:{}", chance.below(3));
            let tag = chance.below(3).to_string();
            let mut args = match chance.below(8) {
                0..3 => vec!["build", "-q", chance.of(&archives).as_str(), "-o", path],
                3 => vec!["tag", "-q", path, &name, &tag],
                4 | 5 => vec!["remove", "-q", "--ignore-missing", path, &name],
                _ => vec!["prune", "-q", path],
            };
            if args[0] == "prune" && model.untagged {
                args.push("--untagged");
            }
            done.push(format!("{} h: {}", model.hours, args.join(" ")));
            let at = model.hours;
            for digest in model.run(&args, &mut chance) {
                let Some(used) = model.last_used.get(&digest) else {
                    panic!(
                        "seed {seed}: {digest} was never in use\n{}",
                        done.join("\n")
                    );
                };
                let unused = (at - used) * HOUR;
                assert!(
                    unused >= GRACE,
                    "seed {seed}: {digest}\n{}",
                    done.join("\n")
                );
                deleted += 1;
            }
            kept += blobs(&site).len() - in_use(&site, model.untagged).len();
        }
        verify(&site);
    }
    assert!(deleted > 20 && kept > 20, "{deleted} deleted, {kept} kept");
}
