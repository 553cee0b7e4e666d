//! What a job is told of a store in trouble, and for how long it is waited for.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use larder_local::people::Voice;
use larder_store::{Objects, Patience};

/// While a snapshot is looked for: a job that starts empty has lost little yet.
pub(crate) const FINDING: Duration = Duration::from_secs(10);
/// While volume and engine come up, which somebody waits for.
pub(crate) const STARTING: Duration = Duration::from_secs(60);
/// While the job runs: a build that is late is better than one that failed. The kernel tells of a request that
/// waits for two minutes in its log, and goes on waiting.
pub(crate) const RUNNING: Duration = Duration::from_secs(300);
/// When nothing depends on it any more.
pub(crate) const LEAVING: Duration = Duration::from_secs(2);

/// Does some work, and tells when it waits for the store.
pub(crate) async fn telling<T>(
    objects: &Objects,
    voice: &dyn Voice,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        done = work => done,
        never = tell(objects.patience(), voice) => match never {},
    }
}

/// Tells it once for each time that the store is in trouble.
async fn tell(patience: &Patience, voice: &dyn Voice) -> Infallible {
    let mut trouble = patience.trouble();
    loop {
        let begun = trouble.wait_for(Option::is_some).await;
        let why = begun.ok().and_then(|why| why.clone()).unwrap_or_default();
        let since = Instant::now();
        voice.warning(&format!(
            "waiting for the store, up to {} s: {why}",
            patience.limit().as_secs()
        ));
        if trouble.wait_for(Option::is_none).await.is_err() {
            // Nobody asks the store any more.
            std::future::pending::<()>().await;
        }
        let waited = since.elapsed().as_secs();
        voice.note(&format!("the store answers again, after {waited} s"));
    }
}
