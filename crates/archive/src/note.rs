//! What a job's `restore` or `build` leaves for its `save`: a small file on this machine, one for each lineage.
//!
//! A save works without it: it then compares with the newest archive, and measures nothing.

use std::io::{self, Read as _};

use larder_local::files;
use larder_local::own::OwnFolder;
use larder_local::people::Voice;
use larder_model::digest::{ArchiveId, BlockId};
use larder_model::lineage::Lineage;
use serde::{Deserialize, Serialize};

use crate::document::Sources;

/// A longer file is not ours.
const NOTE_MAX_BYTES: u64 = 1 << 20;

/// Where a lineage's note is.
#[derive(Debug, Clone)]
pub struct Note {
    folder: OwnFolder,
    name: String,
}

/// What a job did so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobNote {
    /// The engine that it used. A note about another engine is ignored.
    pub engine: String,
    /// The archive that was restored, or would have been if it had been worth it.
    pub archive: Option<ArchiveId>,
    /// Whether it was restored.
    pub restored: bool,
    /// How long restoring took.
    pub restore_ms: Option<u64>,
    /// When the engine was ready for the build: milliseconds since this machine was started.
    pub ready_uptime_ms: Option<u64>,
    /// How long the build took, if it ran under `larder build`.
    pub build_ms: Option<u64>,
    /// What the job's builds depend on, as its archive will keep it.
    pub plan: Option<serde_json::Value>,
    /// What `larder build` made, for a save that names no images.
    pub built: Option<Sources>,
}

impl Note {
    /// The note of a lineage, in a folder of notes.
    pub(crate) fn of(folder: OwnFolder, lineage: &Lineage) -> Self {
        let text = serde_json::to_vec(lineage).expect("a lineage has a JSON form");
        let name = format!("{}.json", BlockId::of(&text));
        Self { folder, name }
    }

    /// What was noted on this engine. A note that cannot be read, or that others could have written, says nothing.
    pub fn read(&self, engine: &str) -> JobNote {
        let folder = self.folder.existing().ok().flatten();
        let file = folder.and_then(|folder| files::open_private(&folder.join(&self.name)).ok());
        let mut text = Vec::new();
        let read = file.map(|file| file.take(NOTE_MAX_BYTES).read_to_end(&mut text));
        tracing::debug!(?read, "the note of this job");
        let note = serde_json::from_slice::<JobNote>(&text).ok();
        note.filter(|note| note.engine == engine)
            .unwrap_or_default()
    }

    /// Leaves a note for a save in the same job. Without it that save measures nothing, and must be told
    /// what was built.
    pub fn leave(&self, note: &JobNote, voice: &dyn Voice) {
        if let Err(error) = self.write(note) {
            voice.warning(&format!(
                "cannot leave a note for a later `larder save`, so name the images there: {error}"
            ));
        }
    }

    fn write(&self, note: &JobNote) -> io::Result<()> {
        let folder = self.folder.make_of_user().map_err(io::Error::other)?;
        let text = serde_json::to_vec(note).expect("a note has a JSON form");
        files::write_private(&folder.join(&self.name), &text)
    }

    /// Takes the note away: the job is over.
    pub(crate) fn remove(&self) {
        if let Err(error) = std::fs::remove_file(self.folder.named().join(&self.name)) {
            tracing::debug!(%error, "no note to remove");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_for_one_engine_and_one_lineage() {
        let folder = tempfile::tempdir().expect("a folder");
        let lineage = |job: &str| Lineage {
            project: "shop".into(),
            compatibility: "linux-x86_64-overlay2-docker26".into(),
            scope: "main".into(),
            job: job.into(),
        };
        let notes = OwnFolder::new(folder.path().join("notes"), None);
        let note = Note::of(notes.clone(), &lineage("build"));
        let said = JobNote {
            engine: "ABCD".into(),
            restored: true,
            ..JobNote::default()
        };
        note.write(&said).expect("written");
        assert_eq!(note.read("ABCD"), said);
        assert_eq!(note.read("EFGH"), JobNote::default());
        let other = Note::of(notes, &lineage("test"));
        assert_eq!(other.read("ABCD"), JobNote::default());
        std::fs::write(folder.path().join("notes").join(&note.name), "{").expect("written");
        assert_eq!(note.read("ABCD"), JobNote::default());
    }
}
