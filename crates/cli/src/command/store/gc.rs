//! `larder gc`: what is too old goes, and what nothing needs.

use std::fmt::Display;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::HumanBytes;
use larder_local::people::Voice as _;
use larder_model::retention::Rules;
use larder_settings::Settings;
use larder_settings::args::Gc;
use larder_settings::exit::{Done, Failure};
use larder_upkeep::gc::{self, Amount, Collected, Compacted, Plan};

use crate::command::block_on;
use crate::report::Report;

/// A list of scopes that is longer is none.
const SCOPES_MAX_BYTES: u64 = 16 << 20;
/// Documents that are told one by one.
const TOLD_MAX: usize = 20;

/// Collects garbage.
pub(crate) fn run(verb: &Gc, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None, report)?;
    let plan = plan(verb, &settings)?;
    let objects = settings.project().store.open_listed()?;
    let collected = block_on(gc::collect(&objects, &plan, report))??;
    if verb.json {
        report.json(&collected);
    } else {
        report.answer(&text(&collected));
    }
    if let Some(why) = &collected.held_back {
        report.warning(&format!("nothing but documents was removed: {why}"));
    }
    if let Some(why) = &collected.compacted.left_out {
        report.warning(&format!("not all that should be is laid out anew: {why}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn plan(verb: &Gc, settings: &Settings) -> Done<Plan> {
    let usual = Plan::usual();
    let older_than = period("--older-than", verb.older_than.as_ref())?;
    let closed_after = period("--closed-after", verb.closed_after.as_ref())?;
    let max_bytes = verb.max_bytes.as_ref();
    Ok(Plan {
        rules: Rules {
            keep_last: verb.keep_last.or(usual.rules.keep_last),
            older_than_ms: older_than.map_or(usual.rules.older_than_ms, in_ms),
            closed_after_ms: closed_after.map_or(usual.rules.closed_after_ms, in_ms),
        },
        max_bytes: max_bytes
            .map(|text| larder_settings::size("--max-bytes", text))
            .transpose()?,
        project: (!verb.all).then(|| settings.project().descent.project.clone()),
        alive: verb.scopes_alive.as_deref().map(alive).transpose()?,
        grace: period("--grace", verb.grace.as_ref())?.unwrap_or(usual.grace),
        dry_run: verb.dry_run,
        compact_bytes: match verb.compact.as_deref() {
            None => usual.compact_bytes,
            Some("off") => 0,
            Some(text) => larder_settings::size("--compact", text)?,
        },
        ..usual
    })
}

fn period(option: &str, text: Option<&String>) -> Done<Option<Duration>> {
    text.map(|text| larder_settings::period(option, text))
        .transpose()
}

fn in_ms(period: Duration) -> Option<u64> {
    u64::try_from(period.as_millis()).ok()
}

/// The scopes of a file. One that names none would have all removed.
fn alive(file: &Path) -> Done<Vec<String>> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin().take(SCOPES_MAX_BYTES))
    } else {
        std::fs::read_to_string(file)
    };
    let refused =
        |why: &dyn Display| Failure::input(format!("--scopes-alive {}: {why}", file.display()));
    let text = text.map_err(|error| refused(&error))?;
    let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.is_empty() {
        return Err(refused(
            &"it names no scope; write one a line, such as branch/main",
        ));
    }
    Ok(names)
}

fn text(collected: &Collected) -> String {
    let (would, is, are) = if collected.dry_run {
        ("would be ", "would be", "would be")
    } else {
        ("", "is", "are")
    };
    let gone = collected.gone.iter().take(TOLD_MAX);
    let mut lines: Vec<String> = gone
        .map(|one| format!("{would}removed {}: {}", one.document.name(), one.why))
        .collect();
    if collected.gone.len() > TOLD_MAX {
        lines.push(format!("and {} more", collected.gone.len() - TOLD_MAX));
    }
    let Collected {
        kept,
        removed,
        waiting,
        ..
    } = collected;
    lines.push(format!(
        "{would}removed {} documents and {}",
        collected.gone.len(),
        amount(removed)
    ));
    lines.push(format!(
        "{} documents stay, which name {}",
        collected.documents,
        amount(kept)
    ));
    if waiting.objects > 0 {
        lines.push(format!(
            "nothing names {}; it {is} removed when the grace is over",
            amount(waiting)
        ));
    }
    let Compacted {
        documents,
        given_up,
        stored_bytes,
        ..
    } = &collected.compacted;
    if *documents > 0 {
        lines.push(format!(
            "{would}laid out {documents} documents anew ({}), so that {} can go; they {are} removed when the grace is over",
            HumanBytes(*stored_bytes),
            amount(given_up)
        ));
    }
    lines.join("\n")
}

/// Objects and their size, for people.
pub(super) fn amount(amount: &Amount) -> String {
    format!("{} objects ({})", amount.objects, HumanBytes(amount.bytes))
}
