//! The HTTP client below the clouds' clients.
//!
//! A request that makes no progress is given up, wherever it hangs. An answer that asks to come again (5xx, 429,
//! 408, and S3's 409 for two writers at once) becomes an error that keeps its `Retry-After`: the clouds' clients
//! would drop that.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body::{Body, Frame, SizeHint};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, Result};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::bounds::bounded;

/// A store that says nothing for this long will not.
const SILENCE: Duration = Duration::from_secs(15);
/// What a connection must be able to carry. Slower than this, an upload is given up.
const SLOWEST_BYTES_PER_SECOND: usize = 256 * 1024;
/// How much of an answer that is an error is read.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// The longest pause that a store may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Makes the client, over one of these.
#[derive(Debug)]
pub(crate) struct Connector<C>(pub(crate) C);

impl<C: HttpConnector> HttpConnector for Connector<C> {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(Client(self.0.connect(options)?)))
    }
}

/// The store asks to come again later.
#[derive(Debug, thiserror::Error)]
#[error("Server returned non-2xx status code: {status}: {body}")]
pub(crate) struct Busy {
    status: String,
    body: String,
    /// How long to wait, where it says so.
    pub(crate) pause: Option<Duration>,
}

/// Nothing came for [`SILENCE`].
#[derive(Debug)]
struct Silent;

impl std::error::Error for Silent {}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {} s", SILENCE.as_secs())
    }
}

fn silent() -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Silent)
}

#[derive(Debug)]
struct Client(HttpClient);

impl HttpService for Client {
    // What `async_trait` makes of an asynchronous function.
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        async move {
            let bytes = request.body().content_length();
            // `list-type=2` of S3 and Google, `comp=list` of Azure.
            let query = request.uri().query().unwrap_or_default();
            let is_list = query.contains("list");
            let sending = Duration::from_secs((bytes / SLOWEST_BYTES_PER_SECOND) as u64);
            let answer = timeout(SILENCE + sending, self.0.execute(request)).await;
            let answer = answer.map_err(|_| silent())??;
            judged(bounded(answer, is_list)).await
        }
        .boxed()
    }
}

/// An answer, if it is one.
async fn judged(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let status = answer.status();
    let (parts, body) = answer.into_parts();
    let body = HttpResponseBody::new(Watched::new(body));
    let is_conflict = status.as_u16() == 409;
    let is_busy = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
    if !is_busy && !is_conflict {
        return Ok(HttpResponse::from_parts(parts, body));
    }
    let body = beginning(body).await?;
    let text = String::from_utf8_lossy(&body).into_owned();
    // "ConditionalRequestConflict" of S3: another writer has not come to its end. Azure's 409 says that the
    // object is there.
    if is_conflict && !text.contains("ConditionalRequestConflict") {
        return Ok(HttpResponse::from_parts(parts, body.into()));
    }
    let pause = parts.headers.get("retry-after");
    let pause = pause.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let busy = Busy {
        status: status.to_string(),
        body: text,
        pause: pause.map(|seconds| Duration::from_secs(seconds).min(PAUSE_MAX)),
    };
    Err(HttpError::new(HttpErrorKind::Unknown, busy))
}

async fn beginning(body: HttpResponseBody) -> Result<Vec<u8>, HttpError> {
    let mut pieces = body.bytes_stream();
    let mut read = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        read.extend_from_slice(&piece[..piece.len().min(ANSWER_MAX_BYTES - read.len())]);
        if read.len() == ANSWER_MAX_BYTES {
            break;
        }
    }
    Ok(read)
}

/// A body that fails when nothing comes for [`SILENCE`].
struct Watched {
    body: HttpResponseBody,
    patience: Pin<Box<Sleep>>,
}

impl Watched {
    fn new(body: HttpResponseBody) -> Self {
        Self {
            body,
            patience: Box::pin(sleep(SILENCE)),
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.patience.as_mut().reset(Instant::now() + SILENCE);
            return Poll::Ready(frame);
        }
        ready!(self.patience.as_mut().poll(context));
        Poll::Ready(Some(Err(silent())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
