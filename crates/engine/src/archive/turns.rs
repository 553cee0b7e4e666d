//! Loading in turns, and side by side. A graph driver writes all of a stream to its disk before it
//! unpacks the first layer (moby `image/tarexport/load.go`, `Load`: `Untar` into a temporary folder). Of
//! several streams it can receive the next while it unpacks the one before; and as it unpacks each on
//! one core, images that share little are loaded side by side.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::oneshot;

use super::branches::in_two;
use super::contents::{Contents, SavedImage};
use super::held::Held;
use super::load::{END, LoadPlan, needed};
use crate::api::{ApiError, BoxError, Remote};
use crate::shape::ImageStore;

/// Less is not worth a stream of its own.
const TURN_BYTES: u64 = 32 << 20;
/// One that is being unpacked, and one that is being sent.
const TURNS_AT_ONCE: usize = 2;

/// Streams that are loaded in turns.
pub type Lane = Vec<LoadPlan>;

impl LoadPlan {
    /// The same in several streams, for [`load_in_lanes`]. Each needs what those before it in its lane
    /// have loaded. It is one stream for containerd's store, which keeps blobs as they arrive.
    pub fn lanes(self, contents: &Contents, held: &Held) -> Vec<Lane> {
        if self.image_store != ImageStore::Overlay2 {
            return vec![vec![self]];
        }
        let size = |blob: &str| contents.blobs.get(blob).copied().unwrap_or_default();
        let images = self.images.into_iter().map(|image| {
            let chains = image.chain_ids().into_iter();
            let layers = chains.zip(&image.layers).map(|(chain, layer)| {
                let bytes = if held.chains.contains(&chain) {
                    0
                } else {
                    size(&layer.blob)
                };
                (chain, bytes)
            });
            let layers = layers.collect();
            (image, layers)
        });
        let (first, second) = in_two(images.collect());
        let lanes = [first, second].into_iter().filter(|lane| !lane.is_empty());
        lanes.map(|images| turns(images, contents, held)).collect()
    }
}

/// Images in streams, smallest first: while the first stream is sent the engine unpacks nothing.
fn turns(mut images: Vec<SavedImage>, contents: &Contents, held: &Held) -> Lane {
    let store = contents.image_store;
    let (mut held, mut sent) = (held.clone(), HashSet::new());
    images.sort_by_cached_key(|image| {
        let layers = needed(image, store, &held, &HashSet::new());
        let sizes = layers.iter().filter_map(|blob| contents.blobs.get(blob));
        sizes.sum::<u64>()
    });
    let mut turns: Lane = Vec::new();
    for image in images {
        if turns.last().is_none_or(|turn| turn.bytes() >= TURN_BYTES) {
            turns.push(LoadPlan::empty(store));
            sent.clear();
        }
        let turn = turns.last_mut().expect("one was pushed");
        let layers = needed(&image, store, &held, &HashSet::new());
        held.chains.extend(image.chain_ids());
        turn.send(contents, &mut sent, &image.documents);
        turn.send(contents, &mut sent, &layers);
        turn.images.push(image);
    }
    for turn in &mut turns {
        turn.repeat_parents(contents);
    }
    turns
}

impl LoadPlan {
    /// Adds the parents of images that other streams bring: an engine links only images of one stream
    /// (moby `image/tarexport/load.go`, `validatedParentLinks`). A parent's layers are among its
    /// child's, so of each nothing but its documents comes once more.
    fn repeat_parents(&mut self, contents: &Contents) {
        let mut here: HashSet<String> = self.images.iter().map(|it| it.id.clone()).collect();
        let wanted: Vec<_> = self
            .images
            .iter()
            .filter_map(|it| it.parent.clone())
            .collect();
        for parent in wanted {
            let Some(parent) = contents
                .image(&parent)
                .filter(|it| here.insert(it.id.clone()))
            else {
                continue;
            };
            self.send(contents, &mut HashSet::new(), &parent.documents);
            self.images.push(SavedImage {
                parent: None,
                ..parent.clone()
            });
        }
    }
}

/// Loads lanes side by side. A layer that several of them begin with is unpacked by each, and kept
/// once (moby `layer/layer_store.go`, `registerWithDescriptor`).
pub async fn load_in_lanes<O, B>(engine: &Remote, lanes: Vec<Lane>, open: O) -> Result<(), ApiError>
where
    O: Fn(&str) -> B + Clone + Send + 'static,
    B: Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
{
    let lanes = lanes.into_iter();
    let loads = lanes.map(|lane| load_in_turns(engine, lane, open.clone()));
    try_join_all(loads).await?;
    Ok(())
}

/// Loads one stream after the other. The next is sent while the engine unpacks the one before, but
/// not to its end before that is done: only then are there the layers that it leaves out.
async fn load_in_turns<O, B>(engine: &Remote, turns: Lane, open: O) -> Result<(), ApiError>
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

    /// The layers of each stream; between lanes stands a bar.
    fn layers(lanes: &[Lane]) -> Vec<String> {
        let lanes: Vec<Vec<String>> = lanes.iter().map(|lane| streams(lane)).collect();
        lanes.join(&"|".to_owned())
    }

    fn streams(turns: &[LoadPlan]) -> Vec<String> {
        let letters = |turn: &LoadPlan| {
            let names = turn.blobs().iter().map(|(name, _)| name.as_str());
            names
                .filter_map(|name| name.strip_prefix("blobs/").filter(|it| it.len() == 1))
                .collect()
        };
        turns.iter().map(letters).collect()
    }

    fn lanes(contents: &Contents, held: &Held) -> Vec<Lane> {
        LoadPlan::new(contents, held, |_| None).lanes(contents, held)
    }

    #[test]
    fn a_stream_has_what_those_before_it_do_not_leave_in_the_engine() {
        let images = [
            image('1', "abc", None),
            image('2', "ab", None),
            image('3', "abde", None),
        ];
        let large = contents(&images, TURN_BYTES);
        let found = lanes(&large, &Held::default());
        assert_eq!(layers(&found), ["ab", "c", "de"]);
        let held = Held {
            chains: HashSet::from([digest('a')]),
            ..Held::default()
        };
        let found = lanes(&large, &held);
        assert_eq!(layers(&found), ["b", "c", "|", "bde"]);
        let small = contents(&images, 10);
        assert_eq!(layers(&lanes(&small, &Held::default())), ["abcde"]);
    }

    #[test]
    fn images_that_share_little_have_lanes_of_their_own() {
        let images = [
            image('1', "abc", None),
            image('2', "ad", None),
            image('3', "abe", None),
            // The same layer on another one is another layer to a graph driver.
            image('4', "ba", None),
        ];
        let large = contents(&images[..3], TURN_BYTES);
        let found = lanes(&large, &Held::default());
        assert_eq!(layers(&found), ["ad", "|", "abc", "e"]);
        let large = contents(&images, TURN_BYTES);
        let found = lanes(&large, &Held::default());
        assert_eq!(layers(&found), ["ba", "|", "ad", "bc", "e"]);
        // What is there already is not unpacked twice.
        let held = Held {
            chains: HashSet::from([digest('a')]),
            ..Held::default()
        };
        let some = contents(&images[..3], TURN_BYTES);
        assert_eq!(layers(&lanes(&some, &held)), ["d", "|", "bc", "e"]);
    }

    #[test]
    fn parents_come_along_with_their_children() {
        let images = [
            image('3', "abc", Some('2')),
            image('2', "ab", Some('1')),
            image('1', "a", None),
        ];
        let contents = contents(&images, TURN_BYTES);
        let found = lanes(&contents, &Held::default());
        assert_eq!(layers(&found), ["a", "b", "c"]);
        let described = |turn: &LoadPlan| -> Vec<(char, bool)> {
            let id = |image: &SavedImage| image.id.chars().last().expect("a digit");
            let images = turn.images().iter();
            images.map(|it| (id(it), it.parent.is_some())).collect()
        };
        let found: Vec<_> = found[0].iter().map(described).collect();
        let linked = [
            vec![('1', false)],
            vec![('2', true), ('1', false)],
            vec![('3', true), ('2', false)],
        ];
        assert_eq!(found, linked);
    }
}
