//! Loading in turns, and side by side. A graph driver writes all of a stream to its disk before it
//! unpacks the first layer (moby `image/tarexport/load.go`, `Load`: `Untar` into a temporary folder). Of
//! several streams it can receive the next while it unpacks the one before; and as it unpacks each on
//! one core, images that share little are loaded side by side.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::oneshot;

use super::branches::{Part, in_two};
use super::held::Held;
use super::image_set::{Contents, SavedImage};
use super::load::{END, LoadPlan, needed};
use crate::error::{ApiError, BoxError, Pieces};
use crate::image_store::ImageStore;
use crate::remote::Remote;

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
        let images = self.images.into_iter().map(|image| {
            let layers = layers_to_unpack(&image, contents, held);
            (image, layers)
        });
        let (first, second) = in_two(images.collect());
        let lanes = [first, second].into_iter().filter(|lane| !lane.is_empty());
        lanes.map(|images| turns(images, contents, held)).collect()
    }
}

/// The chain of each layer of an image, lowest first, and how many bytes the engine must unpack for it.
fn layers_to_unpack(image: &SavedImage, contents: &Contents, held: &Held) -> Vec<Part<String>> {
    let chains = image.chain_ids().into_iter().zip(&image.layers);
    let layers = chains.map(|(chain, layer)| {
        let bytes = match contents.blobs.get(&layer.blob) {
            Some(bytes) if !held.chains.contains(&chain) => *bytes,
            _ => 0,
        };
        (chain, bytes)
    });
    layers.collect()
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
        let parents = self.images.iter().filter_map(|it| it.parent.as_deref());
        let mut wanted: Vec<_> = parents.filter_map(|it| contents.image(it)).collect();
        wanted.retain(|parent| here.insert(parent.id.clone()));
        for parent in wanted {
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
pub async fn load_in_lanes<B: Pieces>(
    engine: &Remote,
    lanes: Vec<Lane>,
    open: impl Fn(&str) -> B + Clone + Send + 'static,
) -> Result<(), ApiError> {
    let lanes = lanes.into_iter();
    let loads = lanes.map(|lane| load_in_turns(engine, lane, open.clone()));
    try_join_all(loads).await?;
    Ok(())
}

/// Loads one stream after the other. The next is sent while the engine unpacks the one before, but
/// not to its end before that is done: only then are there the layers that it leaves out.
async fn load_in_turns<B: Pieces>(
    engine: &Remote,
    turns: Lane,
    open: impl Fn(&str) -> B + Clone + Send + 'static,
) -> Result<(), ApiError> {
    // The first load has none before it: all that it could wait for has happened.
    let (nothing, mut before) = signals();
    nothing.sent.send(()).ok();
    nothing.done.send(()).ok();
    let mut loads = Vec::with_capacity(turns.len());
    for turn in turns {
        let (own, when_loaded) = signals();
        let former = std::mem::replace(&mut before, when_loaded);
        let entries = turn.entries(open.clone());
        loads.push(load_after(engine, entries, former, own));
    }
    // Results are looked at in order. So the error that is returned is that of the load which failed, not
    // of those that waited for it in vain; and those are dropped with it, which ends their requests.
    stream::iter(loads)
        .buffered(TURNS_AT_ONCE)
        .try_collect()
        .await
}

/// What a load tells the one after it. One that fails drops both unsaid.
struct Says {
    /// All of its stream is sent but its end, so the way to the engine is free.
    sent: oneshot::Sender<()>,
    /// The engine has its layers.
    done: oneshot::Sender<()>,
}

/// The same at the other side.
struct Hears {
    sent: oneshot::Receiver<()>,
    done: oneshot::Receiver<()>,
}

fn signals() -> (Says, Hears) {
    let (sent, hear_sent) = oneshot::channel();
    let (done, hear_done) = oneshot::channel();
    let hears = Hears {
        sent: hear_sent,
        done: hear_done,
    };
    (Says { sent, done }, hears)
}

async fn load_after(
    engine: &Remote,
    entries: impl Pieces,
    before: Hears,
    own: Says,
) -> Result<(), ApiError> {
    // Two streams that are sent at once share the way to the engine: both would be whole later, and the
    // engine would have nothing to unpack meanwhile. A load that failed says nothing; then nothing is
    // to be waited for here, and its own error is reported.
    before.sent.await.ok();
    let end = stream::once(async move {
        // An engine begins to unpack when it sees the end, and looks then for the layers that are not in
        // the stream. The loads before bring those. Without them this stream breaks off, and nothing of
        // it is loaded.
        let loaded = before.done.await;
        loaded.map_err(|_| BoxError::from("the images before were not loaded"))?;
        // Nobody waits for the last load of a lane.
        own.sent.send(()).ok();
        Ok(Bytes::from_static(&END))
    });
    engine.load(entries.chain(end)).await?;
    own.done.send(()).ok();
    Ok(())
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
        let layers = layers.chars().map(|letter| {
            let blob = format!("blobs/{letter}");
            json!({ "blob": blob, "diff_id": digest(letter) })
        });
        let mut image = json!({
            "id": digest(id),
            "documents": [format!("blobs/{id}.json")],
            "layers": layers.collect::<Vec<_>>(),
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
        turns.iter().map(letters).collect()
    }

    fn letters(turn: &LoadPlan) -> String {
        let names = turn.blobs.iter().map(|(name, _)| name.as_str());
        names
            .filter_map(|name| name.strip_prefix("blobs/").filter(|it| it.len() == 1))
            .collect()
    }

    /// The images of a stream, and whether each has a parent.
    fn linked(turn: &LoadPlan) -> Vec<(char, bool)> {
        let images = turn.images.iter();
        images
            .map(|it| (it.id.chars().last().expect("a digit"), it.parent.is_some()))
            .collect()
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
        let found: Vec<_> = found[0].iter().map(linked).collect();
        let expected = [
            vec![('1', false)],
            vec![('2', true), ('1', false)],
            vec![('3', true), ('2', false)],
        ];
        assert_eq!(found, expected);
    }
}
