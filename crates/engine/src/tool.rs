//! Running the small programs that administer a machine: `ip`, `iptables`, `nft`, `systemctl`.

use std::io;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use larder_local::child::{Limits, NoAnswer, ask};
use larder_local::programs;

use crate::error::{EngineError, Result};

/// A unit may take `TimeoutStopSec` to stop, 90 s by default (systemd-system.conf(5)); systemd ends it then.
const UNIT_LIMIT: Duration = Duration::from_secs(120);

/// A program and the packages that a person would install to get it.
#[derive(Clone, Copy)]
pub(crate) struct Tool {
    pub program: &'static str,
    pub package: &'static str,
    limits: Limits,
}

pub(crate) const IP: Tool = Tool::new("ip", "iproute2");
pub(crate) const IPTABLES_SAVE: Tool = Tool::new("iptables-save", "iptables");
pub(crate) const IPTABLES_RESTORE: Tool = Tool::new("iptables-restore", "iptables");
pub(crate) const IP6TABLES_SAVE: Tool = Tool::new("ip6tables-save", "iptables");
pub(crate) const IP6TABLES_RESTORE: Tool = Tool::new("ip6tables-restore", "iptables");
pub(crate) const NFT: Tool = Tool::new("nft", "nftables");
pub(crate) const SYSTEMCTL: Tool = Tool::new("systemctl", "systemd");
/// systemctl, waiting for a unit to start or stop.
pub(crate) const SYSTEMCTL_UNITS: Tool = Tool {
    limits: Limits {
        time: UNIT_LIMIT,
        ..Limits::QUICK
    },
    ..SYSTEMCTL
};

impl Tool {
    const fn new(program: &'static str, package: &'static str) -> Self {
        Self {
            program,
            package,
            limits: Limits::QUICK,
        }
    }

    /// Runs the program to its end; a non-zero exit is an error that quotes its words.
    pub(crate) fn run(self, arguments: &[&str]) -> Result<String> {
        self.run_with(arguments, "")
    }

    /// The same with `input` on standard input.
    pub(crate) fn run_with(self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.output(arguments, input)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(EngineError::ToolFailed {
            command: self.line(arguments),
            status: output.status.to_string(),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Runs the program to its end, whatever it answers.
    pub(crate) fn output(self, arguments: &[&str], input: &str) -> Result<Output> {
        self.ask(arguments, input).map_err(|why| match why {
            NoAnswer::Io(error) if error.kind() == io::ErrorKind::NotFound => self.missing(),
            NoAnswer::Io(error) => EngineError::io("cannot run", Path::new(self.program))(error),
            why => EngineError::ToolHangs {
                command: self.line(arguments),
                why: why.to_string(),
            },
        })
    }

    pub(crate) fn missing(self) -> EngineError {
        EngineError::ProgramMissing {
            program: self.program,
            package: self.package,
        }
    }

    /// Asks the program that this process's `PATH` finds; else, because `sudo` and CI agents often
    /// leave `sbin` out of theirs, the one in the usual folders.
    fn ask(self, arguments: &[&str], input: &str) -> Result<Output, NoAnswer> {
        let name = Path::new(self.program);
        match ask(&mut command(name, arguments), input, self.limits) {
            Err(NoAnswer::Io(missing)) if missing.kind() == io::ErrorKind::NotFound => {
                let program = programs::find(self.program, &[]).ok_or(missing)?;
                ask(&mut command(&program, arguments), input, self.limits)
            }
            asked => asked,
        }
    }

    fn line(self, arguments: &[&str]) -> String {
        [&[self.program], arguments].concat().join(" ")
    }
}

fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    // Messages are quoted and compared; a translated one would do neither well.
    command.args(arguments).env("LC_ALL", "C");
    command
}
