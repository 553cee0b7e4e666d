//! The table of `bench archive`, and what was promised.

use std::fmt::Write as _;

use anyhow::Result;

use super::commands::Cost;
use super::{Measured, Round, Saving};
use crate::bench::table::{median, megabytes};

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
pub fn of(measured: &Measured) -> Result<String> {
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
    let middle = |value: &dyn Fn(&Saving) -> f64| of_rounds(rounds, |round| value(of(round)));
    let (larder, peer) = (
        middle(&|saving| saving.larder.seconds),
        middle(&|saving| saving.peer.seconds),
    );
    writeln!(
        text,
        "| {what}: `docker save`, `gzip` | {peer:.2} | 1 | {:.1} MB stored |",
        middle(&|saving| megabytes(saving.peer.bytes))
    )?;
    writeln!(
        text,
        "| {what}: `larder save` | **{larder:.2}** | {:.2} | {:.1} MB stored |",
        larder / peer,
        middle(&|saving| megabytes(saving.larder.bytes))
    )?;
    let export = middle(&|saving| saving.export);
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
    let ratio = |larder: &dyn Fn(&Round) -> f64, peer: &dyn Fn(&Round) -> f64| {
        of_rounds(rounds, larder) / of_rounds(rounds, peer)
    };
    let first = ratio(&|round| round.first.larder.seconds, &|round| {
        round.first.peer.seconds
    });
    let changed = ratio(&|round| round.changed.larder.seconds, &|round| {
        round.changed.peer.seconds
    });
    let restore = ratio(&|round| round.restore.larder.seconds, &|round| {
        round.restore.peer
    });
    let layer = &measured.dependencies;
    let again = megabytes(layer.stored_bytes) / megabytes(layer.gzip_bytes);
    let peak = |cost: fn(&Round) -> Cost| {
        let peaks = rounds.iter().filter_map(|round| cost(round).peak_bytes);
        megabytes(peaks.max().unwrap_or_default())
    };
    let peaks = [
        ("first save", peak(|round| round.first.larder)),
        ("save", peak(|round| round.changed.larder)),
        ("restore", peak(|round| round.restore.larder)),
    ];
    writeln!(text, "Promises:\n")?;
    let mut say = |what: &str, bound: f64, value: f64| {
        let verdict = if value <= bound {
            "holds"
        } else {
            "**missed**"
        };
        writeln!(
            text,
            "- {what} at most {bound:.2}; measured {value:.3}: {verdict}."
        )
    };
    say("first save, of `docker save | gzip`:", FIRST_BOUND, first)?;
    say(
        "save after one file changed, of the same:",
        CHANGED_BOUND,
        changed,
    )?;
    say(
        "restore, of `gunzip | docker load`:",
        RESTORE_BOUND,
        restore,
    )?;
    say(
        "stored for the layer made again, of its compressed size:",
        AGAIN_BOUND,
        again,
    )?;
    for (what, value) in peaks {
        say(
            &format!("memory, {what}, in MB:"),
            megabytes(PEAK_BOUND_BYTES),
            value,
        )?;
    }
    Ok(())
}
