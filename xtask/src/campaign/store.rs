//! The stores of a campaign: folders, or an S3 server.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

const ADDRESS: &str = "127.0.0.1:5055";
const SERVES_LIMIT: Duration = Duration::from_secs(60);

/// What kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Folder,
    S3,
}

/// Where stores are made.
pub(super) struct Stores {
    kind: Kind,
    folder: PathBuf,
    server: Option<Child>,
}

impl Stores {
    /// Starts the server `program`, if one is needed.
    pub(super) fn ready(kind: Kind, folder: &Path, program: &Path) -> Result<Self> {
        let server = match kind {
            Kind::Folder => None,
            Kind::S3 => Some(serve(program, &folder.join("server.log"))?),
        };
        Ok(Self {
            kind,
            folder: folder.to_owned(),
            server,
        })
    }

    /// The address of a store of this name.
    pub(super) fn url(&self, name: &str) -> String {
        match self.kind {
            Kind::Folder => format!("file://{}", self.folder.join(name).display()),
            Kind::S3 => format!("s3://campaign/{name}"),
        }
    }

    /// What a command needs to reach it.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        if self.kind == Kind::Folder {
            return Vec::new();
        }
        vec![
            ("AWS_ENDPOINT_URL", format!("http://{ADDRESS}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "campaign".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "campaign".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // It may have ended by itself.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn serve(program: &Path, log: &Path) -> Result<Child> {
    let (host, port) = ADDRESS.split_once(':').context("an address has a port")?;
    let server = Command::new(program)
        .args(["-H", host, "-p", port])
        .stdout(Stdio::null())
        .stderr(File::create(log)?)
        .spawn()
        .context("cannot start the S3 server")?;
    let began = Instant::now();
    while !makes_bucket().unwrap_or(false) {
        ensure!(
            began.elapsed() < SERVES_LIMIT,
            "the S3 server does not serve: {}",
            log.display()
        );
        sleep(Duration::from_millis(100));
    }
    Ok(server)
}

fn makes_bucket() -> std::io::Result<bool> {
    let mut connection = TcpStream::connect(ADDRESS)?;
    connection.write_all(
        b"PUT /campaign HTTP/1.0\r\nHost: localhost\r\nAuthorization: AWS4-HMAC-SHA256 \
          Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\r\n\
          Content-Length: 0\r\n\r\n",
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.contains("200 OK"))
}
