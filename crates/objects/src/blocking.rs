//! Work that a task must not do itself.

/// Does it on a thread for what blocks, and waits for it.
pub async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    let ran = tokio::task::spawn_blocking(job).await;
    ran.expect("blocking work does not panic")
}
