//! `BuildKit`'s inline cache, carried on from archive to archive.
//!
//! An image's configuration holds what `BuildKit` knows of its steps, the field
//! `moby.buildkit.cache.v0`: records as in `cache/remotecache/v1/spec.go`, in base64. A step's result is
//! the top one of the image's own layers (`cache/remotecache/inline/inline.go`, `ExportForLayers`).
//!
//! An engine exports results of the steps that it ran itself, and of a build that came out of an
//! imported cache only the last one's: what it did not load it has no layers of (`solver/exporter.go`,
//! `ExportTo`; moby `builder/builder-next/worker/worker.go`, `GetRemotes`). So every second fresh
//! machine would find next to nothing. The layers are all in the image, though; the image before says
//! which step made which.
//!
//! A record of the image before means the same step if its digest is the same and, for each input,
//! one of its alternatives is: a step is found by any of its keys (`solver/cachemanager.go`, `Query`).
//!
//! `BuildKit` 0.25 and 0.32 name a record by what it is made of (`cache/remotecache/v1/chains.go`, `computeID`), and
//! where several sources have a record of one name they keep that of one source, whichever is quickest, and forget
//! the others' results (`solver/combinedcache.go`, `Query`, `Records`). The images of a build's stages share most
//! records, and each has results for its own steps alone: so steps are lost by chance. A record has a name of its own
//! in each image if one of its alternatives is nobody else's; a step that is found by none is not found by that.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::gather::RootFs;
use crate::sha256::sha256_hex;

/// Records of one image. Busy engines export 2,700 at once for all their images.
const RECORDS_MAX: usize = 10_000;
/// Records that an input may come from: one or two are usual.
const ALTERNATIVES_MAX: usize = 100;
/// Records of the same digest, in both images.
const PAIRS_MAX: usize = 20_000;

/// How the digests begin of records that are ours: `larder.invalid`. No step has such a digest.
const OURS: &str = "sha256:6c61726465722e696e76616c6964";
const DIGEST_CHARS: usize = "sha256:".len() + 64;

/// What is needed of a configuration.
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
    #[serde(rename = "moby.buildkit.cache.v0")]
    cache: Option<String>,
}

/// A step, by one of its keys.
#[derive(Clone, Default, Deserialize, Serialize)]
struct Record {
    /// The layers that the step's results end with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Ending>,
    /// The same as whole lists of layers, where these are not the image's lowest ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chains: Vec<Chain>,
    #[serde(default)]
    digest: String,
    /// For each input, the records that it may come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<Vec<Input>>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Ending {
    layer: usize,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Chain {
    layers: Vec<usize>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Input {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    selector: String,
    link: usize,
}

impl Record {
    fn has_result(&self) -> bool {
        !self.layers.is_empty() || !self.chains.is_empty()
    }

    fn is_ours(&self) -> bool {
        self.inputs.is_empty() && self.digest.starts_with(OURS)
    }
}

/// The configuration `new` with the results that `former`, the configuration of an earlier image of
/// the same stage, knows of the same steps and layers. `None` if that adds nothing.
pub fn carry_over(new: &[u8], former: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(new).ok()?;
    let config: Config = serde_json::from_str(text).ok()?;
    let former: Config = serde_json::from_slice(former).ok()?;
    let both = config
        .rootfs
        .diff_ids
        .iter()
        .flatten()
        .zip(former.rootfs.diff_ids.iter().flatten());
    let shared = both.take_while(|(new, former)| new == former).count();
    let cache = config.cache?;
    let mut records = decode(&cache)?;
    if !add_results(&mut records, &decode(&former.cache?)?, shared) {
        return None;
    }
    let records = serde_json::to_vec(&records).expect("strings and numbers are JSON");
    // Nothing else of the configuration changes, not even by a space.
    Some(text.replacen(&cache, &STANDARD.encode(records), 1).into())
}

/// The configuration with records that have names of their own in the image of this name: those of no other image of
/// the same build are taken for them. `None` if it has no records.
pub fn told_apart(configuration: &[u8], image: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(configuration).ok()?;
    let config: Config = serde_json::from_str(text).ok()?;
    let cache = config.cache?;
    let mut records = decode(&cache)?;
    tell_apart(&mut records, image);
    let records = serde_json::to_vec(&records).expect("strings and numbers are JSON");
    Some(text.replacen(&cache, &STANDARD.encode(records), 1).into())
}

/// Two records of one digest must not have our alternative in common: they would be one.
fn tell_apart(records: &mut Vec<Record>, image: &str) {
    let steps = records.len();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut ours = 0;
    for record in records.iter_mut().filter(|it| !it.inputs.is_empty()) {
        let nth = seen.entry(record.digest.clone()).or_default();
        let own = Input {
            selector: String::new(),
            link: steps + *nth,
        };
        *nth += 1;
        ours = ours.max(*nth);
        for (at, alternatives) in record.inputs.iter_mut().enumerate() {
            // One without any is no input that could be read.
            if at == 0 || alternatives.is_empty() {
                alternatives.push(own.clone());
            }
        }
    }
    records.extend((0..ours).map(|nth| {
        let digest = format!("{OURS}{}", sha256_hex(format!("{image} {nth}").as_bytes()));
        Record {
            digest: digest[..DIGEST_CHARS].to_owned(),
            ..Record::default()
        }
    }));
}

/// The records of an image, without what told them apart from others': a build hands that on.
fn decode(cache: &str) -> Option<Vec<Record>> {
    let records: Vec<Record> = serde_json::from_slice(&STANDARD.decode(cache).ok()?).ok()?;
    let mut inputs = records.iter().flat_map(|record| &record.inputs);
    let usual = inputs.all(|alternatives| alternatives.len() <= ALTERNATIVES_MAX);
    (usual && records.len() <= RECORDS_MAX).then(|| without_ours(records))
}

fn without_ours(mut records: Vec<Record>) -> Vec<Record> {
    let mut count = 0;
    let places: Vec<Option<usize>> = records
        .iter()
        .map(|record| {
            let place = (!record.is_ours()).then_some(count);
            count += usize::from(place.is_some());
            place
        })
        .collect();
    records.retain(|record| !record.is_ours());
    for alternatives in records.iter_mut().flat_map(|record| &mut record.inputs) {
        alternatives.retain_mut(|input| match places.get(input.link) {
            Some(Some(place)) => {
                input.link = *place;
                true
            }
            Some(None) => false,
            // It leads nowhere: it stays so.
            None => true,
        });
    }
    records
}

/// Gives records without a result those of the same steps in `former`, if they are made of the lowest
/// `shared` layers. Whether there were any.
fn add_results(records: &mut [Record], former: &[Record], shared: usize) -> bool {
    let mut added = false;
    for (at, other) in same_steps(records, former) {
        if records[at].has_result() {
            continue;
        }
        let (record, mut result) = (&mut records[at], former[other].clone());
        result.layers.retain(|ending| ending.layer < shared);
        result
            .chains
            .retain(|chain| chain.layers.iter().all(|layer| *layer < shared));
        added |= result.has_result();
        (record.layers, record.chains) = (result.layers, result.chains);
    }
    added
}

/// Which records mean the same steps, from those without inputs upwards. Records that lead to
/// themselves are never reached.
fn same_steps(records: &[Record], former: &[Record]) -> Vec<(usize, usize)> {
    let mut by_digest: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, record) in former.iter().enumerate() {
        by_digest.entry(&record.digest).or_default().push(at);
    }
    let candidates = records.iter().enumerate().flat_map(|(at, record)| {
        let others = by_digest.get(record.digest.as_str()).into_iter().flatten();
        others.map(move |other| (at, *other))
    });
    let mut open: Vec<(usize, usize)> = candidates.take(PAIRS_MAX).collect();
    let mut same = HashSet::new();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        open.retain(|&(at, other)| {
            let is_same = have_same_inputs(&records[at], &former[other], &same);
            if is_same {
                same.insert((at, other));
                found.push((at, other));
            }
            !is_same
        });
        if found.len() == before {
            return found;
        }
    }
}

fn have_same_inputs(record: &Record, former: &Record, same: &HashSet<(usize, usize)>) -> bool {
    let mut both = record.inputs.iter().zip(&former.inputs);
    record.inputs.len() == former.inputs.len()
        && both.all(|(new, former)| have_one_in_common(new, former, same))
}

fn have_one_in_common(new: &[Input], former: &[Input], same: &HashSet<(usize, usize)>) -> bool {
    new.iter().any(|one| {
        former
            .iter()
            .any(|other| one.selector == other.selector && same.contains(&(one.link, other.link)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A configuration of an image with these layers, as BuildKit writes it: no space, the cache first.
    fn configuration(layers: &[&str], records: &Value) -> String {
        let diff_ids: Vec<String> = layers.iter().map(|it| format!("sha256:{it}")).collect();
        let cache = STANDARD.encode(records.to_string());
        let rest = json!({ "rootfs": { "type": "layers", "diff_ids": diff_ids } }).to_string();
        format!(
            r#"{{"moby.buildkit.cache.v0":"{cache}","config":{{"Env":["A=<&>"]}},{}"#,
            &rest[1..]
        )
    }

    fn carried(new: (&[&str], &Value), former: (&[&str], &Value)) -> Option<Value> {
        let new = configuration(new.0, new.1);
        let former = configuration(former.0, former.1);
        let both = carry_over(new.as_bytes(), former.as_bytes())?;
        let both = String::from_utf8(both).expect("text");
        assert_eq!(both.replacen(&field(&both), &field(&new), 1), new);
        let records = STANDARD.decode(field(&both)).expect("base64");
        Some(serde_json::from_slice(&records).expect("JSON"))
    }

    /// The cache of a configuration.
    fn field(text: &str) -> String {
        text.split('"').nth(3).expect("the cache").to_owned()
    }

    fn at(layer: usize) -> Value {
        json!([{ "layer": layer, "createdAt": "2026-11-22T06:35:08.5Z" }])
    }

    /// base, context ─> copy ─> run; context2, run ─> copy2
    fn whole(source: &str) -> Value {
        json!([
            { "digest": "base" },
            { "digest": "package" },
            { "layers": at(1), "digest": "copy", "inputs": [[{ "link": 0 }], [{ "link": 1 }]] },
            { "layers": at(2), "digest": "run", "inputs": [[{ "selector": "root", "link": 2 }]] },
            { "digest": source },
            { "layers": at(3), "digest": "copy2", "inputs": [[{ "link": 3 }], [{ "link": 4 }]] },
        ])
    }

    /// What an engine exports that loaded the first steps.
    fn after_a_change(source: &str) -> Value {
        let mut records = whole(source);
        for loaded in [2, 3] {
            records[loaded]
                .as_object_mut()
                .expect("it is")
                .remove("layers");
        }
        records
    }

    #[test]
    fn steps_that_were_loaded_get_their_layers_back() {
        let layers = ["base", "package", "run", "source2"];
        let former = ["base", "package", "run", "source1"];
        let found = carried((&layers, &after_a_change("two")), (&former, &whole("one")));
        assert_eq!(found, Some(whole("two")));
        // Not once more.
        assert_eq!(
            carried((&layers, &whole("two")), (&former, &whole("one"))),
            None
        );
    }

    #[test]
    fn layers_that_the_image_does_not_have_are_not_promised() {
        let layers = ["base", "package", "other", "source"];
        let former = ["base", "package", "run", "source"];
        let found = carried((&layers, &after_a_change("one")), (&former, &whole("one")));
        let mut expected = after_a_change("one");
        expected[2]["layers"] = at(1);
        assert_eq!(found, Some(expected));
    }

    #[test]
    fn another_step_of_the_same_words_is_another_step() {
        let layers = ["base", "package", "run", "source"];
        let mut other = whole("one");
        other[1]["digest"] = "package with more in it".into();
        let found = carried((&layers, &after_a_change("one")), (&layers, &other));
        assert_eq!(found, None);
        let mut other = whole("one");
        other[3]["inputs"][0][0]["selector"] = "folder".into();
        let found = carried((&layers, &after_a_change("one")), (&layers, &other));
        assert_eq!(found.expect("the first step")[3].get("layers"), None);
    }

    /// A step that is found by any of these keys.
    fn records(keys: &[&str], layers: bool) -> Value {
        let mut records: Vec<Value> = keys.iter().map(|it| json!({ "digest": it })).collect();
        let links: Vec<Value> = (0..keys.len())
            .map(|link| json!({ "link": link }))
            .collect();
        records.push(json!({ "digest": "step", "inputs": [links] }));
        if layers {
            records[keys.len()]["chains"] = json!([{ "layers": [0, 1], "createdAt": "x" }]);
        }
        Value::from(records)
    }

    #[test]
    fn one_key_of_several_is_enough() {
        let layers = ["base", "step"];
        let found = carried(
            (&layers, &records(&["manifest", "content"], false)),
            (&layers, &records(&["other manifest", "content"], true)),
        );
        assert_eq!(found, Some(records(&["manifest", "content"], true)));
    }

    fn apart(layers: &[&str], records: &Value, image: &str) -> Value {
        let configuration = configuration(layers, records);
        let told = told_apart(configuration.as_bytes(), image).expect("it has records");
        let told = String::from_utf8(told).expect("text");
        assert_eq!(
            told.replacen(&field(&told), &field(&configuration), 1),
            configuration
        );
        let records = STANDARD.decode(field(&told)).expect("base64");
        serde_json::from_slice(&records).expect("JSON")
    }

    #[test]
    fn each_image_has_records_of_its_own_and_they_are_the_same_steps() {
        let layers = ["base", "package", "run", "source"];
        let mut two = whole("one");
        // The same step on something else.
        let again = json!({ "digest": "run", "inputs": [[{ "selector": "root", "link": 5 }]] });
        two.as_array_mut().expect("records").push(again);
        let told = apart(&layers, &two, "app");
        let other = apart(&layers, &two, "stage");
        let link = |records: &Value, at: usize| records[at]["inputs"][0][1]["link"].clone();
        // Records of one digest never share ours.
        assert_eq!((link(&told, 3), link(&told, 6)), (json!(7), json!(8)));
        assert_eq!(told.as_array().expect("records").len(), 9);
        for at in [7, 8] {
            let digest = told[at]["digest"].as_str().expect("a digest");
            assert_eq!(digest.len(), DIGEST_CHARS);
            assert_ne!(told[at], other[at]);
        }
        assert_ne!(told[7], told[8]);
        // Only the first input has more, and told apart again it is the same.
        assert_eq!(told[5]["inputs"][1], two[5]["inputs"][1]);
        assert_eq!(apart(&layers, &told, "app"), told);
        assert_eq!(apart(&layers, &told, "stage"), other);
        // What a build hands on in another order.
        let mut moved = other.as_array().expect("records").clone();
        moved.rotate_right(2);
        for input in moved.iter_mut().filter_map(|it| it.get_mut("inputs")) {
            for one in input.as_array_mut().into_iter().flatten() {
                for one in one.as_array_mut().into_iter().flatten() {
                    one["link"] = json!((one["link"].as_u64().expect("a number") + 2) % 9);
                }
            }
        }
        assert_eq!(apart(&layers, &Value::from(moved), "app"), told);
    }

    #[test]
    fn what_tells_records_apart_makes_no_two_steps_one() {
        let layers = ["base", "step"];
        let of = |base: &str, result: bool| {
            let mut records =
                json!([{ "digest": base }, { "digest": "step", "inputs": [[{ "link": 0 }]] }]);
            if result {
                records[1]["layers"] = at(1);
            }
            apart(&layers, &records, "app")
        };
        assert_eq!(
            carried((&layers, &of("one", false)), (&layers, &of("two", true))),
            None
        );
        let same = carried((&layers, &of("one", false)), (&layers, &of("one", true)));
        assert_eq!(same.expect("the same step")[1]["layers"], at(1));
    }

    /// Records that lead to themselves, and to what is not there.
    fn looped(results: &Value) -> Value {
        json!([
            { "digest": "a", "layers": results, "inputs": [[{ "link": 1 }]] },
            { "digest": "b", "inputs": [[{ "link": 0 }]] },
            { "digest": "c", "layers": results, "inputs": [[{ "link": 77 }]] },
        ])
    }

    #[test]
    fn records_that_make_no_sense_add_nothing() {
        let layers = ["base", "step"];
        assert_eq!(
            carried((&layers, &looped(&json!([]))), (&layers, &looped(&at(1)))),
            None
        );
        let new = configuration(&layers, &json!([{ "digest": "a" }]));
        for former in [
            "",
            "[]",
            r#"{"rootfs":{}}"#,
            r#"{"rootfs":{"diff_ids":["sha256:base"]},"moby.buildkit.cache.v0":"%%%"}"#,
            &configuration(&layers, &json!({ "digest": "a" })),
            &configuration(
                &layers,
                &json!([{ "digest": "a", "layers": [{ "layer": -1 }] }]),
            ),
            &configuration(&layers, &json!([{ "digest": "a", "layers": at(9) }])),
        ] {
            assert_eq!(
                carry_over(new.as_bytes(), former.as_bytes()),
                None,
                "{former}"
            );
        }
    }
}
