//! What `BuildKit`'s records say of the job's builds, before they are removed.
//!
//! # Data format
//!
//! A bolt database whose bucket `_records` (buildkit `solver/llbsolver/history.go`, `recordsBucket`) has one
//! protobuf message for each build, a `BuildHistoryRecord` (`api/services/control/control.proto`). Of it count
//! `CreatedAt` (6) and `CompletedAt` (7), each of seconds (1) and nanoseconds (2), `numCachedSteps` (15) and
//! `numTotalSteps` (16).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bolt::Tree;
use super::paths::{file, names_in};

const RECORDS: &[u8] = b"_records";
const CREATED: u64 = 6;
const COMPLETED: u64 = 7;
const CACHED_STEPS: u64 = 15;
const STEPS: u64 = 16;

/// What is read of a database: the records of some thousand builds.
const MAX_LOOKED_AT_BYTES: usize = 32 << 20;

/// A build that ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// All steps.
    pub steps: u64,
    /// Those whose results were there.
    pub cached_steps: u64,
    /// How long it took.
    pub ms: u64,
}

/// The builds that are recorded below an engine's root. Records that cannot be read are of no builds.
pub(super) fn recorded(data_root: &Path) -> Vec<Build> {
    let folder = Path::new("buildkit");
    let names = names_in(data_root, folder).unwrap_or_default();
    let databases = names.iter().filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("history") && name.ends_with(".db")
    });
    let paths = databases.filter_map(|name| file(data_root, &folder.join(name)).ok()?);
    let records = paths.flat_map(|path| values_in(&path, RECORDS).unwrap_or_default());
    records.filter_map(|record| build(&record)).collect()
}

/// The values in a bucket of the root; `None` if the file is no sound database, or has none that is looked at.
fn values_in(path: &Path, bucket: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut tree, root) = Tree::open(path, MAX_LOOKED_AT_BYTES).ok()??;
    let root = tree.page(root)?;
    let mut values = Vec::new();
    tree.any(&root, &mut |tree, element| {
        let is_it = element.key == bucket;
        Some(
            is_it
                && tree.any_in(element, &mut |_, value| {
                    values.push(value.value.to_vec());
                    Some(false)
                })?,
        )
    })?;
    Some(values)
}

fn build(record: &[u8]) -> Option<Build> {
    let mut build = Build::default();
    let (mut created, mut completed) = (None, None);
    for (field, value) in Fields(record) {
        match (field, value) {
            (CREATED, Value::Bytes(bytes)) => created = Some(ms(bytes)),
            (COMPLETED, Value::Bytes(bytes)) => completed = Some(ms(bytes)),
            (CACHED_STEPS, Value::Number(number)) => build.cached_steps = number,
            (STEPS, Value::Number(number)) => build.steps = number,
            _ => {}
        }
    }
    build.ms = completed?.saturating_sub(created?);
    Some(build)
}

/// A `google.protobuf.Timestamp`.
fn ms(timestamp: &[u8]) -> u64 {
    let parts = Fields(timestamp).map(|(field, value)| match (field, value) {
        (1, Value::Number(seconds)) => seconds.saturating_mul(1000),
        (2, Value::Number(nanoseconds)) => nanoseconds / 1_000_000,
        _ => 0,
    });
    parts.sum()
}

/// The fields of a message (protobuf.dev, "Encoding"), up to the first that is not understood.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take(1)? else { return None };
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_how_long_and_how_much() {
        // CreatedAt 2 s and 5 ms; CompletedAt 300 s; 2 cached of 130; a reference before and a map after.
        let record = [
            &b"\x0a\x03abc\x32\x07\x08\x02\x10\xc0\x96\xb1\x02"[..],
            b"\x3a\x03\x08\xac\x02\x78\x02\x80\x01\x82\x01\x8a\x01\x01x",
        ]
        .concat();
        let expected = Build {
            steps: 130,
            cached_steps: 2,
            ms: 297_995,
        };
        assert_eq!(build(&record), Some(expected));
        assert_eq!(build(&record[..12]), None, "one that has not ended");
        assert_eq!(build(b"\xff\xff"), None);
    }
}
