//! The builds that a job will run, as far as they can be told before it runs.

use std::path::{Path, PathBuf};

use crate::args::Build;
use crate::plan::fault::Fault;
use crate::plan::input;
use crate::plan::record::NamedPlan;
use crate::report::Report;
use crate::settings::BuildSurroundings;

/// Plans the builds that were named, or the one in the current folder. What cannot be planned is a
/// warning: the job may build something else.
pub fn planned(paths: &[PathBuf], report: &Report) -> Vec<NamedPlan> {
    let around = match BuildSurroundings::here() {
        Ok(around) => around,
        Err(failure) => {
            report.warning(&failure.message);
            return Vec::new();
        }
    };
    let found: Vec<PathBuf> = input::usual_file(&around.folder).into_iter().collect();
    let paths = if paths.is_empty() { &found } else { paths };
    let mut plans = Vec::new();
    for path in paths {
        match plan(path, &around) {
            Ok(planned) => plans.extend(planned),
            Err(fault) => report.warning(&format!("its base images are not looked at: {fault}")),
        }
    }
    plans
}

fn plan(path: &Path, around: &BuildSurroundings) -> Result<Vec<NamedPlan>, Fault> {
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
    input::plans(&build, around)
}
