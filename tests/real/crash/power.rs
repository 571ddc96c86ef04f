//! Power cuts on file systems that make each folder durable by itself, as btrfs does: what POSIX allows.
//!
//! `strace` records the names that a run makes and deletes, and its syncs. After a cut each folder is as it was at some
//! moment since its last sync: here one folder is ahead of all others, or behind them. The content of a file is lost
//! unless it was synced.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::scenarios::{SCENARIOS, Scenario, Sources};
use super::shim::Shim;
use super::{Stage, in_parallel, is_long, reader, tree_of};
use crate::support::process::{run, tool};
use crate::support::temp::TempDir;

const CALLS: &str = "trace=mkdir,mkdirat,rmdir,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,\
                     open,openat,creat,write,fsync,fdatasync,syncfs";

/// A file, folder or link, whatever its names.
type Node = usize;

/// A change of one folder.
#[derive(Clone, Debug)]
struct Change {
    folder: Node,
    name: String,
    /// What gets the name; `None` where it is deleted.
    node: Option<Node>,
}

#[derive(Clone, Debug)]
enum Event {
    Change(Change),
    /// The folder, or the content of the file, is durable.
    Sync(Node),
    SyncAll,
}

/// What a node is.
#[derive(Clone, Debug)]
enum Kind {
    Folder,
    Link(PathBuf),
    /// A file that is there before or after the run.
    File(Option<PathBuf>),
    /// A file of the private folder, with what was written to it.
    Written(Vec<u8>),
}

/// A recorded run.
struct Recording {
    root: PathBuf,
    nodes: Vec<Kind>,
    /// The names in each folder before the run, and what they have become so far.
    before: BTreeMap<Node, BTreeMap<String, Node>>,
    now: BTreeMap<Node, BTreeMap<String, Node>>,
    events: Vec<Event>,
}

const ROOT: Node = 0;

impl Recording {
    /// Records a run that changes the site at `root`, a copy of `base`.
    fn new(command: &Command, root: &Path, base: &Path) -> Self {
        let mut recording = Self {
            root: root.to_owned(),
            nodes: vec![Kind::Folder],
            before: BTreeMap::new(),
            now: BTreeMap::new(),
            events: Vec::new(),
        };
        recording.load(root, base, ROOT);
        recording.before = recording.now.clone();
        let folder = TempDir::new("strace");
        let log = folder.path().join("log");
        let mut strace = Command::new(tool("strace"));
        strace
            .args(["-f", "-qq", "-y", "-s", "4000", "-e", CALLS, "-o"])
            .arg(&log);
        strace.arg(command.get_program()).args(command.get_args());
        strace.current_dir(command.get_current_dir().unwrap());
        for (name, value) in command.get_envs() {
            strace.env(name, value.unwrap());
        }
        run(&mut strace).unwrap();
        let text = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
        assert!(
            !text.contains("<unfinished"),
            "one thread at a time: {text}"
        );
        text.lines().for_each(|line| recording.line(line));
        assert!(recording.events.len() > 10, "{text}");
        // What the files hold.
        let files = recording.paths();
        for (path, node) in files {
            let kind = &mut recording.nodes[node];
            if matches!(kind, Kind::File(None) | Kind::Written(_)) {
                *kind = Kind::File(Some(path));
            }
        }
        recording
    }

    fn load(&mut self, folder: &Path, base: &Path, node: Node) {
        self.now.insert(node, BTreeMap::new());
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for entry in entries {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let kind = if kind.is_dir() {
                Kind::Folder
            } else if kind.is_symlink() {
                Kind::Link(fs::read_link(&path).unwrap())
            } else {
                Kind::File(Some(base.join(&name)))
            };
            let child = self.add(kind);
            self.now.get_mut(&node).unwrap().insert(name.clone(), child);
            if path.is_dir() && !path.is_symlink() {
                self.load(&path, &base.join(&name), child);
            }
        }
    }

    fn add(&mut self, kind: Kind) -> Node {
        self.nodes.push(kind);
        self.nodes.len() - 1
    }

    /// All files with their paths.
    fn paths(&self) -> Vec<(PathBuf, Node)> {
        let mut found = Vec::new();
        let mut next = vec![(self.root.clone(), ROOT)];
        while let Some((path, node)) = next.pop() {
            match self.now.get(&node) {
                Some(names) => {
                    next.extend(names.iter().map(|(name, node)| (path.join(name), *node)));
                }
                None => found.push((path, node)),
            }
        }
        found
    }

    /// The folder of a path and the name in it; `None` outside of the site.
    fn place(&self, path: &Path) -> Option<(Node, String)> {
        let name = path.file_name()?.to_str()?.to_owned();
        Some((self.node(path.parent()?)?, name))
    }

    fn node(&self, path: &Path) -> Option<Node> {
        let parts = path.strip_prefix(&self.root).ok()?;
        let mut node = ROOT;
        for part in parts {
            node = *self.now.get(&node)?.get(part.to_str()?)?;
        }
        Some(node)
    }

    fn change(&mut self, path: &Path, node: Option<Node>) {
        let Some((folder, name)) = self.place(path) else {
            return;
        };
        let names = self.now.get_mut(&folder).unwrap();
        match node {
            Some(node) => names.insert(name.clone(), node),
            None => names.remove(&name),
        };
        self.events
            .push(Event::Change(Change { folder, name, node }));
    }

    fn line(&mut self, line: &str) {
        let Some((call, result)) = line.rsplit_once(" = ") else {
            return;
        };
        if result.starts_with('-') {
            return;
        }
        let call = call.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let (name, arguments) = call.split_once('(').unwrap();
        let texts = quoted(arguments);
        let opened = arguments
            .split('<')
            .nth(1)
            .and_then(|rest| rest.split('>').next());
        let path = |text: &[u8]| {
            let path = PathBuf::from(String::from_utf8_lossy(text).into_owned());
            Path::new(opened.unwrap_or("/")).join(path)
        };
        match name {
            "mkdir" | "mkdirat" => {
                let path = path(&texts[0]);
                if self.place(&path).is_some() {
                    let node = self.add(Kind::Folder);
                    self.now.insert(node, BTreeMap::new());
                    self.change(&path, Some(node));
                }
            }
            "open" | "openat" | "creat" if arguments.contains("O_CREAT") => {
                let path = path(&texts[0]);
                if self.place(&path).is_some() && self.node(&path).is_none() {
                    let node = self.add(Kind::File(None));
                    self.change(&path, Some(node));
                }
            }
            "write" => {
                let node = self.node(Path::new(opened.unwrap()));
                if let Some(node) = node {
                    match &mut self.nodes[node] {
                        Kind::Written(bytes) => bytes.extend(&texts[0]),
                        kind => *kind = Kind::Written(texts[0].clone()),
                    }
                }
            }
            "rename" | "renameat" | "renameat2" => {
                let (from, to) = (path(&texts[0]), path(&texts[1]));
                let node = self.node(&from);
                self.change(&to, node);
                self.change(&from, None);
            }
            "link" | "linkat" => {
                let node = self.node(&path(&texts[0]));
                self.change(&path(&texts[1]), node);
            }
            "symlink" | "symlinkat" => {
                let target = String::from_utf8_lossy(&texts[0]).into_owned();
                let node = self.add(Kind::Link(target.into()));
                self.change(&path(&texts[1]), Some(node));
            }
            "unlink" | "unlinkat" | "rmdir" => self.change(&path(&texts[0]), None),
            "fsync" | "fdatasync" => {
                if let Some(node) = self.node(Path::new(opened.unwrap())) {
                    self.events.push(Event::Sync(node));
                }
            }
            "syncfs" => self.events.push(Event::SyncAll),
            _ => {}
        }
    }

    /// Every state after a cut, as the names in each folder, and the files whose content is durable.
    fn states(&self) -> Vec<State> {
        let mut states = Vec::new();
        let mut seen = HashSet::new();
        // How many changes of each folder are durable, and how many there are.
        let (mut durable, mut all): (BTreeMap<Node, usize>, BTreeMap<Node, usize>) =
            Default::default();
        let mut synced: BTreeSet<Node> = BTreeSet::new();
        let mut known: Vec<Node> = Vec::new();
        for (at, event) in self.events.iter().enumerate() {
            match event {
                Event::Change(change) => {
                    *all.entry(change.folder).or_default() += 1;
                    known.extend(change.node);
                }
                Event::Sync(node) => {
                    synced.insert(*node);
                    if let Some(count) = all.get(node) {
                        durable.insert(*node, *count);
                    }
                }
                Event::SyncAll => {
                    durable.clone_from(&all);
                    synced.extend(&known);
                }
            }
            let lags = |node: &&Node| durable.get(*node) != all.get(*node);
            let folders: Vec<Node> = all.keys().filter(lags).copied().collect();
            for folder in folders {
                for is_ahead in [true, false] {
                    let mut counts = if is_ahead {
                        durable.clone()
                    } else {
                        all.clone()
                    };
                    let one = if is_ahead { &all } else { &durable };
                    counts.insert(folder, one.get(&folder).copied().unwrap_or(0));
                    let names = self.names(&counts);
                    let state = State {
                        at,
                        names,
                        synced: synced.clone(),
                    };
                    if seen.insert(format!("{:?} {:?}", state.names, state.lost(self))) {
                        states.push(state);
                    }
                }
            }
        }
        states
    }

    /// The names after so many changes of each folder.
    fn names(&self, counts: &BTreeMap<Node, usize>) -> BTreeMap<Node, BTreeMap<String, Node>> {
        let mut names = self.before.clone();
        let mut left = counts.clone();
        for event in &self.events {
            if let Event::Change(Change { folder, name, node }) = event
                && let Some(left) = left.get_mut(folder).filter(|left| **left > 0)
            {
                *left -= 1;
                let names = names.entry(*folder).or_default();
                match node {
                    Some(node) => names.insert(name.clone(), *node),
                    None => names.remove(name),
                };
            }
        }
        names
    }
}

struct State {
    /// The number of the event before the cut.
    at: usize,
    names: BTreeMap<Node, BTreeMap<String, Node>>,
    synced: BTreeSet<Node>,
}

impl State {
    /// New files whose content is not durable.
    fn lost(&self, recording: &Recording) -> BTreeSet<Node> {
        let old: BTreeSet<Node> = recording
            .before
            .values()
            .flat_map(BTreeMap::values)
            .copied()
            .collect();
        let names = self.names.values().flat_map(BTreeMap::values);
        let is_lost = |node: &Node| !self.synced.contains(node) && !old.contains(node);
        let is_file =
            |node: &Node| matches!(recording.nodes[*node], Kind::File(_) | Kind::Written(_));
        names
            .copied()
            .filter(|node| is_lost(node) && is_file(node))
            .collect()
    }

    /// Makes it a folder.
    fn make(&self, recording: &Recording, root: &Path) -> Result<()> {
        let _ = fs::remove_dir_all(root);
        let lost = self.lost(recording);
        let mut next = vec![(root.to_owned(), ROOT)];
        while let Some((path, node)) = next.pop() {
            match &recording.nodes[node] {
                Kind::Folder => {
                    fs::create_dir(&path)?;
                    let names = self.names.get(&node).into_iter().flatten();
                    next.extend(names.map(|(name, node)| (path.join(name), *node)));
                }
                Kind::Link(target) => symlink(target, &path)?,
                _ if lost.contains(&node) => fs::write(&path, "")?,
                // The private folder is written in place by the next run.
                Kind::File(Some(from)) if path.starts_with(root.join(".stillage")) => {
                    fs::copy(from, &path)?;
                }
                Kind::File(Some(from)) => fs::hard_link(from, &path)?,
                Kind::File(None) => fs::write(&path, "")?,
                Kind::Written(bytes) => fs::write(&path, bytes)?,
            }
        }
        Ok(())
    }
}

/// The strings of a line of strace.
fn quoted(text: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'"' {
            continue;
        }
        let mut string = Vec::new();
        while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
            if byte != b'\\' {
                string.push(byte);
                continue;
            }
            let escaped = bytes.next().unwrap();
            if !escaped.is_ascii_digit() {
                let known = [
                    (b'n', b'\n'),
                    (b't', b'\t'),
                    (b'r', b'\r'),
                    (b'v', 11),
                    (b'f', 12),
                ];
                let found = known.iter().find(|(name, _)| *name == escaped);
                string.push(found.map_or(escaped, |(_, byte)| *byte));
                continue;
            }
            let mut number = u32::from(escaped - b'0');
            for _ in 0..2 {
                if let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
                    number = number * 8 + u32::from(digit - b'0');
                }
            }
            string.push(u8::try_from(number).unwrap());
        }
        found.push(string);
    }
    found
}

/// One state of each so many is looked at, and of these one of each so many is completed by the next run.
fn shares() -> (usize, usize) {
    if is_long() { (1, 1) } else { (13, 5) }
}

fn scenario<'a>(
    number: usize,
    scenario: &'a Scenario,
    sources: &'a Sources,
    shim: &Shim,
) -> Result<usize> {
    let stage = Stage::new(scenario, sources, shim);
    let (site, base) = (stage.site("recorded"), stage.folder.path().join("base"));
    let command = sources.with_jobs(scenario.run, &site, "1");
    let recording = Recording::new(&command, &site, &base);
    ensure!(tree_of(&site) == stage.after, "the recorded run differs");
    let states = recording.states();
    let (step, again) = shares();
    let chosen: Vec<_> = states
        .iter()
        .skip(number % step)
        .step_by(step)
        .enumerate()
        .collect();
    let wrong = in_parallel(&chosen, |worker, (number, state)| {
        let site = stage.folder.path().join(format!("cut{number}-{worker}"));
        state.make(&recording, &site)?;
        let looked = stage
            .is_old_or_new(&site)
            .and_then(|()| reader::read(&site).map(drop));
        let looked = looked.and_then(|()| {
            if number % again == 0 {
                stage.check(&site)
            } else {
                Ok(())
            }
        });
        fs::remove_dir_all(&site)?;
        let event = &recording.events[state.at];
        looked.with_context(|| format!("{}, after {} {event:?}", scenario.name, state.at))
    });
    let shown = wrong[..wrong.len().min(5)].join("\n");
    ensure!(
        wrong.is_empty(),
        "{} of {} states are wrong\n{shown}",
        wrong.len(),
        chosen.len()
    );
    Ok(chosen.len())
}

#[test]
fn a_power_cut_leaves_a_whole_site_where_each_folder_is_durable_by_itself() {
    let (shim, sources) = (Shim::new(), Sources::new());
    let (mut states, mut wrong) = (0, Vec::new());
    for (number, each) in SCENARIOS.iter().enumerate() {
        match scenario(number, each, &sources, &shim) {
            Ok(count) => states += count,
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    println!("{states} states");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(states > 200, "{states} states");
}
