//! Progress on stderr: one updated line on a terminal, otherwise a new line at intervals.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::ui::{Loudness, Ui};
use crate::progress::{Progress, State};
use crate::text;

/// How often the line on a terminal is updated.
const FRAME: Duration = Duration::from_millis(100);
/// The time between two lines in a log. A shorter run prints none.
const PAUSE: Duration = Duration::from_secs(10);

/// What is counted.
#[derive(Clone, Copy)]
pub(super) enum Verb {
    /// Bytes and blobs that are read.
    Read,
    /// Bytes and objects that are sent.
    #[cfg(feature = "publish")]
    Send,
}

impl Verb {
    fn words(self) -> [&'static str; 2] {
        match self {
            Self::Read => ["read", "blobs"],
            #[cfg(feature = "publish")]
            Self::Send => ["sent", "objects"],
        }
    }
}

/// Shows progress while `work` runs, and clears it before returning. Nothing is shown until the first bytes
/// are counted, because `work` may print messages of its own before that.
pub(super) fn with_progress<T>(ui: Ui, verb: Verb, work: impl FnOnce(&Arc<Progress>) -> T) -> T {
    let progress = &ui.progress();
    if ui.0 != Loudness::Normal {
        return work(progress);
    }
    let (ends, end) = mpsc::channel();
    thread::scope(|scope| {
        // Dropped when `work` returns or panics, which ends the other thread.
        let _ends: mpsc::Sender<()> = ends;
        scope.spawn(move || show(progress, verb, &end));
        work(progress)
    })
}

fn show(progress: &Progress, verb: Verb, end: &Receiver<()>) {
    let style = |template| ProgressStyle::with_template(template).expect("the template is right");
    let known = style("[{bar:10}] {wide_msg}").progress_chars("=> ");
    let unknown = style("{wide_msg}");
    // Hidden if stderr is not a terminal or cannot move its cursor.
    let bar = ProgressBar::new(0).with_style(unknown.clone());
    if bar.is_hidden() {
        return log((progress, verb), &bar, PAUSE, end, &mut io::stderr());
    }
    every(FRAME, end, || {
        if let Some(line) = look(progress, verb, &bar) {
            let has_end = bar.length() > Some(bar.position());
            bar.set_style(if has_end { &known } else { &unknown }.clone());
            bar.set_message(line);
        }
    });
    bar.finish_and_clear();
}

/// Writes a line after every `pause`.
fn log(
    (progress, verb): (&Progress, Verb),
    bar: &ProgressBar,
    pause: Duration,
    end: &Receiver<()>,
    out: &mut dyn Write,
) {
    every(pause, end, || {
        if let Some(line) = look(progress, verb, bar) {
            let _ = writeln!(out, "{line}");
        }
    });
}

/// Calls `show` after every `pause` until the sender is dropped.
fn every(pause: Duration, end: &Receiver<()>, mut show: impl FnMut()) {
    while end.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        show();
    }
}

/// The line to show, if any bytes were read. The bar estimates the speed.
fn look(progress: &Progress, verb: Verb, bar: &ProgressBar) -> Option<String> {
    let state = progress.state();
    if state.bytes == 0 && state.all_parts == 0 {
        return None;
    }
    let [all, done] = match state.all_parts {
        0 => [state.all_bytes, state.bytes],
        all => [all, state.parts],
    };
    bar.update(|bar| {
        bar.set_len(all);
        bar.set_pos(done);
    });
    Some(line(state, verb, bar.per_sec(), bar.eta()))
}

/// Describes a state. The total is left out unless more bytes are expected than were read: it may be unknown.
fn line(state: State, verb: Verb, per_second: f64, left: Duration) -> String {
    if state.all_parts > 0 {
        let (parts, all) = (state.parts, state.all_parts);
        return format!("writing the site, {parts} of {all} steps");
    }
    let [verb, things] = verb.words();
    let has_end = state.all_bytes > state.bytes;
    let is_all = !has_end && state.blobs > 0 && state.blobs >= state.all_blobs;
    let mut parts = vec![if has_end {
        let (bytes, all) = (text::bytes(state.bytes), text::bytes(state.all_bytes));
        format!("{verb} {bytes} of {all}")
    } else {
        format!("{verb} {}", text::bytes(state.bytes))
    }];
    if state.all_blobs > 0 {
        let all = state.all_blobs.max(state.blobs);
        parts.push(format!("{} of {all} {things}", state.blobs));
    }
    if !is_all {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a speed is not negative, and a fraction of a byte does not matter"
        )]
        let speed = text::bytes(per_second as u64);
        parts.push(format!("{speed}/s"));
    }
    let left = left.as_secs();
    // Before the speed is known, the estimate is centuries.
    if has_end && left < 30 * 24 * 3600 {
        let shown = if left < 3600 { left } else { left - left % 60 };
        let shown = humantime::format_duration(Duration::from_secs(shown));
        parts.push(format!("{shown} left"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_is_known() {
        let state = |bytes, all_bytes, blobs, all_blobs| State {
            bytes,
            all_bytes,
            blobs,
            all_blobs,
            ..State::default()
        };
        let line = |state, seconds| line(state, Verb::Read, 1536.7, Duration::from_secs(seconds));
        assert_eq!(
            line(state(1 << 20, 3 << 30, 2, 7), 63),
            "read 1.0 MiB of 3.0 GiB, 2 of 7 blobs, 1.5 KiB/s, 1m 3s left"
        );
        assert_eq!(line(state(5, 5, 0, 0), 0), "read 5 B, 1.5 KiB/s");
        assert_eq!(line(state(5, 5, 2, 2), 0), "read 5 B, 2 of 2 blobs");
        assert_eq!(
            line(state(5, 6, 0, 1), u64::MAX),
            "read 5 B of 6 B, 0 of 1 blobs, 1.5 KiB/s"
        );
        let long = line(state(5, 6, 0, 0), 3725);
        assert_eq!(long, "read 5 B of 6 B, 1.5 KiB/s, 1h 2m left");
        let writing = State {
            parts: 12,
            all_parts: 40,
            ..state(6, 6, 1, 1)
        };
        assert_eq!(line(writing, 0), "writing the site, 12 of 40 steps");
    }

    #[test]
    fn a_run_that_is_over_soon_shows_nothing() {
        let (ends, end) = mpsc::channel();
        let mut shown = 0;
        thread::scope(|scope| {
            let shown = &mut shown;
            scope.spawn(move || every(Duration::from_mins(1), &end, || *shown += 1));
            drop(ends);
        });
        assert_eq!(shown, 0);
    }

    #[test]
    fn a_long_run_shows_a_line_after_each_pause() {
        let (ends, end) = mpsc::channel::<()>();
        let mut ends = Some(ends);
        let mut shown = 0;
        every(Duration::from_millis(1), &end, || {
            shown += 1;
            if shown == 3 {
                ends = None;
            }
        });
        assert_eq!(shown, 3);
    }

    /// A writer that ends what it logs after three lines.
    struct Log(Vec<u8>, Option<mpsc::Sender<()>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend(bytes);
            if String::from_utf8_lossy(&self.0).matches('\n').count() == 3 {
                self.1 = None;
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_gets_plain_lines() {
        let progress = Arc::new(Progress::default());
        progress.expect(0, 9);
        io::copy(
            &mut progress.counting(&b"seven b"[..], true),
            &mut io::sink(),
        )
        .unwrap();
        let (ends, end) = mpsc::channel();
        let mut out = Log(Vec::new(), Some(ends));
        let bar = ProgressBar::hidden();
        log(
            (&progress, Verb::Read),
            &bar,
            Duration::from_millis(1),
            &end,
            &mut out,
        );
        let text = String::from_utf8(out.0).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        for line in text.lines() {
            assert!(line.starts_with("read 7 B of 9 B, "), "{text}");
        }
        assert!(!text.contains(['\u{1b}', '\r']), "{text:?}");
    }

    #[test]
    fn all_runs_end() {
        for loudness in [Loudness::Quiet, Loudness::Normal, Loudness::Verbose] {
            let read = with_progress(Ui(loudness), Verb::Read, |progress| {
                progress.expect(0, 3);
                progress.state().all_bytes
            });
            assert_eq!(read, 3);
        }
    }
}
