//! Private folders, and files that are written whole or not at all: private ones, and reports.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown, lchown,
};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tempfile::{Builder, NamedTempFile};

use crate::checkout::Checkout;

/// A folder where everybody may write, and nobody moves what is another's.
const STICKY_AND_OPEN: u32 = 0o1002;

/// Makes a directory that only its owner may read, and its missing parents. One that exists stays as it
/// is: [`crate::own::OwnFolder`] is for folders from which anything is believed.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The same for what commands of root and of a user keep in that user's home: what root makes in a
/// directory of somebody else (sudo(8) with `-E` leaves `HOME` as it was) belongs to whom that belongs to.
pub fn make_folder_of_user(path: &Path, mode: u32) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    for made in missing.iter().rev() {
        let parent = made.parent().unwrap_or(Path::new("."));
        if let Some((user, group)) = other_owner(&fs::symlink_metadata(made)?, parent) {
            lchown(made, Some(user), Some(group))?;
        }
    }
    Ok(())
}

/// Who owns `folder`, if that is somebody else and root has made something in it.
fn other_owner(made: &Metadata, folder: &Path) -> Option<(u32, u32)> {
    let folder = fs::metadata(folder).ok()?;
    (made.uid() == 0 && folder.uid() != 0).then(|| (folder.uid(), folder.gid()))
}

/// Writes a file that only its owner may read, whole or not at all: a reader, and the next process
/// after a kill, find the old content or the new one. A link at `path` is replaced, not followed.
///
/// Not synced: after a crash of the *machine* the file may be empty, and its reader must bear that.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    write_beside(path, content)?.persist(path)?;
    Ok(())
}

/// The same for a file that must not be there yet, such as a key.
pub fn create_private(path: &Path, content: &[u8]) -> io::Result<()> {
    write_beside(path, content)?.persist_noclobber(path)?;
    Ok(())
}

/// Opens a private file for reading, if it is a file and we may take its content for ours: what another user
/// put there, or a link, is not followed. In a user's directory that is ours (see [`crate::own::OwnFolder`])
/// the files are that user's.
pub fn open_private(path: &Path) -> io::Result<File> {
    let no_follow = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(no_follow.cast_signed())
        .open(path)?;
    let meta = file.metadata()?;
    let folder = path.parent().and_then(|folder| fs::metadata(folder).ok());
    let us = rustix::process::geteuid().as_raw();
    let owner = [0, us, folder.map_or(us, |folder| folder.uid())];
    if !meta.is_file() || !owner.contains(&meta.uid()) {
        let why = "it is not a file of our own";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(file)
}

/// Writes a report, which other users may read, whole or not at all. If `path` is not a file (but a pipe, a
/// link, `/dev/stdout`), it is written to and stays what it is. See [`check_public`].
pub fn write_public(path: &Path, content: &[u8]) -> io::Result<()> {
    let place = check_public(path)?;
    if fs::symlink_metadata(&place).is_ok_and(|meta| !meta.is_file()) {
        return fs::write(path, content);
    }
    let file = write_beside(&place, content)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.persist(&place)?;
    Ok(())
}

/// Adds lines to a file that another program named, which stays its owner's. A new one is whose the directory
/// is: the next steps may add to it too. People forget to end the last line. See [`check_public`].
pub fn append_public(path: &Path, lines: &str) -> io::Result<()> {
    check_public(path)?;
    if !path.exists() {
        write_public(path, b"")?;
    }
    let is_file = path.is_file();
    let before = is_file.then(|| fs::read(path)).transpose()?;
    let is_open = before.is_some_and(|text| text.last().is_some_and(|byte| *byte != b'\n'));
    let separator = if is_open { "\n" } else { "" };
    let mut opened = OpenOptions::new().append(true).open(path)?;
    opened.write_all(format!("{separator}{lines}").as_bytes())
}

/// Whether a report may be written to `path`, which is refused before any work: where it is with its folders'
/// links followed.
///
/// Whoever wrote a commit decides what is in its checkout. So no link in it leads us out of it, to a file
/// that we may overwrite and that author may not. Where everybody may write, another user's link is not
/// followed (Linux `fs/namei.c`, `may_follow_link`, which some machines leave off). All other links are the
/// machine's: `/dev/stdout`, `/proc/self/fd/3`, `/var/run`.
pub fn check_public(path: &Path) -> io::Result<PathBuf> {
    let named = std::path::absolute(path)?;
    let (Some(folder), Some(name)) = (named.parent(), named.file_name()) else {
        return Err(io::ErrorKind::IsADirectory.into());
    };
    let folder = folder.canonicalize()?;
    let place = folder.join(name);
    let link = fs::symlink_metadata(&place).is_ok_and(|meta| meta.is_symlink());
    match Checkout::of_file(&named) {
        Some(checkout)
            if !checkout.holds(&folder) || (link && !leads_within(&place, &checkout)) =>
        {
            let root = checkout.root().display();
            Err(refused(&format!(
                "a link leads out of {root}, whose files are a commit's; remove it, or name a file elsewhere"
            )))
        }
        None if link && is_anothers(&folder, &place)? => Err(refused(
            "it is another user's link in a directory where everybody may write; name a file elsewhere",
        )),
        _ => Ok(place),
    }
}

/// Whether a link leads to something in the checkout, or to where something may be made in it.
fn leads_within(link: &Path, checkout: &Checkout) -> bool {
    checkout.holds(link) || makes_within(link, checkout) == Some(true)
}

fn makes_within(link: &Path, checkout: &Checkout) -> Option<bool> {
    let target = link.parent()?.join(fs::read_link(link).ok()?);
    let is_new = fs::symlink_metadata(&target).is_err();
    Some(is_new && checkout.holds(target.parent()?))
}

fn is_anothers(folder: &Path, link: &Path) -> io::Result<bool> {
    let (folder, link) = (fs::metadata(folder)?, fs::symlink_metadata(link)?.uid());
    let everybody = folder.mode() & STICKY_AND_OPEN == STICKY_AND_OPEN;
    let own = [folder.uid(), rustix::process::geteuid().as_raw()];
    Ok(everybody && !own.contains(&link))
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// How the names of temporary files begin.
const UNFINISHED: &str = ".larder-";

/// Whether this is the name of a file that was being written. One stays if its writer is killed.
pub fn is_unfinished(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(UNFINISHED)
}

/// A temporary file has a random name and mode 0600, and is removed if it is not persisted. In the directory
/// of a user it is that user's.
fn write_beside(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    let mut file = Builder::new().prefix(UNFINISHED).tempfile_in(parent)?;
    if let Some((user, group)) = other_owner(&file.as_file().metadata()?, parent) {
        fchown(file.as_file(), Some(user), Some(group))?;
    }
    file.write_all(content)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    }

    #[test]
    fn private_files_are_replaced_whole_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let [own, others] = ["own", "others"].map(|name| folder.path().join(name));
        fs::write(&others, "theirs").expect("written");
        std::os::unix::fs::symlink(&others, &own).expect("linked");
        write_private(&own, b"ours").expect("written");
        assert_eq!(fs::read(&own).expect("read"), b"ours");
        assert_eq!(fs::read(&others).expect("read"), b"theirs");
        assert_eq!(mode(&own), 0o600);
        let left = fs::read_dir(folder.path()).expect("listed").count();
        assert_eq!(left, 2, "no temporary file is left");
    }

    #[test]
    fn public_files_are_readable_and_what_is_no_file_is_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        write_public(&file, b"first").expect("written");
        assert_eq!(mode(&file), 0o644);
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        write_public(&link, b"second").expect("written");
        assert_eq!(fs::read(&file).expect("read"), b"second");
        assert!(link.is_symlink());
    }

    #[test]
    fn no_link_of_a_checkout_leads_a_report_out_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, theirs) = (folder.path().join("repo"), folder.path().join("passwd"));
        fs::create_dir_all(root.join(".git")).expect("made");
        fs::create_dir(root.join("out")).expect("made");
        fs::write(&theirs, "theirs").expect("written");
        let link = |to: &Path, name: &str| {
            std::os::unix::fs::symlink(to, root.join(name)).expect("linked");
        };
        link(&theirs, "report");
        link(folder.path(), "up");
        link(Path::new("out/report"), "within");
        link(&folder.path().join("new"), "new");
        link(Path::new("new"), "twice");
        for name in [
            "report",
            "up/passwd",
            "up/other",
            "out/../up/passwd",
            "new",
            "twice",
        ] {
            let path = root.join(name);
            for done in [write_public(&path, b"{}"), append_public(&path, "A=1")] {
                let error = done.expect_err(name);
                assert!(
                    error.to_string().contains("leads out of"),
                    "{name}: {error}"
                );
            }
        }
        assert_eq!(fs::read(&theirs).expect("read"), b"theirs");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2);
        write_public(&root.join("within"), b"[]").expect("it is made in the checkout");
        write_public(&root.join("within"), b"{}").expect("it stays in the checkout");
        append_public(&root.join("out/env"), "A=1").expect("it stays in the checkout");
        assert_eq!(fs::read(root.join("out/report")).expect("read"), b"{}");
        write_public(Path::new("/dev/null"), b"{}").expect("the machine's");
        write_public(Path::new("/proc/self/fd/2"), b"").expect("the machine's link");
    }

    #[test]
    fn another_users_link_where_everybody_may_write_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let [open, theirs] = ["open", "theirs"].map(|name| folder.path().join(name));
        fs::create_dir(&open).expect("made");
        fs::set_permissions(&open, Permissions::from_mode(0o1777)).expect("set");
        fs::write(&theirs, "theirs").expect("written");
        let link = open.join("report");
        std::os::unix::fs::symlink(&theirs, &link).expect("linked");
        write_public(&link, b"ours").expect("our own link");
        std::os::unix::fs::lchown(&link, Some(4242), None).expect("root may");
        let error = write_public(&link, b"{}").expect_err("another's link");
        assert!(error.to_string().contains("another user's"), "{error}");
        assert_eq!(fs::read(&theirs).expect("read"), b"ours");
    }

    #[test]
    fn a_private_file_that_is_a_link_or_anothers_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let [own, link, other] = ["own", "link", "other"].map(|name| folder.path().join(name));
        write_private(&own, b"ours").expect("written");
        open_private(&own).expect("ours");
        std::os::unix::fs::symlink(&own, &link).expect("linked");
        write_private(&other, b"theirs").expect("written");
        std::os::unix::fs::chown(&other, Some(4242), None).expect("root may");
        for path in [&link, &other, &folder.path().to_owned()] {
            assert!(open_private(path).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn lines_are_added_to_a_last_line_without_an_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("env");
        for (before, after) in [
            ("", "A=1\n"),
            ("B=2\n", "B=2\nA=1\n"),
            ("B=2", "B=2\nA=1\n"),
        ] {
            fs::write(&file, before).expect("written");
            append_public(&file, "A=1\n").expect("appended");
            assert_eq!(fs::read_to_string(&file).expect("read"), after);
        }
    }

    #[test]
    fn private_folders_are_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("a/b");
        make_private_folder(&inner).expect("made");
        assert_eq!([mode(&inner), mode(&folder.path().join("a"))], [0o700; 2]);
        make_private_folder(&inner).expect("it may be there");
    }

    #[test]
    fn what_root_makes_in_a_users_directory_is_the_users() {
        let home = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::chown(home.path(), Some(65_534), Some(65_533))
            .expect("the tests need root, which alone can give a directory away");
        let inner = home.path().join("cache/larder");
        make_folder_of_user(&inner, 0o700).expect("made");
        write_private(&inner.join("file"), b"").expect("written");
        open_private(&inner.join("file")).expect("it is read back");
        write_public(&inner.join("report"), b"").expect("written");
        for made in [
            "cache",
            "cache/larder",
            "cache/larder/file",
            "cache/larder/report",
        ] {
            let meta = fs::metadata(home.path().join(made)).expect("made");
            assert_eq!((meta.uid(), meta.gid()), (65_534, 65_533), "{made}");
        }
        assert_eq!(mode(&inner), 0o700);
        make_private_folder(&inner.join("roots")).expect("made");
        let roots = fs::metadata(inner.join("roots")).expect("made");
        assert_eq!(roots.uid(), 0);
    }
}
