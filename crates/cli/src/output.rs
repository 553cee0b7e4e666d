//! What `docker build` prints: passed on as it comes, and read on the way.

use std::io;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;

use crate::report::{Outlet, Report};
use crate::signals::Signals;

/// A longer line is passed on in pieces and not read.
const LINE_MAX_BYTES: usize = 64 * 1024;

/// What a build's output says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Steps that came from the cache; nothing if the output went to a terminal unread.
    pub cached: usize,
    /// Of the classic builder: the image that each stage ended with, shortened as it prints them.
    pub stages: Vec<String>,
    last: Option<String>,
}

impl Said {
    /// Reads one line, as the classic builder (moby `builder/dockerfile/evaluator.go`,
    /// `dispatch`) and `BuildKit`'s plain progress (`util/progress/progressui`) write them.
    fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if line.ends_with(" ---> Using cache") || is_cached_step(line) {
            self.cached += 1;
        }
        let from = line.starts_with("Step ") && line.to_ascii_uppercase().contains(" : FROM ");
        if from || line.starts_with("Successfully built ") {
            self.stages.extend(self.last.take());
        }
        if let Some(id) = line.strip_prefix(" ---> ") {
            let is_id = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            self.last = is_id.then(|| id.to_owned()).or(self.last.take());
        }
    }
}

/// `#5 CACHED`; `#6 0.2 it is CACHED` is what a step itself printed.
fn is_cached_step(line: &str) -> bool {
    let number = line
        .strip_prefix('#')
        .and_then(|rest| rest.strip_suffix(" CACHED"));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a build of `BuildKit` ran a step, by its plain progress: `#7 [deps 3/4] RUN make`, `#7 DONE 1.2s`.
pub(crate) fn ran_a_step(progress: &[u8]) -> bool {
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

/// Runs a build, which gets the signals that come. What it prints on a terminal is left alone, unless it is needed.
pub(crate) async fn run(
    mut command: Command,
    is_needed: bool,
    signals: &mut Signals,
    report: &Report,
) -> io::Result<(ExitStatus, Said)> {
    if is_needed || !Outlet::Answers.is_terminal() {
        command.stdout(Stdio::piped());
    }
    if !Outlet::Notes.is_terminal() {
        command.stderr(Stdio::piped());
    }
    let mut child = command.spawn()?;
    let out = child.stdout.take();
    let err = child.stderr.take();
    let (out, err, status) = tokio::join!(
        pass_on(out, Outlet::Answers, report),
        pass_on(err, Outlet::Notes, report),
        signals.pass_on_to(&mut child)
    );
    let mut said = out?;
    said.cached += err?.cached;
    Ok((status?, said))
}

async fn pass_on(
    from: Option<impl AsyncRead + Unpin>,
    to: Outlet,
    report: &Report,
) -> io::Result<Said> {
    let mut said = Said::default();
    let Some(from) = from else {
        return Ok(said);
    };
    let mut from = BufReader::with_capacity(LINE_MAX_BYTES, from);
    let mut line = Vec::new();
    loop {
        let buffer = from.fill_buf().await?;
        if buffer.is_empty() {
            said.line(&String::from_utf8_lossy(&line));
            return Ok(said);
        }
        report.pass_on(to, buffer);
        for byte in buffer {
            match byte {
                b'\n' => {
                    said.line(&String::from_utf8_lossy(&line));
                    line.clear();
                }
                _ if line.len() < LINE_MAX_BYTES => line.push(*byte),
                _ => {}
            }
        }
        let used = buffer.len();
        from.consume(used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_builders_stages_are_found() {
        let mut said = Said::default();
        let text = "Step 1/5 : FROM base:1 AS build\n ---> 0123456789ab\nStep 2/5 : RUN true\n \
             ---> Using cache\n ---> aaaaaaaaaaaa\nStep 3/5 : FROM base:1\n ---> 0123456789ab\n\
             Step 4/5 : COPY --from=build /x /x\n ---> Running in bbbbbbbbbbbb\nRemoving \
             intermediate container bbbbbbbbbbbb\n ---> cccccccccccc\nSuccessfully built cccccccccccc\n\
             Successfully tagged app:latest\n";
        text.lines().for_each(|line| said.line(line));
        assert_eq!(said.stages, ["aaaaaaaaaaaa", "cccccccccccc"]);
        assert_eq!(said.cached, 1);
    }

    #[test]
    fn buildkits_cached_steps_are_counted() {
        let mut said = Said::default();
        let text = "#5 [build 1/2] WORKDIR /app\n#5 CACHED\n#6 [build 2/2] RUN echo CACHED\n\
             #6 0.2 it is CACHED\n#6 DONE 0.3s\n";
        text.lines().for_each(|line| said.line(line));
        assert_eq!(said.cached, 1);
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
