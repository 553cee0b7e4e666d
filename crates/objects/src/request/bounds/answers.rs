//! Answers of a cloud, bounded while they are read. `object_store` collects what it parses itself (an
//! error, a page of a listing, a token) however long it is, so the bound stands below it.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt as _, Limited};
use larder_model::limits::LEAVES_MAX_BYTES;
use object_store::client::{HttpError, HttpErrorKind, HttpResponse, HttpResponseBody};
use object_store::{GetResult, GetResultPayload, Result};

/// An error has a code, a message, and what was asked for.
const ERROR_MAX_BYTES: usize = 256 * 1024;
/// A page has at most 5,000 names (Azure) of 1 KiB, each with what its cloud says of the object.
const PAGE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// The largest object that there is.
const OBJECT_MAX_BYTES: usize = LEAVES_MAX_BYTES;

/// An answer whose body has an end. `is_list` says whether names were asked for.
pub(crate) fn bounded(answer: HttpResponse, is_list: bool) -> HttpResponse {
    let max = match (answer.status().is_success(), is_list) {
        (false, _) => ERROR_MAX_BYTES,
        (true, true) => PAGE_MAX_BYTES,
        (true, false) => OBJECT_MAX_BYTES,
    };
    answer.map(|body| {
        HttpResponseBody::new(Limited::new(body, max).map_err(|error| {
            match error.downcast::<HttpError>() {
                Ok(own) => *own,
                Err(error) => HttpError::new_boxed(HttpErrorKind::Decode, error),
            }
        }))
    })
}

/// The bytes of an answer if there are at most `max`. What a server announces is one thing, what it sends
/// another: both are looked at, and nothing beyond is read.
pub(crate) async fn collect(found: GetResult, max: usize) -> Result<Option<Bytes>> {
    let announced = found.range.end.saturating_sub(found.range.start);
    if announced > max as u64 {
        return Ok(None);
    }
    // A file gives what it announced, in one piece.
    if matches!(found.payload, GetResultPayload::File(..)) {
        return found.bytes().await.map(Some);
    }
    let mut bytes = Vec::with_capacity(announced as usize);
    let mut pieces = found.into_stream();
    while let Some(piece) = pieces.try_next().await? {
        if piece.len() > max - bytes.len() {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes.into()))
}
