//! A real S3 server behind a line.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::wire::{self, Line};
use crate::job::larder::Store;

const READY_DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// The server checks no signature.
const MAKE_BUCKET: &[u8] =
    b"PUT /larder HTTP/1.0\r\nHost: localhost\r\nAuthorization: AWS4-HMAC-SHA256 \
    Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\r\n\
    Content-Length: 0\r\n\r\n";

/// Starts the server, which ends with this process, and makes a bucket; the store in it, as it is reached
/// over the line.
pub(super) fn start(program: &Path, folder: &Path, line: Line) -> Result<Store> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let log = File::create(folder.join("s3.log"))?;
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start the S3 server")?;
    let deadline = Instant::now() + READY_DEADLINE;
    while !make_bucket(port).unwrap_or(false) {
        ensure!(Instant::now() < deadline, "the S3 server does not answer");
        thread::sleep(POLL);
    }
    let port = wire::to(port, line)?;
    Ok(Store {
        url: "s3://larder/bench".to_owned(),
        environment: vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ACCESS_KEY_ID", "bench".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "bench".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ],
    })
}

fn make_bucket(port: u16) -> Result<bool> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.write_all(MAKE_BUCKET)?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    Ok(answer.contains("200 OK"))
}
