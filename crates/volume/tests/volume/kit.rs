//! What the tests share: a store in a folder, and machines that open volumes from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_model::digest::MapId;
use larder_store::packer::Packed;
use larder_store::{Location, Objects, Source};
use larder_volume::{Prefetch, Room, Volume, VolumeError, VolumeOptions};

pub(crate) const VOLUME_BYTES: u64 = 4 << 30;

/// A store in a temporary folder.
pub(crate) struct Store {
    folder: tempfile::TempDir,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn objects(&self) -> Objects {
        Location::folder(self.path())
            .open(&[])
            .expect("a store in a folder")
    }

    pub(crate) async fn source(&self, map: Option<MapId>) -> Result<Arc<Source>, VolumeError> {
        let source = match map {
            Some(map) => Source::open(self.objects(), map, None).await?,
            None => Source::empty(self.objects(), VOLUME_BYTES)?,
        };
        Ok(Arc::new(source))
    }

    /// The volume of a save, with what its job read.
    pub(crate) async fn source_after(&self, saved: &Packed) -> Arc<Source> {
        let source = Source::open(self.objects(), saved.map, saved.hot).await;
        Arc::new(source.expect("just stored"))
    }

    /// Every file of the store below a folder.
    pub(crate) fn files(&self, below: &str) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            let Ok(entries) = std::fs::read_dir(folder) else {
                return;
            };
            for entry in entries.flatten() {
                if entry.path().is_dir() {
                    walk(&entry.path(), found);
                } else {
                    found.push(entry.path());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.path().join("v1").join(below), &mut found);
        found
    }
}

/// One fresh machine with one open volume.
pub(crate) struct Machine {
    _state: tempfile::TempDir,
    pub room: Arc<Room>,
    pub volume: Volume,
    pub mount: PathBuf,
}

impl Machine {
    pub(crate) async fn open(source: Arc<Source>) -> Result<Self, VolumeError> {
        let state = tempfile::tempdir().expect("a folder");
        let room = Arc::new(Room::new(false)?);
        let mount = state.path().join("mnt");
        let options = VolumeOptions {
            folder: state.path().join("volume"),
            fuse: state.path().join("fuse"),
            mount: mount.clone(),
        };
        let volume = Volume::open(options, Arc::clone(&room), source, Prefetch::Hot).await?;
        Ok(Self {
            _state: state,
            room,
            volume,
            mount,
        })
    }

    /// Runs a shell script in the mounted volume.
    pub(crate) fn shell(&self, script: &str) -> Result<String, String> {
        let (script, mount) = (script.to_owned(), self.mount.clone());
        tokio::task::block_in_place(|| {
            self.room.run(move || {
                let output = std::process::Command::new("bash")
                    .args(["-euo", "pipefail", "-c", &script])
                    .current_dir(mount)
                    .output()
                    .expect("bash");
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                if output.status.success() {
                    Ok(text(&output.stdout))
                } else {
                    Err(text(&output.stderr))
                }
            })
        })
    }

    /// Closes the volume and stores what changed.
    pub(crate) async fn save(self) -> Result<Packed, VolumeError> {
        let seal = self.volume.close().await?;
        seal.pack(Arc::default()).await
    }
}

/// A tree as one text: every name, type, mode, owner, link count, device number, size and content
/// digest, and extended attributes.
pub(crate) const TREE: &str = r"
find . -path ./lost+found -prune -o -printf '%P|%y|%m|%U|%G|%n|%s|%l\n' | LC_ALL=C sort
find . -path ./lost+found -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
find . \( -type b -o -type c \) -exec stat -c '%n %t %T' {} + | LC_ALL=C sort
getfattr -h -P -R -d -m - .
";
