//! Style and scripts, embedded in the program: own ones, and htmx with its extension for server-sent events (0BSD).

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};

use super::page::Failure;

/// Name, media type and content of each file.
const FILES: [(&str, &str, &str); 5] = [
    ("console.css", "text/css; charset=utf-8", include_str!("../../../assets/console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("../../../assets/console.js")),
    ("htmx.js", "text/javascript; charset=utf-8", include_str!("../../../assets/htmx.min.js")),
    ("htmx-ext-sse.js", "text/javascript; charset=utf-8", include_str!("../../../assets/htmx-ext-sse.min.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../../assets/icon.svg")),
];

/// The entity tags, in the order of the files.
static TAGS: LazyLock<[String; FILES.len()]> =
    LazyLock::new(|| FILES.map(|(_, _, text)| format!("\"{}\"", hex::encode(digest(&SHA256, text.as_bytes())))));

/// `GET /assets/{name}`. A browser keeps a file and asks whether it has changed.
pub async fn get(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let found = FILES.iter().zip(TAGS.iter()).find(|((file, ..), _)| *file == name);
    let Some(((_, media_type, text), tag)) = found else {
        return Failure::not_found("There is no such file.").into_response();
    };
    let common = [(header::CACHE_CONTROL, "no-cache"), (header::ETAG, tag)];
    match headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == tag) {
        true => (StatusCode::NOT_MODIFIED, common).into_response(),
        false => (common, [(header::CONTENT_TYPE, *media_type)], *text).into_response(),
    }
}
