//! The only place of this crate that prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::time::Instant;

use anyhow::Result;

/// Prints one line (or a ready block of lines).
pub fn line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// Prints an error with its causes.
pub fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// Does one thing and says how long it took.
pub fn timed<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let made = work()?;
    line(format!("{what} ({:.1} s)", start.elapsed().as_secs_f64()));
    Ok(made)
}
