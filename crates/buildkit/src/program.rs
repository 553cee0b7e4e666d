//! Which `buildkitd` this machine has.

use std::path::PathBuf;

use larder_engine::program::{find, version_of};
use larder_local::programs;
use larder_model::version::Version;
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};

/// Where `buildkitd` comes from. Debian and Ubuntu have no package of it.
const PACKAGE: &str =
    "buildkit (Alpine, Arch, Fedora), or the archive of a release of moby/buildkit";
/// What runs the steps, by the names that `BuildKit` looks for (`executor/runcexecutor/executor.go`).
const RUNTIMES: [&str; 2] = ["buildkit-runc", "runc"];

/// The program that will be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuilderProgram {
    /// buildkitd.
    pub buildkitd: PathBuf,
    /// Its version.
    pub version: Version,
}

/// Finds it in `search` (the caller's `PATH`), then in the usual directories, with what runs its steps.
pub fn probe(search: &[PathBuf]) -> Result<BuilderProgram> {
    let buildkitd = find("buildkitd", PACKAGE, search)?;
    if !RUNTIMES
        .iter()
        .any(|name| programs::find(name, search).is_some())
    {
        return Err(EngineError::ProgramMissing {
            program: "runc",
            package: "runc",
        });
    }
    Ok(BuilderProgram {
        version: version_of(&buildkitd)?,
        buildkitd,
    })
}
