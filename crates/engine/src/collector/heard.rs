//! The images that a job uses, as heard from its engine.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder_docker::{ImageUse, ImageUses, Remote, Result};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Names and ids that are remembered. A job that uses more uses them all.
const IMAGES_MAX: usize = 10_000;
/// An image is looked at in a few milliseconds; an engine under load takes longer.
const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// What was heard so far. Listening ends with it.
#[derive(Debug)]
pub(super) struct Heard {
    ids: Arc<Mutex<HashSet<String>>>,
    missed: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Heard {
    /// Begins to listen.
    pub(super) async fn listen(engine: &Remote) -> Arc<Self> {
        let (ids, missed) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let listening = match engine.image_uses().await {
            Ok(uses) => {
                let listener = Listener {
                    engine: engine.within(LOOK_LIMIT),
                    ids: Arc::clone(&ids),
                    names: HashSet::new(),
                };
                Some(tokio::spawn(listener.run(uses, Arc::clone(&missed))))
            }
            Err(error) => {
                tracing::warn!(%error, "the engine's events are not heard");
                missed.store(true, Ordering::Relaxed);
                None
            }
        };
        Arc::new(Self {
            ids,
            missed,
            listening,
        })
    }

    /// The ids of the images that were used; nothing if that is not known.
    pub(super) async fn ids(&self) -> Option<HashSet<String>> {
        let ids = self.ids.lock().await.clone();
        let is_known = !self.missed.load(Ordering::Relaxed) && ids.len() < IMAGES_MAX;
        is_known.then_some(ids)
    }
}

impl Heard {
    /// An engine that is to stop waits five seconds for those who listen.
    pub(super) fn end(&self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.end();
    }
}

struct Listener {
    engine: Remote,
    ids: Arc<Mutex<HashSet<String>>>,
    /// Names whose images are among the ids.
    names: HashSet<String>,
}

impl Listener {
    async fn run(mut self, mut uses: ImageUses, missed: Arc<AtomicBool>) {
        if let Err(error) = self.hear(&mut uses).await {
            tracing::warn!(%error, "the engine's events are not heard any more");
        }
        // The events end with the engine. Before that, something may have been missed.
        missed.store(true, Ordering::Relaxed);
    }

    async fn hear(&mut self, uses: &mut ImageUses) -> Result<()> {
        while let Some(ImageUse {
            image,
            by_container,
        }) = uses.next().await?
        {
            if !by_container {
                self.names.clear();
            }
            if is_id(&image) {
                self.ids.lock().await.insert(image);
            } else if self.names.insert(image.clone()) {
                let found = self.engine.inspect(&image).await?;
                // It may be gone already.
                self.ids.lock().await.extend(found.map(|image| image.id));
            }
            if self.ids.lock().await.len() >= IMAGES_MAX {
                break;
            }
        }
        Ok(())
    }
}

fn is_id(image: &str) -> bool {
    image.starts_with("sha256:")
}
