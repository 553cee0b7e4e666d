//! The alarm of a volume: a read of the kernel has failed, so what is done with the volume from now on may be
//! wrong. A program that gets an I/O error may end, but the rest of its pipe goes on and succeeds. So the read
//! is answered only after whoever runs the engine has heard of it, and has seen to it that nothing comes of it.

use std::time::Duration;

use tokio::sync::watch;

/// A read that failed is answered after this, also if nobody says that it may be.
const HEARING_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Alarm {
    raised: watch::Sender<bool>,
    heard: watch::Sender<bool>,
}

/// Hears the alarm of a volume. Without one nothing is kept back.
#[derive(Debug)]
pub struct Hearing {
    raised: watch::Receiver<bool>,
    heard: watch::Sender<bool>,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        let (raised, heard) = (watch::Sender::new(false), watch::Sender::new(false));
        Self { raised, heard }
    }

    pub(crate) fn hear(&self) -> Hearing {
        Hearing {
            raised: self.raised.subscribe(),
            heard: self.heard.clone(),
        }
    }

    /// Raises the alarm. Waits until it has been heard, or nobody listens (any more).
    pub(crate) async fn raise(&self) {
        self.raised.send_replace(true);
        let mut heard = self.heard.subscribe();
        let heard = heard.wait_for(|heard| *heard);
        let seen_to = async {
            tokio::select! {
                heard = heard => drop(heard),
                () = self.raised.closed() => {}
            }
        };
        if tokio::time::timeout(HEARING_LIMIT, seen_to).await.is_err() {
            tracing::warn!("nobody has heard the alarm");
        }
    }
}

impl Hearing {
    /// Waits for the alarm.
    pub async fn raised(&mut self) {
        if self.raised.wait_for(|raised| *raised).await.is_err() {
            // The volume is closed: it will never be raised.
            std::future::pending::<()>().await;
        }
    }

    /// Lets the reads that failed be answered.
    pub fn let_go(&self) {
        self.heard.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_waits_for_whoever_hears() {
        let alarm = Alarm::new();
        // Nobody listens.
        alarm.raise().await;
        let mut hearing = alarm.hear();
        hearing.raised().await;
        tokio::select! {
            biased;
            () = alarm.raise() => panic!("it was not let go"),
            () = tokio::task::yield_now() => {}
        }
        hearing.let_go();
        alarm.raise().await;
    }
}
