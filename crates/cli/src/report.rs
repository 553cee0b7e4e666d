//! Everything that is printed, and the reports in files.
//!
//! What a command was asked for (a list, a variable to export) goes to standard output; what it
//! says on the way goes to standard error, so that `larder run` leaves its command's output alone.

mod archive;
pub(crate) mod logs;
mod plain;
pub(crate) mod summary;
pub(crate) mod table;

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use larder_local::files;
use larder_local::people::{Progress, Voice};
pub(crate) use larder_local::people::{age, seconds, seconds_of};
use larder_model::limits::BLOCK_BYTES;
use larder_model::lineage::Lineage;
use larder_session::client::Running;
use larder_session::facts::{Job, Moved, NotSaved, Restored, Saved};
use parking_lot::Mutex;
use serde::Serialize;

use larder_settings::exit::{Done, Failure};
pub(crate) use plain::name;

/// How often the progress line is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Where text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlet {
    /// Standard output: what a command was asked for.
    Answers,
    /// Standard error: what it says on the way.
    Notes,
}

impl Outlet {
    /// Whether somebody watches.
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Answers => std::io::stdout().is_terminal(),
            Self::Notes => std::io::stderr().is_terminal(),
        }
    }
}

pub(crate) struct Report {
    quiet: bool,
    live: Option<Mutex<ProgressBar>>,
    lost: AtomicBool,
}

#[allow(clippy::unused_self)] // printing needs a report, also where its state plays no part
impl Report {
    /// A report that may be quiet: then only warnings and errors are printed.
    pub(crate) fn new(quiet: bool) -> Self {
        let live = !quiet && std::io::stderr().is_terminal();
        Self {
            quiet,
            live: live.then(|| Mutex::new(ProgressBar::hidden())),
            lost: AtomicBool::new(false),
        }
    }

    /// The last words of a command that failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.line(&format!("larder: error: {failure}"));
    }

    /// What a command was asked for.
    pub(crate) fn answer(&self, text: &str) {
        self.print(&plain::plain(text));
    }

    fn print(&self, text: &str) {
        let mut out = std::io::stdout();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Ok(()) => {}
            // A reader that went away (`larder ls | head`) wants no more.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                self.lost.store(true, Ordering::Relaxed);
                let why = format!("standard output cannot be written: {error}");
                self.failure(&Failure::failed(why));
            }
        }
    }

    /// Whether an answer was asked for and could not be printed, as on a full disk.
    pub(crate) fn has_lost_an_answer(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Passes on what a program prints. Whoever reads it may be gone; the program goes on.
    pub(crate) fn pass_on(&self, to: Outlet, bytes: &[u8]) {
        let _ = match to {
            Outlet::Answers => std::io::stdout()
                .write_all(bytes)
                .and_then(|()| std::io::stdout().flush()),
            Outlet::Notes => std::io::stderr().write_all(bytes),
        };
    }

    fn line(&self, text: &str) {
        let text = plain::indented(text);
        // There is nobody left to tell that nobody reads it.
        let _ = match &self.live {
            Some(bar) => bar.lock().suspend(|| writeln!(std::io::stderr(), "{text}")),
            None => writeln!(std::io::stderr(), "{text}"),
        };
    }

    /// Says what a session started from, or that the command has `joined` one that was there before.
    pub(crate) fn running(&self, running: &Running, joined: &str) {
        if !running.attached {
            return self.up(&running.job);
        }
        self.note(&format!(
            "{joined} the running session; the last `larder down` will save and end it"
        ));
    }

    fn up(&self, job: &Job) {
        let took = seconds(phases_ms(job));
        match &job.restored {
            Some(restored) => self.note(&format!("{} in {took}", restored_text(job, restored))),
            None if job.warnings.is_empty() => self.note(&format!(
                "no snapshot yet for {}; started empty in {took}",
                job.lineage
            )),
            // Why is among the warnings.
            None => self.note(&format!("started {} empty in {took}", job.lineage)),
        }
        let own = job.restored.as_ref().filter(|it| it.lineage == job.lineage);
        if own.is_some_and(|it| it.sibling) {
            self.legs(&job.lineage);
        }
        if let Some(engine) = &job.engine {
            self.note(&format!(
                "Docker {} ({}), {}: {}",
                engine.facts.version,
                engine.facts.image_store,
                engine.choice.shape,
                engine.choice.reason
            ));
        }
        if let Some(builder) = &job.builder {
            self.note(&format!("BuildKit {}, builder `larder`", builder.version));
        }
        if let Some(podman) = &job.podman {
            let whom = match podman.user {
                Some(user) => format!("user {user}"),
                None => "root, and whoever uses sudo -E".to_owned(),
            };
            self.note(&format!(
                "Podman {} ({}): for {whom}",
                podman.version, podman.driver
            ));
        }
        for folder in &job.folders {
            self.note(&format!("mounted {}", folder.display()));
        }
        for moved in &job.moved {
            self.note(&moved_text(moved));
        }
        if !job.volume.direct_io {
            self.warning(
                "the loop device cannot do direct I/O on this machine, so reads are cached twice",
            );
        }
    }

    /// Says what a session ended in.
    pub(crate) fn down(&self, job: &Job) {
        self.progress(Progress::Over);
        let fetched = format!(
            "fetched {} in {} requests",
            HumanBytes(job.fetched.bytes),
            job.fetched.requests
        );
        match (&job.saved, &job.not_saved) {
            (Some(saved), _) => self.note(&format!("{}; {fetched}", saved_text(job, saved))),
            (None, Some(NotSaved::Because(why))) => self.warning(&format!("nothing saved: {why}")),
            (None, Some(NotSaved::Asked) | None) => self.note("nothing saved, as asked"),
        }
        if job.saved.as_ref().is_some_and(|saved| saved.sibling) {
            self.legs(&job.lineage);
        }
    }

    /// Says that jobs of one name run at the same time. Each starts from what the last of them saved, so the
    /// others do not find what they built; some CI systems do not tell the legs of a matrix apart.
    fn legs(&self, lineage: &Lineage) {
        self.warning(&format!(
            "jobs called {:?} ran at the same time, and the next one starts from whichever saved last; if they are \
             legs of a matrix, name each: LARDER_LEG=NAME (on GitHub LARDER_LEG: ${{{{ toJSON(matrix) }}}})",
            lineage.job
        ));
    }

    /// A fault of the cache is a miss, said in one line: `what` did not happen, and why. With `--strict` it
    /// is a failure.
    pub(crate) fn or_miss<T, E: Display>(
        &self,
        what: &str,
        strict: bool,
        result: Result<T, E>,
    ) -> Done<Option<T>> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(error) if strict => Err(Failure::failed(format!("{what}: {error} (--strict)"))),
            Err(error) => {
                self.warning(&format!("{what}: {error}"));
                Ok(None)
            }
        }
    }

    /// Says that a session goes on: so many use it beside who started it.
    pub(crate) fn stays_up(&self, others: usize) {
        let who = match others {
            0 => "its other user".to_owned(),
            _ => format!("the last of its {} other users", others + 1),
        };
        self.note(&format!(
            "the session keeps running: {who} will save and end it"
        ));
    }

    pub(crate) fn json(&self, value: &impl Serialize) {
        self.print(&plain::json(&json_text(value)));
    }

    /// Writes a report to a file, if one was named, whole or not at all; `-` is standard output.
    pub(crate) fn write_json(&self, file: Option<&Path>, value: &impl Serialize) -> Done<()> {
        let Some(file) = file else { return Ok(()) };
        if file == Path::new("-") {
            self.json(value);
            return Ok(());
        }
        let text = plain::json(&json_text(value));
        files::write_public(file, format!("{text}\n").as_bytes())
            .map_err(|error| Failure::input(format!("--json {}: {error}", file.display())))
    }
}

impl Voice for Report {
    fn note(&self, text: &str) {
        if !self.quiet {
            self.line(&format!("larder: {text}"));
        }
    }

    fn warning(&self, text: &str) {
        self.line(&format!("larder: warning: {text}"));
    }

    fn progress(&self, progress: Progress) {
        let Some(bar) = &self.live else { return };
        let mut bar = bar.lock();
        match progress {
            Progress::Begun(doing) => *bar = spinner(plain::name(&doing)),
            Progress::Moved { doing, bytes } => {
                if bar.is_hidden() {
                    *bar = ProgressBar::new_spinner();
                }
                let doing = plain::name(&doing);
                bar.set_message(format!("larder: {doing} {}", HumanBytes(bytes)));
                bar.tick();
            }
            Progress::Saving {
                done,
                total,
                stored_bytes,
            } => {
                if bar.is_hidden() {
                    *bar = saving_bar();
                }
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(format!("{} stored", HumanBytes(stored_bytes)));
            }
            Progress::Over => {
                bar.finish_and_clear();
                *bar = ProgressBar::hidden();
            }
        }
    }
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("what is reported has a JSON form")
}

/// A line that says that something goes on, and for how long.
fn spinner(doing: String) -> ProgressBar {
    let style = ProgressStyle::with_template("larder: {msg} {spinner} {elapsed}");
    let spinner = ProgressBar::new_spinner().with_style(style.expect("a valid template"));
    spinner.set_message(doing);
    spinner.enable_steady_tick(TICK);
    spinner
}

fn saving_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("larder: saving {bar:30} {percent} % {msg}");
    ProgressBar::new(0).with_style(style.expect("a valid template"))
}

fn restored_text(job: &Job, restored: &Restored) -> String {
    let from = if restored.lineage == job.lineage {
        String::new()
    } else {
        format!(
            " from {} @ {}",
            restored.lineage.job, restored.lineage.scope
        )
    };
    format!(
        "restored {}{from}: {} of state, {} old ({:.12})",
        job.lineage,
        HumanBytes(restored.used_bytes),
        age(restored.age_ms),
        restored.snapshot
    )
}

fn moved_text(moved: &Moved) -> String {
    format!(
        "base image {} moved: {}{} -> {}{}; the next build fetches it",
        moved.tag,
        moved.old,
        day(moved.old_created.as_deref()),
        moved.new,
        day(moved.new_created.as_deref())
    )
}

/// The day of a time as configurations have it (RFC 3339).
fn day(created: Option<&str>) -> String {
    let day = created.and_then(|time| time.get(..10));
    day.map_or_else(String::new, |day| format!(" (of {day})"))
}

fn saved_text(job: &Job, saved: &Saved) -> String {
    let down = job
        .phases
        .iter()
        .skip_while(|phase| phase.name != "quiesce");
    let took = seconds(down.map(|phase| phase.ms).sum());
    let sibling = if saved.sibling {
        ", beside a newer head"
    } else {
        ""
    };
    format!(
        "saved {} in {took}: {} new of {} changed, {} stored ({:.12}{sibling})",
        job.lineage,
        HumanBytes(saved.statistics.new_blocks * BLOCK_BYTES as u64),
        HumanBytes(saved.statistics.dirty_blocks * BLOCK_BYTES as u64),
        HumanBytes(saved.statistics.stored_bytes),
        saved.snapshot
    )
}

fn phases_ms(job: &Job) -> f64 {
    job.phases.iter().map(|phase| phase.ms).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_takes_no_links_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        let report = Report::new(true);
        report.write_json(Some(&link), &[1]).expect("written");
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "[\n  1\n]\n");
        report.write_json(Some(&file), &[2]).expect("written again");
        assert_eq!(std::fs::read_to_string(&link).expect("read"), "[\n  2\n]\n");
    }
}
