//! A bounded cache in front of a far store: a directory that any number of processes share, or a nearer store.
//!
//! It holds verified objects whose names say their content, and verified ranges of them; listings, documents and marks
//! are always the store's own. Whatever comes out of it is verified again by whoever asked, so nobody has to
//! trust it. A fault of it is a miss, and is told once.

mod remote;

use std::fmt::Display;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use larder_local::own::OwnFolder;
use larder_local::shelf::Shelf as Folder;
use parking_lot::Mutex;

use self::remote::Remote;
use super::Objects;
use crate::blocking::blocking;
use crate::error::StoreError;

/// An object or a range of one, by the digest in its name: as a file it is called so.
fn key(path: &str, range: Option<&Range<u64>>) -> String {
    let id = path.rsplit('/').next().unwrap_or_default();
    match range {
        Some(Range { start, end }) => format!("{id}-{start}-{end}"),
        None => id.to_owned(),
    }
}

fn failed(what: &'static str, path: String, error: &io::Error) -> StoreError {
    let why = error.to_string();
    StoreError::Failed { what, path, why }
}

/// The cache. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Near {
    shelf: Arc<Shelf>,
    /// What went wrong first, until it was told.
    trouble: Arc<Mutex<Trouble>>,
}

#[derive(Debug)]
enum Shelf {
    Folder(Folder),
    Remote(Remote),
    /// It cannot be used.
    Nothing,
}

#[derive(Debug, Default)]
enum Trouble {
    #[default]
    No,
    Untold(String),
    Told,
}

impl Near {
    /// A directory that holds at most so many bytes.
    pub(crate) fn folder(at: &OwnFolder, max_bytes: u64) -> Self {
        let near = match Folder::open(at, max_bytes) {
            Ok(folder) => Self::new(Shelf::Folder(folder)),
            Err(error) => {
                let near = Self::new(Shelf::Nothing);
                near.fault(error);
                near
            }
        };
        if let Shelf::Folder(folder) = &*near.shelf
            && let Some(error) = folder.is_read_only()
        {
            near.fault(format_args!("{}: {error}", at.named().display()));
        }
        near
    }

    /// Another store that holds about so many bytes of it.
    pub(crate) fn remote(objects: Objects, max_bytes: u64) -> Self {
        Self::new(Shelf::Remote(Remote::new(objects, max_bytes)))
    }

    /// One that cannot be used, and why.
    pub(crate) fn nothing(why: impl Display) -> Self {
        let near = Self::new(Shelf::Nothing);
        near.fault(why);
        near
    }

    fn new(shelf: Shelf) -> Self {
        Self {
            shelf: Arc::new(shelf),
            trouble: Arc::default(),
        }
    }

    fn fault(&self, why: impl Display) {
        let mut trouble = self.trouble.lock();
        if matches!(*trouble, Trouble::No) {
            *trouble = Trouble::Untold(why.to_string());
        }
    }

    /// What went wrong, once.
    fn take_trouble(&self) -> Option<String> {
        let mut trouble = self.trouble.lock();
        match std::mem::replace(&mut *trouble, Trouble::Told) {
            Trouble::Untold(why) => Some(why),
            before => {
                *trouble = before;
                None
            }
        }
    }

    /// An object, or a range of one; not verified.
    pub async fn get(
        &self,
        path: &str,
        range: Option<&Range<u64>>,
        max_bytes: usize,
    ) -> Option<Bytes> {
        let (whole, piece) = (key(path, None), range.map(|range| key(path, Some(range))));
        let found = match &*self.shelf {
            Shelf::Nothing => return None,
            Shelf::Folder(folder) => {
                let (folder, range) = (folder.clone(), range.cloned());
                let read = blocking(move || folder.get(&whole, piece, range, max_bytes)).await;
                read.map(|read| read.map(Bytes::from))
                    .map_err(|error| failed("read", key(path, None), &error))
            }
            Shelf::Remote(remote) => remote.get(&whole, piece, range, max_bytes).await,
        };
        found.unwrap_or_else(|error| {
            self.fault(error);
            None
        })
    }

    /// Keeps an object, or a range of one, that was verified.
    pub async fn put(&self, path: &str, range: Option<&Range<u64>>, bytes: Bytes) {
        let key = key(path, range);
        let kept = match &*self.shelf {
            Shelf::Nothing => return,
            Shelf::Folder(folder) => {
                let folder = folder.clone();
                let name = key.clone();
                let written = blocking(move || folder.put(&name, &bytes)).await;
                written.map_err(|error| failed("write", key, &error))
            }
            Shelf::Remote(remote) => remote.put(key, bytes).await,
        };
        if let Err(error) = kept {
            self.fault(error);
        }
    }

    /// Forgets what could not be verified. What the store has takes its place.
    pub async fn forget(&self, path: &str, range: Option<&Range<u64>>) {
        tracing::warn!(path, ?range, "the near tier's copy is damaged");
        let keys = [key(path, range), key(path, None)];
        match &*self.shelf {
            Shelf::Nothing => {}
            Shelf::Folder(folder) => folder.forget(&keys),
            Shelf::Remote(remote) => remote.forget(&keys).await,
        }
    }
}

impl Objects {
    /// The same behind a near tier.
    pub(crate) fn behind(self, near: Near) -> Self {
        Self {
            near: Some(near),
            ..self
        }
    }

    /// What is in front of it.
    pub fn near(&self) -> Option<&Near> {
        self.near.as_ref()
    }

    /// Why the near tier helps less than it could, once; the store is used without it then.
    pub fn near_trouble(&self) -> Option<String> {
        let why = self.near.as_ref()?.take_trouble()?;
        Some(format!(
            "the near tier is not used for all it could be: {why}"
        ))
    }
}
