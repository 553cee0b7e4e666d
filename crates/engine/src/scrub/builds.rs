//! What `BuildKit`'s records say of the job's builds, before they are removed.
//!
//! # Data format
//!
//! A bolt database whose bucket `_records` (buildkit `solver/llbsolver/history.go`, `recordsBucket`) has one
//! protobuf message for each build, a `BuildHistoryRecord` (`api/services/control/control.proto`). Of it count
//! `error` (5), `CreatedAt` (6) and `CompletedAt` (7), each of seconds (1) and nanoseconds (2), `logs` (8), which names a
//! blob by its digest (2), `numCachedSteps` (15) and `numTotalSteps` (16).
//!
//! The blob is what the build's progress was: messages `StatusResponse`, before each its length as four bytes
//! little-endian (`HistoryQueue.ImportStatus`). Of one count the `vertexes` (1), which are steps: `digest` (1),
//! `name` (3), `cached` (4), `started` (5), `completed` (6). A step comes several times, the last time with the rest.

use std::collections::BTreeMap;
use std::path::Path;

use larder_model::course::{Build, NAME_CHARS_MAX, Step, told};

use super::bolt::Tree;
use crate::paths::{file, names_in, read};

const RECORDS: &[u8] = b"_records";
const ERROR: u64 = 5;
const CREATED: u64 = 6;
const COMPLETED: u64 = 7;
const LOGS: u64 = 8;
const CACHED_STEPS: u64 = 15;
const STEPS: u64 = 16;

/// What is read of a database: the records of some thousand builds.
const MAX_LOOKED_AT_BYTES: usize = 32 << 20;
/// What is read of a build's progress, which holds all that its steps printed.
const MAX_PROGRESS_BYTES: u64 = 32 << 20;

/// The builds that are recorded in a folder below a root, whose blobs are in one of `contents` (a root, and the
/// folder below it). Records that cannot be read are of no builds.
pub(super) fn recorded(root: &Path, folder: &Path, contents: &[(&Path, &Path)]) -> Vec<Build> {
    let names = names_in(root, folder).unwrap_or_default();
    let databases = names.iter().filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("history") && name.ends_with(".db")
    });
    let paths = databases.filter_map(|name| file(root, &folder.join(name)).ok()?);
    let records = paths.flat_map(|path| values_in(&path, RECORDS).unwrap_or_default());
    let builds = records.filter_map(|record| {
        let (build, logs) = build(&record)?;
        let course = logs.and_then(|logs| progress(&logs, contents));
        Some(Build {
            course: course.map_or_else(Vec::new, |bytes| steps(&bytes)),
            ..build
        })
    });
    builds.collect()
}

/// The bytes of a blob that is named `sha256:…`.
fn progress(digest: &str, contents: &[(&Path, &Path)]) -> Option<Vec<u8>> {
    let hex = digest.strip_prefix("sha256:")?;
    if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut paths = contents
        .iter()
        .filter_map(|(root, at)| file(root, &at.join(hex)).ok()?);
    read(&paths.next()?, MAX_PROGRESS_BYTES).ok()
}

/// The steps in a build's progress, up to what is not understood.
fn steps(progress: &[u8]) -> Vec<Step> {
    let mut known: BTreeMap<Vec<u8>, Step> = BTreeMap::new();
    let mut rest = progress;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((message, next)) = after.split_at_checked(length) else {
            break;
        };
        rest = next;
        for (field, value) in Fields(message) {
            if let (1, Value::Bytes(vertex)) = (field, value) {
                add_vertex(vertex, &mut known);
            }
        }
    }
    let begun = known.into_values().filter(|step| step.started_ms > 0);
    told(begun.collect())
}

fn add_vertex(vertex: &[u8], known: &mut BTreeMap<Vec<u8>, Step>) {
    let (mut step, mut digest, mut completed) = (Step::default(), Vec::new(), 0);
    for (field, value) in Fields(vertex) {
        match (field, value) {
            (1, Value::Bytes(bytes)) => digest = bytes.to_vec(),
            (3, Value::Bytes(bytes)) => {
                let name = String::from_utf8_lossy(bytes);
                step.name = name.chars().take(NAME_CHARS_MAX).collect();
            }
            (4, Value::Number(cached)) => step.cached = cached != 0,
            (5, Value::Bytes(bytes)) => step.started_ms = ms(bytes),
            (6, Value::Bytes(bytes)) => completed = ms(bytes),
            _ => {}
        }
    }
    step.ms = completed.saturating_sub(step.started_ms);
    // What began and did not end is told again, unless the build was stopped.
    known.insert(digest, step);
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

/// A record's build, and the name of the blob with its progress.
fn build(record: &[u8]) -> Option<(Build, Option<String>)> {
    let mut build = Build::default();
    let (mut created, mut completed, mut logs) = (None, None, None);
    for (field, value) in Fields(record) {
        match (field, value) {
            (ERROR, Value::Bytes(_)) => build.failed = true,
            (CREATED, Value::Bytes(bytes)) => created = Some(ms(bytes)),
            (COMPLETED, Value::Bytes(bytes)) => completed = Some(ms(bytes)),
            (LOGS, Value::Bytes(bytes)) => logs = digest_of(bytes),
            (CACHED_STEPS, Value::Number(number)) => build.cached_steps = number,
            (STEPS, Value::Number(number)) => build.steps = number,
            _ => {}
        }
    }
    build.started_ms = created?;
    build.ms = completed?.saturating_sub(build.started_ms);
    Some((build, logs))
}

/// The digest of a descriptor.
fn digest_of(descriptor: &[u8]) -> Option<String> {
    let mut fields = Fields(descriptor);
    fields.find_map(|(field, value)| match (field, value) {
        (2, Value::Bytes(digest)) => Some(String::from_utf8_lossy(digest).into_owned()),
        _ => None,
    })
}

/// A `google.protobuf.Timestamp`.
fn ms(timestamp: &[u8]) -> u64 {
    let parts = Fields(timestamp).map(|(field, value)| match (field, value) {
        (1, Value::Number(seconds)) => seconds.saturating_mul(1000),
        (2, Value::Number(nanoseconds)) => nanoseconds / 1_000_000,
        _ => 0,
    });
    parts.fold(0, u64::saturating_add)
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
        // CreatedAt 2 s and 5 ms; CompletedAt 300 s; a blob; 2 cached of 130; a reference before and a map after.
        let record = [
            &b"\x0a\x03abc\x32\x07\x08\x02\x10\xc0\x96\xb1\x02"[..],
            b"\x3a\x03\x08\xac\x02\x42\x0a\x0a\x01t\x12\x03s:1\x18\x05",
            b"\x78\x02\x80\x01\x82\x01\x8a\x01\x01x",
        ]
        .concat();
        let expected = Build {
            steps: 130,
            cached_steps: 2,
            ms: 297_995,
            started_ms: 2005,
            failed: false,
            course: Vec::new(),
        };
        let logs = Some("s:1".to_owned());
        assert_eq!(build(&record), Some((expected.clone(), logs.clone())));
        let failed = Build {
            failed: true,
            ..expected
        };
        let record = [&b"\x2a\x02\x08\x02"[..], &record].concat();
        assert_eq!(build(&record), Some((failed, logs)));
        assert_eq!(build(&record[..16]), None, "one that has not ended");
        assert_eq!(build(b"\xff\xff"), None);
    }

    /// A message `StatusResponse` with one vertex.
    fn status(vertex: &[u8]) -> Vec<u8> {
        let message = [&[0x0a, vertex.len() as u8], vertex].concat();
        [&u32::to_le_bytes(message.len() as u32)[..], &message].concat()
    }

    #[test]
    fn a_builds_progress_says_when_each_step_ran() {
        let begun = b"\x0a\x01b\x1a\x03RUN\x2a\x02\x08\x05";
        let ended = [&begun[..], b"\x32\x02\x08\x09"].concat();
        let cached = b"\x0a\x01a\x1a\x04COPY\x20\x01\x2a\x02\x08\x04\x32\x02\x08\x04";
        let never = b"\x0a\x01c\x1a\x05never";
        let progress = [
            status(begun),
            status(cached),
            status(never),
            status(&ended),
            b"\xff\0\0\0cut".to_vec(),
        ];
        let step = |name: &str, started_ms, ms, cached| Step {
            name: name.to_owned(),
            started_ms,
            ms,
            cached,
        };
        let expected = [step("COPY", 4000, 0, true), step("RUN", 5000, 4000, false)];
        assert_eq!(steps(&progress.concat()), expected);
        assert_eq!(steps(b"\xff"), []);
    }
}
