//! Running the small programs that administer a machine: `ip`, `iptables`, `systemctl`.

use std::io::{self, Write as _};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::error::{EngineError, Result};

/// Where distributions put daemons and tools; searched after the caller's own list, because `sudo` and CI
/// agents often leave `sbin` out of theirs.
pub(crate) const USUAL_DIRECTORIES: [&str; 6] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/bin",
    "/sbin",
];

/// A program and the packages that a person would install to get it.
#[derive(Clone, Copy)]
pub(crate) struct Tool {
    pub program: &'static str,
    pub package: &'static str,
}

pub(crate) const IP: Tool = Tool {
    program: "ip",
    package: "iproute2",
};
pub(crate) const IPTABLES_SAVE: Tool = Tool {
    program: "iptables-save",
    package: "iptables",
};
pub(crate) const IPTABLES_RESTORE: Tool = Tool {
    program: "iptables-restore",
    package: "iptables",
};
pub(crate) const IP6TABLES_SAVE: Tool = Tool {
    program: "ip6tables-save",
    package: "iptables",
};
pub(crate) const IP6TABLES_RESTORE: Tool = Tool {
    program: "ip6tables-restore",
    package: "iptables",
};
pub(crate) const SYSTEMCTL: Tool = Tool {
    program: "systemctl",
    package: "systemd",
};

impl Tool {
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
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => EngineError::ProgramMissing {
                program: self.program,
                package: self.package,
            },
            _ => EngineError::Io {
                action: "cannot run",
                path: self.program.into(),
                source,
            },
        };
        let mut child = self.spawn(arguments, input.is_some()).map_err(failed)?;
        if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
            pipe.write_all(input.as_bytes()).map_err(failed)?;
        }
        child.wait_with_output().map_err(failed)
    }

    /// Starts the program: the one that `PATH` finds, else that of a usual directory.
    fn spawn(self, arguments: &[&str], reads: bool) -> io::Result<Child> {
        let usual = USUAL_DIRECTORIES.map(|directory| Path::new(directory).join(self.program));
        let mut missing = io::ErrorKind::NotFound.into();
        for program in iter::once(PathBuf::from(self.program)).chain(usual) {
            let spawned = Command::new(program)
                .args(arguments)
                // Messages are quoted and compared; a translated one would do neither well.
                .env("LC_ALL", "C")
                .stdin(if reads { Stdio::piped() } else { Stdio::null() })
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            match spawned {
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing = error,
                spawned => return spawned,
            }
        }
        Err(missing)
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
