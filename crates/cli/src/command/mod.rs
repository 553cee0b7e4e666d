//! One verb, one file: each reads as what the verb does.

pub mod build;
mod builds;
pub mod completions;
mod context;
pub mod doctor;
pub mod down;
pub mod explain;
pub mod image;
pub mod key;
pub mod ls;
pub mod man;
pub mod plan;
pub mod restore;
pub mod run;
pub mod save;
pub mod serve;
pub mod status;
pub mod up;

/// Runs the work of a verb that reads and writes several things at a time.
fn block_on<T>(
    work: impl std::future::Future<Output = crate::exit::Done<T>>,
) -> crate::exit::Done<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(crate::exit::Failure::failed)?;
    runtime.block_on(work)
}
