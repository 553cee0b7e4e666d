//! What `docker build` prints: passed on as it comes, and read on the way.

use std::io;
use std::process::{ExitStatus, Stdio};

use larder_archive::builder::progress::Progress;
use larder_local::clock::now_ms;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;

use crate::report::{Outlet, Report};
use crate::signals::Signals;

/// A longer line is passed on in pieces and not read.
const LINE_MAX_BYTES: usize = 64 * 1024;

/// Runs a build, which gets the signals that come. What it prints on a terminal is left alone, unless it is needed.
pub(crate) async fn run(
    mut command: Command,
    is_needed: bool,
    signals: &mut Signals,
    report: &Report,
) -> io::Result<(ExitStatus, Progress)> {
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
    said.add(err?);
    Ok((status?, said))
}

async fn pass_on(
    from: Option<impl AsyncRead + Unpin>,
    to: Outlet,
    report: &Report,
) -> io::Result<Progress> {
    let mut said = Progress::default();
    let Some(from) = from else {
        return Ok(said);
    };
    let mut from = BufReader::with_capacity(LINE_MAX_BYTES, from);
    let mut line = Vec::new();
    loop {
        let buffer = from.fill_buf().await?;
        if buffer.is_empty() {
            said.line(&String::from_utf8_lossy(&line), now_ms());
            return Ok(said);
        }
        report.pass_on(to, buffer);
        for byte in buffer {
            match byte {
                b'\n' => {
                    said.line(&String::from_utf8_lossy(&line), now_ms());
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
