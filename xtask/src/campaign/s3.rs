//! The S3 server behind the faults: moto, on this machine's loopback.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The store of the campaign: a bucket and a prefix.
pub(super) const STORE: &str = "s3://campaign/cache";
const READY_LIMIT: Duration = Duration::from_secs(30);

/// A server, which ends with this value.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
}

impl Server {
    /// Starts the server, with a bucket.
    pub(super) fn start(program: &Path, folder: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = File::create(folder.join("moto.log"))?;
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let server = Self { child, port };
        let started = Instant::now();
        while server.make_bucket().is_err() {
            ensure!(
                started.elapsed() < READY_LIMIT,
                "the S3 server does not serve"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn make_bucket(&self) -> Result<()> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.write_all(
            b"PUT /campaign HTTP/1.0\r\nHost: localhost\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x/20260101/\
              us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\r\nContent-Length: 0\r\n\r\n",
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        ensure!(answer.contains("200 OK"), "no bucket: {answer}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client must know of a server on this port of its loopback.
pub(super) fn environment(port: u16) -> [(&'static str, String); 5] {
    [
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", "campaign".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "campaign".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ]
}
