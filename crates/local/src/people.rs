//! What the people who wait for a job are told on the way, and who can mend what went wrong.

use std::fmt;

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

/// A number of bytes as people read it: `1.2 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    #[allow(clippy::cast_precision_loss)] // of digits that are not shown
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let (mut number, mut unit) = (self.0 as f64, 0);
        while number >= 999.95 && unit + 1 < UNITS.len() {
            number /= 1024.0;
            unit += 1;
        }
        let decimals = usize::from(unit > 0);
        write!(f, "{number:.decimals$} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_by_people() {
        let sizes = [0, 999, 1000, 1 << 20, 1_288_490_189, 64 << 30, u64::MAX];
        let shown = sizes.map(|bytes| Size(bytes).to_string());
        let expected = [
            "0 B",
            "999 B",
            "1.0 KiB",
            "1.0 MiB",
            "1.2 GiB",
            "64.0 GiB",
            "16777216.0 TiB",
        ];
        assert_eq!(shown, expected);
    }
}
