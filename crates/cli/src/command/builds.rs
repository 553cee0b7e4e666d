//! The builds that a job will run, as far as they can be told before it runs.

use std::path::{Path, PathBuf};

use larder_builds::Fault;
use larder_builds::draft::{self, Draft};
use larder_local::people::Voice as _;
use larder_model::dockerfile::ImageConfigs;

use crate::args::Build;
use crate::plan::input;
use crate::report::Report;
use crate::settings::BuildSurroundings;

/// The builds that were named, or the one in the current folder. What cannot be planned is a
/// warning: the job may build something else.
pub fn drafts(paths: &[PathBuf], report: &Report) -> Vec<Draft> {
    let around = match BuildSurroundings::here() {
        Ok(around) => around,
        Err(failure) => {
            report.warning(&failure.message);
            return Vec::new();
        }
    };
    // As a folder: its bake files are read together.
    let found = input::usual_file(&around.folder).map(|_| PathBuf::from("."));
    let found: Vec<PathBuf> = found.into_iter().collect();
    let paths = if paths.is_empty() { &found } else { paths };
    let mut drafts = Vec::new();
    for path in paths {
        match draft(path, &around) {
            Ok(drafted) => drafts.extend(drafted),
            Err(fault) => report.warning(&format!(
                "cannot plan {}, so its base images are not checked: {fault}",
                path.display()
            )),
        }
    }
    drafts
}

fn draft(path: &Path, around: &BuildSurroundings) -> Result<Vec<Draft>, Fault> {
    let build = if path.is_dir() {
        Build {
            context: path.to_owned(),
            ..Build::default()
        }
    } else {
        Build {
            context: PathBuf::from("."),
            file: Some(path.to_owned()),
            ..Build::default()
        }
    };
    let drafts = input::drafts(&build, around)?;
    draft::plans(&drafts, &ImageConfigs::new())?;
    Ok(drafts)
}
