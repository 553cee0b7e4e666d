//! Stopping the machine's engine and giving it back.
//!
//! Its unit files are not edited: stopping the socket and the service is enough, and starting them
//! gives back exactly what was. The socket is stopped too, or the first client to come would start
//! the service again.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};
use crate::tool::{SYSTEMCTL, SYSTEMCTL_UNITS};

const SOCKET: &str = "docker.socket";
const SERVICE: &str = "docker.service";

/// The machine's engine as systemd knows it: does each unit run? `None` where there is no such unit,
/// or no systemd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Units {
    pub socket: Option<bool>,
    pub service: Option<bool>,
}

impl Units {
    pub(crate) fn read() -> Result<Self> {
        // `is-active` alone cannot tell a stopped unit from one that does not exist.
        let arguments = [
            "show",
            "--property=Id,LoadState,ActiveState",
            SOCKET,
            SERVICE,
        ];
        let output = match SYSTEMCTL.output(&arguments, "") {
            Ok(output) => output,
            Err(EngineError::ProgramMissing { .. }) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        // In a container systemctl is often there and systemd is not: then it fails.
        if !output.status.success() {
            return Ok(Self::default());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(Self {
            socket: active(&text, SOCKET),
            service: active(&text, SERVICE),
        })
    }
}

/// Reads one unit's part of `systemctl show`: lines `Key=Value`, an empty line between units.
fn active(shown: &str, unit: &str) -> Option<bool> {
    let part = shown
        .split("\n\n")
        .find(|part| property(part, "Id") == Some(unit))?;
    let state = property(part, "ActiveState");
    let is_active = matches!(state, Some("active" | "activating" | "reloading"));
    (property(part, "LoadState") == Some("loaded")).then_some(is_active)
}

fn property<'a>(part: &'a str, key: &str) -> Option<&'a str> {
    part.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// What was running before ours took its place. To be written to a state file *before*
/// [`Taken::stop`], so that after a crash the next command can give it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    socket: bool,
    service: bool,
}

impl Taken {
    /// Looks at what runs now.
    pub fn observe() -> Result<Self> {
        let units = Units::read()?;
        Ok(Self {
            socket: units.socket == Some(true),
            service: units.service == Some(true),
        })
    }

    /// Whether nothing ran, so that nobody will use what an engine leaves on the host's network.
    pub fn is_nothing(self) -> bool {
        self.units().is_empty()
    }

    /// Stops what runs. Doing it again is fine.
    pub fn stop(self) -> Result<()> {
        let units = self.units();
        if units.is_empty() {
            return Ok(());
        }
        SYSTEMCTL_UNITS
            .run(&[&["stop"], units.as_slice()].concat())
            .map(drop)
    }

    /// Starts what ran, after ours has ended. A socket file that nobody serves any more is removed
    /// first. Doing it again is fine.
    pub fn give_back(self, usual_socket: &Path) -> Result<()> {
        remove_stale(usual_socket)?;
        let units = self.units();
        if units.is_empty() {
            return Ok(());
        }
        // docker.service may start three times a minute (`StartLimitBurst`); quick jobs need more.
        SYSTEMCTL.run(&[&["reset-failed"], units.as_slice()].concat())?;
        if self.socket {
            SYSTEMCTL_UNITS.run(&["start", SOCKET])?;
        }
        if self.service {
            // With its socket held by systemd, clients wait at the socket, so we need not wait here.
            let wait: &[&str] = if self.socket { &["--no-block"] } else { &[] };
            SYSTEMCTL_UNITS.run(&[&["start"], wait, &[SERVICE]].concat())?;
        }
        Ok(())
    }

    /// The socket first: with it stopped nobody starts the service while it is being stopped.
    fn units(self) -> Vec<&'static str> {
        let socket = self.socket.then_some(SOCKET);
        let service = self.service.then_some(SERVICE);
        socket.into_iter().chain(service).collect()
    }
}

/// Removes a socket file that nobody listens on, as a killed engine leaves it.
fn remove_stale(socket: &Path) -> Result<()> {
    match UnixStream::connect(socket) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(socket)
            .map_err(EngineError::io("cannot remove the stale socket", socket)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_apart() {
        let shown = "Id=docker.socket\nLoadState=loaded\nActiveState=active\n\n\
                     Id=docker.service\nLoadState=loaded\nActiveState=inactive\n";
        assert_eq!(
            (active(shown, SOCKET), active(shown, SERVICE)),
            (Some(true), Some(false))
        );
        assert_eq!(
            active(
                "Id=docker.service\nLoadState=not-found\nActiveState=inactive\n",
                SERVICE
            ),
            None
        );
        assert_eq!(active("", SERVICE), None);
    }
}
