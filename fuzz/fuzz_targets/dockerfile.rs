//! Any bytes as a Dockerfile: nothing panics, hangs or overflows the stack, and equal input gives
//! equal keys. Run with `cargo +nightly fuzz run dockerfile` from the root of the repository.

#![no_main]

use larder_model::dockerfile::{BuildOptions, parse};
use larder_model::plan::key::Key;
use larder_model::plan::Plan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = parse(bytes) else { return };
    let mut options = BuildOptions::default();
    options.build_args.insert("V".to_owned(), "alpine".to_owned());
    let Ok(bases) = file.bases(&options) else { return };
    let plan = Plan::new(&bases, &options);
    let again = parse(bytes).expect("what was accepted once is accepted again");
    let again = again.bases(&options).expect("what was accepted once is accepted again");
    assert_eq!(Key::of(&plan), Key::of(&Plan::new(&again, &options)));
});
