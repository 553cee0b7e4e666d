//! The two streams: `docker save` and `docker load`.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::Method;
use hyper::body::Frame;
use serde::Deserialize;

use super::handle::{Remote, encoded};
use crate::connection::{AnswerStream, Body, empty};
use crate::error::{ApiError, BoxError, Pieces, Result};

/// A line of the progress that a load reports is a few hundred bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

impl Remote {
    /// The tar of `docker save` of these names and ids. An image that is given by its id comes without names.
    pub async fn export(&self, images: &[String]) -> Result<AnswerStream> {
        let names: Vec<String> = images
            .iter()
            .map(|image| format!("names={}", encoded(image)))
            .collect();
        let what = match images {
            [image] => format!("save image {image}"),
            images => format!("save {} images", images.len()),
        };
        let target = format!("/images/get?{}", names.join("&"));
        let request = self.request(Method::GET, what, &target);
        self.client.stream(&request, empty()).await
    }

    /// `docker load` of a tar, which is asked for as fast as the engine takes it. If it ends with an
    /// error, the engine sees it break off and loads nothing. Answers names, and the ids of images without
    /// a name, in the order of the engine's lines.
    pub async fn load(&self, tar: impl Pieces) -> Result<Vec<String>> {
        let request = self.request(Method::POST, "load images", "/images/load?quiet=1");
        let fault = Arc::new(Mutex::new(None));
        let answered = self
            .client
            .stream(&request, request_body(tar, &fault))
            .await;
        let loaded = match answered {
            Ok(answer) => loaded_images(answer, &request.what).await,
            Err(error) => Err(error),
        };
        // What the engine and the HTTP client say of a stream that broke off is only a consequence.
        let fault = fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        match fault {
            Some(fault) => Err(ApiError::Source(fault)),
            None => loaded,
        }
    }
}

/// The tar as a request's body. An error is laid aside: the HTTP client would wrap it.
fn request_body(tar: impl Pieces, fault: &Arc<Mutex<Option<BoxError>>>) -> Body {
    let fault = Arc::clone(fault);
    let frames = tar.map(move |piece| match piece {
        Ok(bytes) => Ok(Frame::data(bytes)),
        Err(error) => {
            *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            Err(BoxError::from("the images could not be read"))
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// One line of the answer (moby `pkg/jsonmessage`).
#[derive(Deserialize)]
struct Line {
    stream: Option<String>,
    error: Option<String>,
    #[serde(rename = "errorDetail")]
    detail: Option<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    message: String,
}

/// The status was sent before the work began: failures are in the answer's lines.
async fn loaded_images(mut answer: AnswerStream, what: &str) -> Result<Vec<String>> {
    let mut loaded = Vec::new();
    let mut rest = BytesMut::new();
    while let Some(piece) = answer.try_next().await? {
        rest.extend_from_slice(&piece);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            read_line(&rest.split_to(end + 1), what, &mut loaded)?;
        }
        if rest.len() > LINE_BYTES_MAX {
            return Err(ApiError::malformed(what, "a line is longer than 1 MiB"));
        }
    }
    read_line(&rest, what, &mut loaded)?;
    Ok(loaded)
}

fn read_line(line: &[u8], what: &str, loaded: &mut Vec<String>) -> Result<()> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(());
    }
    let line: Line =
        serde_json::from_slice(line).map_err(|error| ApiError::malformed(what, error))?;
    if let Some(message) = line.detail.map(|detail| detail.message).or(line.error) {
        return Err(ApiError::Load { message });
    }
    // `Loaded image: ruby:3.3`, `Loaded image ID: sha256:…` (moby `image/tarexport/load.go`).
    let said = line.stream.unwrap_or_default();
    for said in said.lines() {
        if let Some(image) = said
            .strip_prefix("Loaded image ID: ")
            .or_else(|| said.strip_prefix("Loaded image: "))
        {
            loaded.push(image.trim().to_owned());
        }
    }
    Ok(())
}
