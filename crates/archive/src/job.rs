//! The engine, the store and the lineage of one command.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use larder_bases::Project;
use larder_docker::{About, Chains, Endpoint, Environment, ImageStore, Remote};
use larder_local::own::OwnFolder;
use larder_local::people::Voice;
use larder_model::archive::Archive;
use larder_model::compatibility::{Compatibility, Family};
use larder_model::document::EngineRecord;
use larder_model::ladder::Rung;
use larder_model::lineage::Lineage;
use larder_store::{ArchiveReader, Objects, StoreError};

use crate::note::Note;
use crate::{ArchiveError, Result};

/// The most time that an engine is given for one answer.
const ENGINE_LIMIT: Duration = Duration::from_secs(60);

/// What [`Job::open`] needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The project, with its store and its lineages.
    pub project: Project,
    /// Directory for notes that the commands of one job leave for each other.
    pub notes: OwnFolder,
    /// The variables by which the docker command finds its engine.
    pub docker: Environment,
}

/// An engine that answers, a store, and which line of archives is meant.
pub struct Job {
    /// The engine.
    pub engine: Arc<Remote>,
    /// The line of archives that this job continues.
    pub lineage: Lineage,
    /// Where this job's commands leave notes for each other.
    pub note: Note,
    pub(crate) project: Project,
    store: Result<Objects, StoreError>,
    /// Where a restore may keep what it fetched, if the store is another machine.
    scratch: Option<OwnFolder>,
}

impl Job {
    /// Finds and asks the engine that the docker command would use, and opens the store. If the store cannot
    /// be opened, the error comes when the store is used.
    pub async fn open(settings: Settings) -> Result<Self> {
        let engine = connect(&settings.docker).await?;
        let Settings { project, notes, .. } = settings;
        let lineage = project.descent.lineage(&compatibility(engine.about()));
        let is_far = project.store.location().as_folder().is_none();
        Ok(Self {
            note: Note::of(notes.clone(), &lineage),
            scratch: is_far.then_some(notes),
            store: project.store.open(),
            engine: Arc::new(engine),
            lineage,
            project,
        })
    }

    pub(crate) fn objects(&self) -> Result<&Objects> {
        let store = self.store.as_ref();
        store.map_err(|error| ArchiveError::NoStore(error.clone()))
    }

    /// Tells why the near tier helps less than it could, if that was not told yet.
    pub(crate) fn tell_near_trouble(&self, voice: &dyn Voice) {
        let objects = self.store.as_ref().ok();
        if let Some(why) = objects.and_then(Objects::near_trouble) {
            voice.warning(&why);
        }
    }

    /// The lineages to look for an archive in.
    pub(crate) fn ladder(&self) -> Vec<Rung> {
        self.project.descent.ladder(&self.lineage.compatibility)
    }

    pub(crate) fn reader(&self, objects: &Objects, archive: Archive) -> ArchiveReader {
        let reader = ArchiveReader::new(objects.clone(), Arc::new(archive));
        match self.scratch.as_ref().map(scratch_file) {
            None => reader,
            Some(Ok(file)) => reader.with_scratch(file),
            Some(Err(error)) => {
                // Frames that several layers share are then fetched several times.
                tracing::debug!(%error, "no file for what was fetched");
                reader
            }
        }
    }

    pub(crate) fn image_store(&self) -> ImageStore {
        self.engine.about().image_store.kind()
    }

    /// Which images a save must export for the next build to find their steps.
    pub(crate) fn chains(&self) -> Chains {
        if self.engine.about().trusts_loaded_parents() {
            Chains::Parents
        } else {
            Chains::Tops
        }
    }

    /// The engine, as an archive names it.
    pub(crate) fn engine_record(&self) -> EngineRecord {
        EngineRecord::docker(self.engine.about().version, self.image_store())
    }
}

/// A file without a name: it is gone with the process.
fn scratch_file(folder: &OwnFolder) -> io::Result<File> {
    let folder = folder.make_of_user().map_err(io::Error::other)?;
    tempfile::tempfile_in(folder)
}

/// The engine that the docker command would use.
pub async fn connect(environment: &Environment) -> Result<Remote> {
    let endpoint = Endpoint::find(environment).map_err(ArchiveError::Endpoint)?;
    Remote::connect(endpoint, ENGINE_LIMIT)
        .await
        .map_err(ArchiveError::Connect)
}

/// What engines must have in common to use each other's images, as for volumes.
fn compatibility(about: &About) -> String {
    let key = Compatibility {
        os: &about.os,
        arch: &about.arch,
        image_store: &about.image_store.kind().to_string(),
        family: Family::Docker,
        version: about.version,
    };
    key.to_string()
}
