//! The fuzzing corpus, read without the fuzzer.

// The model performs no IO; its test reads the corpus.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::Path;

use larder_model::dockerfile::{BuildOptions, parse};
use larder_model::plan::Plan;
use larder_model::plan::key::Key;

use crate::{decoders, rebuild};

#[test]
fn the_corpus_makes_nothing_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/dockerfile");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the corpus is in the tree") {
        let path = entry.expect("the corpus can be listed").path();
        let bytes = fs::read(path).expect("a corpus file can be read");
        let options = BuildOptions::default();
        if let Ok(bases) = parse(&bytes).and_then(|file| file.bases(&options)) {
            let _ = Key::of(&Plan::new(&bases, &options));
        }
        count += 1;
    }
    assert!(count >= 40, "only {count} corpus files were found");
}

/// Variants of each file that are tried, with some bytes of it replaced.
const VARIANTS: u32 = 200;

/// Checks each file of a corpus, and variants of it.
fn check_all(corpus: &str, count_min: u32, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut count = 0;
    for entry in fs::read_dir(folder.join(corpus)).expect("the corpus is in the tree") {
        let path = entry.expect("the corpus can be listed").path();
        let bytes = fs::read(path).expect("a corpus file can be read");
        check(&bytes);
        for variant in 0..VARIANTS {
            let mut noise = [0; 64];
            let mut hasher = blake3::Hasher::new();
            hasher.update(&bytes).update(&variant.to_le_bytes());
            hasher.finalize_xof().fill(&mut noise);
            let mut bytes = bytes.clone();
            for change in noise.chunks_exact(4).take(1 + variant as usize % 16) {
                let at = u16::from_le_bytes([change[0], change[1]]);
                let at = usize::from(at) % bytes.len();
                bytes[at] = change[2];
            }
            check(&bytes);
        }
        count += 1;
    }
    assert!(count >= count_min, "only {count} corpus files were found");
}

#[test]
fn layers_of_the_corpus_and_variants_of_them_are_rebuilt() {
    check_all("archive", 10, rebuild::check);
}

#[test]
fn what_the_corpus_has_of_stores_and_registries_is_refused_or_can_be_written_again() {
    check_all("objects", 7, decoders::check);
    check_all("documents", 5, decoders::check_text);
    check_all("registry", 10, decoders::check_answer);
}
