//! One HTTP request to the engine, over whatever leads there.
//!
//! Small answers are read whole, within a deadline, and the connection is kept for the next such
//! request: through ssh a new one costs a second. Streams have a connection of their own, no
//! deadline (an engine packs an image for minutes before its first byte), and end when they are
//! dropped.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::{Address, bracketed};
use super::endpoint::Endpoint;
use super::error::{ApiError, BoxError, Result};
use super::ssh::{self, Complaint};
use super::tls;

/// The largest small answer: a list of thousands of images is a few MiB.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// An error's text is a line or two.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// What leads to an engine.
trait Way: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Way for T {}

/// An open connection.
struct Connection {
    sender: SendRequest<Body>,
    complaint: Option<Complaint>,
}

/// Makes connections to one engine.
pub(super) struct Exchange {
    pub(super) endpoint: Endpoint,
    pub(super) deadline: Duration,
    tls: Option<TlsConnector>,
    idle: Mutex<Option<Connection>>,
}

/// A request, before it has a connection.
pub(super) struct Ask {
    /// As a verb, for messages: "list images".
    pub(super) what: String,
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
}

impl Exchange {
    pub(super) fn new(endpoint: Endpoint, deadline: Duration) -> Result<Self> {
        let tls = match &endpoint.address {
            Address::Tcp { tls: Some(tls), .. } => Some(TlsConnector::from(tls::client(tls)?)),
            _ => None,
        };
        Ok(Self {
            endpoint,
            deadline,
            tls,
            idle: Mutex::new(None),
        })
    }

    /// A request without a body whose whole answer is small.
    pub(super) async fn whole(&self, ask: &Ask) -> Result<Response<Bytes>> {
        let answered = timeout(self.deadline, self.whole_in_time(ask)).await;
        answered.unwrap_or_else(|_| {
            Err(ApiError::NoAnswer {
                request: ask.what.clone(),
                waited: self.deadline,
            })
        })
    }

    async fn whole_in_time(&self, ask: &Ask) -> Result<Response<Bytes>> {
        let kept = self.lock().take();
        // What is not repeatable gets a connection that cannot have gone stale.
        let kept = kept.filter(|_| ask.method == Method::GET);
        if let Some(mut kept) = kept
            && kept.sender.ready().await.is_ok()
        {
            match self.whole_on(kept, ask).await {
                // The engine closed it meanwhile.
                Err(ApiError::Broken { .. } | ApiError::Ssh { .. }) => {}
                answered => return answered,
            }
        }
        self.whole_on(self.connect().await?, ask).await
    }

    async fn whole_on(&self, mut connection: Connection, ask: &Ask) -> Result<Response<Bytes>> {
        let response = self.send(&mut connection, ask, empty()).await?;
        let (parts, body) = response.into_parts();
        let body = read(body, &ask.what, ANSWER_BYTES_MAX).await?;
        *self.lock() = Some(connection);
        Ok(Response::from_parts(parts, body))
    }

    /// A request whose body, or answer, is a stream.
    pub(super) async fn stream(&self, ask: &Ask, body: Body) -> Result<Response<Incoming>> {
        let mut connection = timeout(self.deadline, self.connect())
            .await
            .unwrap_or_else(|_| {
                Err(ApiError::NoAnswer {
                    request: ask.what.clone(),
                    waited: self.deadline,
                })
            })?;
        let response = self.send(&mut connection, ask, body).await?;
        accepted(response, ask).await
    }

    async fn send(
        &self,
        connection: &mut Connection,
        ask: &Ask,
        body: Body,
    ) -> Result<Response<Incoming>> {
        let host = match &self.endpoint.address {
            Address::Tcp { host, port, .. } => format!("{}:{port}", bracketed(host)),
            Address::Unix(_) | Address::Ssh { .. } => "docker".to_owned(),
        };
        let request = Request::builder()
            .method(&ask.method)
            .uri(&ask.target)
            .header(header::HOST, host)
            .header(
                header::USER_AGENT,
                concat!("larder/", env!("CARGO_PKG_VERSION")),
            )
            .body(body)
            .map_err(|error| ApiError::malformed(&ask.what, error))?;
        match connection.sender.send_request(request).await {
            Ok(response) => Ok(response),
            Err(source) => Err(match connection.complaint.clone() {
                Some(complaint) => ApiError::Ssh {
                    endpoint: self.endpoint.to_string(),
                    message: said(complaint, &source).await,
                },
                None => ApiError::Broken {
                    request: ask.what.clone(),
                    source,
                },
            }),
        }
    }

    async fn connect(&self) -> Result<Connection> {
        let dialled = self.dial().await;
        let (way, complaint) = dialled.map_err(|source| ApiError::Unreachable {
            endpoint: self.endpoint.to_string(),
            cure: cure(&self.endpoint.address, &source),
            source,
        })?;
        let shaken = http1::handshake(TokioIo::new(way)).await;
        let (sender, connection) = shaken.map_err(|source| ApiError::Broken {
            request: "talk".to_owned(),
            source,
        })?;
        tokio::spawn(async move {
            // Whoever waits for an answer is told the same.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the engine");
            }
        });
        Ok(Connection { sender, complaint })
    }

    async fn dial(&self) -> io::Result<(Box<dyn Way>, Option<Complaint>)> {
        match &self.endpoint.address {
            Address::Unix(path) => Ok((Box::new(UnixStream::connect(path).await?), None)),
            Address::Tcp { host, port, .. } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(match &self.tls {
                    None => (Box::new(stream), None),
                    Some(tls) => {
                        let stream = tls.connect(tls::server_name(host)?, stream).await?;
                        (Box::new(stream), None)
                    }
                })
            }
            address @ Address::Ssh { .. } => {
                let (ssh, complaint) = ssh::dial(address)?;
                Ok((Box::new(ssh), Some(complaint)))
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn said(complaint: Complaint, source: &hyper::Error) -> String {
    /// ssh closes its standard error when it ends, which a hung one does not.
    const LAST_WORDS: Duration = Duration::from_secs(2);
    match timeout(LAST_WORDS, complaint.text()).await {
        Ok(text) if !text.is_empty() => text,
        _ => source.to_string(),
    }
}

fn cure(address: &Address, error: &io::Error) -> &'static str {
    match (address, error.kind()) {
        (Address::Unix(_), io::ErrorKind::PermissionDenied) => {
            "run as root or as a member of the group docker"
        }
        (Address::Unix(_), _) => "start the engine, or set DOCKER_HOST",
        (Address::Tcp { tls: None, .. }, _) => {
            "is it the right address, and does the engine want TLS (DOCKER_TLS_VERIFY)?"
        }
        (Address::Tcp { .. }, _) => {
            "is it the right address, and are these its certificates (DOCKER_CERT_PATH)?"
        }
        (Address::Ssh { .. }, _) => "install the ssh program (package openssh-client)",
    }
}

pub(super) fn empty() -> Body {
    Empty::new().map_err(BoxError::from).boxed_unsync()
}

/// The answer, or the error that it says.
async fn accepted(response: Response<Incoming>, ask: &Ask) -> Result<Response<Incoming>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = read(response.into_body(), &ask.what, MESSAGE_BYTES_MAX).await?;
    Err(refused(status, &text, ask))
}

/// `{"message": "…"}`.
pub(super) fn refused(status: StatusCode, body: &[u8], ask: &Ask) -> ApiError {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    let message = serde_json::from_slice::<Message>(body).map_or_else(
        |_| String::from_utf8_lossy(body).trim().to_owned(),
        |parsed| parsed.message,
    );
    ApiError::Refused {
        request: ask.what.clone(),
        status: status.as_u16(),
        message,
    }
}

async fn read(mut body: Incoming, what: &str, bytes_max: usize) -> Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| ApiError::Broken {
            request: what.to_owned(),
            source,
        })?;
        if let Ok(data) = frame.into_data() {
            if all.len() + data.len() > bytes_max {
                let reason = format!("it is longer than {bytes_max} bytes");
                return Err(ApiError::malformed(what, reason));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}
