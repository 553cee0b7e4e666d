//! Folders that nobody but us can have filled.
//!
//! What is read back from a state folder is acted upon, by root as a rule. So nobody else may be able to write to
//! it, nor to put another folder in its place. Every folder on the way is looked at: it belongs to root or
//! to us, and others cannot write to it (OpenSSH `misc.c`, `safe_path`), unless it is sticky, where nobody
//! moves what is another's. A link on the way is followed if it belongs to root or to us, as where `/home`
//! is `/data/home` (systemd `src/basic/chase.c`, `CHASE_SAFE`: the way never leads from the hands of another user
//! into ours). All of that being so, nobody can change the way between this look and the use.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::make_folder_of_user;

/// Links that are followed on one way, as the kernel does (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;
const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// A folder of ours. It is looked at before its path is given to anybody who reads or writes in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnFolder {
    path: PathBuf,
    /// Who else may own it, and folders on the way: the user on whose behalf root runs.
    user: Option<u32>,
}

/// Why a folder is not taken for ours.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// It belongs to somebody else.
    #[error("{} belongs to user {owner}, who can change what is in it", .path.display())]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Others may write to it.
    #[error("others can write to {} (mode {mode:o})", .path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A link on the way belongs to somebody else.
    #[error("{} is a link that belongs to user {owner}", .path.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Something on the way is no folder.
    #[error("{} is not a directory", .0.display())]
    NoFolder(PathBuf),
    /// It cannot be made or looked at.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl OwnFolder {
    /// The folder at an absolute path. `user` may own it and folders on the way, beside root and ourselves.
    pub fn new(path: PathBuf, user: Option<u32>) -> Self {
        Self { path, user }
    }

    /// Its path, for messages and names: whoever reads or writes there asks [`OwnFolder::make`] or
    /// [`OwnFolder::existing`].
    pub fn named(&self) -> &Path {
        &self.path
    }

    /// Makes it, and its missing parents, for us alone, if need be.
    pub fn make(&self) -> Result<&Path, NotOurs> {
        self.existing()?;
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path);
        made.map_err(io_at(&self.path))?;
        // In a folder where everybody may write, somebody may have been quicker.
        let meta = self.look()?.ok_or_else(|| gone(&self.path))?;
        if self.is_open(&meta) {
            let closed = fs::set_permissions(&self.path, Permissions::from_mode(0o700));
            closed.map_err(io_at(&self.path))?;
        }
        Ok(&self.path)
    }

    /// The same for what commands of root and of a user keep: see [`make_folder_of_user`].
    pub fn make_of_user(&self) -> Result<&Path, NotOurs> {
        if self.existing()?.is_none() {
            make_folder_of_user(&self.path, 0o700).map_err(io_at(&self.path))?;
        }
        self.make()
    }

    /// Another folder, at an absolute path, with the same owners.
    #[must_use]
    pub fn at(&self, path: PathBuf) -> Self {
        Self::new(path, self.user)
    }

    /// Looks at it; `None` if it is not there.
    pub fn existing(&self) -> Result<Option<&Path>, NotOurs> {
        Ok(self.look()?.map(|_| self.path.as_path()))
    }

    fn look(&self) -> Result<Option<Metadata>, NotOurs> {
        let Some((real, meta)) = self.walk()? else {
            return Ok(None);
        };
        // An empty one, such as a new tmpfs, can be closed before anything is in it.
        if self.is_open(&meta) && !(self.trusts(meta.uid()) && is_empty(&real)?) {
            return Err(open(real, &meta));
        }
        Ok(Some(meta))
    }

    /// Goes the way from the first folder, link by link, to where it ends.
    fn walk(&self) -> Result<Option<(PathBuf, Metadata)>, NotOurs> {
        let mut ahead = parts(&self.path);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        let mut meta = fs::symlink_metadata(&at).map_err(io_at(&at))?;
        while let Some(part) = ahead.pop_front() {
            self.judge(&at, &meta)?;
            if part == ".." {
                at.pop();
                meta = fs::symlink_metadata(&at).map_err(io_at(&at))?;
                continue;
            }
            let next = at.join(&part);
            meta = match fs::symlink_metadata(&next) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                found => found.map_err(io_at(&next))?,
            };
            if !meta.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            let target = self.follow(&next, &meta, links)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for part in parts(&target).into_iter().rev() {
                ahead.push_front(part);
            }
            meta = fs::symlink_metadata(&at).map_err(io_at(&at))?;
        }
        if !self.trusts(meta.uid()) {
            return Err(owner(at, &meta));
        }
        if !meta.is_dir() {
            return Err(NotOurs::NoFolder(at));
        }
        Ok(Some((at, meta)))
    }

    fn follow(&self, link: &Path, meta: &Metadata, links: usize) -> Result<PathBuf, NotOurs> {
        if !self.trusts(meta.uid()) {
            let (path, owner) = (link.to_owned(), meta.uid());
            return Err(NotOurs::Link { path, owner });
        }
        if links > LINKS_MAX {
            return Err(io_at(link)(rustix::io::Errno::LOOP.into()));
        }
        fs::read_link(link).map_err(io_at(link))
    }

    /// Judges a folder on the way.
    fn judge(&self, path: &Path, meta: &Metadata) -> Result<(), NotOurs> {
        if !meta.is_dir() {
            Err(NotOurs::NoFolder(path.to_owned()))
        } else if !self.trusts(meta.uid()) {
            Err(owner(path.to_owned(), meta))
        } else if self.is_open(meta) && meta.mode() & STICKY == 0 {
            Err(open(path.to_owned(), meta))
        } else {
            Ok(())
        }
    }

    fn trusts(&self, user: u32) -> bool {
        user == 0 || user == rustix::process::geteuid().as_raw() || Some(user) == self.user
    }

    /// Whether others may write. A group that has its user's number has no other member (useradd,
    /// `USERGROUPS_ENAB`); with umask 002 it may write to all that the user makes.
    fn is_open(&self, meta: &Metadata) -> bool {
        let mode = meta.mode();
        mode & OTHERS_WRITE != 0 || (mode & GROUP_WRITES != 0 && !self.trusts(meta.gid()))
    }
}

/// The user whose home a folder is: root works on behalf of that user where sudo kept the environment.
pub fn owner_of(home: &Path) -> Option<u32> {
    fs::metadata(home).ok().map(|meta| meta.uid())
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    parts.collect()
}

fn is_empty(folder: &Path) -> Result<bool, NotOurs> {
    let mut entries = fs::read_dir(folder).map_err(io_at(folder))?;
    Ok(entries.next().is_none())
}

fn owner(path: PathBuf, meta: &Metadata) -> NotOurs {
    let owner = meta.uid();
    NotOurs::Owner { path, owner }
}

fn open(path: PathBuf, meta: &Metadata) -> NotOurs {
    let mode = meta.mode() & 0o7777;
    NotOurs::Open { path, mode }
}

fn gone(path: &Path) -> NotOurs {
    io_at(path)(io::ErrorKind::NotFound.into())
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> NotOurs {
    let path = path.to_owned();
    move |source| NotOurs::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, lchown, symlink};

    use super::*;

    const OTHER: u32 = 4242;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
    }

    fn own(path: &Path) -> OwnFolder {
        OwnFolder::new(path.to_owned(), None)
    }

    #[test]
    fn a_folder_is_made_for_us_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b");
        assert!(own(&path).existing().expect("not there").is_none());
        own(&path).make().expect("made");
        own(&path).make().expect("it may be there");
        let closed = fs::metadata(&path).expect("there").mode();
        assert_eq!(closed & 0o777, 0o700);
        assert_eq!(own(&path).existing().expect("ours"), Some(path.as_path()));
    }

    #[test]
    fn a_folder_that_others_can_fill_is_not_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let [way, path] = ["way", "way/own"].map(|name| folder.path().join(name));
        fs::create_dir_all(&path).expect("made");
        fs::write(path.join("session.json"), "{}").expect("written");
        for (place, open) in [
            (&way, 0o777),
            (&way, 0o770),
            (&path, 0o777),
            (&path, 0o1777),
        ] {
            mode(place, open);
            if open == 0o770 {
                chown(place, None, Some(OTHER)).expect("root may");
            }
            let error = own(&path).make().expect_err("others can write");
            assert!(matches!(error, NotOurs::Open { .. }), "{open:o}: {error}");
            chown(place, None, Some(0)).expect("root may");
            mode(place, 0o755);
        }
        // Where nobody moves what is another's, our own is safe.
        mode(&way, 0o1777);
        own(&path).make().expect("sticky");
        fs::remove_file(path.join("session.json")).expect("removed");
        mode(&path, 0o1777);
        own(&path).make().expect("an empty one is closed");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o700);
    }

    #[test]
    fn links_lead_only_where_root_or_we_let_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let [real, link] = ["real", "link"].map(|name| folder.path().join(name));
        fs::create_dir_all(real.join("state")).expect("made");
        symlink("real", &link).expect("linked");
        own(&link.join("state")).make().expect("root's own link");
        own(&link.join("../real/state")).make().expect("and back");
        own(&link.join("new/state")).make().expect("made behind it");
        assert!(real.join("new/state").is_dir());
        lchown(&link, Some(OTHER), None).expect("root may");
        let error = own(&link.join("state")).make().expect_err("another's link");
        assert!(
            matches!(error, NotOurs::Link { owner: OTHER, .. }),
            "{error}"
        );
        // The user on whose behalf we run may lead us.
        let trusting = OwnFolder::new(link.join("state"), Some(OTHER));
        trusting.make().expect("the user's own link");
        symlink("loop", folder.path().join("loop")).expect("linked");
        assert!(own(&folder.path().join("loop/x")).make().is_err());
        fs::write(folder.path().join("file"), "").expect("written");
        let behind = own(&folder.path().join("file/x"));
        assert!(matches!(behind.make(), Err(NotOurs::NoFolder(_))));
    }

    #[test]
    fn another_users_folder_is_not_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("made");
        chown(&home, Some(OTHER), Some(OTHER)).expect("root may");
        mode(&home, 0o770);
        let cache = home.join("cache");
        let error = own(&cache).make().expect_err("another's home");
        assert!(
            matches!(error, NotOurs::Owner { owner: OTHER, .. }),
            "{error}"
        );
        let user = owner_of(&home);
        assert_eq!(user, Some(OTHER));
        let trusting = OwnFolder::new(cache, user);
        trusting
            .make()
            .expect("sudo's user, with a group of the same number");
    }
}
