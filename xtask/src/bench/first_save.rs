//! `bench first-save`: Larder's seal and store of a fresh engine, against `docker save` of every
//! image through gzip, as the do-it-yourself recipes do it. Both happen in one job, on the same
//! images. The classic builder makes each step an image, so that both keep the same layers.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::table::{Common, Rounds, median, megabytes, verdict};
use crate::job::Job;
use crate::job::larder::{self, Session};
use crate::say;

/// What Larder promises: at most this part of the time of `docker save | gzip`.
const BOUND: f64 = 0.35;
/// The phases of Larder's report that make up seal and store.
const PHASES: [&str; 3] = ["close", "pack", "publish"];
const BLOCK_BYTES: u64 = 64 * 1024;

/// The first save of a fresh engine, against `docker save | gzip`
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    repeated: Rounds,
}

/// One job's figures, in seconds and megabytes.
struct Round {
    docker_save: f64,
    docker_size: f64,
    phases: [f64; PHASES.len()],
    larder_size: f64,
    used: f64,
}

/// Runs the benchmark.
pub(super) fn run(args: &Args) -> Result<()> {
    let (machine, folder, program) = args.common.place()?;
    let mut rounds = Vec::new();
    for number in 1..=args.repeated.rounds {
        let mut job = Job::create(
            folder.path().join(format!("round-{number}")),
            &machine.base_tar,
        )?;
        job.classic = true;
        job.application.make_classic()?;
        let what = format!("round {number}");
        rounds.push(say::timed(&what, || measure(&program, &job))?);
    }
    args.common.show("first-save", &table(&rounds)?)
}

fn measure(program: &std::path::Path, job: &Job) -> Result<Round> {
    let store = job.folder.join("store");
    std::fs::create_dir_all(&store)?;
    let session = Session {
        program,
        store: &larder::Store::folder(&store),
        scope: "main",
    };
    let report = session.run(job)?;
    let saved = report.saved()?;
    let times = job.finish(0)?;
    let images_saved = times
        .images_saved
        .context("the job did not save its images")?;
    let archive = job.folder.join("images.tar.gz");
    let docker_size = std::fs::metadata(&archive)
        .with_context(|| format!("no {}", archive.display()))?
        .len();
    let phases = PHASES.map(|name| report.seconds(name));
    let [Some(quiesce), Some(seal), Some(store)] = phases else {
        bail!("the report lacks one of the phases {}", PHASES.join(", "));
    };
    Ok(Round {
        docker_save: images_saved - times.end,
        docker_size: megabytes(docker_size),
        phases: [quiesce, seal, store],
        larder_size: megabytes(saved.stored_bytes),
        used: megabytes(saved.used_blocks * BLOCK_BYTES),
    })
}

fn middle(rounds: &[Round], value: impl Fn(&Round) -> f64) -> f64 {
    median(rounds.iter().map(value))
}

fn table(rounds: &[Round]) -> Result<String> {
    let docker = middle(rounds, |round| round.docker_save);
    let larder = middle(rounds, |round| round.phases.iter().sum());
    let ratio = larder / docker;
    let verdict = verdict(ratio <= BOUND);
    let mut text = format!(
        "Medians of {} rounds. The volume held {:.0} MB.\n\n| | seconds | stored |\n|---|--:|--:|\n\
         | `docker save` of all images, `gzip` | {docker:.2} | {:.0} MB |\n\
         | larder, seal and store | **{larder:.2}** | {:.0} MB |\n",
        rounds.len(),
        middle(rounds, |round| round.used),
        middle(rounds, |round| round.docker_size),
        middle(rounds, |round| round.larder_size),
    );
    for (index, name) in PHASES.iter().enumerate() {
        writeln!(
            text,
            "| - {name} | {:.2} | |",
            middle(rounds, |round| round.phases[index])
        )?;
    }
    writeln!(
        text,
        "\nPromise: at most {BOUND} of `docker save | gzip`; measured {ratio:.2}: {verdict}."
    )?;
    Ok(text)
}
