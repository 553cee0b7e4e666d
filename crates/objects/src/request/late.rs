//! Asking a second time what is late: a straggler among many requests is mostly one server's, or one
//! connection's.

use std::pin::pin;

use futures_util::future::select_ok;
use larder_model::pace::Latest;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

/// A request for more than this takes its time by its bytes, and is compared with others like it.
const SMALL_BYTES: u64 = 512 * 1024;

/// How long reads of a store took.
#[derive(Debug, Default)]
pub(crate) struct Late {
    small: Mutex<Latest>,
    large: Mutex<Latest>,
}

impl Late {
    /// Reads so many bytes; whichever is answered first, if it is asked twice.
    pub(crate) async fn read<T, F>(
        &self,
        bytes: u64,
        attempt: impl Fn() -> F,
    ) -> object_store::Result<T>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let latest = if bytes > SMALL_BYTES {
            &self.large
        } else {
            &self.small
        };
        let begun = Instant::now();
        let late_after = latest.lock().late_after();
        let mut first = pin!(attempt());
        let answer = match late_after {
            None => first.await,
            Some(late_after) => match timeout(late_after, &mut first).await {
                Ok(answer) => answer,
                Err(_) if latest.lock().ask_again() => {
                    tracing::debug!(bytes, ?late_after, "asking a second time");
                    let second = pin!(attempt());
                    select_ok([first, second]).await.map(|(answer, _)| answer)
                }
                Err(_) => first.await,
            },
        };
        if answer.is_ok() {
            latest.lock().answered(begun.elapsed());
        }
        answer
    }

    /// How many requests were asked a second time.
    pub(crate) fn asked_again(&self) -> u64 {
        self.small.lock().asked_again() + self.large.lock().asked_again()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    /// Thirty reads, of which one hangs for a minute: what each of them took.
    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_is_asked_again_and_nobody_waits_for_it() {
        let (late, asked) = (Late::default(), AtomicU64::new(0));
        for _ in 0..30 {
            let begun = Instant::now();
            let read = late.read(1, || async {
                let hangs = asked.fetch_add(1, Ordering::Relaxed) == 25;
                tokio::time::sleep(Duration::from_millis(if hangs { 60_000 } else { 20 })).await;
                Ok(())
            });
            read.await.expect("it is answered");
            assert!(begun.elapsed() < Duration::from_millis(100));
        }
        assert_eq!((asked.into_inner(), late.asked_again()), (31, 1));
    }

    /// While few answers are known nothing is asked twice, nor when the store is slow as a whole.
    #[tokio::test(start_paused = true)]
    async fn a_slow_store_gets_no_more_to_do() {
        let (late, asked) = (Late::default(), AtomicU64::new(0));
        for round in 0..60 {
            let read = late.read(1, || async {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20 << round.min(20))).await;
                Ok(())
            });
            read.await.expect("it is answered");
        }
        assert!(asked.into_inner() <= 63);
    }
}
