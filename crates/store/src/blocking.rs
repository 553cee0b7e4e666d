//! Work that blocks.

/// Runs what blocks on a thread for such work.
pub(crate) async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    let ran = tokio::task::spawn_blocking(job).await;
    ran.expect("blocking work does not panic")
}
