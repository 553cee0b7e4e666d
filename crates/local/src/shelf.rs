//! A bounded directory of files that are found by a digest, such as verified objects and ranges; the least recently used
//! go first.
//!
//! Each is a file, written beside and renamed; its name says what it holds. Processes agree about their bytes by a
//! number in the file `size`, which they lock: room is made and taken before anything is written, so the bound holds
//! however many write. Whoever reads has the file open, and is not disturbed. No link is followed, and
//! what is called otherwise is nobody's here to remove.

use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, ErrorKind, Write as _};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Timestamps, UTIME_NOW, flock, futimens,
    openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::time::Timespec;

use crate::own::OwnFolder;

/// The file with the number.
const SIZE: &str = "size";
/// What is being written is called so, and something behind it.
const HALF: &str = "half-";
/// Characters of a digest.
const ID_CHARS: usize = 64;
/// A use that came so soon after the last one is not noted.
const USE_SECONDS: i64 = 60;
/// Room is made until so much is used, in percent: making it takes a look at every file.
const MADE_PERCENT: u64 = 90;

/// The directory.
#[derive(Debug, Clone)]
pub struct Shelf(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    folder: OwnedFd,
    size: Result<File, io::Error>,
    max_bytes: u64,
    turn: Mutex<()>,
}

/// A file of ours.
struct Entry {
    used: (i64, i64),
    bytes: u64,
    name: String,
}

impl Shelf {
    /// Opens it, and makes it for us alone if it is not there.
    pub fn open(at: &OwnFolder, max_bytes: u64) -> Result<Self, io::Error> {
        let path = match at.make_of_user() {
            Ok(path) => path,
            // It may be readable all the same.
            Err(error) => match at.existing() {
                Ok(Some(path)) => path,
                _ => return Err(io::Error::other(error)),
            },
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        let size = open(&folder, SIZE, OFlags::RDWR | OFlags::CREATE);
        Ok(Self(Arc::new(Opened {
            folder,
            size,
            max_bytes,
            turn: Mutex::new(()),
        })))
    }

    /// Why nothing can be written, if so.
    pub fn is_read_only(&self) -> Option<&io::Error> {
        self.0.size.as_ref().err()
    }

    /// A file's bytes: a piece by itself, or as a part of the whole.
    pub fn get(
        &self,
        whole: &str,
        piece: Option<String>,
        range: Option<Range<u64>>,
        max_bytes: usize,
    ) -> io::Result<Option<Vec<u8>>> {
        let Some((name, range)) = piece.zip(range) else {
            return self.read(whole, |size| 0..size.min(max_bytes as u64 + 1));
        };
        let bytes = range.end - range.start;
        if let Some(found) = self.read(&name, |_| 0..bytes)? {
            return Ok(Some(found));
        }
        self.read(whole, |_| range.clone())
    }

    /// The part of a file that is chosen by its size. What is no file, or too short for that, is removed: it would be in
    /// the way.
    fn read(&self, name: &str, part: impl Fn(u64) -> Range<u64>) -> io::Result<Option<Vec<u8>>> {
        // A pipe is not waited for.
        let opened = open(&self.0.folder, name, OFlags::RDONLY | OFlags::NONBLOCK);
        let file = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                self.forget(&[name.to_owned()]);
                return Ok(None);
            }
            opened => opened?,
        };
        let meta = file.metadata()?;
        let part = part(meta.len());
        if !meta.is_file() || meta.len() < part.end {
            self.forget(&[name.to_owned()]);
            return Ok(None);
        }
        note_use(&file, &meta);
        let mut bytes = vec![0; (part.end - part.start) as usize];
        file.read_exact_at(&mut bytes, part.start)?;
        Ok(Some(bytes))
    }

    /// Writes a file, after making room for it.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // What cannot be written was told.
        let Ok(size) = &self.0.size else {
            return Ok(());
        };
        // Processes that share a directory may have the same number, each in a container of its own.
        let half = format!("{HALF}{:016x}", RandomState::new().build_hasher().finish());
        let Some(file) = self.0.reserve(size, name, &half, bytes.len() as u64)? else {
            return Ok(());
        };
        let written = self.0.write(size, file, [&half, name], bytes);
        if written.is_err() {
            // It is counted until somebody looks at every file again.
            self.forget(&[half]);
        }
        written
    }

    /// Removes files.
    pub fn forget(&self, names: &[String]) {
        for name in names {
            // What stays is in the way of the same file alone.
            let _ = unlinkat(&self.0.folder, &**name, AtFlags::empty());
        }
    }
}

impl Opened {
    /// A new file for so many bytes, which are taken; none if the file is there, or is too large for what may be held.
    fn reserve(&self, size: &File, name: &str, half: &str, bytes: u64) -> io::Result<Option<File>> {
        if bytes > self.max_bytes / 2
            || statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
        {
            return Ok(None);
        }
        self.locked(size, || self.take_room(size, half, bytes).map(Some))
    }

    /// Does something while nobody else takes room, nor calls a file otherwise.
    fn locked<T>(&self, size: &File, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        // flock(2) is between processes.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        flock(size, FlockOperation::LockExclusive)?;
        let done = work();
        flock(size, FlockOperation::Unlock)?;
        done
    }

    fn take_room(&self, size: &File, half: &str, bytes: u64) -> io::Result<File> {
        let mut number = [0; 8];
        let known = size.read_exact_at(&mut number, 0).is_ok();
        let mut used = u64::from_le_bytes(number);
        if !known || used.saturating_add(bytes) > self.max_bytes {
            used = self.make_room(bytes)?;
        }
        let file = open(
            &self.folder,
            half,
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
        )?;
        // Whoever looks at every file sees it as long as it will be.
        file.set_len(bytes)?;
        size.write_all_at(&(used + bytes).to_le_bytes(), 0)?;
        Ok(file)
    }

    /// Removes what was not used for longest; the bytes that stay.
    fn make_room(&self, bytes: u64) -> io::Result<u64> {
        let mut entries = self.entries()?;
        let mut used: u64 = entries.iter().map(|entry| entry.bytes).sum();
        if used + bytes <= self.max_bytes {
            return Ok(used);
        }
        let until = (self.max_bytes / 100 * MADE_PERCENT).saturating_sub(bytes);
        entries.sort_by_key(|entry| entry.used);
        for entry in entries {
            if used <= until {
                break;
            }
            match unlinkat(&self.folder, &*entry.name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => used -= entry.bytes,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(used)
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !is_ours(&name) {
                continue;
            }
            let Ok(meta) = statat(&self.folder, &*name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if FileType::from_raw_mode(meta.st_mode) != FileType::Directory {
                entries.push(Entry {
                    used: (meta.st_mtime, meta.st_mtime_nsec.cast_signed()),
                    bytes: meta.st_size.max(0).cast_unsigned(),
                    name,
                });
            }
        }
        Ok(entries)
    }

    fn write(
        &self,
        size: &File,
        mut file: File,
        [half, name]: [&str; 2],
        bytes: &[u8],
    ) -> io::Result<()> {
        file.write_all(bytes)?;
        self.locked(size, || {
            match renameat(&self.folder, half, &self.folder, name) {
                // Somebody has made room of it: it took too long.
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
    }
}

fn open(folder: &OwnedFd, name: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

fn is_ours(name: &str) -> bool {
    let id = name.as_bytes().get(..ID_CHARS);
    name.starts_with(HALF) || id.is_some_and(|id| id.iter().all(u8::is_ascii_hexdigit))
}

/// The time of a file is that of its last use.
fn note_use(file: &File, meta: &std::fs::Metadata) {
    let modified = meta.modified().unwrap_or(UNIX_EPOCH);
    let ago = SystemTime::now()
        .duration_since(modified)
        .unwrap_or_default();
    if (ago.as_secs().cast_signed()) < USE_SECONDS {
        return;
    }
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    // One that is not noted makes the file older than it is.
    let _ = futimens(file, &times);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use super::*;

    const MAX_BYTES: u64 = 100_000;

    fn opened(path: &Path) -> Shelf {
        let own = OwnFolder::new(path.to_owned(), None);
        Shelf::open(&own, MAX_BYTES).expect("it opens")
    }

    fn name(number: u64) -> String {
        format!("{number:064x}")
    }

    /// What is there while nobody makes room. A file may be seen under both of its names.
    fn bytes(path: &Path) -> u64 {
        let lock = File::open(path.join(SIZE)).expect("it is there");
        flock(&lock, FlockOperation::LockExclusive).expect("locked");
        let entries = std::fs::read_dir(path).expect("a folder");
        let files = entries.filter_map(|entry| entry.ok()?.metadata().ok());
        let files: HashMap<u64, u64> = files.map(|meta| (meta.ino(), meta.size())).collect();
        files.values().sum()
    }

    #[test]
    fn the_bound_holds_however_many_write() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("mine"), "nobody else's").expect("written");
        std::thread::scope(|scope| {
            let writers = (0..6).map(|writer| {
                // Each has opened it by itself, as processes do: flock(2) is between those.
                let shelf = opened(folder.path());
                scope.spawn(move || {
                    for number in 0..80 {
                        let content = vec![writer as u8; 1_000 + number * 37];
                        let name = name(writer * 1_000 + number as u64);
                        shelf.put(&name, &content).expect("kept");
                        let read = shelf.get(&name, None, None, 10_000).expect("read");
                        assert!(read.is_none_or(|read| read == content));
                    }
                })
            });
            for writer in writers.collect::<Vec<_>>() {
                while !writer.is_finished() {
                    assert!(bytes(folder.path()) <= MAX_BYTES + 100);
                }
            }
        });
        assert!(bytes(folder.path()) > MAX_BYTES / 2);
        assert!(folder.path().join("mine").exists());
    }

    #[test]
    fn what_was_used_last_goes_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = opened(folder.path());
        let content = vec![7; 10_000];
        for number in 0..9 {
            shelf.put(&name(number), &content).expect("kept");
            let file = File::open(folder.path().join(name(number))).expect("there");
            let long_ago = UNIX_EPOCH + std::time::Duration::from_secs(1_000 + number);
            file.set_modified(long_ago).expect("set");
        }
        let get = |number| shelf.get(&name(number), None, None, 10_000).expect("read");
        assert!(get(0).is_some());
        shelf.put(&name(20), &content).expect("kept");
        shelf.put(&name(21), &content).expect("kept");
        assert!(get(0).is_some() && get(20).is_some() && get(21).is_some());
        assert!(get(1).is_none(), "it was not used for longest");
        // Too large to be of use here, and nothing goes for it.
        shelf.put(&name(30), &vec![1; 60_000]).expect("left out");
        assert!(get(0).is_some() && get(30).is_none());
    }
}
