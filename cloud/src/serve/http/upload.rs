//! Stores an uploaded image: the one path of the admin request, of the console and of the S3 API.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::app::App;
use crate::limits::{NAME_BYTES_MAX, SIGNATURE_TEXT_BYTES_MAX};
use crate::model::Image;
use crate::serve::files::{StoredImage, UploadError};
use crate::store::StoreError;

/// What an image is uploaded with; only [`Label::new`] makes one.
#[derive(Clone, Debug)]
pub struct Label {
    name: String,
    signature: Option<String>,
}

impl Label {
    /// Checks the lengths of the name and of the signature in base64; `None`: an unsigned image.
    ///
    /// Errors: the reason.
    pub fn new(name: String, signature: Option<String>) -> Result<Self, String> {
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("name of {} bytes, at most {NAME_BYTES_MAX}", name.len()));
        }
        match &signature {
            Some(text) if text.is_empty() => Err("the signature is empty: omit it, or sign the image".to_owned()),
            Some(text) if text.len() > SIGNATURE_TEXT_BYTES_MAX => {
                Err(format!("signature of {} bytes, at most {SIGNATURE_TEXT_BYTES_MAX}", text.len()))
            }
            _ => Ok(Self { name, signature }),
        }
    }
}

/// Writes the pieces to a file of the data directory as they arrive, and adds the image to the store; `by`: who uploads it.
///
/// Errors: see [`write`]. Nothing is kept then.
///
/// # Cancel safety
///
/// If the future is dropped, the file is removed.
pub async fn receive<E>(
    app: &App,
    label: Label,
    by: &str,
    pieces: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Image, UploadError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stored = write(app, pieces).await?;
    keep(app, label, by, stored).await.map_err(UploadError::Store)
}

/// Writes the pieces to a file of the data directory as they arrive. The file is removed at the next start unless the image is
/// added to the store.
///
/// Errors: `TooLarge`; `Body` if a piece is an error; `Store`. Nothing is kept then.
///
/// # Cancel safety
///
/// If the future is dropped, the file is removed.
pub async fn write<E>(app: &App, pieces: impl Stream<Item = Result<Bytes, E>>) -> Result<StoredImage, UploadError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut upload = app.files.begin().map_err(UploadError::Store)?;
    let mut pieces = std::pin::pin!(pieces);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| UploadError::Body(error.into().to_string()))?;
        let written = tokio::task::spawn_blocking(move || upload.write(&piece).map(|()| upload));
        upload = written.await.map_err(std::io::Error::other)??;
    }
    let stored = tokio::task::spawn_blocking(move || upload.finish()).await.map_err(std::io::Error::other)??;
    match app.files.share(&stored).await {
        Ok(()) => Ok(stored),
        Err(error) => {
            app.files.remove(&stored.id).await.map_err(UploadError::Store)?;
            Err(UploadError::Store(error))
        }
    }
}

/// Adds an image whose file is complete to the store; `by`: who uploaded it.
///
/// Errors: the file is removed.
///
/// # Cancel safety
///
/// If the future is dropped, the image may have been added or not.
pub async fn keep(app: &App, label: Label, by: &str, stored: StoredImage) -> Result<Image, StoreError> {
    let Label { name, signature } = label;
    let image = Image { id: stored.id, name, size_bytes: stored.size_bytes, sha256: stored.sha256, signature };
    match app.store.add_image(&image, by).await {
        Ok(()) => Ok(image),
        Err(error) => {
            app.files.remove(&image.id).await?;
            Err(error)
        }
    }
}
