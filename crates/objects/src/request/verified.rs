//! Reading what is verified. A bit that flips on the way, in a cache or in this machine's memory says nothing about
//! the store. So whatever is not what it should be is read again, by a request of its own, and is damaged only if
//! it comes the same wrong way twice.

use std::future::ready;

use bytes::Bytes;

use crate::error::StoreError;

/// Reads, until two of them agree.
const READS_MAX: usize = 4;

/// Reads a range until what comes can be verified, or is damaged.
pub async fn verified<T, R, V>(
    read: impl Fn() -> R,
    verify: impl Fn(Bytes) -> V,
) -> Result<T, StoreError>
where
    R: Future<Output = Result<Bytes, StoreError>>,
    V: Future<Output = Result<T, StoreError>>,
{
    verified_whole(read, verify, || ready(None)).await
}

/// The same of a whole object, whose size is asked for before it is damaged: something on the way may cut it in the
/// same place each time.
pub async fn verified_whole<T, R, V, S>(
    read: impl Fn() -> R,
    verify: impl Fn(Bytes) -> V,
    size: impl Fn() -> S,
) -> Result<T, StoreError>
where
    R: Future<Output = Result<Bytes, StoreError>>,
    V: Future<Output = Result<T, StoreError>>,
    S: Future<Output = Option<u64>>,
{
    let mut before = None;
    let mut reads = 1;
    loop {
        let read = read().await;
        let seen = match &read {
            Ok(bytes) => Ok(bytes.clone()),
            // Missing, or cut short.
            Err(error) => Err(error.to_string()),
        };
        let error = match async { verify(read?).await }.await {
            Err(error) if error.is_damage() => error,
            settled => return settled,
        };
        let came = seen.as_ref().ok().map(|bytes| bytes.len() as u64);
        let seen = Some(seen);
        if seen == before {
            let is_all = came.is_none() || size().await.is_none_or(|size| Some(size) == came);
            return Err(if is_all {
                error
            } else {
                error.into_unreliable()
            });
        }
        if reads == READS_MAX {
            return Err(error.into_unreliable());
        }
        tracing::warn!(%error, "reading it again");
        before = seen;
        reads += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use parking_lot::Mutex;

    use super::*;

    /// What comes of reads that bring these, and how many of them are left.
    async fn reading(reads: &[&'static str]) -> (Result<Bytes, StoreError>, usize) {
        let left = Mutex::new(reads.iter().copied().collect::<VecDeque<_>>());
        let done = verified(
            || {
                ready(match left.lock().pop_front().expect("no more reads") {
                    "gone" => Err(StoreError::Missing { path: "x".into() }),
                    "away" => Err(StoreError::Failed {
                        what: "read",
                        path: "x".into(),
                        why: "reset".into(),
                    }),
                    text => Ok(Bytes::from(text)),
                })
            },
            async |bytes| match &bytes[..] {
                b"right" => Ok(bytes),
                _ => Err(StoreError::damaged("x", "wrong")),
            },
        );
        let done = done.await;
        (done, left.into_inner().len())
    }

    #[tokio::test]
    async fn what_is_cut_on_the_way_is_not_damaged() {
        for (size, damage) in [(Some(4), true), (Some(5), false), (None, true)] {
            let wrong = async |_| Err::<(), _>(StoreError::damaged("x", "wrong"));
            let read = || ready(Ok(Bytes::from("half")));
            let done = verified_whole(read, wrong, || ready(size)).await;
            let error = done.expect_err("it never was right");
            assert_eq!(error.is_damage(), damage, "{size:?}: {error}");
        }
    }

    #[tokio::test]
    async fn only_what_comes_the_same_wrong_way_twice_is_damaged() {
        for (reads, damage) in [
            (&["wrong", "wrong"][..], true),
            (&["gone", "gone"], true),
            (&["odd", "wrong", "wrong"], true),
            (&["odd", "wrong", "odd", "other"], false),
            (&["wrong", "away"], false),
        ] {
            let (done, left) = reading(reads).await;
            let error = done.expect_err("it never was right");
            assert_eq!((error.is_damage(), left), (damage, 0), "{reads:?}: {error}");
        }
        for reads in [
            &["right"][..],
            &["wrong", "right"],
            &["gone", "odd", "right"],
        ] {
            let (done, left) = reading(reads).await;
            assert_eq!((done.is_ok(), left), (true, 0), "{reads:?}");
        }
    }
}
