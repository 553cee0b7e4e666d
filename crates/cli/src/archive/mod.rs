//! The archive door: images and their build cache, saved and restored through the API of an engine
//! under which no disk can be put.
//!
//! | module | holds |
//! |---|---|
//! | [`door`] | the engine, the store and the lineage of one command |
//! | [`find`] | the archive that a job starts from |
//! | [`content`] | what an archive holds, as its document says it |
//! | [`moved`] | saved images whose base image has moved |
//! | [`restore`], [`save`] | the two ways |
//! | [`export`] | the engine's export, taken apart |
//! | [`kept`] | images that need not be exported again |
//! | [`carried`] | what images of stages know of their steps, carried on |
//! | [`cache`] | `BuildKit`'s cache in a folder |
//! | [`note`] | what a job's verbs tell each other |
//! | [`builder`] | who builds, and how that builder finds restored steps |
//! | [`arguments`], [`output`] | a `docker build` command's arguments, and what it prints |
//! | [`leaks`] | secrets in what is about to be saved |

pub mod arguments;
pub mod builder;
pub mod cache;
pub mod carried;
pub mod content;
pub mod door;
pub mod export;
pub mod find;
pub mod kept;
pub mod leaks;
pub mod moved;
pub mod note;
pub mod output;
pub mod restore;
pub mod save;
pub mod stages;

/// An error as part of a sentence.
#[allow(clippy::needless_pass_by_value)] // errors come by value, as `map_err` hands them over
fn text(error: impl ToString) -> String {
    error.to_string()
}
