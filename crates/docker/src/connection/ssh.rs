//! An engine at the other end of ssh: `docker system dial-stdio` there, its standard input and output
//! here, as the docker command does it (docker/cli `cli/connhelper/connhelper.go`).

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use crate::endpoint::Address;

/// What is kept of ssh's complaints.
const COMPLAINT_BYTES_MAX: usize = 4096;

/// The connection. The process ends with it.
pub(super) struct Ssh {
    output: ChildStdout,
    input: ChildStdin,
    _child: Child,
}

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

/// Starts ssh.
pub(super) fn dial(address: &Address) -> io::Result<(Ssh, Complaint)> {
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
    let complaint = listen(errors);
    let ssh = Ssh {
        output,
        input,
        _child: child,
    };
    Ok((ssh, complaint))
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

impl AsyncRead for Ssh {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(context, buffer)
    }
}

impl AsyncWrite for Ssh {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}
