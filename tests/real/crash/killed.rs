//! Runs of many threads that a signal ends at any moment, within calls as well as between them, and
//! the runs that would mend what these left.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Instant, SystemTime};

use anyhow::Context as _;

use super::scenarios::{SCENARIOS, Sources};
use super::shim::Shim;
use super::{Stage, in_parallel, is_long};

#[test]
fn a_run_killed_at_any_moment_leaves_a_whole_site() {
    let seed = match std::env::var("STILLAGE_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs(),
    };
    let kills = if is_long() { 500 } else { 50 };
    let (shim, sources) = (Shim::new(), Sources::new());
    let stages: Vec<Stage<'_>> = SCENARIOS
        .iter()
        .map(|scenario| Stage::new(scenario, &sources, &shim))
        .collect();
    let mut random = Random(seed);
    let mut shares = || {
        let count = 1 + random.next() % 3;
        (0..count).map(|_| random.next() % 1000).collect()
    };
    let points: Vec<(usize, Vec<u64>)> = (0..kills)
        .map(|number| (number % stages.len(), shares()))
        .collect();
    let wrong = in_parallel(&points, |worker, (number, shares)| {
        let stage = &stages[*number];
        let site = stage.site(&format!("site{worker}"));
        let command = || {
            let mut command = stage.sources.with_jobs(stage.scenario.run, &site, "4");
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        // The time of a whole run, so that the signal comes at any part of it.
        let start = Instant::now();
        command().status()?;
        let whole = start.elapsed();
        stage.site(&format!("site{worker}"));
        for share in shares {
            let mut child = command().spawn()?;
            sleep(whole * u32::try_from(*share)? / 1000);
            child.kill()?;
            child.wait()?;
        }
        stage
            .check(&site)
            .with_context(|| format!("{} after {shares:?} in 1000", stage.scenario.name))
    });
    assert!(
        wrong.is_empty(),
        "STILLAGE_SEED={seed}: {} of {kills} are wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Numbers that follow from a seed: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}
