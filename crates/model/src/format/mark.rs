//! Marks: that a document should not be tried again, who says so, and why.
//!
//! # Data format
//!
//! A JSON object in UTF-8 and a line feed, with the fields of [`Mark`]. All that the rule looks at is in its path,
//! so a listing is enough.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::serde_as_text;
use crate::format::address;
use crate::hex;

/// The format that this program writes.
pub const FORMAT: u32 = 1;
/// Most marks of one document and scope that are looked at.
pub const MARKS_MAX: usize = 64;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// A mark of damage counts for so long; then somebody may have mended it, and it is read again.
const DAMAGE_COUNTS_MS: u64 = 30 * DAY_MS;
/// No mark counts for longer.
pub const COUNTS_MAX_MS: u64 = DAMAGE_COUNTS_MS;
/// A mark of a failed start counts for so long.
const START_COUNTS_MS: u64 = 7 * DAY_MS;
/// On the machine that made it alone, for so long: it does not try again at each job.
const START_COUNTS_HERE_MS: u64 = 12 * HOUR_MS;
/// How far clocks may differ. A mark from later than that would never expire.
const CLOCKS_DIFFER_MS: u64 = DAY_MS;

/// Names a machine without telling its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MachineId([u8; 6]);

/// A text that names no machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no machine; expected 12 lower-case hexadecimal digits")]
pub struct MachineIdError(String);

impl MachineId {
    /// The machine that this text names, for example its `/etc/machine-id`.
    pub fn of(secret: &[u8]) -> Self {
        let digest = blake3::derive_key("larder 2026 machines that mark", secret);
        Self(*digest.first_chunk().expect("a digest has 32 bytes"))
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl FromStr for MachineId {
    type Err = MachineIdError;

    fn from_str(text: &str) -> Result<Self, MachineIdError> {
        let bytes = hex::decode(text).map(Self);
        bytes.ok_or_else(|| MachineIdError(text.to_owned()))
    }
}

serde_as_text! { MachineId }

/// What went wrong with a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Stored data is not what it should be, and came the same way twice.
    Damage,
    /// An engine did not start on it, and then did on an empty volume.
    Start,
}

impl Fault {
    fn word(self) -> &'static str {
        match self {
            Self::Damage => "damage",
            Self::Start => "start",
        }
    }
}

/// What the path of a mark says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Strike {
    /// What went wrong.
    pub fault: Fault,
    /// Where.
    pub machine: MachineId,
    /// When: Unix time in milliseconds.
    pub created_ms: u64,
}

/// A mark, in full.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// Always [`FORMAT`].
    pub format: u32,
    /// Id of the document.
    pub document: String,
    /// The scope of the job that met the fault. Its mark counts for jobs that restore from this scope.
    pub scope: String,
    /// The job.
    pub job: String,
    /// What went wrong, where and when.
    #[serde(flatten)]
    pub strike: Strike,
    /// Version of Larder.
    pub larder: String,
    /// What went wrong, as a sentence.
    pub why: String,
}

impl Mark {
    /// The bytes of the object.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("every field has a JSON form");
        bytes.push(b'\n');
        bytes
    }

    /// Where the object is.
    pub fn path(&self) -> String {
        let folder = address::marks(&self.document, &self.scope);
        format!("{folder}/{}", self.strike.name())
    }
}

impl Strike {
    /// The last part of a mark's path.
    pub(crate) fn name(self) -> String {
        let (fault, machine) = (self.fault.word(), self.machine);
        address::timed(self.created_ms, format_args!("{fault}-{machine}.json"))
    }

    /// Reads the last part of a mark's path.
    pub fn parse(file_name: &str) -> Option<Self> {
        let (time, rest) = file_name.strip_suffix(".json")?.split_once('-')?;
        let (fault, machine) = rest.split_once('-')?;
        let faults = [Fault::Damage, Fault::Start];
        Some(Self {
            fault: faults.into_iter().find(|one| one.word() == fault)?,
            machine: machine.parse().ok()?,
            created_ms: address::parse_time(time)?,
        })
    }

    fn counts_for(self, limit_ms: u64, now_ms: u64) -> bool {
        let age_ms = now_ms.saturating_sub(self.created_ms);
        age_ms < limit_ms && self.created_ms < now_ms.saturating_add(CLOCKS_DIFFER_MS)
    }
}

/// Whether a document is passed over for these marks, by a job on this machine.
///
/// Damage is a fact of the store, so one mark is enough. A start that failed may be the machine's own trouble:
/// it counts for others when a second machine has met it, and on its own machine for some hours.
pub fn is_passed_over(strikes: &[Strike], here: MachineId, now_ms: u64) -> bool {
    let of = |fault, limit_ms| {
        let strikes = strikes.iter().filter(move |strike| strike.fault == fault);
        strikes.filter(move |strike| strike.counts_for(limit_ms, now_ms))
    };
    let is_damaged = of(Fault::Damage, DAMAGE_COUNTS_MS).next().is_some();
    let failed_here = of(Fault::Start, START_COUNTS_HERE_MS).any(|strike| strike.machine == here);
    let mut starts = of(Fault::Start, START_COUNTS_MS);
    let failed_twice = starts.next().is_some_and(|first| {
        let mut others = starts.map(|strike| strike.machine);
        others.any(|machine| machine != first.machine)
    });
    is_damaged || failed_here || failed_twice
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_790_000_000_000;

    fn strike(fault: Fault, machine: &str, hours_ago: u64) -> Strike {
        Strike {
            fault,
            machine: MachineId::of(machine.as_bytes()),
            created_ms: NOW_MS - hours_ago * HOUR_MS,
        }
    }

    #[test]
    fn a_name_says_what_counts() {
        let made = strike(Fault::Start, "a", 1);
        assert_eq!(Strike::parse(&made.name()), Some(made));
        assert!(
            strike(Fault::Damage, "a", 0).name() < made.name(),
            "the newest is first"
        );
        for other in ["", "x.json", "fffffe64892557ff-79020f1134fc.json"] {
            assert_eq!(Strike::parse(other), None, "{other}");
        }
    }

    #[test]
    fn golden_bytes() {
        let mark = Mark {
            format: FORMAT,
            document: "d".to_owned(),
            scope: "pull/7".to_owned(),
            job: "shop / build @ pull/7".to_owned(),
            strike: strike(Fault::Damage, "a", 0),
            larder: "0.1.0".to_owned(),
            why: "it is cut".to_owned(),
        };
        let text = String::from_utf8(mark.encode()).expect("text");
        let expected = "{\"format\":1,\"document\":\"d\",\"scope\":\"pull/7\",\"job\":\"shop / build @ pull/7\",\
            \"fault\":\"damage\",\"machine\":\"MACHINE\",\"created_ms\":1790000000000,\"larder\":\"0.1.0\",\
            \"why\":\"it is cut\"}\n";
        let machine = MachineId::of(b"a").to_string();
        assert_eq!(text, expected.replace("MACHINE", &machine));
        assert_eq!(serde_json::from_str::<Mark>(&text).expect("a mark"), mark);
        let path = format!("v1/marks/d/pull=2f7/fffffe5f3baf93ff-damage-{machine}.json");
        assert_eq!(mark.path(), path);
    }

    #[test]
    fn who_is_passed_over() {
        use Fault::{Damage, Start};
        let here = MachineId::of(b"here");
        for (strikes, expected) in [
            (&[][..], false),
            (&[(Damage, "a", 0)], true),
            (&[(Damage, "a", 24 * 29)], true),
            (&[(Damage, "a", 24 * 31)], false),
            // One machine's trouble, however often.
            (&[(Start, "a", 0), (Start, "a", 1), (Start, "a", 2)], false),
            (&[(Start, "a", 0), (Start, "a", 1), (Start, "b", 2)], true),
            (&[(Start, "a", 0), (Start, "b", 24 * 8)], false),
            (&[(Start, "here", 1)], true),
            (&[(Start, "here", 13)], false),
            (&[(Start, "here", 13), (Start, "a", 0)], true),
        ] {
            let strikes = strikes
                .iter()
                .map(|(fault, machine, ago)| strike(*fault, machine, *ago));
            let strikes: Vec<_> = strikes.collect();
            assert_eq!(
                is_passed_over(&strikes, here, NOW_MS),
                expected,
                "{strikes:?}"
            );
        }
        let future = Strike {
            created_ms: NOW_MS + 2 * DAY_MS,
            ..strike(Damage, "a", 0)
        };
        assert!(!is_passed_over(&[future], here, NOW_MS));
    }
}
