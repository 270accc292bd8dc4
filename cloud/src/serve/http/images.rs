//! The image server: signed URLs, single ranges, HEAD. The admin requests are in `admin.rs`.

use std::fs::File;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::app::App;
use super::range::{self, RangeRequest};
use crate::clock::now_s;
use crate::limits::{BUSY_RETRY_S, HTTP_CHUNK_BYTES};
use crate::model::Image;
use crate::serve::files::read_at;
use crate::serve::log::{Direction, quote, report_error};
use crate::store::StoreError;

/// The routes of the images.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/images/{id}", get(image))
}

/// Query of a signed URL.
#[derive(Debug, Deserialize)]
struct Permission {
    expires: String,
    signature: String,
}

async fn image(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    permission: Result<Query<Permission>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let response = answer(&app, &id, permission.ok().map(|query| query.0), &headers).await;
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).unwrap_or("all");
    let text = format!("{} {}", response.status().as_u16(), quote(range.as_bytes()));
    app.log.message(Direction::Out, &format!("GET /images/{}", quote(id.as_bytes())), "", &text);
    response
}

async fn answer(app: &App, id: &str, permission: Option<Permission>, headers: &HeaderMap) -> Response {
    let Some(permission) = permission else { return plain(StatusCode::FORBIDDEN, "the URL is not signed") };
    if let Err(refusal) = app.signer.check(id, &permission.expires, &permission.signature, now_s()) {
        return plain(StatusCode::FORBIDDEN, &refusal.to_string());
    }
    let found = match app.store.image(id).await {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    let Some(image) = found else { return plain(StatusCode::NOT_FOUND, "no such image") };
    let Some(permit) = app.url_limit.acquire(&permission.signature) else {
        let retry = [(header::RETRY_AFTER, BUSY_RETRY_S.to_string())];
        return (retry, plain(StatusCode::SERVICE_UNAVAILABLE, "too many downloads of this URL")).into_response();
    };
    match app.files.image(&image.id).await {
        Ok(file) => ranged(&image, (file, permit), headers),
        Err(StoreError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            plain(StatusCode::NOT_FOUND, "the image file is missing")
        }
        Err(error) => failed(&error),
    }
}

/// Responds with an image, or with the range of it that these headers request. `file`: with what is dropped after the response.
pub fn ranged<P: Send + 'static>(image: &Image, file: (Arc<File>, P), headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", image.sha256);
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // A range of another version of the file is ignored (RFC 9110, section 13.1.5).
    let current = text(header::IF_RANGE).is_none_or(|value| value == tag);
    let value = text(header::RANGE).filter(|_| current);
    let size_bytes = image.size_bytes;
    let common = [(header::ACCEPT_RANGES, "bytes".to_owned()), (header::ETAG, tag)];
    match range::parse(value, size_bytes) {
        RangeRequest::Whole => (common, body(file, 0, size_bytes)).into_response(),
        RangeRequest::Part { first, last } => {
            let content = format!("bytes {first}-{last}/{size_bytes}");
            let extra = [(header::CONTENT_RANGE, content)];
            (StatusCode::PARTIAL_CONTENT, common, extra, body(file, first, last - first + 1)).into_response()
        }
        RangeRequest::Unsatisfiable => {
            let extra = [(header::CONTENT_RANGE, format!("bytes */{size_bytes}"))];
            (StatusCode::RANGE_NOT_SATISFIABLE, common, extra).into_response()
        }
    }
}

/// Streams a part of a file in chunks; the permit is dropped with the body.
fn body<P: Send + 'static>(file: (Arc<File>, P), offset: u64, len: u64) -> Response {
    let pieces = futures_util::stream::unfold((file, offset, len), |(file, offset, left)| async move {
        let count = left.min(HTTP_CHUNK_BYTES as u64);
        if count == 0 {
            return None;
        }
        let piece = read_at(&file.0, offset, usize::try_from(count).expect("at most one chunk")).await;
        // After an error the connection is closed, and the client sees a truncated body.
        let left = if piece.is_ok() { left - count } else { 0 };
        Some((piece, (file, offset + count, left)))
    });
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_LENGTH, len.to_string())];
    (headers, Body::from_stream(pieces)).into_response()
}

fn plain(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

fn failed(error: &StoreError) -> Response {
    report_error(format_args!("image server: {error}"));
    plain(StatusCode::INTERNAL_SERVER_ERROR, "the service cannot read the image")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    /// Stores an image and returns its id and the query of its URL.
    async fn stored(app: &App) -> (String, Permission) {
        let stored = app.files.begin().unwrap().finish().unwrap();
        let (name, sha256) = ("fw.img".to_owned(), stored.sha256);
        let image = Image { id: stored.id, name, size_bytes: stored.size_bytes, sha256, signature: None };
        app.store.add_image(&image, "ann").await.unwrap();
        let url = app.signer.url(&image.id, now_s());
        let (expires, signature) = url.split_once("expires=").unwrap().1.split_once("&signature=").unwrap();
        (image.id, Permission { expires: expires.to_owned(), signature: signature.to_owned() })
    }

    #[tokio::test]
    async fn a_url_that_is_in_use_too_often_is_busy_until_a_response_ends() {
        let dir = TempDir::new();
        let app = App::for_tests(&dir).await;
        let (id, Permission { expires, signature }) = stored(&app).await;
        let get = || async {
            let permission = Permission { expires: expires.clone(), signature: signature.clone() };
            answer(&app, &id, Some(permission), &HeaderMap::new()).await
        };
        let first = get().await;
        assert_eq!(first.status(), StatusCode::OK);
        let second = get().await;
        assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(second.headers().contains_key(header::RETRY_AFTER));
        drop(first);
        assert_eq!(get().await.status(), StatusCode::OK);
    }
}
