//! What a job came to, at a glance.

use larder_local::people::{self, age, net_of_first, seconds, size};
use larder_model::course::Phase;

use crate::facts::{Job, NotSaved};

/// The first phase of the way down.
const DOWN: &str = "quiesce";
/// The phase that is not ours.
const COMMAND: &str = "command";
/// Shorter phases are not worth a word.
const SHOWN_MS: f64 = 50.0;

impl Job {
    /// What it came to, as rows: what is said, and of what. What is not known has none.
    pub fn summary(&self) -> Vec<(&'static str, Option<String>)> {
        let down = self.phases.iter().position(|phase| phase.name == DOWN);
        let (up, down) = self.phases.split_at(down.unwrap_or(self.phases.len()));
        let fetched = size(self.fetched.bytes);
        vec![
            ("restored", Some(restored(self))),
            ("base images", base_images(self)),
            ("builds", builds(self)),
            ("command", self.command.map(|command| seconds(command.ms))),
            ("start", took(up)),
            ("end", took(down)),
            (
                "fetched",
                Some(format!("{fetched} in {} requests", self.fetched.requests)),
            ),
            ("stored", stored(self)),
            ("net", net(self)),
        ]
    }
}

fn restored(job: &Job) -> String {
    match &job.restored {
        None if job.engine.is_none() => "nothing: started empty".to_owned(),
        None => "nothing: the engine started empty".to_owned(),
        Some(restored) => format!(
            "{} @ {}, {} old ({:.12})",
            restored.lineage.job,
            restored.lineage.scope,
            age(restored.age_ms),
            restored.snapshot
        ),
    }
}

fn base_images(job: &Job) -> Option<String> {
    job.engine.as_ref()?;
    let tags: Vec<&str> = job.moved.iter().map(|moved| moved.tag.as_str()).collect();
    Some(if tags.is_empty() {
        "none moved".to_owned()
    } else {
        format!("{} moved: {}", tags.len(), tags.join(", "))
    })
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
            "{} ({:.12})",
            size(saved.statistics.stored_bytes),
            saved.snapshot
        )),
        (None, Some(NotSaved::Because(why))) => Some(format!("nothing: {why}")),
        (None, Some(NotSaved::Asked)) => Some("nothing, as asked".to_owned()),
        (None, None) => None,
    }
}

/// What the builds would have taken on an empty engine, less what they took, less all that Larder took. Of
/// directories counts how long they were used.
#[allow(clippy::cast_precision_loss)] // of a job's milliseconds
fn net(job: &Job) -> Option<String> {
    if job.builds.iter().any(|build| build.failed) {
        return Some("not known: a build failed".to_owned());
    }
    let (what, place, built) = match job.used_ms {
        Some(used) => ("the job", "with nothing restored", used as f64),
        None if job.builds.is_empty() => return None,
        None => ("the builds", "on an empty engine", built_ms(job)),
    };
    let ours = job.phases.iter().filter(|phase| phase.name != COMMAND);
    let ours: f64 = ours.map(|phase| phase.ms).sum();
    let Some(restored) = &job.restored else {
        return Some(net_of_first(what, built, ours));
    };
    Some(match restored.cold_build_ms {
        Some(cold) => people::net(&format!("{place} {what}"), [cold as f64, built, ours]),
        None => format!("not known: no job of this line ran {place}"),
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
        let rows = job.summary().into_iter();
        let mut named = rows.filter(|(what, _)| *what == name);
        named.find_map(|(_, text)| text)
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
        let failed = WARM.replace("\"ms\"", "\"failed\": true, \"ms\"");
        let failed = job(&restored("42000"), &failed, 1);
        let net = row(&failed, "net").expect("said");
        assert_eq!(net, "not known: a build failed");
        assert_eq!(failed.cold_build_ms(), Some(42_000));
    }

    #[test]
    fn rows_say_what_there_was() {
        let job = job(&restored("42000"), WARM, 2500);
        let steps = row(&job, "builds").expect("built");
        assert!(steps.starts_with("9 of 12 steps cached, 4.0 s"), "{steps}");
        assert_eq!(row(&job, "start").as_deref(), Some("2.5 s (find 2.5 s)"));
        assert_eq!(row(&job, "end").as_deref(), Some("0.0 s"));
    }
}
