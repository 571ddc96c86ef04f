//! Publishers that meet faults, others, or their end: the bucket lists only what can be pulled, and loses nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{large_site, listed, listed_below, site, tags};
use crate::crash::is_long;
use crate::support::servers::bucket::Store;
use crate::support::servers::flaky;
use crate::support::site::{stderr, succeed};
use crate::support::temp::TempDir;

/// Requests and answers are lost, cut and refused by chance; the run, or one of the next, ends where one without
/// faults does.
#[test]
fn faults_of_the_store_and_the_way_are_survived() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let sites = [
        site(&folder, "first", &[("o/app:1", "a")]),
        site(&folder, "second", &[("o/app:1", "new"), ("o/app:2", "b")]),
    ];
    for site in &sites {
        succeed(&mut store.publish_by(store.port, site, "clean/", &[]));
    }
    let expected = store.list("clean/");
    let rounds = if is_long() { 200 } else { 20 };
    // Most of the time goes by in waiting for another attempt.
    thread::scope(|scope| {
        for part in 0..4 {
            let (store, sites, expected) = (&store, &sites, &expected);
            scope.spawn(move || {
                for round in (part..rounds).step_by(4) {
                    survive(store, sites, round);
                    let left = store.list(&format!("faults{round}/"));
                    assert_eq!(left, *expected, "round {round}");
                }
            });
        }
    });
}

/// Publishes sites one after the other, on a way with faults, until each run succeeds.
fn survive(store: &Store, sites: &[PathBuf], round: u64) {
    // In some rounds so many that runs fail.
    let every = if round.is_multiple_of(5) { 3 } else { 7 };
    let port = flaky::start(store.port, 0x5eed + round, every);
    let prefix = format!("faults{round}/");
    for site in sites {
        let mut publish = store.publish_by(port, site, &prefix, &["-q"]);
        let succeeds = (0..10).any(|_| {
            let output = publish.output().unwrap();
            listed_below(store, &prefix);
            output.status.success()
        });
        assert!(succeeds, "round {round}");
    }
}

/// Two runners that know nothing of each other.
pub(crate) fn publish_at_the_same_time(store: &Store, rounds: u64) {
    let folder = TempDir::new("publish");
    let mut expected = BTreeSet::new();
    for round in 0..rounds {
        let sites = ["a", "b"].map(|who| {
            // In a repository that both have, and in one of each.
            let names = [format!("both:{who}{round}"), format!("{who}/own:{round}")];
            let images = names.each_ref().map(|name| (name.as_str(), name.as_str()));
            expected.extend(names.iter().cloned());
            site(&folder, &format!("{who}{round}"), &images)
        });
        thread::scope(|scope| {
            let sites = &sites;
            for site in sites {
                scope.spawn(move || store.published(site, &[]));
            }
        });
        assert_eq!(listed(store), expected, "round {round}");
        let both = expected
            .iter()
            .filter_map(|name| name.strip_prefix("both:"));
        assert_eq!(
            tags(store, "both"),
            json!(both.collect::<Vec<_>>()),
            "round {round}"
        );
    }
}

/// Whenever a publisher is killed, what is listed can be pulled, and the next run finishes.
#[test]
fn a_publisher_that_is_killed_leaves_nothing_half() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let first = site(&folder, "first", &[("app:1", "a")]);
    store.published(&first, &[]);
    let rounds = if is_long() { 60 } else { 12 };
    for round in 0..rounds {
        let (name, text) = (format!("app:r{round}"), format!("text {round}"));
        let names = format!("app:1 {name}");
        let next = site(&folder, &format!("next{round}"), &[(&names, &text)]);
        let mut child = store.publish(&next, &["-q", "-j", "2"]).spawn().unwrap();
        thread::sleep(Duration::from_millis(30 + 25 * round));
        let _ = child.kill();
        child.wait().unwrap();
        listed(&store);
        if round % 3 == 2 {
            store.published(&next, &[]);
            assert!(listed(&store).contains(&name));
            assert_eq!(stderr(&store.published(&next, &[])), "nothing to do\n");
        }
    }
}

/// A site to begin with, two that others publish into it, and what is listed in the end.
fn three(folder: &TempDir) -> ([PathBuf; 3], BTreeSet<String>) {
    let sites = [
        site(folder, "base", &[("o/both:1", "base"), ("o/base:1", "o")]),
        site(
            folder,
            "mine",
            &[("o/both:mine o/base:1", "mine"), ("o/mine:1", "m")],
        ),
        site(
            folder,
            "other",
            &[("o/both:other", "other"), ("o/other:1", "r")],
        ),
    ];
    let names = [
        "o/base:1",
        "o/both:1",
        "o/both:mine",
        "o/both:other",
        "o/mine:1",
        "o/other:1",
    ];
    (sites, names.map(str::to_owned).into())
}

/// A process that another thread may kill.
#[derive(Clone, Default)]
struct Victim(Arc<Mutex<Option<Child>>>);

impl Victim {
    fn kill(&self) {
        self.0.lock().unwrap().as_mut().unwrap().kill().unwrap();
    }

    /// Runs until it ends.
    fn run(&self, command: &mut Command) -> ExitStatus {
        let mut child = self.0.lock().unwrap();
        *child = Some(command.spawn().unwrap());
        drop(child);
        loop {
            let status = self.0.lock().unwrap().as_mut().unwrap().try_wait();
            match status.unwrap() {
                Some(status) => return status,
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// At each request of a publisher another one publishes; the first is killed there, or goes on.
#[test]
fn publishers_meet_at_each_request() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let ([base, mine, other], all) = three(&folder);
    let step = if is_long() { 1 } else { 25 };
    let is_over = |round: usize| {
        let prefix = format!("meet{round}/");
        let publish = |site| succeed(&mut store.publish_by(store.port, site, &prefix, &[]));
        publish(&base);
        // The one that is killed ends at any request, also at one that the store has done.
        let (request, is_killed) = (round / 2, round.is_multiple_of(2));
        let victim = Victim::default();
        let meeting = {
            let victim = victim.clone();
            let mut command = store.publish_by(store.port, &other, &prefix, &["-q"]);
            move |number: usize, _: &str| {
                if number == request {
                    succeed(&mut command);
                    if is_killed {
                        victim.kill();
                    }
                }
            }
        };
        let (port, requests) = flaky::watched(store.port, meeting);
        let mut command = store.publish_by(port, &mine, &prefix, &["-q", "-j", "1"]);
        let status = victim.run(&mut command);
        let has_met = requests() > request;
        assert_eq!(status.success(), !(has_met && is_killed), "round {round}");
        listed_below(&store, &prefix);
        if has_met {
            publish(&mine);
            assert_eq!(listed_below(&store, &prefix), all, "round {round}");
        }
        !has_met
    };
    let mut rounds = (0..).step_by(step);
    assert!(rounds.any(is_over));
}

/// A reader that looks after each request (after each third, unless there is time) sees nothing that cannot be pulled.
#[test]
fn what_is_listed_can_be_pulled_after_each_request() {
    let store = Arc::new(Store::start());
    let folder = TempDir::new("publish");
    let ([base, mine, other], _) = three(&folder);
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let (port, requests) = flaky::watched(store.port, {
        let (store, seen) = (store.clone(), seen.clone());
        move |number, line: &str| {
            let is_looked_at = is_long() || number % 3 == 0;
            if is_looked_at && !line.starts_with("GET ") {
                seen.lock().unwrap().insert(listed(&store));
            }
        }
    });
    let publish = |site, more: &[&str]| {
        let options = [&["-q", "-j", "1"], more].concat();
        succeed(&mut store.publish_by(port, site, "", &options));
    };
    publish(&base, &[]);
    if is_long() {
        publish(&mine, &[]);
    }
    publish(&other, &[]);
    let all = listed(&store);
    publish(&other, &["--mirror", "--prune", "--grace", "0s"]);
    assert_eq!(listed(&store).len(), 2);
    assert!(requests() > 100, "{}", requests());
    // Nothing, the states of the publishers, and that of the mirror, at least.
    let seen = seen.lock().unwrap();
    assert!(seen.len() >= 4 && seen.contains(&all), "{seen:?}");
}

/// The parts that an interrupted run has sent are not sent again.
#[test]
fn a_large_object_goes_on_where_it_was_interrupted() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let site = large_site(&folder);
    let victim = Victim::default();
    let (port, _) = flaky::watched(store.port, {
        let victim = victim.clone();
        move |_, line: &str| {
            if line.contains("partNumber=2") {
                victim.kill();
            }
        }
    });
    victim.run(&mut store.publish_by(port, &site, "", &["-q", "-j", "1"]));
    let parts = || {
        let requests = store.requests().into_iter();
        let sent =
            requests.filter(|request| request.contains("PUT ") && request.contains("partNumber="));
        sent.count()
    };
    assert_eq!(parts(), 2);
    store.published(&site, &[]);
    assert_eq!(parts(), 3);
    assert_eq!(listed(&store).len(), 1);
    assert_eq!(stderr(&store.published(&site, &[])), "nothing to do\n");
}

/// A publisher that was killed, or did not know of another, has left pointers that are not those of the catalogue. The
/// next run mends those of its site, also where it has nothing new.
#[test]
fn pointers_of_others_are_mended() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let one = site(&folder, "one", &[("o/app:1", "a")]);
    let two = site(&folder, "two", &[("o/app:2", "b")]);
    store.published(&one, &[]);
    store.published(&two, &[]);
    let before = store.list("");
    // A moved tag whose publisher did not get to the catalogue.
    let moved = store.object("v2/o/app/manifests/2").unwrap().body;
    store.put("v2/o/app/manifests/1", &moved);
    store.published(&one, &[]);
    assert_eq!(store.list(""), before);
    // A list of v1 by one who did not know of a tag: the tag of another site comes back with the next one.
    let list = store.json("v1/repositories/o/app/tags");
    let shorter = format!(r#"{{"2":{}}}"#, list["2"]);
    store.put("v1/repositories/o/app/tags", shorter.as_bytes());
    store.published(&site(&folder, "three", &[("o/app:3", "c")]), &[]);
    let list = store.json("v1/repositories/o/app/tags");
    assert_eq!(list.as_object().unwrap().len(), 3, "{list}");
    store.put("v1/repositories/o/app/tags", shorter.as_bytes());
    store.published(&one, &[]);
    assert_eq!(store.json("v1/repositories/o/app/tags"), list);
}
