//! One HTTP request over a unix socket, for the two that the API client cannot make: a ping that
//! waits as long as it must, and a prune with the parameter of older engines.

use std::io;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// GET; answers the status.
pub(crate) async fn get(socket: &Path, target: &str) -> io::Result<u16> {
    request(socket, "GET", target)
        .await
        .map(|(status, _)| status)
}

/// POST without a body; answers the status and the whole reply, for messages.
pub(crate) async fn post(socket: &Path, target: &str) -> io::Result<(u16, String)> {
    request(socket, "POST", target).await
}

async fn request(socket: &Path, method: &str, target: &str) -> io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket).await?;
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    let text = String::from_utf8_lossy(&reply);
    // `HTTP/1.1 200 OK`
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status =
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP reply"))?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.trim().to_owned()))
}
