//! What the tests share.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that carries vendors' schemas, where the set-up has installed it.
pub(crate) fn checker() -> Option<PathBuf> {
    let program = std::env::var_os("LARDER_TEST_SCHEMAS").map(PathBuf::from);
    let program = program.filter(|program| program.exists());
    if program.is_none() {
        eprintln!("skipped: LARDER_TEST_SCHEMAS names no check-jsonschema; run `cargo xtask test`");
    }
    program
}

/// Checks files against a vendor's schema.
#[track_caller]
pub(crate) fn check(checker: &Path, schema: &str, files: &[PathBuf]) {
    let output = Command::new(checker)
        // Patterns as JavaScript reads them; Azure's are not of its Unicode mode.
        .args(["--regex-variant", "nonunicode"])
        .args(["--builtin-schema", schema])
        .args(files)
        .output()
        .expect("check-jsonschema starts");
    let both = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&both);
    assert!(output.status.success(), "{schema}: {said}");
}
