//! `larder version`: which program this is.

use std::process::ExitCode;

use larder_settings::BUILT_FROM;
use larder_settings::args::Version;
use serde::Serialize;

use crate::report::Report;

#[derive(Serialize)]
struct About {
    version: &'static str,
    /// The commit that it was built from, where whoever built it said so.
    commit: Option<&'static str>,
    arch: &'static str,
    /// Whether it needs no library of the machine.
    is_static: bool,
}

pub(crate) fn run(verb: &Version, report: &Report) -> ExitCode {
    let about = About {
        version: env!("CARGO_PKG_VERSION"),
        commit: BUILT_FROM,
        arch: std::env::consts::ARCH,
        is_static: cfg!(target_feature = "crt-static"),
    };
    if verb.json {
        report.json(&about);
    } else {
        report.answer(&format!("larder {}", about.version));
    }
    ExitCode::SUCCESS
}
