//! What `docker build` prints, read as it comes: the classic builder (moby `builder/dockerfile/evaluator.go`,
//! `dispatch`) and `BuildKit`'s plain progress (`util/progress/progressui`).

use std::collections::BTreeMap;

use larder_model::course::{Build, NAME_CHARS_MAX, Step, told};

/// Steps of a build that are followed: more are nobody's to read.
const FOLLOWED_MAX: usize = 10_000;

/// What a build's output says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Steps that came from the cache; nothing if the output went to a terminal unread.
    pub cached: usize,
    /// Of the classic builder: the image that each stage ended with, shortened as it prints them.
    pub stages: Vec<String>,
    last: Option<String>,
    /// Steps by `BuildKit`'s number, or by the classic builder's; a step that has not ended has no time yet.
    steps: BTreeMap<u64, (Step, Option<u64>)>,
    /// The classic builder's step that runs.
    runs: Option<u64>,
}

impl Progress {
    /// Reads one line that came at this Unix time in milliseconds.
    pub fn line(&mut self, line: &str, now_ms: u64) {
        let line = line.trim_end();
        let numbered = line.strip_prefix('#').and_then(|rest| rest.split_once(' '));
        if let Some((number, rest)) = numbered
            && let Ok(number) = number.parse()
        {
            return self.of_buildkit(number, rest, now_ms);
        }
        self.of_classic(line, now_ms);
    }

    /// `#5 [build 1/2] WORKDIR /app`, then `#5 CACHED`, or `#5 DONE 0.3s`, or `#5 ERROR: …`; `#6 0.2 it is CACHED` is
    /// what a step itself printed.
    fn of_buildkit(&mut self, number: u64, rest: &str, now_ms: u64) {
        if rest == "CACHED" {
            self.cached += 1;
            self.ends(number, Some(0), true, now_ms);
        } else if let Some(took) = rest.strip_prefix("DONE ") {
            self.ends(number, ms(took), false, now_ms);
        } else if rest.starts_with("ERROR: ") || rest == "CANCELED" {
            self.ends(number, None, false, now_ms);
        } else {
            self.begins(number, rest, now_ms);
        }
    }

    fn of_classic(&mut self, line: &str, now_ms: u64) {
        if line == " ---> Using cache" {
            self.cached += 1;
            if let Some((step, _)) = self.runs.and_then(|number| self.steps.get_mut(&number)) {
                step.cached = true;
            }
        }
        let named = line
            .strip_prefix("Step ")
            .and_then(|it| it.split_once(" : "));
        let from = named.is_some_and(|(_, it)| it.to_ascii_uppercase().starts_with("FROM "));
        let is_built = line.starts_with("Successfully built ");
        if from || is_built {
            self.stages.extend(self.last.take());
        }
        if (named.is_some() || is_built)
            && let Some(number) = self.runs.take()
        {
            let cached = self.steps.get(&number).is_some_and(|(step, _)| step.cached);
            self.ends(number, None, cached, now_ms);
        }
        if let Some((of, instruction)) = named {
            let number = of.split('/').next().and_then(|it| it.parse().ok());
            self.runs = number;
            if let Some(number) = number {
                self.begins(number, &format!("[{of}] {instruction}"), now_ms);
            }
        }
        if let Some(id) = line.strip_prefix(" ---> ") {
            let is_id = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            self.last = is_id.then(|| id.to_owned()).or(self.last.take());
        }
    }

    /// The first line of a number is its name; others are what it prints, or its name again.
    fn begins(&mut self, number: u64, name: &str, now_ms: u64) {
        if self.steps.len() < FOLLOWED_MAX {
            self.steps.entry(number).or_insert_with(|| {
                let step = Step {
                    name: name.chars().take(NAME_CHARS_MAX).collect(),
                    started_ms: now_ms,
                    ..Step::default()
                };
                (step, None)
            });
        }
    }

    fn ends(&mut self, number: u64, took_ms: Option<u64>, cached: bool, now_ms: u64) {
        let Some((step, ended)) = self.steps.get_mut(&number) else {
            return;
        };
        // What ran at the same time is named when it is shown, which may be late.
        step.ms = took_ms.unwrap_or(now_ms.saturating_sub(step.started_ms));
        step.started_ms = now_ms.saturating_sub(step.ms);
        step.cached = cached;
        *ended = Some(now_ms);
    }

    /// What another stream of the same build said, too.
    pub fn add(&mut self, other: Self) {
        self.cached += other.cached;
        self.steps.extend(other.steps);
    }

    /// The build, as far as its output said how it went.
    pub fn build(&self, started_ms: u64, ms: u64, failed: bool) -> Build {
        let all = self.steps.values();
        let ended = all.filter(|(_, ended)| ended.is_some());
        let steps: Vec<Step> = ended.map(|(step, _)| step.clone()).collect();
        Build {
            steps: steps.len() as u64,
            cached_steps: self.cached as u64,
            ms,
            started_ms,
            failed,
            course: told(steps),
        }
    }
}

/// `1.2s` in milliseconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a build's seconds
fn ms(text: &str) -> Option<u64> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    (0.0..1e9)
        .contains(&seconds)
        .then_some((seconds * 1000.0) as u64)
}

/// Whether a build of `BuildKit` ran a step, by its plain progress: `#7 [deps 3/4] RUN make`, `#7 DONE 1.2s`.
pub fn ran_a_step(progress: &[u8]) -> bool {
    let progress = String::from_utf8_lossy(progress);
    let mut steps = Vec::new();
    for line in progress.lines() {
        let Some((number, rest)) = line.split_once(' ') else {
            continue;
        };
        let instruction = rest.split_once("] ").map_or("", |(_, it)| it);
        if rest.starts_with('[')
            && ["RUN ", "COPY ", "ADD "]
                .iter()
                .any(|it| instruction.starts_with(it))
        {
            steps.push(number);
        } else if rest.starts_with("DONE ") && steps.contains(&number) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads lines that come a second after each other, the first at second 1.
    fn read(text: &str) -> Progress {
        let mut said = Progress::default();
        for (at, line) in text.lines().enumerate() {
            said.line(line, 1000 * (at as u64 + 1));
        }
        said
    }

    /// Name, when it began, how long it took, whether it was cached.
    fn course(said: &Progress) -> Vec<(String, u64, u64, bool)> {
        let course = said.build(0, 0, false).course.into_iter();
        course
            .map(|step| (step.name, step.started_ms, step.ms, step.cached))
            .collect()
    }

    #[test]
    fn the_classic_builders_stages_and_steps_are_found() {
        let said = read(
            "Step 1/5 : FROM base:1 AS build\n ---> 0123456789ab\nStep 2/5 : RUN true\n \
             ---> Using cache\n ---> aaaaaaaaaaaa\nStep 3/5 : FROM base:1\n ---> 0123456789ab\n\
             Step 4/5 : COPY --from=build /x /x\n ---> Running in bbbbbbbbbbbb\nRemoving \
             intermediate container bbbbbbbbbbbb\n ---> cccccccccccc\nSuccessfully built cccccccccccc\n\
             Successfully tagged app:latest\n",
        );
        assert_eq!(said.stages, ["aaaaaaaaaaaa", "cccccccccccc"]);
        assert_eq!(said.cached, 1);
        let steps = course(&said);
        assert_eq!(steps.len(), 4, "{steps:?}");
        assert_eq!(steps[1], ("[2/5] RUN true".to_owned(), 3000, 3000, true));
        let last = "[4/5] COPY --from=build /x /x".to_owned();
        assert_eq!(steps[3], (last, 8000, 4000, false));
    }

    #[test]
    fn buildkits_steps_are_told_as_they_ended() {
        let said = read(
            "#0 building with \"default\" instance using docker driver\n#5 [build 1/2] WORKDIR /app\n#5 CACHED\n\
             #6 [build 2/2] RUN echo CACHED\n#6 0.2 it is CACHED\n#7 [other] RUN false\n#6 DONE 0.5s\n\
             #7 ERROR: process did not complete\n#8 [last] RUN true\n#999999999999999999999 x\n#a DONE 1s\n",
        );
        assert_eq!(said.cached, 1);
        let steps = course(&said);
        let expected = [
            ("[build 1/2] WORKDIR /app", 3000, 0, true),
            ("[other] RUN false", 6000, 2000, false),
            ("[build 2/2] RUN echo CACHED", 6500, 500, false),
        ];
        let expected = expected.map(|(name, at, ms, cached)| (name.to_owned(), at, ms, cached));
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_step_that_ran_is_told_from_one_that_was_found() {
        let found = "#4 [deps 1/3] FROM docker.io/library/base:1\n#4 DONE 0.0s\n#5 [internal] load build context\n\
            #5 DONE 0.1s\n#6 [deps 2/3] COPY a /\n#6 CACHED\n#7 [deps 3/3] RUN make\n#7 CACHED\n\
            #8 exporting to image\n#8 DONE 0.1s\n";
        assert!(!ran_a_step(found.as_bytes()));
        let ran = found.replace("#7 CACHED", "#7 0.3 #6 DONE\n#7 DONE 0.4s");
        assert!(ran_a_step(ran.as_bytes()));
    }
}
