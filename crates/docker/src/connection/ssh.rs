//! An engine at the other end of ssh: `docker system dial-stdio` there, its standard input and output
//! here, as the docker command does it (docker/cli `cli/connhelper/connhelper.go`).

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, Join, join};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use crate::endpoint::Address;

/// What is kept of ssh's complaints.
const COMPLAINT_BYTES_MAX: usize = 4096;

/// What ssh writes to standard error, for messages.
#[derive(Clone)]
pub(super) struct Complaint {
    text: Arc<Mutex<Vec<u8>>>,
    ended: watch::Receiver<bool>,
}

impl Complaint {
    /// All of it, once the process has closed its standard error: it dies just after the connection.
    pub(super) async fn text(mut self) -> String {
        // An error means that the reader is gone, and with it all that there was to read.
        let _ = self.ended.wait_for(|ended| *ended).await;
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

/// Starts ssh: the connection, and the process, which ends when it is dropped.
pub(super) fn dial(
    address: &Address,
) -> io::Result<(Join<ChildStdout, ChildStdin>, Child, Complaint)> {
    let Address::Ssh {
        user,
        host,
        port,
        socket,
        program,
    } = address
    else {
        unreachable!("only an address of ssh is dialled through it");
    };
    let mut command = Command::new(program);
    command.args(["-o", "ConnectTimeout=30", "-T"]);
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    if let Some(port) = port {
        command.args(["-p", &port.to_string()]);
    }
    command.args(["--", host, "docker"]);
    if let Some(socket) = socket {
        command.arg(format!("--host=unix://{}", quoted(socket)));
    }
    let mut child = command
        .args(["system", "dial-stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().expect("it is piped");
    let input = child.stdin.take().expect("it is piped");
    let errors = child.stderr.take().expect("it is piped");
    Ok((join(output, input), child, listen(errors)))
}

/// The words after the host are read by a shell there.
fn quoted(socket: &Path) -> String {
    format!("'{}'", socket.to_string_lossy().replace('\'', r"'\''"))
}

fn listen(mut errors: ChildStderr) -> Complaint {
    let text = Arc::new(Mutex::new(Vec::new()));
    let (says_ended, ended) = watch::channel(false);
    let kept = Arc::clone(&text);
    tokio::spawn(async move {
        let mut piece = [0; 1024];
        // A pipe that breaks has no more to say.
        while let Ok(read @ 1..) = errors.read(&mut piece).await {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let room = COMPLAINT_BYTES_MAX.saturating_sub(kept.len());
            kept.extend_from_slice(&piece[..read.min(room)]);
        }
        // Nobody may be left who wants to know.
        let _ = says_ended.send(true);
    });
    Complaint { text, ended }
}
