//! The table of `bench archive`, and what was promised.

use std::fmt::Write as _;

use anyhow::Result;

use super::commands::Cost;
use super::{Measured, Round, Saving};
use crate::bench::table::{median, megabytes, verdict};

/// At most this part of the time of `docker save | gzip` of the same images.
const FIRST_BOUND: f64 = 0.25;
const CHANGED_BOUND: f64 = 0.15;
/// At most this part of the time of `gunzip | docker load`.
const RESTORE_BOUND: f64 = 0.8;
/// At most this part of the layer's compressed size is stored for it when it was made again.
const AGAIN_BOUND: f64 = 0.05;
/// At most this much memory at once.
const PEAK_BOUND_BYTES: u64 = 256 * 1024 * 1024;

/// The text between the markers.
pub(super) fn of(measured: &Measured) -> Result<String> {
    let rounds = &measured.rounds;
    let mut text = format!(
        "Medians of {} rounds; five images, each stage's and the application's.\n\n\
         | | seconds | part of the peer | bytes |\n|---|--:|--:|--:|\n",
        rounds.len()
    );
    saving(&mut text, "first save", rounds, |round| &round.first)?;
    saving(&mut text, "save after one file changed", rounds, |round| {
        &round.changed
    })?;
    restore(&mut text, rounds)?;
    again(&mut text, measured)?;
    verdicts(&mut text, measured)?;
    Ok(text)
}

fn of_rounds(rounds: &[Round], value: impl Fn(&Round) -> f64) -> f64 {
    median(rounds.iter().map(value))
}

fn saving(
    text: &mut String,
    what: &str,
    rounds: &[Round],
    of: impl Fn(&Round) -> &Saving,
) -> Result<()> {
    let larder = of_rounds(rounds, |round| of(round).larder.seconds);
    let peer = of_rounds(rounds, |round| of(round).peer.seconds);
    writeln!(
        text,
        "| {what}: `docker save`, `gzip` | {peer:.2} | 1 | {:.1} MB stored |",
        of_rounds(rounds, |round| megabytes(of(round).peer.bytes))
    )?;
    writeln!(
        text,
        "| {what}: `larder save` | **{larder:.2}** | {:.2} | {:.1} MB stored |",
        larder / peer,
        of_rounds(rounds, |round| megabytes(of(round).larder.bytes))
    )?;
    let export = of_rounds(rounds, |round| of(round).export);
    writeln!(
        text,
        "| {what}: the engine's export alone | {export:.2} | {:.2} | |",
        export / peer
    )?;
    Ok(())
}

fn restore(text: &mut String, rounds: &[Round]) -> Result<()> {
    let peer = of_rounds(rounds, |round| round.restore.peer);
    let larder = of_rounds(rounds, |round| round.restore.larder.seconds);
    let unpacking = of_rounds(rounds, |round| round.restore.unpacking);
    writeln!(
        text,
        "| restore: `gunzip`, `docker load` | {peer:.2} | 1 | {:.1} MB read |",
        of_rounds(rounds, |round| megabytes(round.changed.peer.bytes))
    )?;
    writeln!(
        text,
        "| restore: `larder restore` | **{larder:.2}** | {:.2} | {:.1} MB fetched |",
        larder / peer,
        of_rounds(rounds, |round| megabytes(round.restore.larder.bytes))
    )?;
    writeln!(
        text,
        "| restore: the engine's unpacking alone | {unpacking:.2} | {:.2} | |",
        unpacking / peer
    )?;
    Ok(())
}

fn again(text: &mut String, measured: &Measured) -> Result<()> {
    let layer = &measured.dependencies;
    writeln!(
        text,
        "\nThe layer of `npm ci` made again after one dependency was added: {} files, {} of them with the \
         modification time that they had; {:.1} MB, {:.1} MB through `gzip -6`. Stored for it, its image's \
         other parts included: {:.2} MB.\n",
        layer.files,
        layer.untouched,
        megabytes(layer.bytes),
        megabytes(layer.gzip_bytes),
        megabytes(layer.stored_bytes)
    )?;
    Ok(())
}

fn verdicts(text: &mut String, measured: &Measured) -> Result<()> {
    let rounds = &measured.rounds;
    let first = of_rounds(rounds, |round| round.first.larder.seconds)
        / of_rounds(rounds, |round| round.first.peer.seconds);
    let changed = of_rounds(rounds, |round| round.changed.larder.seconds)
        / of_rounds(rounds, |round| round.changed.peer.seconds);
    let restore = of_rounds(rounds, |round| round.restore.larder.seconds)
        / of_rounds(rounds, |round| round.restore.peer);
    let layer = &measured.dependencies;
    let again = megabytes(layer.stored_bytes) / megabytes(layer.gzip_bytes);
    let bound = megabytes(PEAK_BOUND_BYTES);
    writeln!(text, "Promises:\n")?;
    for (what, bound, value) in [
        ("first save, of `docker save | gzip`:", FIRST_BOUND, first),
        (
            "save after one file changed, of the same:",
            CHANGED_BOUND,
            changed,
        ),
        (
            "restore, of `gunzip | docker load`:",
            RESTORE_BOUND,
            restore,
        ),
        (
            "stored for the layer made again, of its compressed size:",
            AGAIN_BOUND,
            again,
        ),
        (
            "memory, first save, in MB:",
            bound,
            peak(rounds, |round| round.first.larder),
        ),
        (
            "memory, save, in MB:",
            bound,
            peak(rounds, |round| round.changed.larder),
        ),
        (
            "memory, restore, in MB:",
            bound,
            peak(rounds, |round| round.restore.larder),
        ),
    ] {
        writeln!(
            text,
            "- {what} at most {bound:.2}; measured {value:.3}: {}.",
            verdict(value <= bound)
        )?;
    }
    Ok(())
}

/// The most memory that one part of the job took in any round, in MB.
fn peak(rounds: &[Round], cost: impl Fn(&Round) -> Cost) -> f64 {
    let peaks = rounds.iter().filter_map(|round| cost(round).peak_bytes);
    megabytes(peaks.max().unwrap_or_default())
}
