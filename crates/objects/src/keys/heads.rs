//! What this machine has started from: a number for each line of documents, on its own disk.
//!
//! Who may delete from a store can bring back what a trusted key has signed long ago, and no signature tells. A
//! document's counter is signed with it and grows along its line, so a machine that has seen one takes none that is
//! smaller. A machine without a memory takes any: there `--max-snapshot-age` bounds how old.

use std::io::{self, Read as _};

use larder_local::files;
use larder_local::own::OwnFolder;

/// Lines that are remembered, those that were seen last.
const LINES_MAX: usize = 1_000;
/// A longer file is not ours.
const FILE_MAX_BYTES: u64 = 1 << 20;
const FILE: &str = "heads.json";

/// The numbers that this machine has seen in one store.
#[derive(Debug, Clone)]
pub(crate) struct Heads {
    folder: OwnFolder,
    store: String,
}

/// Lines and their numbers, the one that was seen last at the end.
type Lines = Vec<(String, u64)>;

impl Heads {
    pub(crate) fn new(folder: OwnFolder, store: String) -> Self {
        Self { folder, store }
    }

    /// The largest number that was seen in a line; a file that cannot be read says nothing.
    pub(crate) fn seen(&self, line: &str) -> u64 {
        let name = self.name(line);
        let lines = self.read().unwrap_or_else(|error| {
            tracing::warn!(%error, "what this machine has started from is not known");
            Lines::new()
        });
        let known = lines.iter().find(|(known, _)| *known == name);
        known.map_or(0, |(_, number)| *number)
    }

    /// Remembers a number. Where that fails the next job may take an older document, as on a new machine.
    pub(crate) fn see(&self, line: &str, number: u64) {
        let name = self.name(line);
        let mut lines = self.read().unwrap_or_default();
        let before = lines.iter().position(|(known, _)| *known == name);
        let before = before.map_or(0, |at| lines.remove(at).1);
        lines.push((name, number.max(before)));
        let first = lines.len().saturating_sub(LINES_MAX);
        if let Err(error) = self.write(&lines[first..]) {
            tracing::warn!(%error, "what this machine has started from is not remembered");
        }
    }

    fn name(&self, line: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.store.as_bytes()).update(b"\n");
        hasher.update(line.as_bytes()).finalize().to_hex()[..32].to_owned()
    }

    fn read(&self) -> io::Result<Lines> {
        let Some(folder) = self.folder.existing().map_err(io::Error::other)? else {
            return Ok(Lines::new());
        };
        let file = match files::open_private(&folder.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lines::new()),
            file => file?,
        };
        let mut text = Vec::new();
        file.take(FILE_MAX_BYTES).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn write(&self, lines: &[(String, u64)]) -> io::Result<()> {
        let folder = self.folder.make_of_user().map_err(io::Error::other)?;
        files::write_private(&folder.join(FILE), &serde_json::to_vec(lines)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_only_grows_and_each_line_has_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = OwnFolder::new(folder.path().join("heads"), None);
        let heads = Heads::new(own.clone(), "s3://a".into());
        assert_eq!(heads.seen("main"), 0);
        heads.see("main", 7);
        heads.see("main", 3);
        heads.see("pull", 2);
        assert_eq!((heads.seen("main"), heads.seen("pull")), (7, 2));
        let other = Heads::new(own, "s3://b".into());
        assert_eq!(other.seen("main"), 0);
        for line in 0..=LINES_MAX {
            heads.see(&line.to_string(), 1);
        }
        assert_eq!((heads.seen("main"), heads.seen("1")), (0, 1));
    }

    #[test]
    fn a_file_that_is_damaged_or_anothers_says_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let heads = Heads::new(OwnFolder::new(folder.path().into(), None), String::new());
        let file = folder.path().join(FILE);
        std::fs::write(&file, b"[[\"x\"").expect("written");
        assert_eq!(heads.seen("main"), 0);
        heads.see("main", 1);
        assert_eq!(heads.seen("main"), 1);
        std::fs::remove_file(&file).expect("removed");
        std::os::unix::fs::symlink("/dev/zero", &file).expect("a link");
        assert_eq!(heads.seen("main"), 0);
    }
}
