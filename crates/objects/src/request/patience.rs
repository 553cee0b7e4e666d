//! Trying again: the one place, and the one clock. The clouds' clients try nothing again by themselves.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use http_body_util::LengthLimitError;
use object_store::client::HttpError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::http::Busy;
use crate::answer;
use crate::error::StoreError;

/// How long a store may be in trouble before a request to it fails, if nobody says anything else: there is time for the
/// longest pause that one may ask for (GitHub counts new entries by the minute), and for another try.
const USUAL: Duration = Duration::from_secs(75);
/// The same for trouble that seldom passes: a name that nobody knows, a certificate that is not valid, credentials
/// that are missing.
const HARDLY: Duration = Duration::from_secs(4);
/// A request is given up after this even if it makes progress: in time for what is largest, over a slow line.
const TRY_LIMIT: Duration = Duration::from_secs(300);
/// Trouble is told when it has lasted this long. A single error is none.
const WORTH_TELLING: Duration = Duration::from_secs(3);

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long a store is waited for. All that use an opened store share it; whoever runs a job changes it as the
/// job goes on.
#[derive(Debug)]
pub struct Patience {
    limit_ms: AtomicU64,
    /// Why requests wait now.
    trouble: watch::Sender<Option<String>>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            limit_ms: AtomicU64::new(USUAL.as_millis() as u64),
            trouble: watch::Sender::new(None),
        }
    }
}

impl Patience {
    /// From now on a request fails when the store has been in trouble for so long.
    pub fn set(&self, limit: Duration) {
        let limit_ms = limit.as_millis() as u64;
        self.limit_ms.store(limit_ms, Ordering::Relaxed);
    }

    /// The usual patience again.
    pub fn reset(&self) {
        self.set(USUAL);
    }

    /// How long it is now.
    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.limit_ms.load(Ordering::Relaxed))
    }

    /// Why requests are waiting for the store, while they do.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Makes a request until it is answered, or there is no more hope.
    pub(crate) async fn ask<T, F>(
        &self,
        what: &'static str,
        path: &str,
        attempt: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let mut troubled: Option<Instant> = None;
        let mut pauses = pauses();
        loop {
            let begun = Instant::now();
            let (error, hope) = match timeout(TRY_LIMIT, attempt()).await {
                Ok(Ok(done)) => {
                    self.is_well();
                    return Ok(done);
                }
                Ok(Err(error)) => {
                    let told = StoreError::from_object_store(what, path, &error);
                    (told, Hope::after(&error))
                }
                Err(_) => {
                    let (path, limit) = (path.to_owned(), TRY_LIMIT);
                    (StoreError::Slow { what, path, limit }, Hope::There(None))
                }
            };
            let since = *troubled.get_or_insert(begun);
            let Some(pause) = hope.pause(pauses.next(), since.elapsed(), self.limit()) else {
                return Err(error);
            };
            tracing::info!(%error, ?pause, "trying again");
            if since.elapsed() + pause > WORTH_TELLING {
                self.trouble.send_replace(Some(error.to_string()));
            }
            sleep(pause).await;
        }
    }

    fn is_well(&self) {
        self.trouble
            .send_if_modified(|trouble| trouble.take().is_some());
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE_MIN)
        .with_max_delay(PAUSE_MAX)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Whether the same request may be answered later.
#[derive(Debug, PartialEq, Eq)]
enum Hope {
    /// The store has answered, and would say the same again.
    Gone,
    /// A little: as long as [`HARDLY`].
    Little,
    /// The store, or the way to it, is in trouble; perhaps it says how long to wait.
    There(Option<Duration>),
}

impl Hope {
    fn after(error: &object_store::Error) -> Self {
        let object_store::Error::Generic { store, source } = error else {
            return Self::Gone;
        };
        let first: &(dyn Error + 'static) = &**source;
        let causes = std::iter::successors(Some(first), |&cause| cause.source());
        let said = error.to_string();
        let mut on_the_way = false;
        for cause in causes {
            if let Some(busy) = cause.downcast_ref::<Busy>() {
                return Self::There(busy.pause);
            }
            // It would only send as much again.
            if cause.is::<LengthLimitError>() {
                return Self::Gone;
            }
            on_the_way |= cause.is::<HttpError>();
            if on_the_way && is_lasting(&cause.to_string()) {
                return Self::Little;
            }
        }
        match *store {
            // Whatever a folder says stays so.
            "LocalFileSystem" => Self::Gone,
            _ if answer::lacks_credentials(&said) => Self::Little,
            // `RequestError` of the clouds' clients: the store has answered with a refusal, or elsewhere.
            _ if !on_the_way && said.contains("Server returned") => Self::Gone,
            _ if !on_the_way && said.contains("Received redirect") => Self::Gone,
            _ if !on_the_way && answer::is_refused_deletion(&said) => Self::Gone,
            // The way to it, or an answer that makes no sense: another range, cut XML.
            _ => Self::There(None),
        }
    }

    /// How long to wait for the next try, if there is one.
    fn pause(
        self,
        usual: Option<Duration>,
        troubled: Duration,
        limit: Duration,
    ) -> Option<Duration> {
        let (asked, limit) = match self {
            Self::Gone => return None,
            Self::Little => (None, limit.min(HARDLY)),
            Self::There(asked) => (asked, limit),
        };
        // Many are asked to come again at the same time: nobody comes sooner, and each a little later than another.
        let pause = asked.unwrap_or_default() + usual?;
        (troubled + pause <= limit).then_some(pause)
    }
}

/// Failures of a connection that seldom pass: `EAI_NONAME` of getaddrinfo(3) in the words of glibc and musl, and
/// certificates.
fn is_lasting(cause: &str) -> bool {
    const WORDS: [&str; 4] = [
        "Name or service not known",
        "Name does not resolve",
        "invalid peer certificate",
        "invalid URL",
    ];
    WORDS.iter().any(|words| cause.contains(words))
}

#[cfg(test)]
mod tests {
    use std::io;

    use object_store::client::HttpErrorKind;
    use parking_lot::Mutex;

    use super::*;

    fn generic(source: impl Error + Send + Sync + 'static) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: Box::new(source),
        }
    }

    fn on_the_way(why: &str) -> object_store::Error {
        let error = io::Error::other(why.to_owned());
        generic(HttpError::new(HttpErrorKind::Unknown, error))
    }

    #[test]
    fn what_has_hope() {
        let told = |text: &str| generic(io::Error::other(text.to_owned()));
        for (error, hope) in [
            (on_the_way("connection reset by peer"), Hope::There(None)),
            (
                on_the_way("dns error: Name or service not known"),
                Hope::Little,
            ),
            (
                on_the_way("invalid peer certificate: UnknownIssuer"),
                Hope::Little,
            ),
            (told("Requested 1..2, got 3..4"), Hope::There(None)),
            (
                told("Error performing GET http://169.254.169.254/latest in 1 s"),
                Hope::Little,
            ),
            (
                told(
                    "Error performing GET http://x in 1 s - Server returned non-2xx status code: 400",
                ),
                Hope::Gone,
            ),
            (
                told("DeleteObjects request failed for key v1/x: no (code: AccessDenied)"),
                Hope::Gone,
            ),
            (
                told("DeleteObjects request failed for key v1/x: later (code: SlowDown)"),
                Hope::There(None),
            ),
            (
                object_store::Error::Generic {
                    store: "LocalFileSystem",
                    source: Box::new(io::Error::other("No space left on device")),
                },
                Hope::Gone,
            ),
            (
                object_store::Error::NotImplemented {
                    operation: "x".into(),
                    implementer: "y".into(),
                },
                Hope::Gone,
            ),
        ] {
            assert_eq!(Hope::after(&error), hope, "{error}");
        }
    }

    #[test]
    fn a_pause_that_the_store_asks_for_counts_and_nothing_goes_beyond_the_limit() {
        let seconds = Duration::from_secs;
        let pause =
            |hope: Hope, troubled| hope.pause(Some(seconds(1)), seconds(troubled), seconds(10));
        assert_eq!(pause(Hope::There(None), 0), Some(seconds(1)));
        assert_eq!(pause(Hope::There(Some(seconds(3))), 6), Some(seconds(4)));
        assert_eq!(pause(Hope::There(Some(seconds(3))), 7), None);
        assert_eq!(pause(Hope::There(None), 10), None);
        assert_eq!(pause(Hope::Little, 4), None);
        assert_eq!(pause(Hope::Gone, 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn two_minutes_away_cost_two_minutes() {
        let patience = Patience::default();
        patience.set(Duration::from_secs(300));
        let trouble = patience.trouble();
        let begun = Instant::now();
        let told = Mutex::new(None);
        let asked = patience.ask("read", "x", || async {
            if begun.elapsed() < Duration::from_secs(120) {
                *told.lock() = trouble.borrow().clone();
                return Err(on_the_way("connection refused"));
            }
            Ok(())
        });
        asked.await.expect("it came back");
        assert!(
            begun.elapsed() < Duration::from_secs(131),
            "{:?}",
            begun.elapsed()
        );
        let told = told.into_inner().expect("it was told");
        assert!(told.contains("connection refused"), "{told}");
        assert_eq!(*trouble.borrow(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_stays_away_ends_in_its_own_words() {
        let patience = Patience::default();
        patience.set(Duration::from_secs(10));
        let begun = Instant::now();
        let asked = patience.ask("read", "v1/x", || async {
            Err::<(), _>(on_the_way("connection refused"))
        });
        let error = asked.await.expect_err("it stays away").to_string();
        assert!(
            error.contains("v1/x") && error.contains("refused"),
            "{error}"
        );
        assert!(begun.elapsed() <= Duration::from_secs(10));
    }
}
