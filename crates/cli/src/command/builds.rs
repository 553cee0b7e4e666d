//! The builds that a verb is about, and those that a job will run, as far as they can be told before
//! it runs.

use std::path::PathBuf;

use larder_builds::{Build, Draft, Fault, Request, Surroundings, read_input};

use crate::args;
use crate::report::Report;
use crate::settings;

/// The builds that the options ask for. Standard input is read if it is named.
pub fn asked_for(options: &args::Build, around: &Surroundings) -> Result<Vec<Draft>, Fault> {
    let options = options.clone();
    let mut build = Build {
        context: options.context,
        files: options.file,
        input: None,
        only: options.only,
        profiles: options.profile,
        env_files: options.env_file,
        overrides: options.set,
        target: options.target,
        platforms: options.platform,
        build_args: options.build_arg,
        build_contexts: options.build_context,
        extras: options.extra,
    };
    if build.reads_input() {
        build.input = Some(read_input(std::io::stdin())?);
    }
    build.drafts(around)
}

/// The builds that were named, or those of the current folder. What cannot be planned is a warning:
/// the job may build something else.
pub fn drafts(paths: &[PathBuf], report: &Report) -> Vec<Draft> {
    let around = match settings::surroundings_of_builds() {
        Ok(around) => around,
        Err(failure) => {
            report.warning(&failure.message);
            return Vec::new();
        }
    };
    let drafted = Request::new(paths, around).drafts();
    for fault in drafted.faults {
        report.warning(&format!(
            "a build cannot be planned, so its base images are not checked: {fault}"
        ));
    }
    drafted.drafts
}
