//! The background process's memory does not grow with what is read.

use std::fs;

use crate::kit::Store;
use crate::machine::Machine;

/// Resident bytes that the background process may have had at most.
const PEAK_MAX_BYTES: u64 = 150 << 20;
/// Bytes of state that the second job reads; none of them compress.
const STATE_BYTES: u64 = 350 << 20;

#[test]
fn reading_everything_takes_little_memory() {
    let store = Store::new();
    let machine = Machine::new();
    let line = format!(
        "head -c {STATE_BYTES} /dev/urandom > $HOME/noise && tar -C $HOME -c noise | docker import - noise; rm $HOME/noise"
    );
    let first = machine.job(&store.url(), &[], &line).saved();
    let status = machine.path("status");
    // The namespace's /proc belongs to the machine's process namespace, like the command.
    let line = format!(
        "docker create --name it noise x && docker export it | wc -c && cat /proc/$(pgrep -f '[_]_serve')/status > {}",
        status.display()
    );
    let second = machine
        .job(&store.url(), &[], &line)
        .saved()
        .restored(&first);
    let fetched = second.report["fetched"]["bytes"]
        .as_u64()
        .expect("a number");
    assert!(fetched >= STATE_BYTES, "only {fetched} bytes were read");
    let status = fs::read_to_string(status).expect("read");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("a peak");
    let peak: u64 = peak
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    assert!(peak << 10 <= PEAK_MAX_BYTES, "the peak was {peak} KiB");
}
