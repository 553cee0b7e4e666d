//! A real S3 server on this machine's loopback: moto.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::larder::Store;

const READY_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// The server checks no signature.
const MAKE_BUCKET: &[u8] =
    b"PUT /larder HTTP/1.0\r\nHost: localhost\r\nAuthorization: AWS4-HMAC-SHA256 \
    Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\r\n\
    Content-Length: 0\r\n\r\n";

/// A server with a bucket. It ends with this value, and with this process.
pub(crate) struct Server {
    child: Child,
    /// Where on loopback it listens.
    pub port: u16,
}

impl Server {
    /// Starts the server, whose log is in `folder`, and makes the bucket.
    pub(crate) fn start(program: &Path, folder: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = folder.join("s3.log");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot start the S3 server")?;
        let server = Self { child, port };
        let started = Instant::now();
        while !server.makes_bucket().unwrap_or(false) {
            ensure!(
                started.elapsed() < READY_LIMIT,
                "the S3 server does not serve: {}",
                log.display()
            );
            thread::sleep(POLL);
        }
        Ok(server)
    }

    fn makes_bucket(&self) -> std::io::Result<bool> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.write_all(MAKE_BUCKET)?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer.contains("200 OK"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A store of this name in the bucket, for a client that reaches the server by this port of its loopback.
pub(crate) fn store(name: &str, port: u16) -> Store {
    Store {
        url: format!("s3://larder/{name}"),
        environment: vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ],
    }
}
