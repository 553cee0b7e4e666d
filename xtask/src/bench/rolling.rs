//! `bench rolling`: one build a machine, each after a change, in four lanes.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::kept::{Fresh, Kept};
use super::lane::{Case, Lane, LaneName, Measure, drop_page_cache};
use super::registry::RegistryCache;
use crate::engine::{self, Machine};
use crate::job::Job;
use crate::say;

/// Rebuild after a change on a fresh machine: no cache, kept disk, registry cache, Larder
#[derive(clap::Args)]
pub struct Args {
    /// Measured builds of each lane and case; the tables show medians
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Which lanes
    #[arg(long, value_delimiter = ',', default_value = "none,kept,registry")]
    lanes: Vec<LaneName>,
    /// Which cases
    #[arg(long, value_delimiter = ',', default_value = "source,deps,base,same")]
    cases: Vec<Case>,
    /// Writes every measured build to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keeps the working folder with every build's log
    #[arg(long)]
    keep: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let machine = engine::ready()?;
    let mut folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&machine.cache)?;
    folder.disable_cleanup(args.keep);
    let mut lanes: Vec<Box<dyn Lane>> = args
        .lanes
        .iter()
        .map(|name| lane(*name, folder.path()))
        .collect();
    for lane in &mut lanes {
        let name = format!("warm-{}", word(lane.name()));
        let mut job = Job::create(folder.path().join(name), &machine.base_tar)?;
        say::timed(&format!("{:<9} warm-up", word(lane.name())), || {
            lane.warm_up(&mut job)
        })?;
    }
    for round in 1..=args.rounds {
        for &case in &args.cases {
            for lane in &mut lanes {
                let m = one(lane.as_mut(), case, round, folder.path(), &machine)?;
                say::line(format!(
                    "{round} {:<9} {:<7} restore {:.2} build {:.2} save {:.2} total {:.2} fetched {} stored {}",
                    word(lane.name()),
                    word(case),
                    m.restore,
                    m.build,
                    m.save,
                    m.total(),
                    m.fetched,
                    m.stored
                ));
            }
        }
    }
    Ok(())
}

fn lane(name: LaneName, folder: &Path) -> Box<dyn Lane> {
    match name {
        LaneName::None => Box::<Fresh>::default(),
        LaneName::Kept => Box::new(Kept::new(folder.join("kept.img"))),
        LaneName::Registry => Box::new(RegistryCache::new(folder.join("registry"))),
        LaneName::Larder => todo!(),
    }
}

fn one(
    lane: &mut dyn Lane,
    case: Case,
    round: u32,
    folder: &Path,
    machine: &Machine,
) -> Result<Measure> {
    let name = format!("{}-{}-{round}", word(lane.name()), word(case));
    let mut job = Job::create(folder.join(name), &machine.base_tar)?;
    let mut revision = 0;
    match case {
        Case::Source => {
            revision = round;
            job.application.change_source(round)?;
        }
        Case::Deps => job.application.add_dependency()?,
        Case::Base => job.base_moved = true,
        Case::Same => {}
    }
    lane.prepare(&mut job)?;
    drop_page_cache()?;
    let measure = lane.measure(&job, revision)?;
    let (c, t) = job.cached_steps()?;
    say::line(format!("{c} of {t} cached"));
    Ok(measure)
}

fn word(value: impl clap::ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}
