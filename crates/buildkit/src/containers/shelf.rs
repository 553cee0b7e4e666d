//! Where the states of builders lie on the volume: in the engine's volumes, or in a directory of ours.
//!
//! ```text
//! docker/volumes/<name>_state/_data   the state of a builder whose volume is there
//! larder/builders/<name>/             one without a volume
//! larder/builders/<name>.json         what is known of either
//! ```

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use larder_engine::builders::{FOLDER, is_builder, volume_name};
use larder_engine::paths::{entries, file, folder, names_in, read, remove};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::choice::Record;
use crate::error::{EngineError, Result};

const VOLUMES: &str = "docker/volumes";
const RECORD_SUFFIX: &str = ".json";
/// A record is a line.
const MAX_RECORD_BYTES: u64 = 64 << 10;

/// The states on a volume.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    /// The volume's root, by a path that leads there from where the caller is.
    pub(super) root: PathBuf,
}

/// The volume of a builder, from the volume's root.
pub(super) fn volume_of(name: &str) -> PathBuf {
    Path::new(VOLUMES).join(volume_name(name))
}

fn data_of(name: &str) -> PathBuf {
    volume_of(name).join("_data")
}

fn own_folder_of(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

impl Shelf {
    /// What is known of the states that are there.
    pub(super) fn records(&self) -> Result<Vec<Record>> {
        let mut found = Vec::new();
        for name in names_in(&self.root, Path::new(FOLDER))? {
            let name = name.to_string_lossy();
            let Some(builder) = name.strip_suffix(RECORD_SUFFIX) else {
                continue;
            };
            if is_builder(builder)
                && let Some(path) = file(&self.root, &Path::new(FOLDER).join(&*name))?
                && let Ok(bytes) = read(&path, MAX_RECORD_BYTES)
                && let Ok(record) = serde_json::from_slice::<Record>(&bytes)
                && record.name == builder
            {
                found.push(record);
            }
        }
        Ok(found)
    }

    /// Keeps what is known of a state.
    pub(super) fn write(&self, record: &Record) -> Result<()> {
        self.make_folder("")?;
        let path = self.root.join(FOLDER).join(format!("{}.json", record.name));
        let text = serde_json::to_vec(record).expect("a record has a JSON form");
        fs::write(&path, text).map_err(EngineError::io("cannot write", &path))
    }

    /// The directory of a builder's volume, if it is there.
    pub(super) fn data(&self, name: &str) -> Result<Option<PathBuf>> {
        folder(&self.root, &data_of(name))
    }

    /// Where a state lies, from the volume's root. Empty directories are none.
    pub(super) fn place_of(&self, name: &str) -> Result<Option<PathBuf>> {
        for place in [own_folder_of(name), data_of(name)] {
            if folder(&self.root, &place)?.is_some() && !self.is_empty(&place)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Whether a builder's volume is there, with nothing in it.
    pub(super) fn awaits_state(&self, name: &str) -> Result<bool> {
        Ok(self.data(name)?.is_some() && self.is_empty(&data_of(name))?)
    }

    fn is_empty(&self, place: &Path) -> Result<bool> {
        let mut entries = entries(&self.root, place)?.into_iter().flatten();
        Ok(entries.next().is_none())
    }

    /// Puts the state of `from` into the volume of `to`, whose empty directory takes its place: a container
    /// that has begun to use that goes on with it.
    pub(super) fn hand_over(&self, from: &str, to: &str) -> Result<bool> {
        let Some(place) = self.place_of(from)? else {
            return Ok(false);
        };
        let (old, new) = (self.root.join(place), self.root.join(data_of(to)));
        renameat_with(CWD, &old, CWD, &new, RenameFlags::EXCHANGE)
            .map_err(|errno| EngineError::io("cannot hand over", &old)(errno.into()))?;
        Ok(true)
    }

    /// A directory of ours for the state of a builder whose volume is about to go; nothing if there is a
    /// state in it.
    pub(super) fn make_room_for(&self, name: &str) -> Result<Option<PathBuf>> {
        let path = self.make_folder(name)?;
        Ok(self.is_empty(&own_folder_of(name))?.then_some(path))
    }

    pub(super) fn make_folder(&self, name: &str) -> Result<PathBuf> {
        // Links on the way, which a forged volume may have, lead nowhere.
        folder(&self.root, &own_folder_of(name))?;
        let path = self.root.join(FOLDER).join(name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&path)
            .map_err(EngineError::io("cannot make the directory", &path))?;
        Ok(path)
    }

    /// Removes a state with all that is known of it.
    pub(super) fn drop_state(&self, name: &str) -> Result<()> {
        let record = Path::new(FOLDER).join(format!("{name}{RECORD_SUFFIX}"));
        for path in [own_folder_of(name), record, volume_of(name)] {
            remove(&self.root, &path, &mut Vec::new())?;
        }
        Ok(())
    }
}
