//! Packs on their way to the store, while the next ones are filled.

use tokio::task::JoinSet;

use larder_objects::StoreError;

/// Packs in upload at once. Each is held in memory, and two keep a connection busy while one of them
/// is begun or ends.
const UPLOADS_MAX: usize = 2;

/// Uploads that run beside whoever fills the packs. Dropping it ends them.
pub(crate) struct Uploads<T> {
    running: JoinSet<Result<T, StoreError>>,
}

impl<T> Default for Uploads<T> {
    fn default() -> Self {
        Self {
            running: JoinSet::new(),
        }
    }
}

impl<T: Send + 'static> Uploads<T> {
    /// Starts an upload. While as many as may be are running, waits for one of them, and gives what
    /// that came to.
    pub(crate) async fn start(
        &mut self,
        upload: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let ended = if self.running.len() < UPLOADS_MAX {
            None
        } else {
            self.next().await?
        };
        self.running.spawn(upload);
        Ok(ended)
    }

    /// What the next upload that ends came to; nothing once none is left.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, StoreError> {
        let ended = self.running.join_next().await;
        ended
            .map(|upload| upload.expect("an upload does not panic"))
            .transpose()
    }
}
