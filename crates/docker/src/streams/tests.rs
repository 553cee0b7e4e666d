//! Exports that no engine wrote: odd, damaged, and made by other programs.

use std::process::Command;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tar::{file_header, padding};
use super::{Contents, ExportReader, Held, LoadPlan, StreamError};
use crate::error::BoxError;
use crate::image_store::ImageStore::{self, Containerd, Overlay2};
use crate::sha256::sha256_hex as sha;

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in entries {
        tar.extend(file_header(name, content.len() as u64));
        tar.extend(*content);
        tar.resize(tar.len() + padding(content.len() as u64) as usize, 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// An export of Docker 20.10 with one image of two layers.
fn export() -> (Vec<u8>, String) {
    let diff_ids = ["a", "b"].map(|layer| format!("sha256:{}", sha(layer.as_bytes())));
    let config = json!({ "rootfs": { "type": "layers", "diff_ids": diff_ids } }).to_string();
    let name = format!("{}.json", sha(config.as_bytes()));
    let manifest = json!([{
        "Config": name, "RepoTags": ["app:1"], "Layers": ["x/layer.tar", "y/layer.tar"],
    }]);
    let entries: [(&str, &[u8]); 6] = [
        ("x/VERSION", b"1.0"),
        ("x/layer.tar", b"a"),
        ("y/layer.tar", b"b"),
        (&name, config.as_bytes()),
        ("manifest.json", &manifest.to_string().into_bytes()),
        ("repositories", b"{}"),
    ];
    (tar(&entries), name)
}

type Blobs = Vec<(String, Vec<u8>)>;

/// Reads `bytes` in pieces of that many.
fn read(bytes: &[u8], piece: usize, store: ImageStore) -> Result<(Blobs, Contents), StreamError> {
    let pieces: Vec<_> = bytes
        .chunks(piece)
        .map(|it| Ok(Bytes::copy_from_slice(it)))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let mut reader = ExportReader::new(stream::iter(pieces), store, None);
        let mut blobs = Vec::new();
        while let Some(blob) = reader.next().await? {
            let name = blob.name.clone();
            let all: Vec<Bytes> = blob.into_stream().try_collect().await?;
            blobs.push((name, all.concat()));
        }
        Ok((blobs, reader.finish().await?.0))
    })
}

#[test]
fn the_size_of_pieces_makes_no_difference() {
    let (bytes, config) = export();
    let whole = read(&bytes, bytes.len(), Overlay2).expect("read");
    let names: Vec<&str> = whole.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x/layer.tar", "y/layer.tar", &config]);
    assert_eq!(whole.1.images[0].tags, ["app:1"]);
    for piece in [1, 7, 511, 512, 513, 10_240] {
        assert_eq!(
            read(&bytes, piece, Overlay2).expect("read"),
            whole,
            "{piece}"
        );
    }
}

#[test]
fn a_truncated_export_is_an_error() {
    let (bytes, _) = export();
    for length in (0..bytes.len() - 512).step_by(97) {
        read(&bytes[..length], 4096, Overlay2).expect_err("truncated");
    }
    let mut flipped = bytes.clone();
    flipped[3] ^= 1;
    let error = read(&flipped, 4096, Overlay2)
        .expect_err("damaged")
        .to_string();
    assert!(error.contains("checksum"), "{error}");
}

#[test]
fn other_programs_tars_are_read() {
    let (bytes, _) = export();
    let folder = tempfile::tempdir().expect("a folder");
    let packed = folder.path().join("export.tar");
    std::fs::write(&packed, &bytes).expect("written");
    let script = "cd \"$1\" && mkdir tree && tar -C tree -xf export.tar && \
        mkdir tree/z && ln -s ../x/layer.tar tree/z/layer.tar && \
        sed -i s,x/layer.tar,z/layer.tar, tree/manifest.json && \
        for format in gnu oldgnu pax ustar v7; do \
          tar -C tree --format=$format -cf $format.tar .; \
        done";
    let path = folder.path().display().to_string();
    let made = Command::new("sh")
        .args(["-ec", script, "sh", &path])
        .status();
    assert!(made.expect("sh starts").success());
    for format in ["gnu", "oldgnu", "pax", "ustar", "v7"] {
        let bytes = std::fs::read(folder.path().join(format!("{format}.tar"))).expect("made");
        let (blobs, contents) = read(&bytes, 1000, Overlay2).expect(format);
        assert_eq!(blobs.len(), 3, "{format}");
        assert_eq!(contents.images[0].layers[0].blob, "x/layer.tar", "{format}");
        assert_eq!(contents.aliases["z/layer.tar"], "x/layer.tar", "{format}");
    }
}

#[test]
fn headers_are_what_tar_takes_them_for() {
    let long = format!("blobs/{}", "n".repeat(150));
    let folder = tempfile::tempdir().expect("a folder");
    for (name, size) in [("blobs/a", 3), (long.as_str(), 5), ("blobs/large", 9 << 30)] {
        let path = folder.path().join("one.tar");
        std::fs::write(&path, file_header(name, size)).expect("written");
        // The content is missing, about which it complains after it has listed the header.
        let listed = Command::new("tar")
            .arg("-tvf")
            .arg(&path)
            .output()
            .expect("tar starts");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(
            listed.contains(&format!(" {size} ")) && listed.contains(name),
            "{listed}"
        );
    }
}

#[test]
fn documents_that_lie_are_errors() {
    let config = json!({ "rootfs": { "diff_ids": [format!("sha256:{}", sha(b"a"))] } }).to_string();
    let name = format!("{}.json", sha(config.as_bytes()));
    let with = |manifest: &Value| {
        let manifest = manifest.to_string();
        let export = tar(&[
            (&name, config.as_bytes()),
            ("x/layer.tar", b"a"),
            ("manifest.json", manifest.as_bytes()),
        ]);
        read(&export, 4096, Overlay2)
    };
    let good = json!([{ "Config": name, "RepoTags": null, "Layers": ["x/layer.tar"] }]);
    with(&good).expect("good");
    for manifest in [
        json!([{ "Config": name, "Layers": ["../../etc/passwd"] }]),
        json!([{ "Config": name, "Layers": ["x/layer.tar", "x/layer.tar"] }]),
        json!([{ "Config": "x/layer.tar", "Layers": ["x/layer.tar"] }]),
        json!({ "Config": name }),
    ] {
        with(&manifest).expect_err(&manifest.to_string());
    }
    read(&tar(&[]), 4096, Overlay2).expect_err("no list");
    // An index that contains itself.
    let digest = format!("sha256:{}", "0".repeat(64));
    let index = json!({ "manifests": [{ "digest": digest }, { "digest": digest }] }).to_string();
    let own = format!("blobs/sha256/{}", "0".repeat(64));
    let bytes = tar(&[(&own, index.as_bytes()), ("index.json", index.as_bytes())]);
    let (_, contents) = read(&bytes, 4096, Containerd).expect("bounded");
    assert_eq!(contents.images.len(), 1);
}

#[test]
fn descriptions_from_a_store_are_checked() {
    let (bytes, _) = export();
    let contents = read(&bytes, 4096, Overlay2).expect("read").1;
    let good = contents.to_value();
    assert_eq!(Contents::from_value(&good).expect("good"), contents);
    for (pointer, value) in [
        ("/format", json!(2)),
        ("/images/0/id", json!("sha256:x")),
        ("/images/0/documents", json!([])),
        ("/images/0/documents/0", json!("../../etc/passwd")),
        ("/images/0/layers/0/blob", json!("/etc/passwd")),
        ("/images/0/layers/0/diff_id", json!("x")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).expect("it is there") = value;
        let error = Contents::from_value(&bad).expect_err(pointer).to_string();
        assert!(
            error.starts_with("the description of an archive"),
            "{error}"
        );
    }
}

/// What a plan sends, with `length` bytes for each blob.
fn sent(contents: &Contents, length: u64) -> Result<Vec<u8>, BoxError> {
    let plan = LoadPlan::new(contents, &Held::default(), |_| None);
    let content = Bytes::from(vec![b'x'; length as usize]);
    let stream = plan.stream(move |_| stream::iter([Ok(content.clone())]));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let all: Vec<Bytes> = runtime
        .expect("a runtime")
        .block_on(stream.boxed().try_collect())?;
    Ok(all.concat())
}

#[test]
fn a_blob_of_another_length_breaks_the_load_off() {
    let (bytes, _) = export();
    let mut contents = read(&bytes, 4096, Overlay2).expect("read").1;
    contents.blobs.values_mut().for_each(|size| *size = 10);
    let tar = sent(&contents, 10).expect("as long as it should be");
    assert!(tar.len().is_multiple_of(512) && tar.ends_with(&[0; 1024]));
    for length in [9, 11] {
        let error = sent(&contents, length)
            .expect_err("another length")
            .to_string();
        assert!(error.contains("should have 10"), "{error}");
    }
}

proptest! {
    /// No bytes make the reader panic, or keep more than it was given.
    #[test]
    fn any_bytes_are_read_or_refused(
        start in proptest::collection::vec(any::<u8>(), 0..2048),
        at in 0_usize..4000,
        piece in 1_usize..5000,
    ) {
        let (mut bytes, _) = export();
        let end = (at + start.len()).min(bytes.len());
        let at = at.min(end);
        bytes[at..end].copy_from_slice(&start[..end - at]);
        for store in [Overlay2, Containerd] {
            // Either is right: which bytes were hit decides.
            let _ = read(&bytes, piece, store);
        }
    }
}

#[test]
fn an_archive_goes_on_with_images_of_the_one_before() {
    let (bytes, _) = export();
    let former = read(&bytes, 4096, Overlay2).expect("read").1;
    let kept = former.images.clone();
    assert_eq!(former.only(kept.clone()).expect("the same"), former);

    let config = json!({ "rootfs": { "type": "layers", "diff_ids": [] } }).to_string();
    let name = format!("{}.json", sha(config.as_bytes()));
    let manifest = json!([{ "Config": name, "RepoTags": ["app:2"], "Layers": [] }]).to_string();
    let other = tar(&[
        (&name, config.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ]);
    let new = read(&other, 4096, Overlay2).expect("read").1;
    let kept = former.only(kept).expect("the same");
    let both = kept.and(new.clone()).expect("both");
    assert_eq!(both.images.len(), 2);
    assert_eq!(both.blobs.len(), former.blobs.len() + 1);
    // What no image needs any more is left behind.
    let none = former.only(Vec::new()).expect("nothing");
    assert_eq!(none.and(new.clone()).expect("new"), new);
    // An image that both have is there once, with both's names.
    let mut named = new.clone();
    named.images[0].tags = vec!["app:2".into(), "app:3".into()];
    let both = new.and(named).expect("the same");
    assert_eq!(both.images.len(), 1);
    assert_eq!(both.images[0].tags, ["app:2", "app:3"]);
}

#[test]
fn images_of_one_configuration_are_one_with_both_names() {
    let mut contents = read(&export().0, 4096, Overlay2).expect("read").1;
    let before = contents.images.len();
    let blob = contents.add_like(0, b"{}", "more:1".into());
    let blob = blob.expect("another configuration");
    assert_eq!(contents.blobs.get(&blob), Some(&2));
    assert_eq!(contents.add_like(0, b"{}", "more:2".into()), None);
    assert_eq!(contents.images.len(), before + 1);
    assert_eq!(contents.images[before].tags, ["more:1", "more:2"]);
}
