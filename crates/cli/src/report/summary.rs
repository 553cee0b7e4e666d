//! What a job came to, at a glance: a table for the log, and the same in Markdown for CI systems that show it.

use std::path::Path;

use comfy_table::Table;
use indicatif::HumanBytes;
use larder_local::files;
use larder_local::people::Voice as _;
use larder_session::facts::{Job, NotSaved, Phase};

use super::{Report, age, plain, seconds, table};

/// The first phase of the way down.
const DOWN: &str = "quiesce";
/// The phase that is not ours.
const COMMAND: &str = "command";
/// Shorter phases are not worth a word.
const SHOWN_MS: f64 = 50.0;

/// Rows of two cells.
pub(crate) struct Summary(Vec<[String; 2]>);

impl Summary {
    pub(crate) fn new(rows: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Self {
        let known = rows
            .into_iter()
            .filter_map(|(what, text)| Some([what.to_owned(), plain::name(&text?)]));
        Self(known.collect())
    }

    pub(crate) fn of(job: &Job) -> Self {
        let phases = job.phases.split_at(
            job.phases
                .iter()
                .position(|phase| phase.name == DOWN)
                .unwrap_or(job.phases.len()),
        );
        Self::new([
            ("restored", Some(restored(job))),
            ("base images", Some(base_images(job))),
            ("builds", builds(job)),
            ("command", job.command.map(|command| seconds(command.ms))),
            ("start", took(phases.0)),
            ("end", took(phases.1)),
            (
                "fetched",
                Some(format!(
                    "{} in {} requests",
                    HumanBytes(job.fetched.bytes),
                    job.fetched.requests
                )),
            ),
            ("stored", stored(job)),
            ("net", net(job)),
        ])
    }

    fn table(&self) -> Table {
        let mut table = table::plain();
        table.add_rows(&self.0);
        table
    }

    fn markdown(&self) -> String {
        let rows = self.0.iter().map(|[what, text]| {
            // A name in it may be anybody's, and is text all the same.
            let text = text.replace('\\', "\\\\").replace('|', "\\|");
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            format!("| {what} | {text} |")
        });
        let head = ["### Larder", "", "| | |", "|---|---|"].map(str::to_owned);
        let lines: Vec<String> = head.into_iter().chain(rows).collect();
        lines.join("\n") + "\n\n"
    }
}

impl Report {
    /// Shows it, and adds it to a file. The job has ended: a file that cannot be written is a warning.
    pub(crate) fn summary(&self, summary: &Summary, file: Option<&Path>) {
        self.note(&format!("in short\n{}", table::text(&summary.table())));
        let Some(file) = file else { return };
        if let Err(error) = files::append_public(file, &summary.markdown()) {
            self.warning(&format!("--summary {}: {error}", file.display()));
        }
    }
}

fn restored(job: &Job) -> String {
    match &job.restored {
        None => "nothing: the engine started empty".to_owned(),
        Some(restored) => format!(
            "{} @ {}, {} old ({})",
            restored.lineage.job,
            restored.lineage.scope,
            age(restored.age_ms),
            restored.snapshot.short()
        ),
    }
}

fn base_images(job: &Job) -> String {
    let tags: Vec<&str> = job.moved.iter().map(|moved| moved.tag.as_str()).collect();
    if tags.is_empty() {
        "none moved".to_owned()
    } else {
        format!("{} moved: {}", tags.len(), tags.join(", "))
    }
}

/// `BuildKit`'s builds alone are recorded.
fn builds(job: &Job) -> Option<String> {
    let all: u64 = job.builds.iter().map(|build| build.steps).sum();
    let cached: u64 = job.builds.iter().map(|build| build.cached_steps).sum();
    let several = match job.builds.len() {
        0 => return None,
        1 => String::new(),
        several => format!(" in {several} builds"),
    };
    Some(format!(
        "{cached} of {all} steps cached{several}, {} (BuildKit counts reading and exporting as steps too)",
        seconds(built_ms(job))
    ))
}

#[allow(clippy::cast_precision_loss)] // of a job's milliseconds
fn built_ms(job: &Job) -> f64 {
    job.builds.iter().map(|build| build.ms as f64).sum()
}

/// The time of all phases together, and of those that took some.
fn took(phases: &[Phase]) -> Option<String> {
    let ours: Vec<&Phase> = phases
        .iter()
        .filter(|phase| phase.name != COMMAND)
        .collect();
    let all: f64 = ours.iter().map(|phase| phase.ms).sum();
    let long = ours.iter().filter(|phase| phase.ms >= SHOWN_MS);
    let long: Vec<String> = long
        .map(|phase| format!("{} {}", phase.name, seconds(phase.ms)))
        .collect();
    if ours.is_empty() || long.is_empty() {
        return (!ours.is_empty()).then(|| seconds(all));
    }
    Some(format!("{} ({})", seconds(all), long.join(", ")))
}

fn stored(job: &Job) -> Option<String> {
    match (&job.saved, &job.not_saved) {
        (Some(saved), _) => Some(format!(
            "{} ({})",
            HumanBytes(saved.statistics.stored_bytes),
            saved.snapshot.short()
        )),
        (None, Some(NotSaved::Because(why))) => Some(format!("nothing: {why}")),
        (None, Some(NotSaved::Asked)) => Some("nothing, as asked".to_owned()),
        (None, None) => None,
    }
}

/// What the builds would have taken on an empty engine, less what they took, less all that Larder took.
#[allow(clippy::cast_precision_loss)] // of a job's milliseconds
fn net(job: &Job) -> Option<String> {
    if job.builds.is_empty() {
        return None;
    }
    let ours = job.phases.iter().filter(|phase| phase.name != COMMAND);
    let ours: f64 = ours.map(|phase| phase.ms).sum();
    let built = built_ms(job);
    let Some(restored) = &job.restored else {
        return Some(format!(
            "nothing saved yet: later jobs are compared with this one, whose builds took {}; Larder took {}",
            seconds(built),
            seconds(ours)
        ));
    };
    let Some(cold) = restored.cold_build_ms else {
        return Some("not known: no job of this line built on an empty engine".to_owned());
    };
    let net = cold as f64 - built - ours;
    let parts = format!(
        "on an empty engine the builds took {}, now {}; Larder took {}",
        seconds(cold as f64),
        seconds(built),
        seconds(ours)
    );
    Some(if net < 0.0 {
        format!("{} lost: {parts}", seconds(-net))
    } else {
        format!("{} saved: {parts}", seconds(net))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The report of a job as `--json` has it, with these builds and so much time of Larder's own.
    fn job(restored: &str, builds: &str, ours_ms: u64) -> Job {
        let text = format!(
            r#"{{"store": "file:///s", "lineage": {{"project": "p", "compatibility": "c", "scope": "branch/main",
            "job": "build"}}, "engine": {{"shape": "private", "reason": "asked for", "socket": "/s",
            "version": "26.1.5", "api_version": "1.45", "oldest_api_version": null, "storage_driver": "overlay2",
            "containerd_version": "1.7.24", "image_store": "overlay2", "cgroup_version": "2",
            "cgroup_driver": "systemd"}}, "volume": {{"bytes": 1, "direct_io": true}}, "restored": {restored},
            "saved": null, "not_saved": {{"because": "a | b <c>"}}, "moved": [], "builds": {builds},
            "fetched": {{"requests": 1, "bytes": 2, "blocks_read": 3}}, "phases": [{{"name": "find", "ms": {ours_ms}}},
            {{"name": "command", "ms": 90000}}, {{"name": "quiesce", "ms": 10}}], "warnings": []}}"#
        );
        serde_json::from_str(&text).expect("a job")
    }

    fn restored(cold_ms: &str) -> String {
        let id = "0".repeat(64);
        format!(
            r#"{{"snapshot": "{id}", "lineage": {{"project": "p", "compatibility": "c", "scope": "branch/main",
            "job": "build"}}, "age_ms": 60000, "used_bytes": 1, "cold_build_ms": {cold_ms}, "sibling": false}}"#
        )
    }

    fn row(job: &Job, name: &str) -> Option<String> {
        let Summary(rows) = Summary::of(job);
        let found = rows.into_iter().find(|[what, _]| what == name);
        found.map(|[_, text]| text)
    }

    const WARM: &str = r#"[{"steps": 12, "cached_steps": 9, "ms": 4000}]"#;

    #[test]
    fn the_net_is_what_is_left_of_a_cold_build() {
        let net = |restored: &str, ours_ms| row(&job(restored, WARM, ours_ms), "net");
        let saved = net(&restored("42000"), 2590).expect("known");
        assert!(
            saved.starts_with("35.4 s saved: on an empty engine"),
            "{saved}"
        );
        let lost = net(&restored("5000"), 2490).expect("known");
        assert!(lost.starts_with("1.5 s lost: "), "{lost}");
        let unknown = net(&restored("null"), 1).expect("said");
        assert!(unknown.starts_with("not known"), "{unknown}");
        let first = net("null", 1).expect("said");
        assert!(first.starts_with("nothing saved yet"), "{first}");
        assert_eq!(row(&job("null", "[]", 1), "net"), None);
    }

    #[test]
    fn rows_say_what_there_was() {
        let job = job(&restored("42000"), WARM, 2500);
        let steps = row(&job, "builds").expect("built");
        assert!(steps.starts_with("9 of 12 steps cached, 4.0 s"), "{steps}");
        assert_eq!(row(&job, "start").as_deref(), Some("2.5 s (find 2.5 s)"));
        assert_eq!(row(&job, "end").as_deref(), Some("0.0 s"));
        let markdown = Summary::of(&job).markdown();
        assert!(
            markdown.contains("| stored | nothing: a \\| b &lt;c> |"),
            "{markdown}"
        );
        assert!(
            markdown
                .starts_with("### Larder\n\n| | |\n|---|---|\n| restored | build @ branch/main")
        );
    }
}
