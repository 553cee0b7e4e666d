//! Loading in turns. A graph driver writes all of a stream to its disk before it unpacks the first
//! layer (moby `image/tarexport/load.go`, `Load`: `Untar` into a temporary folder). Of several streams
//! it can receive the next while it unpacks the one before.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::oneshot;

use super::contents::Contents;
use super::held::Held;
use super::load::{END, LoadPlan, needed};
use crate::api::{ApiError, BoxError, Remote};
use crate::shape::ImageStore;

/// Less is not worth a stream of its own.
const TURN_BYTES: u64 = 32 << 20;
/// One that is being unpacked, and one that is being sent.
const TURNS_AT_ONCE: usize = 2;

impl LoadPlan {
    /// The same in several streams, for [`load_in_turns`]. Each needs what those before it have loaded.
    /// It is one stream where images are linked to their parents, which must come with them, and for
    /// containerd's store, which keeps blobs as they arrive.
    pub fn turns(self, contents: &Contents, held: &Held) -> Vec<Self> {
        let linked = self.images.iter().any(|image| image.parent.is_some());
        if self.image_store != ImageStore::Overlay2 || linked {
            return vec![self];
        }
        let (mut held, mut sent) = (held.clone(), HashSet::new());
        let mut turns: Vec<Self> = Vec::new();
        let mut images = self.images;
        // While the first stream is sent the engine unpacks nothing.
        images.sort_by_cached_key(|image| {
            let layers = needed(image, self.image_store, &held, &HashSet::new());
            let sizes = layers.iter().filter_map(|blob| contents.blobs.get(blob));
            sizes.sum::<u64>()
        });
        for image in images {
            if turns.last().is_none_or(|turn| turn.bytes() >= TURN_BYTES) {
                turns.push(Self::empty(self.image_store));
                sent.clear();
            }
            let turn = turns.last_mut().expect("one was pushed");
            let layers = needed(&image, self.image_store, &held, &HashSet::new());
            held.chains.extend(image.chain_ids());
            turn.send(contents, &mut sent, &image.documents);
            turn.send(contents, &mut sent, &layers);
            turn.images.push(image);
        }
        turns
    }
}

/// Loads one stream after the other. The next is sent while the engine unpacks the one before, but
/// not to its end before that is done: only then are there the layers that it leaves out.
pub async fn load_in_turns<O, B>(
    engine: &Remote,
    turns: Vec<LoadPlan>,
    open: O,
) -> Result<(), ApiError>
where
    O: Fn(&str) -> B + Clone + Send + 'static,
    B: Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
{
    let mut before = (None, None);
    let mut loads = Vec::with_capacity(turns.len());
    for turn in turns {
        let (sent, when_sent) = oneshot::channel();
        let (done, when_done) = oneshot::channel();
        let (before_sent, before_done) =
            std::mem::replace(&mut before, (Some(when_sent), Some(when_done)));
        let entries = turn.entries(open.clone());
        loads.push(async move {
            // Without a word the load before is over: its result is looked at first.
            come(before_sent).await.ok();
            let end = stream::once(async move {
                let said = come(before_done).await;
                said.map_err(|_| BoxError::from("the images before were not loaded"))?;
                // Nobody waits for the last one.
                sent.send(()).ok();
                Ok(Bytes::from_static(&END))
            });
            engine.load(entries.chain(end)).await?;
            done.send(()).ok();
            Ok(())
        });
    }
    stream::iter(loads)
        .buffered(TURNS_AT_ONCE)
        .try_collect()
        .await
}

async fn come(signal: Option<oneshot::Receiver<()>>) -> Result<(), oneshot::error::RecvError> {
    match signal {
        Some(signal) => signal.await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    /// An image whose layers are these letters, each of `bytes` bytes.
    fn image(id: char, layers: &str, parent: Option<char>) -> Value {
        let layer = |letter: char| {
            let blob = format!("blobs/{letter}");
            json!({ "blob": blob, "diff_id": digest(letter) })
        };
        let mut image = json!({
            "id": digest(id),
            "documents": [format!("blobs/{id}.json")],
            "layers": layers.chars().map(layer).collect::<Vec<_>>(),
        });
        if let Some(parent) = parent {
            image["parent"] = digest(parent).into();
        }
        image
    }

    fn contents(images: &[Value], bytes: u64) -> Contents {
        let mut blobs = serde_json::Map::new();
        for image in images {
            let documents = image["documents"].as_array().expect("documents");
            let documents = documents.iter().map(|name| (name, 100));
            let layers = image["layers"].as_array().expect("layers").iter();
            for (name, size) in documents.chain(layers.map(|layer| (&layer["blob"], bytes))) {
                blobs.insert(name.as_str().expect("a name").to_owned(), size.into());
            }
        }
        let value =
            json!({ "format": 1, "image_store": "overlay2", "images": images, "blobs": blobs });
        Contents::from_value(&value).expect("it is one")
    }

    fn layers(turns: &[LoadPlan]) -> Vec<String> {
        let letters = |turn: &LoadPlan| {
            let names = turn.blobs().iter().map(|(name, _)| name.as_str());
            names
                .filter_map(|name| name.strip_prefix("blobs/").filter(|it| it.len() == 1))
                .collect()
        };
        turns.iter().map(letters).collect()
    }

    fn turns(contents: &Contents, held: &Held) -> Vec<LoadPlan> {
        LoadPlan::new(contents, held, |_| None).turns(contents, held)
    }

    #[test]
    fn a_stream_has_what_those_before_it_do_not_leave_in_the_engine() {
        let images = [
            image('1', "abc", None),
            image('2', "ab", None),
            // The same layer on another one is another layer to a graph driver.
            image('3', "bad", None),
        ];
        let large = contents(&images, TURN_BYTES);
        assert_eq!(layers(&turns(&large, &Held::default())), ["ab", "c", "bad"]);
        let held = Held {
            chains: HashSet::from([digest('a')]),
            ..Held::default()
        };
        assert_eq!(layers(&turns(&large, &held)), ["b", "c", "bad"]);
        // Behind the smallest one the others need less.
        let images = [
            image('1', "abc", None),
            image('2', "bd", None),
            image('3', "abe", None),
        ];
        let other = contents(&images, TURN_BYTES);
        assert_eq!(layers(&turns(&other, &Held::default())), ["bd", "abc", "e"]);
        let small = contents(&images, 10);
        assert_eq!(layers(&turns(&small, &Held::default())), ["bdace"]);
    }

    #[test]
    fn linked_images_stay_together() {
        let images = [image('1', "ab", Some('2')), image('2', "a", None)];
        let contents = contents(&images, TURN_BYTES);
        assert_eq!(turns(&contents, &Held::default()).len(), 1);
    }
}
