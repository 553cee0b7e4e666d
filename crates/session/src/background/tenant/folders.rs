//! Directories of this machine on a volume: those of a compiler, a package manager, a build tool.
//!
//! Each is a directory of the volume, mounted where the machine's own one is. The volume's ones belong to whom the
//! machine's belong to. Nobody knows what in them is still needed, so nothing is dropped from them: what holds more
//! than its bound is not restored, and what the job makes from nothing takes its place.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_engine::holders::{self, User};
use larder_local::files::make_folder_of_user;
use larder_local::people::Voice as _;
use larder_model::compatibility;
use larder_volume::{VolumeError, attached};
use rustix::fs::OFlags;

use crate::background::blocking;
use crate::background::events::Events;
use crate::leftovers::Mounted;
use crate::{Result, SessionError};

/// Where they are on the volume.
const ALL: &str = "folders";
/// Most of what uses a directory has just ended.
const SOON: Duration = Duration::from_secs(1);
/// Time for a process that is asked to end: a build tool's server writes down what it knows.
const ASKED_LIMIT: Duration = Duration::from_secs(10);

/// A directory of this machine, and who it belongs to.
#[derive(Debug, Clone)]
pub(in crate::background) struct Site {
    /// What it is called on the volume.
    name: String,
    /// Where it is, without links.
    pub place: PathBuf,
    owner: (u32, u32),
    mode: u32,
}

/// Directories that are there and empty.
#[derive(Debug, Clone)]
pub(in crate::background) struct FoldersComing {
    pub sites: Vec<Site>,
}

impl FoldersComing {
    /// Looks at them, and makes those that are missing. What is made in a directory of root's belongs to `person`.
    pub(super) fn look(folders: &[PathBuf], person: Option<(u32, u32)>) -> Result<Self> {
        let sites = folders.iter().map(|folder| Site::look(folder, person));
        let sites = sites.collect::<Result<_>>()?;
        Ok(Self { sites })
    }

    pub(super) fn compatibility(&self) -> String {
        let names: Vec<String> = self.sites.iter().map(|site| site.name.clone()).collect();
        compatibility::of_folders(std::env::consts::OS, std::env::consts::ARCH, &names)
    }
}

impl Site {
    fn look(folder: &Path, person: Option<(u32, u32)>) -> Result<Self> {
        if let Err(error) = folder.symlink_metadata()
            && error.kind() == io::ErrorKind::NotFound
        {
            make(folder, person).map_err(SessionError::path("make the directory", folder))?;
        }
        let looked = || SessionError::path("look at", folder);
        let place = folder.canonicalize().map_err(looked())?;
        let meta = place.symlink_metadata().map_err(looked())?;
        if !meta.is_dir() {
            let why = "this is no directory; name one that is empty or not there yet";
            return Err(SessionError::Folder(folder.to_owned(), why));
        }
        if place.read_dir().map_err(looked())?.next().is_some() {
            let why = "the directory is not empty, and what is in it would be hidden; remove that, or name another one";
            return Err(SessionError::Folder(folder.to_owned(), why));
        }
        let name = folder.file_name().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            place,
            owner: (meta.uid(), meta.gid()),
            mode: meta.mode() & 0o7777,
        })
    }

    /// The place, held open.
    pub(in crate::background) fn open(&self) -> Result<File> {
        open_place(&self.place)
    }

    /// Its directory on the volume that is mounted at `volume`, as a path from there. It is made if it is not
    /// there, and given to who owns the machine's. Nobody else uses the volume meanwhile.
    pub(in crate::background) fn settle(&self, volume: &Path) -> Result<PathBuf> {
        let all = volume.join(ALL);
        make_own(&all, 0o755)?;
        let own = all.join(&self.name);
        make_own(&own, self.mode)?;
        let settled = own.symlink_metadata().and_then(|meta| {
            let had = (meta.uid(), meta.gid());
            if had != self.owner {
                give(&own, had, self.owner)?;
            }
            if meta.mode() & 0o7777 != self.mode {
                fs::set_permissions(&own, Permissions::from_mode(self.mode))?;
            }
            Ok(())
        });
        settled.map_err(SessionError::path("give its owner", &own))?;
        Ok(Path::new(ALL).join(&self.name))
    }
}

/// Holds a directory open: it stays the same whatever becomes of its path.
pub(super) fn open_place(place: &Path) -> Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(place);
    opened.map_err(SessionError::path("open", place))
}

fn make(folder: &Path, person: Option<(u32, u32)>) -> io::Result<()> {
    make_folder_of_user(folder, 0o755)?;
    match person {
        Some((user, group)) if folder.symlink_metadata()?.uid() == 0 => {
            lchown(folder, Some(user), Some(group))
        }
        _ => Ok(()),
    }
}

/// Makes a directory of the volume. What is there and is none was put there by no job: a link could lead anywhere.
pub(super) fn make_own(folder: &Path, mode: u32) -> Result<()> {
    match folder.symlink_metadata() {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(SessionError::Forged(folder.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let outcome = DirBuilder::new().mode(mode).create(folder);
            outcome.map_err(SessionError::path("make the directory", folder))
        }
        Err(error) => Err(SessionError::path("look at", folder)(error)),
    }
}

/// Gives a directory, and what in it belonged to the same user or group, to others: on another machine the user who
/// runs jobs may have another number.
pub(super) fn give(folder: &Path, had: (u32, u32), to: (u32, u32)) -> io::Result<()> {
    let mut ahead = vec![folder.to_owned()];
    while let Some(path) = ahead.pop() {
        let meta = path.symlink_metadata()?;
        let user = (meta.uid() == had.0).then_some(to.0);
        let group = (meta.gid() == had.1).then_some(to.1);
        lchown(&path, user, group)?;
        if meta.is_dir() {
            for entry in path.read_dir()? {
                ahead.push(entry?.path());
            }
        }
    }
    Ok(())
}

/// Directories that are mounted.
#[derive(Default)]
pub(in crate::background) struct FoldersLiving {
    pub mounted: Vec<Mounted>,
}

impl FoldersLiving {
    /// Takes them away from the machine; says why they are not to be saved, if so. Processes that have files open in
    /// them are asked to end if the end `is_wanted`; nobody is killed.
    pub(super) async fn leave(
        self,
        device: (u32, u32),
        is_wanted: bool,
        events: &Events,
    ) -> Option<String> {
        let mut taken = self.take_away(SOON).await;
        if taken.is_err() && is_wanted && ask_to_end(device, events).await {
            taken = self.take_away(ASKED_LIMIT).await;
        }
        let error = taken.err()?;
        let users = users(device).await;
        self.abandon().await;
        Some(match users.first() {
            Some(user) if user.has_files => format!("process {} has files open: {error}", of(user)),
            Some(user) => format!("process {} is in the directory: {error}", of(user)),
            None => error.to_string(),
        })
    }

    async fn take_away(&self, limit: Duration) -> Result<(), VolumeError> {
        let mounted = self.mounted.clone();
        blocking(move || {
            let mut all = mounted.iter().rev();
            all.try_for_each(|one| attached::take_away(&one.place, one.before, limit))
        })
        .await
    }

    /// Takes them away from under whoever uses them.
    pub(super) async fn abandon(self) {
        blocking(move || self.mounted.iter().for_each(Mounted::tear_away)).await;
    }
}

/// Asks those that have files open to end. Whoever stands in a directory alone may be somebody's shell.
async fn ask_to_end(device: (u32, u32), events: &Events) -> bool {
    let mut users = users(device).await;
    users.retain(|user| user.has_files);
    for user in &users {
        let who = of(user);
        events.note(&format!(
            "asking process {who} to end: it has files open in a directory that is to be saved"
        ));
        user.process.terminate();
    }
    !users.is_empty()
}

async fn users(device: (u32, u32)) -> Vec<User> {
    blocking(move || holders::users(device)).await
}

fn of(user: &User) -> String {
    format!("{} ({})", user.process.pid, user.name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn site(folder: &Path) -> Result<Site> {
        Site::look(folder, Some((4242, 4243)))
    }

    #[test]
    fn a_directory_is_empty_or_made_for_whoever_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let new = folder.path().join("a/target");
        let made = site(&new).expect("made");
        assert_eq!((made.owner, made.mode), ((4242, 4243), 0o755));
        fs::write(new.join("file"), "x").expect("written");
        let full = site(&new).expect_err("it is not empty").to_string();
        assert!(
            full.contains("a/target") && full.contains("not empty"),
            "{full}"
        );
        assert!(site(&new.join("file")).is_err());
        let theirs = folder.path().join("theirs");
        fs::create_dir(&theirs).expect("made");
        lchown(&theirs, Some(1234), Some(1235)).expect("root may");
        fs::set_permissions(&theirs, Permissions::from_mode(0o2770)).expect("set");
        symlink(&theirs, folder.path().join("link")).expect("linked");
        let linked = site(&folder.path().join("link")).expect("empty");
        assert_eq!((linked.owner, linked.mode), ((1234, 1235), 0o2770));
        assert!(linked.place.ends_with("theirs") && linked.name == "link");
    }

    #[test]
    fn what_is_restored_belongs_to_who_owns_the_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let volume = folder.path().join("volume");
        fs::create_dir(&volume).expect("made");
        let first = site(&folder.path().join("target")).expect("made");
        let own = volume.join(first.settle(&volume).expect("settled"));
        fs::write(own.join("file"), "x").expect("written");
        symlink("/etc/passwd", own.join("link")).expect("linked");
        lchown(own.join("file"), Some(4242), Some(0)).expect("root may");
        lchown(own.join("link"), Some(4242), Some(4243)).expect("root may");
        let second = Site {
            owner: (77, 78),
            mode: 0o700,
            ..first
        };
        second.settle(&volume).expect("settled");
        let owner = |name: &str| {
            let meta = own.join(name).symlink_metadata().expect("there");
            (meta.uid(), meta.gid())
        };
        assert_eq!(
            [owner(""), owner("file"), owner("link")],
            [(77, 78), (77, 0), (77, 78)]
        );
        assert_eq!(own.metadata().expect("there").mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let volume = folder.path().join("volume");
        fs::create_dir_all(volume.join(ALL)).expect("made");
        symlink("/etc", volume.join(ALL).join("target")).expect("linked");
        let target = site(&folder.path().join("target")).expect("made");
        assert!(matches!(
            target.settle(&volume),
            Err(SessionError::Forged(_))
        ));
    }
}
