//! The engine, the store and the lineage of one command.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use larder_engine::ImageStore;
use larder_engine::api::{About, Endpoint, Remote};
use larder_model::archive::Archive;
use larder_model::compatibility::Compatibility;
use larder_model::document::EngineRecord;
use larder_model::lineage::Lineage;
use larder_store::{ArchiveReader, Objects};

use super::note::Note;
use crate::exit::{Done, Failure};
use crate::private;
use crate::settings::{self, Settings};

/// The most time that an engine is given for one answer.
const ENGINE_LIMIT: Duration = Duration::from_secs(60);

/// An engine that answers, a store, and which line of archives is meant.
pub struct Door {
    /// The engine.
    pub engine: Arc<Remote>,
    /// The store; nowhere, if it cannot be opened.
    pub objects: Objects,
    /// Why it cannot be opened.
    pub trouble: Option<String>,
    /// The line of archives that this job continues.
    pub lineage: Lineage,
    /// Where this job's verbs leave notes for each other.
    pub note: Note,
    /// Where a restore may keep what it fetched, if the store is another machine.
    scratch: Option<PathBuf>,
}

impl Door {
    /// Finds and asks the engine that the docker command would use, and opens the store.
    pub async fn open(settings: &Settings) -> Done<Self> {
        let engine = connect().await?;
        let (objects, trouble) = match settings.open_store() {
            Ok(objects) => (objects, None),
            Err(failure) => {
                let why = format!("the store cannot be opened: {failure}");
                (Objects::nowhere(), Some(why))
            }
        };
        let lineage = settings.lineage(&compatibility(engine.about()));
        Ok(Self {
            note: Note::of(&settings.notes, &lineage),
            scratch: (!settings.store_is_folder()).then(|| settings.notes.clone()),
            engine: Arc::new(engine),
            objects,
            trouble,
            lineage,
        })
    }

    /// A reader of an archive's blobs.
    pub fn reader(&self, archive: Archive) -> ArchiveReader {
        let reader = ArchiveReader::new(self.objects.clone(), Arc::new(archive));
        match self.scratch.as_deref().map(scratch_file) {
            None => reader,
            Some(Ok(file)) => reader.with_scratch(file),
            Some(Err(error)) => {
                // What layers share is then fetched for each.
                tracing::debug!(%error, "no file for what was fetched");
                reader
            }
        }
    }

    /// Where the engine keeps images.
    pub fn image_store(&self) -> ImageStore {
        self.engine.about().image_store.kind()
    }

    /// The engine, as an archive names it.
    pub fn engine_record(&self) -> EngineRecord {
        EngineRecord::docker(self.engine.about().version, self.image_store())
    }
}

/// A file without a name: it is gone with the process.
fn scratch_file(folder: &Path) -> io::Result<File> {
    private::make_folder(folder)?;
    tempfile::tempfile_in(folder)
}

/// The engine that the docker command would use.
pub async fn connect() -> Done<Remote> {
    let endpoint = Endpoint::find(&settings::docker_environment()).map_err(Failure::input)?;
    Remote::connect(endpoint, ENGINE_LIMIT)
        .await
        .map_err(Failure::machine)
}

/// What engines must have in common to use each other's images, as for volumes.
fn compatibility(about: &About) -> String {
    let key = Compatibility {
        os: &about.os,
        arch: &about.arch,
        image_store: &about.image_store.kind().to_string(),
        version: about.version,
    };
    key.to_string()
}
