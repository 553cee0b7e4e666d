//! Listing names, a bounded number of them at a time: whoever needs the first ones of a folder with a
//! million names reads one page, and holds no more than that.

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{Error, ListResult, Result};

use crate::blocking::blocking;

/// Pages asked for at most. A store may answer with fewer names than it was asked for, but not for ever.
const PAGES_MAX: usize = 8;

/// Where names are listed.
#[derive(Clone)]
pub(crate) enum Names {
    /// A bucket, in which names below this prefix are ours. Its pages are in the order of the names: S3,
    /// `ListObjectsV2`; Google's XML interface, "List objects"; Azure, "List Blobs".
    Bucket(Arc<dyn PaginatedListStore>, String),
    /// A folder of this machine, whose order is any.
    Folder(PathBuf),
    /// There are none.
    Nowhere,
}

/// What is listed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Objects,
    Folders,
}

impl Names {
    /// The first names in `folder` that come after `after`, in their order, and at most `max`.
    pub(crate) async fn first(
        &self,
        what: What,
        folder: &str,
        after: &str,
        max: usize,
    ) -> Result<Vec<String>> {
        let names = match self {
            Self::Nowhere => BTreeSet::new(),
            Self::Folder(root) => {
                let (folder, after) = (root.join(folder), after.to_owned());
                blocking(move || in_folder(what, &folder, &after, max)).await?
            }
            Self::Bucket(store, prefix) => {
                let folder = Path::from(format!("{prefix}/{folder}"));
                in_bucket(&**store, what, &folder, after, max).await?
            }
        };
        Ok(names.into_iter().collect())
    }

    /// Whether something else than a file is there under the name of an object: a link that may lead out of the store, a
    /// pipe, for which a read would wait.
    pub(crate) fn is_no_file(&self, object: &str) -> bool {
        let Self::Folder(root) = self else {
            return false;
        };
        std::fs::symlink_metadata(root.join(object)).is_ok_and(|meta| !meta.is_file())
    }
}

async fn in_bucket(
    store: &dyn PaginatedListStore,
    what: What,
    folder: &Path,
    after: &str,
    max: usize,
) -> Result<BTreeSet<String>> {
    let folder = format!("{folder}/");
    let mut names = BTreeSet::new();
    let mut page_token = None;
    for _ in 0..PAGES_MAX {
        let options = PaginatedListOptions {
            offset: (!after.is_empty()).then(|| format!("{folder}{after}")),
            delimiter: Some("/".into()),
            max_keys: Some(max),
            page_token,
            ..PaginatedListOptions::default()
        };
        let page = store.list_paginated(Some(&folder), options).await?;
        names.extend(named(what, &page.result).filter(|name| name.as_str() > after));
        page_token = page.page_token;
        if page_token.is_none() || names.len() >= max {
            break;
        }
    }
    while names.len() > max {
        names.pop_last();
    }
    Ok(names)
}

fn named(what: What, page: &ListResult) -> impl Iterator<Item = String> {
    let objects = page.objects.iter().map(|object| &object.location);
    let folders = page.common_prefixes.iter();
    let wanted = objects.filter(move |_| what == What::Objects);
    let wanted = wanted.chain(folders.filter(move |_| what == What::Folders));
    wanted.filter_map(|path| Some(path.filename()?.to_owned()))
}

fn in_folder(
    what: What,
    folder: &std::path::Path,
    after: &str,
    max: usize,
) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(names),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let is_folder = kind.is_dir() || kind.is_symlink() && entry.path().is_dir();
        let is_wanted = is_folder == (what == What::Folders);
        match entry.file_name().into_string() {
            Ok(name) if is_wanted && name.as_str() > after => names.insert(name),
            _ => continue,
        };
        if names.len() > max {
            names.pop_last();
        }
    }
    Ok(names)
}

fn failed(error: std::io::Error) -> Error {
    Error::Generic {
        store: "LocalFileSystem",
        source: error.into(),
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(_, prefix) => write!(f, "Bucket({prefix})"),
            Self::Folder(folder) => write!(f, "Folder({})", folder.display()),
            Self::Nowhere => f.write_str("Nowhere"),
        }
    }
}
