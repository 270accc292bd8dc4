//! The page of all images, and the upload.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::multipart::{Multipart, MultipartRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use super::image_rows::{ImageRow, image_rows};
use super::page::{Failure, Frame, page, redirect};
use super::sessions::Session;
use super::text::{Pager, size};
use super::upload_form::{self, BODY_BYTES_MAX, UploadRefusal, too_large};
use crate::limits::{IMAGE_BYTES_MAX, SIGNATURE_TEXT_BYTES_MAX};
use crate::model::Image;
use crate::serve::http::app::App;
use crate::store::PageNumber;

/// Query of the page.
#[derive(Debug, Default, Deserialize)]
pub struct ImagesQuery {
    #[serde(default)]
    page: u32,
    /// Id of the image that was uploaded just now.
    #[serde(default)]
    uploaded: String,
}

#[derive(Template)]
#[template(path = "images.html")]
struct ImagesPage {
    frame: Frame,
    rows: Vec<ImageRow>,
    pager: Pager,
    uploaded: Option<ImageRow>,
    error: String,
    bytes_max: u64,
    size_max: String,
    signature_max: usize,
}

/// `GET /images`.
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Query(query): Query<ImagesQuery>,
) -> Result<Response, Failure> {
    let number = PageNumber::new(query.page);
    let mut shown = images_page(&app, &session, number).await?;
    shown.uploaded = shown.rows.iter().find(|row| row.id == query.uploaded).cloned();
    Ok(page(StatusCode::OK, &shown))
}

/// `POST /images`. A refused upload shows the page again; the rest of its body is not read.
pub async fn upload(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Failure> {
    let (status, error) = match receive(&app, &session, &headers, form).await {
        Ok(image) => return Ok(redirect(&headers, &format!("/images?uploaded={}", image.id))),
        Err(UploadRefusal::Failure(failure)) => return Err(failure),
        Err(UploadRefusal::Again(status, error)) => (status, error),
    };
    let shown = images_page(&app, &session, PageNumber::FIRST).await?;
    Ok(page(status, &ImagesPage { error, ..shown }))
}

async fn receive(
    app: &App,
    session: &Session,
    headers: &HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Image, UploadRefusal> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let form = form.map_err(|error| Failure::new(error.status(), error.body_text()))?;
    upload_form::receive(app, session, form).await
}

async fn images_page(app: &App, session: &Session, number: PageNumber) -> Result<ImagesPage, Failure> {
    let rows = image_rows(app, number).await?;
    Ok(ImagesPage {
        frame: Frame::new("images", session),
        pager: Pager::new("/images?", number, &rows),
        rows: rows.rows,
        uploaded: None,
        error: String::new(),
        bytes_max: IMAGE_BYTES_MAX,
        size_max: size(IMAGE_BYTES_MAX),
        signature_max: SIGNATURE_TEXT_BYTES_MAX,
    })
}
