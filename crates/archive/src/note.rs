//! What a job's `restore` or `build` leaves for its `save`: a small file on this machine, one for each lineage.
//!
//! A save works without it: it then compares with the newest archive, and measures nothing.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_local::clock::now_ms;
use larder_local::files;
use larder_local::own::OwnFolder;
use larder_local::people::Voice;
use larder_model::digest::{ArchiveId, BlockId};
use larder_model::lineage::Lineage;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::document::Sources;
use crate::{ArchiveError, Result};

/// How the names of folders with a build cache begin.
const CACHE: &str = "cache-";
/// No job lasts longer.
const LEFT_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A longer file is not ours.
const NOTE_MAX_BYTES: u64 = 1 << 20;

/// What the last job came to.
const LAST: &str = "last.json";
/// A longer one is none.
const LAST_MAX_BYTES: u64 = 16 << 20;

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
    /// The folder of [`Note::cache_folder`] that the job's builds write `BuildKit`'s cache to.
    pub cache: Option<PathBuf>,
}

impl JobNote {
    /// That folder, if a build has written to it.
    pub fn written_cache(&self) -> Option<&Path> {
        let cache = self.cache.as_deref();
        cache.filter(|folder| folder.join("index.json").exists())
    }
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

    /// A new folder for `BuildKit`'s cache, until the save of this job. Whoever builds must be able to write
    /// to it, and its path stands between the words of a command line.
    pub fn cache_folder(&self) -> Result<PathBuf> {
        let notes = self.folder.make_of_user();
        let notes = notes.map_err(|why| ArchiveError::NoFolder(why.to_string()))?;
        remove_left(notes);
        let name = format!("{CACHE}{}-{}", now_ms(), std::process::id());
        let folder = notes.join(name);
        let text = folder.to_string_lossy();
        if text.contains(|c: char| !c.is_ascii_alphanumeric() && !"/._-+@".contains(c)) {
            let why = format!("{text:?} is not one plain word of a command line");
            return Err(ArchiveError::NoFolder(why));
        }
        let made = files::make_folder_of_user(&folder, 0o700);
        made.map_err(ArchiveError::cache(&folder))?;
        Ok(folder)
    }

    /// Takes the note away, and the folder that it names: the job is over.
    pub(crate) fn remove(&self, note: &JobNote) {
        if let Err(error) = fs::remove_file(self.folder.named().join(&self.name)) {
            tracing::debug!(%error, "no note to remove");
        }
        let own = note.cache.as_ref();
        if let Some(folder) = own.filter(|folder| folder.starts_with(self.folder.named())) {
            let removed = fs::remove_dir_all(folder);
            tracing::debug!(?removed, ?folder, "the build cache is saved");
        }
    }
}

/// Keeps what the last job here came to among the notes, in place of that of the one before it.
pub fn keep_last(notes: &OwnFolder, came: &impl Serialize) -> io::Result<()> {
    let folder = notes.make_of_user().map_err(io::Error::other)?;
    files::write_private(&folder.join(LAST), &serde_json::to_vec(came)?)
}

/// What the last job here came to, if there was one and we may read it.
pub fn last<T: DeserializeOwned>(notes: &OwnFolder) -> Option<T> {
    let folder = notes.existing().ok()??;
    let file = files::open_private(&folder.join(LAST)).ok()?;
    serde_json::from_reader(file.take(LAST_MAX_BYTES)).ok()
}

/// Removes the folders of jobs that never saved.
fn remove_left(notes: &Path) {
    for entry in fs::read_dir(notes).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let made = entry.metadata().and_then(|meta| meta.modified());
        let age = made.ok().and_then(|made| made.elapsed().ok());
        if name.starts_with(CACHE) && age.is_some_and(|age| age > LEFT_AFTER) {
            let removed = fs::remove_dir_all(entry.path());
            tracing::debug!(?removed, name, "a build cache that nobody saved");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(job: &str) -> Lineage {
        Lineage {
            project: "shop".into(),
            compatibility: "linux-x86_64-overlay2-docker26".into(),
            scope: "main".into(),
            job: job.into(),
        }
    }

    #[test]
    fn a_note_is_for_one_engine_and_one_lineage() {
        let folder = tempfile::tempdir().expect("a folder");
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
        fs::write(folder.path().join("notes").join(&note.name), "{").expect("written");
        assert_eq!(note.read("ABCD"), JobNote::default());
    }

    #[test]
    fn a_cache_has_a_folder_until_it_is_saved() {
        let folder = tempfile::tempdir().expect("a folder");
        let notes = OwnFolder::new(folder.path().join("notes"), None);
        let note = Note::of(notes, &lineage("build"));
        let old = folder.path().join("notes/cache-0-0");
        fs::create_dir_all(&old).expect("made");
        let long_ago = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
        let opened = fs::File::open(&old).expect("opened");
        opened.set_times(long_ago).expect("set");
        let cache = note.cache_folder().expect("made");
        assert!(cache.exists() && !old.exists());
        let mut said = JobNote {
            cache: Some(cache.clone()),
            ..JobNote::default()
        };
        assert_eq!(said.written_cache(), None);
        fs::write(cache.join("index.json"), "{}").expect("written");
        assert_eq!(said.written_cache(), Some(cache.as_path()));
        note.remove(&said);
        assert!(!cache.exists());
        // One that is the user's own is not ours to remove.
        said.cache = Some(folder.path().to_owned());
        note.remove(&said);
        assert!(folder.path().exists());
        let spaced = OwnFolder::new(folder.path().join("a b"), None);
        let refused = Note::of(spaced, &lineage("build")).cache_folder();
        assert!(refused.is_err(), "{refused:?}");
    }
}
