//! One HTTP request to the engine, over whatever leads there.
//!
//! Small answers are read whole, within a deadline, and the connection is kept for the next such
//! request: through ssh a new one costs a second. Streams have a connection of their own, no
//! deadline (an engine packs an image for minutes before its first byte), and end when they are
//! dropped.

mod ssh;
mod tls;

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyDataStream, BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Child;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use self::ssh::Complaint;
use crate::endpoint::{Address, Endpoint, bracketed};
use crate::error::{ApiError, BoxError, Result};

/// The largest small answer: a list of thousands of images is a few MiB.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// An error's text is a line or two.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// What is shown of it.
const MESSAGE_CHARS_SHOWN: usize = 4096;

pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// What leads to an engine.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

struct Connection {
    sender: SendRequest<Body>,
    complaint: Option<Complaint>,
}

pub(crate) struct Client {
    pub(crate) endpoint: Endpoint,
    deadline: Duration,
    tls: Option<TlsConnector>,
    /// The connection of the last small request.
    idle: Mutex<Option<Connection>>,
}

/// An answer, as it arrives. Reading slowly slows the engine down; dropping it ends the request.
pub struct AnswerStream {
    body: BodyDataStream<Incoming>,
    what: String,
}

impl AnswerStream {
    fn new(body: Incoming, request: &Request) -> Self {
        Self {
            body: body.into_data_stream(),
            what: request.what.clone(),
        }
    }
}

impl Stream for AnswerStream {
    type Item = Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes>>> {
        let polled = self.body.poll_next_unpin(context);
        polled.map_err(|source| ApiError::broken(&self.what, source))
    }
}

/// A request without its body.
pub(crate) struct Request {
    /// As a verb, for messages: "list images".
    pub(crate) what: String,
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
}

impl Request {
    pub(crate) fn get(what: &str, target: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            method: Method::GET,
            target: target.into(),
        }
    }
}

impl Client {
    /// Each small request, and each connection of a stream, may take `deadline`.
    pub(crate) fn new(endpoint: Endpoint, deadline: Duration) -> Result<Self> {
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

    /// The same with another deadline, over connections of its own.
    pub(crate) fn within(&self, deadline: Duration) -> Self {
        Self {
            endpoint: self.endpoint.clone(),
            deadline,
            tls: self.tls.clone(),
            idle: Mutex::new(None),
        }
    }

    /// As [`Client::call`], and the answer is JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        let answer = self.call(request).await?;
        serde_json::from_slice(answer.body())
            .map_err(|error| ApiError::malformed(&request.what, error))
    }

    /// A request without a body whose whole answer is small. A status that is no success is an error.
    pub(crate) async fn call(&self, request: &Request) -> Result<Response<Bytes>> {
        let answer = self.in_time(request, self.answer(request)).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(refused(answer.status(), answer.body(), request))
    }

    async fn in_time<T>(
        &self,
        request: &Request,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        timeout(self.deadline, work).await.unwrap_or_else(|_| {
            Err(ApiError::NoAnswer {
                request: request.what.clone(),
                waited: self.deadline,
            })
        })
    }

    async fn answer(&self, request: &Request) -> Result<Response<Bytes>> {
        // What is not repeatable gets a connection that cannot have gone stale.
        let idle = match request.method {
            Method::GET => self.idle().take(),
            _ => None,
        };
        if let Some(mut idle) = idle
            && idle.sender.ready().await.is_ok()
        {
            match self.answer_on(idle, request).await {
                // The engine closed it meanwhile.
                Err(ApiError::Broken { .. } | ApiError::Ssh { .. }) => {}
                answered => return answered,
            }
        }
        self.answer_on(self.connect().await?, request).await
    }

    async fn answer_on(
        &self,
        mut connection: Connection,
        request: &Request,
    ) -> Result<Response<Bytes>> {
        let response = self.send(&mut connection, request, empty()).await?;
        let (parts, body) = response.into_parts();
        let body = read(AnswerStream::new(body, request), ANSWER_BYTES_MAX).await?;
        *self.idle() = Some(connection);
        Ok(Response::from_parts(parts, body))
    }

    /// A request whose body, or answer, is a stream. Only the connection has a deadline.
    pub(crate) async fn stream(&self, request: &Request, body: Body) -> Result<AnswerStream> {
        let mut connection = self.in_time(request, self.connect()).await?;
        let response = self.send(&mut connection, request, body).await?;
        let status = response.status();
        let answer = AnswerStream::new(response.into_body(), request);
        if status.is_success() {
            return Ok(answer);
        }
        let text = read(answer, MESSAGE_BYTES_MAX).await?;
        Err(refused(status, &text, request))
    }

    async fn send(
        &self,
        connection: &mut Connection,
        request: &Request,
        body: Body,
    ) -> Result<Response<Incoming>> {
        let host = match &self.endpoint.address {
            Address::Tcp { host, port, .. } => format!("{}:{port}", bracketed(host)),
            Address::Unix(_) | Address::Ssh { .. } => "docker".to_owned(),
        };
        let http_request = hyper::Request::builder()
            .method(&request.method)
            .uri(&request.target)
            .header(header::HOST, host)
            .header(
                header::USER_AGENT,
                concat!("larder/", env!("CARGO_PKG_VERSION")),
            )
            .body(body)
            .map_err(|error| ApiError::malformed(&request.what, error))?;
        match connection.sender.send_request(http_request).await {
            Ok(response) => Ok(response),
            Err(source) => Err(match connection.complaint.clone() {
                Some(complaint) => ApiError::Ssh {
                    endpoint: self.endpoint.to_string(),
                    message: last_words(complaint, &source).await,
                },
                None => ApiError::broken(&request.what, source),
            }),
        }
    }

    async fn connect(&self) -> Result<Connection> {
        let (transport, ssh) = self.dial().await.map_err(|source| ApiError::Unreachable {
            endpoint: self.endpoint.to_string(),
            cure: cure(&self.endpoint.address, &source),
            source,
        })?;
        let handshake = http1::handshake(TokioIo::new(transport)).await;
        let (sender, connection) = handshake.map_err(|source| ApiError::broken("talk", source))?;
        let (process, complaint) = ssh.unzip();
        tokio::spawn(async move {
            // Whoever waits for an answer is told the same.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the engine");
            }
            drop(process);
        });
        Ok(Connection { sender, complaint })
    }

    async fn dial(&self) -> io::Result<(Box<dyn Transport>, Option<(Child, Complaint)>)> {
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
                let (ssh, process, complaint) = ssh::dial(address)?;
                Ok((Box::new(ssh), Some((process, complaint))))
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Option<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn last_words(complaint: Complaint, source: &hyper::Error) -> String {
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

pub(crate) fn empty() -> Body {
    Empty::new().map_err(BoxError::from).boxed_unsync()
}

/// What the engine says of a request that it refuses: `{"message": "…"}`.
fn refused(status: StatusCode, body: &[u8], request: &Request) -> ApiError {
    #[derive(serde::Deserialize)]
    struct Answer {
        message: String,
    }
    let message = match serde_json::from_slice::<Answer>(body) {
        Ok(answer) => answer.message,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    ApiError::Refused {
        request: request.what.clone(),
        status: status.as_u16(),
        message: message.chars().take(MESSAGE_CHARS_SHOWN).collect(),
    }
}

async fn read(mut pieces: AnswerStream, bytes_max: usize) -> Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(piece) = pieces.try_next().await? {
        if all.len() + piece.len() > bytes_max {
            let reason = format!("it is longer than {bytes_max} bytes");
            return Err(ApiError::malformed(&pieces.what, reason));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}
