//! One verb, one file: each reads as what the verb does.

pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod explain;
pub(crate) mod image;
pub(crate) mod images;
pub(crate) mod key;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod up;

use std::path::Path;

use crate::exit::{Done, Failure};

/// Refuses a file that cannot be written because its directory is missing: before the work, not after it.
fn check_folder(option: &str, file: Option<&Path>) -> Done<()> {
    let Some(file) = file else { return Ok(()) };
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let refuse = |why: &str| Failure::input(format!("{option} {}: {why}", file.display()));
    if !folder.is_none_or(Path::is_dir) {
        return Err(refuse("there is no such directory; make it first"));
    }
    if file.is_dir() {
        return Err(refuse("this is a directory; name a file"));
    }
    Ok(())
}

/// Runs the work of a verb that reads and writes several things at a time.
fn block_on<T>(work: impl Future<Output = Done<T>>) -> Done<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Failure::failed)?;
    runtime.block_on(work)
}
