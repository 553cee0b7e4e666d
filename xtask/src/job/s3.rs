//! A real S3 server on this machine's loopback: moto for tests and campaigns, which need all of S3; s3s-fs for times,
//! since moto, a Python program, takes more of two cores than what is measured.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::larder::Store;
use crate::engine;
use xtask_tools::wire::{self, Line};

const READY_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// Of whom may use the bucket.
const KEY: &str = "key";
const SECRET: &str = "secret";
/// Moto checks no signature.
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
    /// Starts moto, whose log is in `folder`, and makes the bucket.
    pub(crate) fn start(program: &Path, folder: &Path) -> Result<Self> {
        let port = free_port()?;
        let words = ["-H", "127.0.0.1", "-p", &port.to_string()];
        Self::serve(program, &words, port, folder, Self::makes_bucket)
    }

    /// Starts s3s-fs, whose log and files are in `folder`. A bucket is a directory there. It keeps things of each
    /// object in files whose names are a third longer than the object's, so that must not be longer than 160 bytes.
    pub(crate) fn start_fast(program: &Path, folder: &Path) -> Result<Self> {
        let root = folder.join("s3");
        fs::create_dir_all(root.join("larder"))?;
        let (port, root) = (free_port()?, root.to_string_lossy());
        let keys = ["--access-key", KEY, "--secret-key", SECRET];
        let address = ["--host", "127.0.0.1", "--port", &port.to_string()];
        let words = [&keys[..], &address, &[&root]].concat();
        Self::serve(program, &words, port, folder, |server| {
            TcpStream::connect(("127.0.0.1", server.port)).map(|_| true)
        })
    }

    fn serve(
        program: &Path,
        words: &[&str],
        port: u16,
        folder: &Path,
        is_ready: impl Fn(&Self) -> std::io::Result<bool>,
    ) -> Result<Self> {
        let log = folder.join("s3.log");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(words)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot start the S3 server")?;
        let server = Self { child, port };
        let started = Instant::now();
        while !is_ready(&server).unwrap_or(false) {
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

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A store in `folder`; or behind a line, with the fast server that must live as long.
pub(crate) fn store_at(
    far: Option<Line>,
    folder: &Path,
    name: &str,
) -> Result<(Store, Option<Server>)> {
    let Some(line) = far else {
        return Ok((Store::folder(&folder.join(name)), None));
    };
    let server = Server::start_fast(&engine::fast_s3_server()?, folder)?;
    let store = store(name, wire::to(server.port, line)?);
    Ok((store, Some(server)))
}

/// A store of this name in the bucket, for a client that reaches the server by this port of its loopback.
pub(crate) fn store(name: &str, port: u16) -> Store {
    Store {
        url: format!("s3://larder/{name}"),
        environment: vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ],
    }
}

/// curl for an object beside that store, by the way that Larder takes to it. None: the store is a folder.
pub(crate) fn curl(store: &Store, object: &str) -> Option<Command> {
    let mut environment = store.environment.iter();
    let (_, endpoint) = environment.find(|(name, _)| *name == "AWS_ENDPOINT_URL")?;
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error"]);
    curl.args(["--aws-sigv4", "aws:amz:us-east-1:s3"]);
    curl.args(["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
    curl.arg("--user").arg(format!("{KEY}:{SECRET}"));
    curl.arg(format!("{endpoint}/larder/{object}"));
    Some(curl)
}
