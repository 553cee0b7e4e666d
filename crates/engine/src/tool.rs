//! Running the small programs that administer a machine: `ip`, `iptables`, `systemctl`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use larder_local::programs;

use crate::error::{EngineError, Result};

/// A program and the packages that a person would install to get it.
#[derive(Clone, Copy)]
pub(crate) struct Tool {
    pub program: &'static str,
    pub package: &'static str,
}

pub(crate) const IP: Tool = Tool::new("ip", "iproute2");
pub(crate) const IPTABLES_SAVE: Tool = Tool::new("iptables-save", "iptables");
pub(crate) const IPTABLES_RESTORE: Tool = Tool::new("iptables-restore", "iptables");
pub(crate) const IP6TABLES_SAVE: Tool = Tool::new("ip6tables-save", "iptables");
pub(crate) const IP6TABLES_RESTORE: Tool = Tool::new("ip6tables-restore", "iptables");
pub(crate) const SYSTEMCTL: Tool = Tool::new("systemctl", "systemd");

impl Tool {
    const fn new(program: &'static str, package: &'static str) -> Self {
        Self { program, package }
    }

    /// Runs the program to its end; a non-zero exit is an error that quotes its words.
    pub(crate) fn run(self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments, None)?;
        self.checked(arguments, &output)
    }

    /// The same with `input` on standard input.
    pub(crate) fn run_with(self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.output(arguments, Some(input))?;
        self.checked(arguments, &output)
    }

    /// Runs the program to its end, whatever it answers.
    pub(crate) fn output(self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        self.run_to_end(arguments, input)
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => EngineError::ProgramMissing {
                    program: self.program,
                    package: self.package,
                },
                _ => EngineError::io("cannot run", Path::new(self.program))(source),
            })
    }

    fn run_to_end(self, arguments: &[&str], input: Option<&str>) -> io::Result<Output> {
        let mut child = self.spawn(arguments, input.is_some())?;
        if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
            pipe.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    }

    /// Starts the program that this process's `PATH` finds; else, because `sudo` and CI agents often
    /// leave `sbin` out of theirs, the one in the usual folders.
    fn spawn(self, arguments: &[&str], reads: bool) -> io::Result<Child> {
        match spawn(Path::new(self.program), arguments, reads) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                let program = programs::find(self.program, &[]).ok_or(missing)?;
                spawn(&program, arguments, reads)
            }
            spawned => spawned,
        }
    }

    fn checked(self, arguments: &[&str], output: &Output) -> Result<String> {
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(EngineError::ToolFailed {
            command: format!("{} {}", self.program, arguments.join(" ")),
            status: output.status.to_string(),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

fn spawn(program: &Path, arguments: &[&str], reads: bool) -> io::Result<Child> {
    Command::new(program)
        .args(arguments)
        // Messages are quoted and compared; a translated one would do neither well.
        .env("LC_ALL", "C")
        .stdin(if reads { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}
