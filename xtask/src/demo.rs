//! `cargo xtask demo`: the example application's image, made twice on two machines that share
//! nothing but a store, the second time after a change of one source file.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use crate::bench::megabytes;
use crate::job::larder::{self, Session};
use crate::job::report::Report;
use crate::job::{Job, Times, now};
use crate::say;

/// Build a real application's image twice on two "machines" and compare the jobs (root)
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    larder: larder::Which,
    /// Keeps the store, the logs and the reports
    #[arg(long)]
    keep: bool,
}

/// What one machine did.
struct Outcome {
    report: Report,
    times: Times,
    begin: f64,
    end: f64,
    cached: (usize, usize),
}

/// Runs the demo.
pub(crate) fn run(args: &Args) -> Result<()> {
    let (machine, folder, program) = larder::place(&args.larder, args.keep)?;
    let store = folder.path().join("store");
    std::fs::create_dir_all(&store)?;
    let session = Session {
        program: &program,
        store: &larder::Store::folder(&store),
        scope: "main",
    };
    let mut outcomes = Vec::new();
    for (number, revision) in [(1, 0), (2, 7)] {
        let job = Job::create(
            folder.path().join(format!("machine-{number}")),
            &machine.base_tar,
        )?;
        if revision > 0 {
            job.application.change_source(revision)?;
        }
        let what = format!("machine {number}: image built and checked");
        outcomes.push(say::timed(&what, || one(&session, &job, revision))?);
    }
    let [first, second] = &outcomes[..] else {
        unreachable!("two machines were asked for");
    };
    say::line(compare(first, second)?);
    ensure!(
        second.cached.0 > 0,
        "the second machine restored a snapshot but found no build step in it"
    );
    say::line(meaning(first, second));
    if args.keep {
        say::line(format!("kept: {}", folder.path().display()));
    }
    Ok(())
}

fn one(session: &Session, job: &Job, revision: u32) -> Result<Outcome> {
    let begin = now();
    let report = session.run(job)?;
    let end = now();
    report.saved()?;
    Ok(Outcome {
        report,
        times: job.finish(revision)?,
        begin,
        end,
        cached: job.cached_steps()?,
    })
}

fn compare(first: &Outcome, second: &Outcome) -> Result<String> {
    let mut text = String::new();
    let mut row = |what: &str, of: &dyn Fn(&Outcome) -> String| {
        writeln!(text, "{what:<34} {:>16} {:>16}", of(first), of(second))
    };
    row("", &|outcome| {
        let empty = outcome.report.restored.is_none();
        if empty {
            "empty store"
        } else {
            "one file changed"
        }
        .to_owned()
    })?;
    row("engine ready after", &|o| seconds(o.times.begin - o.begin))?;
    row("docker build", &|o| seconds(o.times.built - o.times.begin))?;
    row("stopped and saved after", &|o| seconds(o.end - o.times.end))?;
    row("all of it", &|o| {
        seconds(o.end - o.begin - (o.times.end - o.times.built))
    })?;
    row("build steps from the cache", &|o| {
        format!("{} of {}", o.cached.0, o.cached.1)
    })?;
    row("fetched from the store", &|o| {
        format!("{:.1} MB", megabytes(o.report.fetched.bytes))
    })?;
    row("stored", &|o| {
        format!("{:.1} MB", megabytes(stored(&o.report)))
    })?;
    row("restored snapshot", &|o| {
        short(o.report.restored.as_ref().map(|it| &it.snapshot))
    })?;
    row("saved snapshot", &|o| {
        short(o.report.saved.as_ref().map(|it| &it.snapshot))
    })?;
    for phase in phase_names(first, second) {
        row(&format!("  {phase}"), &|o| {
            o.report
                .seconds(phase)
                .map_or_else(|| "-".to_owned(), seconds)
        })?;
    }
    Ok(text)
}

fn meaning(first: &Outcome, second: &Outcome) -> String {
    format!(
        "The second machine had never built anything. It took the first one's engine from the store, block by \
         block as the build asked for them,\nand rebuilt only what the changed file touches: {:.1} s instead of {:.1} s.",
        second.times.built - second.times.begin,
        first.times.built - first.times.begin
    )
}

fn seconds(value: f64) -> String {
    format!("{value:.2} s")
}

fn stored(report: &Report) -> u64 {
    report.saved.as_ref().map_or(0, |saved| saved.stored_bytes)
}

fn short(id: Option<&String>) -> String {
    id.map_or_else(|| "-".to_owned(), |id| id.chars().take(12).collect())
}

/// Every phase that either machine went through, in order.
fn phase_names<'a>(first: &'a Outcome, second: &'a Outcome) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for phase in first.report.phases.iter().chain(&second.report.phases) {
        if !names.contains(&phase.name.as_str()) {
            names.push(&phase.name);
        }
    }
    names
}
