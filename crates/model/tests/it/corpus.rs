//! The fuzzing corpus, read without the fuzzer.

// The model performs no IO; its test reads the corpus.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::Path;

use larder_model::dockerfile::{BuildOptions, parse};
use larder_model::plan::Plan;

#[test]
fn the_corpus_makes_nothing_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/dockerfile");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the corpus is in the tree") {
        let path = entry.expect("the corpus can be listed").path();
        let bytes = fs::read(path).expect("a corpus file can be read");
        let options = BuildOptions::default();
        if let Ok(bases) = parse(&bytes).and_then(|file| file.bases(&options)) {
            let _ = Plan::new(&bases, &options).key();
        }
        count += 1;
    }
    assert!(count >= 40, "only {count} corpus files were found");
}
