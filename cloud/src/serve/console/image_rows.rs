//! Images as the pages list them, with what their headers state.

use ota_pal::{Component, Header, Link};

use super::text::{size, time};
use crate::limits::FILES_MAX;
use crate::model::Image;
use crate::serve::http::app::App;
use crate::serve::jobs::file_types;
use crate::signature::kind;
use crate::store::{PageNumber, Paged, StoreError};

/// An image in a list.
#[derive(Clone, Debug)]
pub struct ImageRow {
    /// Its id.
    pub id: String,
    /// Name given by the uploader.
    pub name: String,
    /// Length.
    pub size: String,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// Whether it has a signature, and of which kind.
    pub signature: String,
    /// Whether it has no signature.
    pub is_unsigned: bool,
    /// Version of its header; empty for a file of another format.
    pub version: String,
    /// Hardware, component and slot of its header.
    pub fits: String,
    /// Time of the upload.
    pub uploaded: String,
}

impl ImageRow {
    /// The first characters of the digest.
    pub fn short_sha256(&self) -> &str {
        self.sha256.get(..12).unwrap_or(&self.sha256)
    }
}

/// Reads a page of the images, newest first.
pub async fn image_rows(app: &App, page: PageNumber) -> Result<Paged<ImageRow>, StoreError> {
    let images = app.store.images_page(page, None).await?;
    let mut rows = Vec::new();
    for (image, uploaded_at_s) in &images.rows {
        rows.push(row(app, image, *uploaded_at_s).await);
    }
    Ok(Paged { rows, has_next: images.has_next })
}

/// Reads the newest images, and those of `chosen` that are older.
pub async fn newest_and(app: &App, chosen: &[String]) -> Result<Paged<ImageRow>, StoreError> {
    let mut images = image_rows(app, PageNumber::FIRST).await?;
    for id in chosen.iter().take(FILES_MAX) {
        if images.rows.iter().all(|row| row.id != *id) {
            images.rows.extend(chosen_row(app, id).await?);
        }
    }
    Ok(images)
}

async fn chosen_row(app: &App, id: &str) -> Result<Option<ImageRow>, StoreError> {
    match app.store.image(id).await? {
        Some(image) => Ok(Some(row(app, &image, 0).await)),
        None => Ok(None),
    }
}

async fn row(app: &App, image: &Image, uploaded_at_s: u64) -> ImageRow {
    let (version, fits) = match file_types::head(&app.files, image).await.map(|head| head.header) {
        Ok(Some(header)) => (header.version.to_string(), fits(&header)),
        Ok(None) => (String::new(), "no image header".to_owned()),
        Err(_) => (String::new(), "the file is missing".to_owned()),
    };
    let signature = image.signature.as_deref().map(|text| kind(text).as_str().trim_start_matches("sig-").to_owned());
    ImageRow {
        id: image.id.clone(),
        name: image.name.clone(),
        size: size(image.size_bytes),
        sha256: image.sha256.clone(),
        is_unsigned: signature.is_none(),
        signature: signature.unwrap_or_else(|| "unsigned".to_owned()),
        version,
        fits,
        uploaded: time(uploaded_at_s),
    }
}

fn fits(header: &Header) -> String {
    let component = match header.component {
        Component::App => "app",
        Component::System => "system",
        Component::Data => "data",
    };
    match header.link {
        Link::Any => format!("{}, {component}", header.hardware),
        Link::Only(slot) => format!("{}, {component}, slot {slot:?}", header.hardware),
    }
}
