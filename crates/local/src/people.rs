//! What the people who wait for a job are told on the way, and who can mend what went wrong.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Takes the notes, warnings and progress of a long job. The program prints them; a background process
/// sends them to the command that asked.
pub trait Voice: Sync {
    /// A sentence.
    fn note(&self, text: &str);

    /// A sentence about something that went wrong and does not stop the job.
    fn warning(&self, text: &str);

    /// How far a long step is. Each call replaces what the one before said.
    fn progress(&self, progress: Progress);
}

/// Nobody listens.
pub struct Nobody;

impl Voice for Nobody {
    fn note(&self, _: &str) {}
    fn warning(&self, _: &str) {}
    fn progress(&self, _: Progress) {}
}

/// How far a long step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It has begun, and how long it takes is not known. The word for it: `restoring`.
    Begun(String),
    /// It has moved this many bytes.
    Moved {
        /// The word for it: `saving`.
        doing: String,
        /// Bytes so far.
        bytes: u64,
    },
    /// A save has looked at some of the blocks.
    Saving {
        /// Blocks looked at.
        done: u64,
        /// Blocks to look at.
        total: u64,
        /// Bytes stored.
        stored_bytes: u64,
    },
    /// It is over.
    Over,
}

/// Who can mend what went wrong. The program's exit code follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// Nobody at once: Larder, the store or the engine failed.
    Ours,
    /// Whoever typed or configured a value.
    Input,
    /// Whoever sets the machine up: it lacks something.
    Machine,
}

/// Characters that a terminal or a reader acts upon instead of showing them: control characters, line and
/// paragraph separators, marks of direction (Unicode Standard Annex 9, section 2), and marks without width.
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A time for people, from milliseconds.
pub fn seconds(ms: f64) -> String {
    format!("{:.1} s", ms / 1000.0)
}

/// The same of whole milliseconds.
pub fn seconds_of(ms: u64) -> String {
    seconds(Duration::from_millis(ms).as_secs_f64() * 1000.0)
}

/// What a job gained or lost, with how that is found: what it takes without a restore, less what it took, less all
/// that Larder took. `cold` says what is compared, and where: `on an empty engine the builds`.
pub fn net(cold: &str, [cold_ms, own_ms, ours_ms]: [f64; 3]) -> String {
    let net = cold_ms - own_ms - ours_ms;
    let word = if net < 0.0 { "lost" } else { "saved" };
    format!(
        "{} {word}: {cold} took {}, now {}; Larder took {}",
        seconds(net.abs()),
        seconds(cold_ms),
        seconds(own_ms),
        seconds(ours_ms)
    )
}

/// The same of a job that found nothing.
pub fn net_of_first(what: &str, own_ms: f64, ours_ms: f64) -> String {
    format!(
        "nothing saved yet: later jobs are compared with this one, where {what} took {}; Larder took {}",
        seconds(own_ms),
        seconds(ours_ms)
    )
}

/// An age for people, from milliseconds: its largest unit.
pub fn age(ms: u64) -> String {
    let seconds = Duration::from_millis(ms).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A size for people.
#[allow(clippy::cast_precision_loss)] // two digits are shown
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut scaled = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{scaled:.2} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_largest_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.50 KiB"),
            (5 << 30, "5.00 GiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        assert_eq!(age(7_200_000), "2 h");
        assert_eq!(seconds_of(1_250), "1.2 s");
    }
}
