//! One CI job: the base image where it is absent, then `docker build`, then a look at what was
//! built. The same script runs against every engine and writes down when each part ended.

pub(crate) mod application;
pub(crate) mod larder;
pub(crate) mod report;
pub(crate) mod s3;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use crate::mirrors;
use application::{Application, BASE, IMAGE};

/// `docker import` stands for the pull of a base image: the demo needs no public registry.
const SCRIPT: &str = r#"set -eu
stamp() { date +%s.%N >> "$JOB_FOLDER/times"; }
stamp
if [ "$JOB_BASE_MOVED" = 1 ] || ! docker image inspect "$JOB_BASE" > /dev/null 2>&1; then
    docker import "$JOB_BASE_TAR" "$JOB_BASE" > /dev/null
fi
if [ "$JOB_CLASSIC" = 1 ]; then
    export DOCKER_BUILDKIT=0
else
    set -- --progress plain "$@"
fi
docker build --tag "$JOB_IMAGE" "$@" "$JOB_CONTEXT" > "$JOB_FOLDER/log" 2>&1
stamp
docker run --rm --network none "$JOB_IMAGE" node dist/server.js --check > "$JOB_FOLDER/check"
stamp
if [ "$JOB_CLASSIC" = 1 ]; then
    docker save $(docker images --all --quiet) | gzip > "$JOB_FOLDER/images.tar.gz"
    stamp
fi
"#;

/// A job that can be run once.
pub(crate) struct Job {
    /// Where its context, log and times are.
    pub folder: PathBuf,
    /// The application that it builds.
    pub application: Application,
    /// The base image's root file system.
    pub base_tar: PathBuf,
    /// Whether the base image is another one than last time.
    pub base_moved: bool,
    /// More flags of `docker build`.
    pub build_flags: Vec<String>,
    /// Builds with the classic builder, whose every step is an image, and saves all images.
    pub classic: bool,
}

/// When the parts of a job ended, as seconds since 1970.
pub(crate) struct Times {
    /// The engine was there.
    pub begin: f64,
    /// The image was built.
    pub built: f64,
    /// The look at the image was over.
    pub end: f64,
    /// All images were saved, in a classic job.
    pub images_saved: Option<f64>,
}

impl Job {
    /// A job in a new folder, with the application as it was first.
    pub(crate) fn create(folder: PathBuf, base_tar: &Path) -> Result<Self> {
        let application = Application::create(folder.join("context"))?;
        Ok(Self {
            application,
            folder,
            base_tar: base_tar.to_owned(),
            base_moved: false,
            build_flags: mirrors::build_arguments(),
            classic: false,
        })
    }

    /// Makes `command` run the script: as the program itself (a shell), or as a wrapper's last
    /// arguments.
    pub(crate) fn append_to(&self, command: &mut Command) {
        let configuration = self.folder.join("docker-config");
        command
            .args(["-c", SCRIPT, "job"])
            .args(&self.build_flags)
            .env("JOB_FOLDER", &self.folder)
            .env("JOB_CONTEXT", self.application.folder())
            .env("JOB_BASE", BASE)
            .env("JOB_BASE_TAR", &self.base_tar)
            .env("JOB_BASE_MOVED", if self.base_moved { "1" } else { "0" })
            .env("JOB_CLASSIC", if self.classic { "1" } else { "0" })
            .env("JOB_IMAGE", IMAGE)
            // A context that the developer selected, or a build proxy, must not interfere.
            .env("DOCKER_CONFIG", configuration)
            .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1");
    }

    /// Checks that the image holds what its source says, and returns the times.
    pub(crate) fn finish(&self, revision: u32) -> Result<Times> {
        let check = self.read("check")?;
        let expected = Application::expected_check(revision);
        ensure!(
            check.trim_end() == expected,
            "the image is wrong: it says `{}`, expected `{expected}`; build log: {}",
            check.trim_end(),
            self.folder.join("log").display()
        );
        let text = self.read("times")?;
        let times: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        let &[begin, built, end, ref more @ ..] = &times[..] else {
            bail!(
                "{} holds too few times: {text}",
                self.folder.join("times").display()
            );
        };
        Ok(Times {
            begin,
            built,
            end,
            images_saved: more.first().copied(),
        })
    }

    /// How many build steps came from the cache, of how many.
    pub(crate) fn cached_steps(&self) -> Result<(usize, usize)> {
        let log = self.read("log")?;
        let cached = log.lines().filter(|line| line.ends_with(" CACHED")).count();
        // A step that pauses prints its heading again.
        let steps: BTreeSet<&str> = log.lines().filter_map(step_number).collect();
        Ok((cached, steps.len()))
    }

    /// The end of the build log, for errors.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.read("log").unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// Now, on the clock of the script's times.
pub(crate) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs_f64()
}

/// `#9 [tools 2/3] RUN …` is step `#9`; `#1 [internal] load …` is none.
fn step_number(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once(" [")?;
    let (stage, _) = rest.split_once("] ")?;
    let is_id = number.starts_with('#') && !number.contains(' ');
    (is_id && stage.contains('/')).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::step_number;

    #[test]
    fn headings_of_steps_are_told_from_the_rest() {
        assert_eq!(step_number("#9 [tools 2/3] RUN make"), Some("#9"));
        assert_eq!(step_number("#1 [internal] load build definition"), None);
        assert_eq!(step_number("#9 0.961 [1/2] compiling"), None);
        assert_eq!(step_number("#9 CACHED"), None);
    }
}
