//! `cargo xtask campaign writers`: eight machines save one lineage at once, each killed at a random moment, with
//! collections that compact beside them, which are killed too, and clocks that are wrong by up to an hour.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bench::{circumstances, publish_in};
use crate::job::larder;
use crate::{engine, process, say, workplace};
use xtask_tools::random::Random;

const WRITERS: usize = 8;
const COLLECTIONS: usize = 2;
/// Milliseconds that a job works at most. It must be over within half of the grace.
const WORKS_MS: u64 = 300;
/// Milliseconds after which a writer is killed at most; many are done by then.
const LIVES_MS: u64 = 1_900;
const HOUR_MS: u64 = 3_600_000;
const KEEP: &str = "3";

/// Kill machines that save one lineage, and collections beside them, and see whether all verifies
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds of eight writers
    #[arg(long, default_value_t = 300)]
    rounds: usize,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Milliseconds that unnamed objects stay
    #[arg(long, default_value_t = 12_000)]
    grace_ms: u64,
    /// Prints the table without writing docs/RELIABILITY.md
    #[arg(long)]
    dry_run: bool,
}

/// What came of all rounds.
#[derive(Default)]
struct Tally {
    writers: usize,
    killed: usize,
    saved: usize,
    refused: usize,
    collections_killed: usize,
    checked: usize,
    damaged: usize,
    laid_out_anew: usize,
}

/// Runs the campaign.
pub(crate) fn run(args: &Args) -> Result<()> {
    let machine = engine::ready()?;
    let folder = workplace::create(&machine, false)?;
    let program = example()?;
    let campaign = Campaign {
        program,
        store: folder.path().join("store"),
        grace_ms: args.grace_ms.to_string(),
    };
    let mut random = Random::new(args.seed);
    let mut tally = Tally::default();
    let started = Instant::now();
    for round in 1..=args.rounds {
        campaign.round(&mut random, &mut tally)?;
        if round % 20 == 0 {
            say::line(format!(
                "round {round}: {} saved, {} killed, {} damaged",
                tally.saved, tally.killed, tally.damaged
            ));
        }
    }
    let left_over = campaign.say("settle")?;
    let table = table(args, &tally, &left_over, started.elapsed());
    say::line(&table);
    if !args.dry_run {
        let content = format!("{table}\n{}", circumstances()?);
        publish_in("RELIABILITY.md", "writers", &content)?;
    }
    ensure!(
        tally.damaged == 0 && left_over == "0",
        "a document is damaged, or something is left over"
    );
    Ok(())
}

fn example() -> Result<PathBuf> {
    larder::executable("writers", &["-p", "larder-upkeep", "--example", "writers"])
}

struct Campaign {
    program: PathBuf,
    store: PathBuf,
    grace_ms: String,
}

impl Campaign {
    fn round(&self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        let collections =
            (0..COLLECTIONS).map(|_| self.start(&["collect"], &[&self.grace_ms, KEEP]));
        let mut collections: Vec<Child> = collections.collect::<Result<_>>()?;
        let begun = Instant::now();
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            let seed = random.below(1 << 31).to_string();
            let ahead = random.below(2 * HOUR_MS);
            let clock = i64::try_from(ahead)? - i64::try_from(HOUR_MS)?;
            let works = random.below(WORKS_MS).to_string();
            let writer = self.start(&["write"], &[&seed, &clock.to_string(), &works])?;
            writers.push((Duration::from_millis(random.below(LIVES_MS)), writer));
        }
        tally.writers += writers.len();
        writers.sort_by_key(|(lives, _)| *lives);
        for (lives, mut writer) in writers {
            sleep(lives.saturating_sub(begun.elapsed()));
            match writer.try_wait()? {
                Some(status) if status.success() => tally.saved += 1,
                Some(_) => tally.refused += 1,
                None => tally.killed += 1,
            }
            end(&mut writer)?;
        }
        for collection in &mut collections {
            sleep(Duration::from_millis(random.below(100)));
            ensure!(collection.try_wait()?.is_none(), "a collection failed");
            end(collection)?;
            tally.collections_killed += 1;
        }
        let checked = self.say("check")?;
        let numbers = checked.split(' ').map(str::parse);
        let numbers: Vec<usize> = numbers.collect::<Result<_, _>>()?;
        let [documents, damaged, anew] = numbers[..] else {
            bail!("{checked:?} are not three numbers");
        };
        tally.checked += documents;
        tally.damaged += damaged;
        tally.laid_out_anew += anew;
        Ok(())
    }

    fn start(&self, before: &[&str], after: &[&str]) -> Result<Child> {
        let mut command = self.command(before, after);
        command
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start a machine")
    }

    fn command(&self, before: &[&str], after: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(before).arg(&self.store).args(after);
        command.stdin(Stdio::null());
        command
    }

    fn say(&self, verb: &str) -> Result<String> {
        process::read(&mut self.command(&[verb], &[&self.grace_ms, KEEP]))
    }
}

/// SIGKILL, if it has not ended.
fn end(child: &mut Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn table(args: &Args, tally: &Tally, left_over: &str, took: Duration) -> String {
    format!(
        "| rounds | writers | killed | saved | not saved | collections killed | documents verified, byte for byte | of them laid out anew | damaged | left over at the end | took |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n\
         | {} | {} | {} | {} | {} | {} | {} | {} | **{}** | **{left_over}** | {} s |\n",
        args.rounds,
        tally.writers,
        tally.killed,
        tally.saved,
        tally.refused,
        tally.collections_killed,
        tally.checked,
        tally.laid_out_anew,
        tally.damaged,
        took.as_secs()
    )
}
