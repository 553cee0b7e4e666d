//! Attacks by the thousand: what somebody may bring who can write to a store, to a checkout, to a volume, to a
//! directory on the way, to a registry, or to the machine's settings. Each is made of random parts, and each has the
//! same expectation: Larder ends in time, with a code that it documents, in words that nobody obeys; nothing of the
//! machine's is read out, changed or ended; and a job that may run does what it would do on an empty engine.
//!
//! An attack's random numbers begin at the campaign's seed and its own number, so that one can be made again.

mod checkouts;
mod ground;
mod registries;
mod settings;
mod states;
mod stores;
mod victims;
mod volumes;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use xtask_tools::random::Random;
use xtask_tools::say;

use ground::Ground;

/// What is attacked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Objects of a store: forged, damaged, exchanged, links, far too many.
    Stores,
    /// What is on a restored volume: containers, links, devices, broken databases.
    Volumes,
    /// Files and links of a commit.
    Checkouts,
    /// The machine's daemon.json, and the environment.
    Settings,
    /// Files and links where state is kept.
    States,
    /// What a registry answers.
    Registries,
}

impl Kind {
    /// All, each with how often it is chosen of a hundred: those that start an engine take seconds.
    const ALL: [(Self, u64); 6] = [
        (Self::Stores, 12),
        (Self::Volumes, 4),
        (Self::Checkouts, 34),
        (Self::Settings, 16),
        (Self::States, 16),
        (Self::Registries, 18),
    ];

    fn attack(self, ground: &mut Ground<'_>, random: &mut Random) -> Result<Attack> {
        match self {
            Self::Stores => stores::attack(ground, random),
            Self::Volumes => volumes::attack(ground, random),
            Self::Checkouts => checkouts::attack(ground, random),
            Self::Settings => settings::attack(ground, random),
            Self::States => states::attack(ground, random),
            Self::Registries => registries::attack(ground, random),
        }
    }
}

/// One attack, and what came of it.
struct Attack {
    /// What it was made of.
    parts: Vec<String>,
    /// What Larder ran for it.
    ran: ground::Ran,
    /// What did not hold.
    broken: Vec<String>,
}

/// A campaign.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The program that is attacked.
    pub program: &'a Path,
    /// The example `forge` of the crate `volume`.
    pub forge: &'a Path,
    /// The working directory.
    pub folder: &'a Path,
    /// Of this kind alone.
    pub kind: Option<Kind>,
    /// How many.
    pub attacks: u64,
    /// The number of the first one.
    pub first: u64,
    /// Where the random numbers begin.
    pub seed: u64,
    /// No attack begins later.
    pub until: Instant,
}

/// What came of all attacks of a kind.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    attacks: u64,
    worked: u64,
    refused: u64,
    broken: u64,
    longest: Duration,
}

/// Runs the campaign on this machine, which is one of its own: the table, and how many attacks did not fail.
pub fn run(plan: &Plan<'_>) -> Result<(String, u64)> {
    let mut ground = Ground::new(plan)?;
    let mut rows = Kind::ALL.map(|(kind, _)| (kind, Row::default()));
    for number in plan.first..plan.first + plan.attacks {
        if Instant::now() >= plan.until {
            break;
        }
        let mut random = Random::new(plan.seed.wrapping_mul(1_000_003) + number);
        let kind = plan.kind.unwrap_or_else(|| choose(&mut random));
        ground.begin(number)?;
        let attack = kind.attack(&mut ground, &mut random);
        let attack = attack.with_context(|| format!("attack {number}, {kind:?}"))?;
        let broken = [attack.broken, ground.end()?].concat();
        for (_, row) in rows.iter_mut().filter(|(of, _)| *of == kind) {
            row.attacks += 1;
            row.longest = row.longest.max(attack.ran.took);
            let worked = attack.ran.code == Some(0);
            row.worked += u64::from(worked);
            row.refused += u64::from(!worked);
            row.broken += u64::from(!broken.is_empty());
        }
        if !broken.is_empty() {
            say::line(format!(
                "attack {number}, {kind:?}: {}\n  {:?}\n  {broken:#?}\n  it said: {}",
                attack.ran.line,
                attack.parts,
                attack.ran.last_words()
            ));
        }
    }
    let broken = rows.iter().map(|(_, row)| row.broken).sum();
    Ok((table(&rows), broken))
}

fn choose(random: &mut Random) -> Kind {
    let mut at = random.below(Kind::ALL.iter().map(|(_, weight)| weight).sum());
    let chosen = Kind::ALL.iter().find(|(_, weight)| {
        let here = at < *weight;
        at = at.saturating_sub(*weight);
        here
    });
    chosen.map_or(Kind::Checkouts, |(kind, _)| *kind)
}

fn table(rows: &[(Kind, Row)]) -> String {
    let mut table = String::from(
        "| attacked with | attacks | it worked all the same | refused with a reason | **that succeeded** | longest |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for (kind, row) in rows.iter().filter(|(_, row)| row.attacks > 0) {
        let name = format!("{kind:?}").to_lowercase();
        let _ = writeln!(
            table,
            "| {name} | {} | {} | {} | **{}** | {:.1} s |",
            row.attacks,
            row.worked,
            row.refused,
            row.broken,
            row.longest.as_secs_f64()
        );
    }
    table
}
