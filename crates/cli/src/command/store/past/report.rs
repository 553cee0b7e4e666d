//! `larder report`: what a job came to, and the jobs before it; as a page with figures.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use larder_archive::note;
use larder_local::clock::now_ms;
use larder_local::files;
use larder_local::people::Voice as _;
use larder_page::{Course, Growth, Page, Row, growth};
use larder_session::facts::Job;
use larder_settings::Settings;
use larder_settings::args::{ReportVerb, Where};
use larder_settings::exit::{Done, Failure};
use larder_store::{Access, Objects};
use larder_upkeep::Selection;

use crate::command::store::own_line;
use crate::command::{block_on, check_folder};
use crate::report::summary::Summary;
use crate::report::{Report, table};

/// A longer report is none.
const REPORT_MAX_BYTES: u64 = 16 << 20;

pub(crate) fn run(verb: &ReportVerb, report: &Report) -> Done {
    check_folder("--html", verb.html.as_deref())?;
    let settings = Settings::decide(&verb.which, None, report)?;
    let job = job(verb, &settings)?;
    if job.is_none() {
        report.note(
            "no report of a job is here: `larder run`, `down` and `build` leave one for whoever may read the state \
             directory, and write one with --json FILE; this is the history alone",
        );
    }
    let line = line(&verb.which, &settings, job.as_ref());
    let store = store(&settings, job.as_ref())?;
    let archives = job.as_ref().is_some_and(|job| job.archives);
    let past = block_on(past(&store, &line, archives, verb.html.is_some(), report))?;
    // What the job came to is known without the store.
    let past = report.or_miss("no history", job.is_none(), past)?;
    let (rows, growth) = past.unwrap_or_default();
    let Some(file) = &verb.html else {
        report.answer(&text(job.as_ref(), &rows));
        return Ok(ExitCode::SUCCESS);
    };
    let page = Page {
        title: title(&settings, job.as_ref()),
        made_ms: now_ms(),
        job: job.as_ref(),
        rows: &rows,
        growth: &growth,
    };
    write(file, &page.html(), report)?;
    Ok(ExitCode::SUCCESS)
}

/// The report that was named, else that of the last job here, if it was one of this project.
fn job(verb: &ReportVerb, settings: &Settings) -> Done<Option<Course>> {
    if let Some(file) = &verb.report {
        return read(file).map(Some);
    }
    let on_volume = settings.place()?.last_report().map(Course::from);
    let all = on_volume.into_iter().chain(note::last(&settings.notes));
    let project = &settings.project().descent.project;
    let own = all.filter(|job| job.lineage.project == *project);
    Ok(own.max_by_key(|job| job.started_ms))
}

fn read(file: &Path) -> Done<Course> {
    let refused = |why: String| Failure::input(format!("{}: {why}", file.display()));
    let mut text = Vec::new();
    File::open(file)
        .and_then(|file| file.take(REPORT_MAX_BYTES).read_to_end(&mut text))
        .map_err(|error| refused(error.to_string()))?;
    let on_volume = serde_json::from_slice::<Job>(&text).map(Course::from);
    on_volume
        .or_else(|_| serde_json::from_slice(&text))
        .map_err(|error| {
            refused(format!(
                "this is no report of a job ({error}); name a file that `larder run`, `down` or `build` wrote with --json"
            ))
        })
}

/// The line of the job, unless another one is named.
fn line(which: &Where, settings: &Settings, job: Option<&Course>) -> Selection {
    let own = own_line(which, settings);
    match job {
        Some(job) if which.scope.is_none() && which.job.is_none() => Selection {
            project: Some(job.lineage.project.clone()),
            scopes: Some(vec![job.lineage.scope.clone()]),
            job: Some(job.lineage.job.clone()),
            ..own
        },
        _ => own,
    }
}

/// The store that is chosen, else that of the job.
fn store(settings: &Settings, job: Option<&Course>) -> Done<Access> {
    let project = settings.project();
    match job {
        Some(job) if !project.store_is_chosen => settings.other_store(&job.store, None),
        _ => Ok(project.store.clone()),
    }
}

/// The line's history, and for a page how the store grew.
async fn past(
    store: &Access,
    line: &Selection,
    archives: bool,
    for_a_page: bool,
    report: &Report,
) -> Done<(Vec<Row>, Vec<Growth>)> {
    let (objects, limit) = (store.open()?, super::history::LIMIT);
    let rows = if archives {
        super::archives(&objects, line, limit, report).await?
    } else {
        super::snapshots(&objects, line, limit, report).await?
    };
    let grown = if for_a_page {
        store_growth(&objects).await?
    } else {
        Vec::new()
    };
    Ok((rows, grown))
}

async fn store_growth(objects: &Objects) -> Done<Vec<Growth>> {
    let entries = objects.entries(larder_model::address::FORMAT).await?;
    let sizes = entries.iter().map(|entry| (entry.modified_ms, entry.bytes));
    Ok(growth(sizes))
}

fn title(settings: &Settings, job: Option<&Course>) -> String {
    let descent = &settings.project().descent;
    match job {
        Some(job) => format!(
            "{}: {} @ {}",
            job.lineage.project, job.lineage.job, job.lineage.scope
        ),
        None => format!("{}: {} @ {}", descent.project, descent.job, descent.scope),
    }
}

fn text(job: Option<&Course>, rows: &[Row]) -> String {
    let in_short = job.map(|job| Summary::of(&job.summary).text());
    let history = (!rows.is_empty()).then(|| {
        let newest_first = rows.iter().rev();
        table::text(&super::history::table_of(newest_first))
    });
    let parts: Vec<String> = in_short.into_iter().chain(history).collect();
    parts.join("\n\n")
}

fn write(file: &Path, page: &str, report: &Report) -> Done<()> {
    if file == Path::new("-") {
        report.answer(page);
        return Ok(());
    }
    files::write_public(file, page.as_bytes())
        .map_err(|error| Failure::input(format!("--html {}: {error}", file.display())))?;
    report.note(&format!("wrote {}", file.display()));
    Ok(())
}
