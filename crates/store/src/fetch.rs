//! Reading from a store, counted.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use larder_model::digest::BlockId;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use larder_objects::{Objects, StoreError, verified, verified_whole};

/// What was fetched so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests made.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Bytes that the near tier gave instead.
    pub near_bytes: u64,
}

/// A block that was read from the store and found to hold what the map says.
#[derive(Debug, Clone)]
pub struct FetchedBlock {
    /// Its place in the volume.
    pub block: u64,
    /// Its content: 64 KiB.
    pub content: Bytes,
}

impl FetchedBlock {
    /// A block that holds what it should; else what is wrong.
    pub(crate) fn verified(block: u64, id: BlockId, content: Bytes) -> Result<Self, String> {
        if BlockId::of(&content) == id {
            Ok(Self { block, content })
        } else {
            Err(format!("block {block} does not have its digest"))
        }
    }
}

/// An object that is named by its content, or a range of one.
pub(crate) struct Piece<'a> {
    path: &'a str,
    range: Option<Range<u64>>,
    max_bytes: usize,
}

impl<'a> Piece<'a> {
    /// An object of at most so many bytes.
    pub(crate) fn whole(path: &'a str, max_bytes: usize) -> Self {
        Self {
            path,
            range: None,
            max_bytes,
        }
    }

    /// A range of an object.
    pub(crate) fn part(path: &'a str, range: Range<u64>) -> Self {
        Self {
            max_bytes: (range.end - range.start) as usize,
            path,
            range: Some(range),
        }
    }
}

/// A range that is being read. Nobody reads on if it is dropped.
#[derive(Debug)]
pub(crate) struct Begun {
    range: Range<u64>,
    task: JoinHandle<Result<Bytes, StoreError>>,
}

impl Begun {
    /// Whether all of another range lies in it.
    pub(crate) fn holds(&self, range: &Range<u64>) -> bool {
        self.range.start <= range.start && range.end <= self.range.end
    }

    /// Its first byte's place, and its bytes; nothing if they could not be read.
    pub(crate) async fn bytes(mut self) -> Option<(u64, Bytes)> {
        let bytes = (&mut self.task).await.ok()?;
        Some((self.range.start, bytes.ok()?))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads from a store, and counts what came. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    objects: Objects,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    traffic: Traffic,
    /// What the fastest request took: about a round trip.
    nearest: Option<Duration>,
}

impl Fetcher {
    pub(crate) fn new(objects: Objects) -> Self {
        Self {
            objects,
            counts: Arc::default(),
        }
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let mut traffic = self.counts.lock().traffic;
        traffic.requests += self.objects.asked_again();
        traffic
    }

    /// What the fastest request took; nothing is faster than what was not asked yet.
    pub(crate) fn nearest(&self) -> Duration {
        self.counts.lock().nearest.unwrap_or_default()
    }

    /// A whole object of at most `max_bytes`.
    async fn whole(&self, path: &str, max_bytes: usize) -> Result<Bytes, StoreError> {
        let begun = Instant::now();
        let bytes = self.objects.get(path, max_bytes).await?;
        self.count(path, &bytes, begun);
        Ok(bytes)
    }

    /// A range of an object, of the store's own.
    pub(crate) async fn range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let begun = Instant::now();
        let bytes = self.objects.get_range(path, range).await?;
        self.count(path, &bytes, begun);
        Ok(bytes)
    }

    /// Begins to read a range, for whoever comes for it.
    pub(crate) fn begin(&self, path: String, range: Range<u64>) -> Begun {
        let (fetcher, wanted) = (self.clone(), range.clone());
        let task = tokio::spawn(async move { fetcher.range(&path, wanted).await });
        Begun { range, task }
    }

    /// An object that is named by its content, or a range of one: from the near tier if it is there and `verify` takes
    /// it, else from the store, and the near tier has it next time.
    pub(crate) async fn verified<T, V>(
        &self,
        piece: Piece<'_>,
        verify: impl Fn(Bytes) -> V,
    ) -> Result<T, StoreError>
    where
        V: Future<Output = Result<T, StoreError>>,
    {
        if let Some(found) = self
            .find_near(std::slice::from_ref(&piece), |mut one| {
                verify(one.pop().expect("one was asked for"))
            })
            .await
        {
            return Ok(found);
        }
        let keeping = |bytes: Bytes| {
            let verifying = verify(bytes.clone());
            async { Ok((verifying.await?, bytes)) }
        };
        let (path, objects) = (piece.path, &self.objects);
        let (verified, bytes) = if let Some(range) = &piece.range {
            verified(|| self.range(path, range.clone()), keeping).await?
        } else {
            let read = || self.whole(path, piece.max_bytes);
            verified_whole(read, keeping, || objects.size(path)).await?
        };
        if let Some(near) = objects.near() {
            near.put(path, piece.range.as_ref(), bytes).await;
        }
        Ok(verified)
    }

    /// Ranges of one object, in their order: from the near tier if it has all of them and `verify` takes them, else from
    /// the store with one request, and the near tier has them next time.
    pub(crate) async fn together<T, V>(
        &self,
        path: &str,
        ranges: Vec<Range<u64>>,
        verify: impl Fn(Vec<Bytes>) -> V,
    ) -> Result<T, StoreError>
    where
        V: Future<Output = Result<T, StoreError>>,
    {
        let pieces: Vec<Piece<'_>> = ranges
            .into_iter()
            .map(|range| Piece::part(path, range))
            .collect();
        if let Some(found) = self.find_near(&pieces, &verify).await {
            return Ok(found);
        }
        let ranges = pieces.iter().filter_map(|piece| piece.range.as_ref());
        let start = ranges.clone().map(|range| range.start).min().unwrap_or(0);
        let end = ranges.clone().map(|range| range.end).max().unwrap_or(0);
        let bytes = self.range(path, start..end).await?;
        let parts = ranges
            .map(|range| bytes.slice((range.start - start) as usize..(range.end - start) as usize));
        let parts: Vec<Bytes> = parts.collect();
        let verified = verify(parts.clone()).await?;
        if let Some(near) = self.objects.near() {
            for (piece, bytes) in pieces.iter().zip(parts) {
                near.put(path, piece.range.as_ref(), bytes).await;
            }
        }
        Ok(verified)
    }

    /// Pieces that the near tier has, if it has all of them and they are what they should be.
    async fn find_near<T, V>(
        &self,
        pieces: &[Piece<'_>],
        verify: impl Fn(Vec<Bytes>) -> V,
    ) -> Option<T>
    where
        V: Future<Output = Result<T, StoreError>>,
    {
        let near = self.objects.near()?;
        let gets = pieces
            .iter()
            .map(|piece| near.get(piece.path, piece.range.as_ref(), piece.max_bytes));
        let found = join_all(gets)
            .await
            .into_iter()
            .collect::<Option<Vec<Bytes>>>()?;
        let bytes: usize = found.iter().map(Bytes::len).sum();
        match verify(found).await {
            Ok(verified) => {
                self.counts.lock().traffic.near_bytes += bytes as u64;
                Some(verified)
            }
            Err(error) => {
                tracing::warn!(%error, "in the near tier");
                for piece in pieces {
                    near.forget(piece.path, piece.range.as_ref()).await;
                }
                None
            }
        }
    }

    fn count(&self, path: &str, bytes: &Bytes, begun: Instant) {
        let took = begun.elapsed();
        tracing::debug!(path, bytes = bytes.len(), ?took, "fetched");
        let mut counts = self.counts.lock();
        counts.traffic.requests += 1;
        counts.traffic.bytes += bytes.len() as u64;
        counts.nearest = Some(counts.nearest.map_or(took, |nearest| nearest.min(took)));
    }
}
