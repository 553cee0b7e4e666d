//! How much memory a program takes, with all processes that it starts of itself.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask_tools::room;

const POLL: Duration = Duration::from_millis(10);

/// Runs larder, and answers the most memory that was resident in one process of it, in megabytes.
pub(super) fn most_of(larder: &mut Command) -> Result<u32> {
    let mut child = larder.spawn().context("cannot start larder")?;
    let mut most = 0;
    loop {
        let of_larder = room::processes().into_iter();
        let of_larder = of_larder.filter(|process| process.program() == "larder");
        most = of_larder
            .map(|process| resident(process.pid))
            .fold(most, u32::max);
        if let Some(ended) = child.try_wait()? {
            ensure!(ended.success(), "larder ended with {ended}");
            return Ok(most / 1000);
        }
        sleep(POLL);
    }
}

/// The most that was ever resident in a process, in kilobytes; nothing if it has ended.
fn resident(pid: i32) -> u32 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0)
}
