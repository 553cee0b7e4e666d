//! The examples in `docs/FORMAT.md` are what this program writes: every object of one small save is
//! dumped and looked for in the document.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_model::habit::Reads;
use larder_model::images::RememberedImage;
use larder_model::lineage::Lineage;
use larder_model::snapshot::{EngineRecord, Snapshot, Statistics};
use larder_store::packer::{self, Changed, Job};
use larder_store::{Location, Objects, Source, catalog, images};

use crate::archive::kit as archive;

const DOCUMENT: &str = include_str!("../../../../docs/FORMAT.md");

/// A volume of 16 blocks, of which the job wrote four: 0 and 5 with the same text, 1 with another,
/// 3 with zeros.
const VOLUME_BYTES: u64 = 1 << 20;

fn content(block: u64, buffer: &mut [u8]) {
    let text: &[u8] = match block {
        0 | 5 => b"An engine that remembers. ",
        1 => b"Only changed blocks go back. ",
        _ => b"\0",
    };
    for (byte, text) in buffer.iter_mut().zip(text.iter().cycle()) {
        *byte = *text;
    }
}

pub(super) async fn save(objects: &Objects) {
    let source = Source::empty(objects.clone(), VOLUME_BYTES).expect("a fair size");
    let changed = Changed {
        written: vec![0, 1, 3, 5],
        ..Changed::default()
    };
    let read = |block, buffer: &mut [u8]| {
        content(block, buffer);
        Ok(())
    };
    let reads = Reads {
        blocks: vec![0, 5, 1],
        at_start: 1,
    };
    let job = Job {
        changed,
        reads,
        ..Job::default()
    };
    let packed = packer::pack(&Arc::new(source), job, read, Arc::default()).await;
    let packed = packed.expect("it is stored");
    let snapshot = Snapshot {
        hot: packed.hot,
        first: packed.first,
        larder: "0.1.0".into(),
        statistics: Statistics {
            used_blocks: packed.used_change.unsigned_abs(),
            dirty_blocks: packed.dirty_blocks,
            new_blocks: packed.new_blocks,
            stored_bytes: packed.stored_bytes,
        },
        ..Snapshot::first(
            Lineage {
                project: "github.com/shop/web".into(),
                compatibility: "linux-x86_64-overlay2-docker26".into(),
                scope: "main".into(),
                job: "build".into(),
            },
            1_767_225_600_000,
            packed.map,
            VOLUME_BYTES,
            EngineRecord {
                family: "docker".into(),
                version: "26.1.5+dfsg1".into(),
                image_store: "overlay2".into(),
            },
        )
    };
    catalog::publish(objects, &snapshot)
        .await
        .expect("it is published");
    remember(objects, &snapshot).await;
}

/// The job's machine also remembers an image, whose documents are cut short here.
async fn remember(objects: &Objects, snapshot: &Snapshot) {
    let image = RememberedImage {
        name: "docker.io/library/ruby:3.3".into(),
        platform: "linux/amd64".into(),
        documents: vec![b"{\"layers\":[]}".to_vec(), b"{\"os\":\"linux\"}".to_vec()],
    };
    let project = &snapshot.lineage.project;
    images::publish(
        objects,
        project,
        snapshot.created_ms,
        std::slice::from_ref(&image),
    )
    .await
    .expect("it is published");
    let found = images::newest(objects, project, snapshot.created_ms).await;
    assert_eq!(found.expect("it is read"), [image]);
}

pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let below = |path: PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    };
    paths.into_iter().flat_map(below).collect()
}

/// As `hexdump -C` prints it.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    let (mut before, mut starred): (&[u8], bool) = (&[], false);
    for (line, bytes) in bytes.chunks(16).enumerate() {
        if bytes == before {
            if !starred {
                out.push_str("*\n");
            }
            starred = true;
            continue;
        }
        (before, starred) = (bytes, false);
        let mut hex = String::new();
        for (at, byte) in bytes.iter().enumerate() {
            let gap = if at == 8 { "  " } else { " " };
            write!(hex, "{gap}{byte:02x}").expect("writing to a string");
        }
        let printed = |byte: &u8| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        };
        let text: String = bytes.iter().map(printed).collect();
        writeln!(out, "{:08x} {hex:<50} |{text}|", line * 16).expect("writing to a string");
    }
    writeln!(out, "{:08x}", bytes.len()).expect("writing to a string");
    out
}

/// The examples that the document should have of the objects below a folder, and does not.
fn missing_examples(folder: &Path, objects: usize) -> String {
    let mut missing = String::new();
    let paths = files(folder);
    assert_eq!(paths.len(), objects, "{paths:?}");
    for path in paths {
        let bytes = std::fs::read(&path).expect("an object");
        let name = path.strip_prefix(folder).expect("it is below");
        let (command, text) = if name.extension().is_some() {
            ("cat", String::from_utf8(bytes).expect("JSON is UTF-8"))
        } else {
            ("hexdump -C", dump(&bytes))
        };
        let example = format!("```text\n$ {command} {}\n{text}```\n", name.display());
        if !DOCUMENT.contains(&example) {
            missing.push_str(&example);
        }
    }
    missing
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_examples_are_the_bytes_of_a_save() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Location::folder(folder.path()).open(&[]);
    save(&objects.expect("a store")).await;
    let missing = missing_examples(folder.path(), 6);
    assert!(
        missing.is_empty(),
        "docs/FORMAT.md does not have:\n{missing}"
    );
}

/// A tar of one file, without the blocks of zeros behind it.
fn layer() -> Vec<u8> {
    let text = b"An engine that remembers.\n";
    let mut tar = vec![0; 1024];
    tar[..5].copy_from_slice(b"hello");
    tar[100..108].copy_from_slice(b"0000644\0");
    tar[124..136].copy_from_slice(format!("{:011o}\0", text.len()).as_bytes());
    tar[156] = b'0';
    tar[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{:06o}\0 ", sum + 8 * 32).as_bytes());
    tar[512..512 + text.len()].copy_from_slice(text);
    tar
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_archive_is_the_bytes_of_a_save() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Location::folder(folder.path()).open(&[]);
    let layer = layer();
    let blobs: [(&str, &[u8]); 2] = [
        ("config.json", b"{\"os\":\"linux\"}"),
        ("layer.tar", &layer),
    ];
    let saved = archive::save(&objects.expect("a store"), None, &blobs).await;
    saved.expect("it is stored");
    let missing = missing_examples(folder.path(), 3);
    assert!(
        missing.is_empty(),
        "docs/FORMAT.md does not have:\n{missing}"
    );
}
