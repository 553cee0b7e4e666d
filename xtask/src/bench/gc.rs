//! `bench gc`: a store of 5,000 documents and 20,000 packs, in a folder and on an S3 server: what looking at all of
//! it costs, and removing half.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use super::memory;
use super::table::{Common, verdict};
use crate::job::larder::{self, Store};
use crate::job::s3::{self, Server};
use crate::{process, say};

/// What Larder promises.
const SECONDS_BOUND: f64 = 60.0;
const MEGABYTES_BOUND: u32 = 300;

/// Collecting garbage in a large store: time, memory, requests
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Documents in the store
    #[arg(long, default_value_t = 5_000)]
    documents: u32,
    /// Packs in the store
    #[arg(long, default_value_t = 20_000)]
    packs: u32,
}

/// What is run one after the other: nothing to remove; half of the documents go; what they named goes; a listing.
const STEPS: [(&str, &[&str]); 4] = [
    ("look at everything", &["gc", "--keep-last", "1000000"]),
    (
        "half of the documents go",
        &["gc", "--keep-last", "50", "--grace", "0s"],
    ),
    (
        "what they named goes",
        &["gc", "--keep-last", "50", "--grace", "0s"],
    ),
    ("`larder ls`", &["ls"]),
];

struct Measured {
    seconds: f64,
    megabytes: u32,
    requests: Option<usize>,
}

/// Runs the benchmark.
pub(super) fn run(args: &Args) -> Result<()> {
    let (machine, folder, program) = args.common.place()?;
    let fill = larder::executable(
        "fill",
        &["--release", "-p", "larder-upkeep", "--example", "fill"],
    )?;
    let server = Server::start(&machine.moto_server, folder.path())?;
    let stores = [
        ("folder", Store::folder(&folder.path().join("store")), None),
        (
            "S3",
            s3::store("gc", server.port),
            Some(folder.path().join("s3.log")),
        ),
    ];
    let mut rows = String::new();
    for (name, store, log) in stores {
        say::timed("filled a store", || filled(&fill, &store, args))?;
        for (what, words) in STEPS {
            let measured = measure(&program, &store, words, log.as_deref())?;
            row(&mut rows, name, what, &measured)?;
        }
    }
    let table = format!(
        "| store | step | seconds | memory at most | requests | promised: {SECONDS_BOUND} s, {MEGABYTES_BOUND} MB |\n\
         |---|---|---|---|---|---|\n{rows}"
    );
    args.common.show("gc", &table)
}

fn filled(program: &Path, store: &Store, args: &Args) -> Result<()> {
    let mut fill = Command::new(program);
    fill.arg(&store.url)
        .args([args.documents, args.packs].map(|count| count.to_string()));
    process::run(fill.envs(store.environment.iter().cloned()))
}

fn measure(program: &Path, store: &Store, words: &[&str], log: Option<&Path>) -> Result<Measured> {
    let before = log.map(lines).transpose()?;
    let begun = Instant::now();
    let mut larder = Command::new(program);
    larder.args(words).args(["--all", "--store", &store.url]);
    larder
        .envs(store.environment.iter().cloned())
        .current_dir("/");
    let megabytes = memory::most_of(larder.stdin(Stdio::null()).stdout(Stdio::null()))?;
    let seconds = begun.elapsed().as_secs_f64();
    let after = log.map(lines).transpose()?;
    Ok(Measured {
        seconds,
        megabytes,
        requests: after.zip(before).map(|(after, before)| after - before),
    })
}

/// The requests in the server's log.
fn lines(log: &Path) -> Result<usize> {
    let text = fs::read_to_string(log).context("the S3 server's log")?;
    Ok(text
        .lines()
        .filter(|line| line.contains("HTTP/1.1\""))
        .count())
}

fn row(rows: &mut String, store: &str, what: &str, measured: &Measured) -> Result<()> {
    let Measured {
        seconds,
        megabytes,
        requests,
    } = measured;
    let requests = requests.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let holds = *seconds <= SECONDS_BOUND && *megabytes <= MEGABYTES_BOUND;
    writeln!(
        rows,
        "| {store} | {what} | {seconds:.1} | {megabytes} MB | {requests} | {} |",
        verdict(holds)
    )?;
    Ok(())
}
