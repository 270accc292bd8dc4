//! The form of an upload: text fields first, then the file, which is stored while it arrives.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::form::{TOKEN_FIELD, not_of_this_session};
use super::page::Failure;
use super::sessions::Session;
use crate::limits::{IMAGE_BYTES_MAX, SIGNATURE_TEXT_BYTES_MAX, UPLOAD_FORM_BYTES_MAX};
use crate::model::Image;
use crate::serve::files::UploadError;
use crate::serve::http::app::App;
use crate::serve::http::upload::{self, Label};

/// Largest body of the form. Unit: bytes.
pub const BODY_BYTES_MAX: usize = IMAGE_BYTES_MAX as usize + UPLOAD_FORM_BYTES_MAX;

/// Names of the fields beside the token, which is the first one.
const SIGNATURE_FIELD: &str = "signature";
const FILE_FIELD: &str = "file";

/// Why no image was stored.
#[derive(Debug)]
pub enum UploadRefusal {
    /// The form is shown again, with this status and text.
    Again(StatusCode, String),
    /// Another page is shown.
    Failure(Failure),
}

impl From<Failure> for UploadRefusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<MultipartError> for UploadRefusal {
    fn from(error: MultipartError) -> Self {
        match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            status => Self::Failure(Failure::new(status, error.body_text())),
        }
    }
}

/// The refusal of a file that is too large.
pub fn too_large() -> UploadRefusal {
    let text = format!("The file is too large: an image has at most {IMAGE_BYTES_MAX} bytes.");
    UploadRefusal::Again(StatusCode::PAYLOAD_TOO_LARGE, text)
}

fn invalid(text: impl Into<String>) -> UploadRefusal {
    UploadRefusal::Again(StatusCode::UNPROCESSABLE_ENTITY, text.into())
}

/// Reads the form of this session up to the end of its file.
///
/// # Cancel safety
///
/// If the future is dropped, the file is removed.
pub async fn receive(app: &App, session: &Session, mut form: Multipart) -> Result<Image, UploadRefusal> {
    let (mut is_own, mut signature) = (false, None);
    while let Some(field) = form.next_field().await? {
        match field.name().unwrap_or_default() {
            TOKEN_FIELD => is_own = session.is_form_token(&text(field).await?),
            // Nothing but the token is read of a form that does not carry it.
            _ if !is_own => return Err(not_of_this_session().into()),
            SIGNATURE_FIELD => signature = self::signature(&text(field).await?)?,
            FILE_FIELD => return file(app, signature, &session.principal.name, field).await,
            other => return Err(invalid(format!("There is no field {other}."))),
        }
    }
    Err(if is_own { invalid("Choose a file.") } else { not_of_this_session().into() })
}

async fn file(app: &App, signature: Option<String>, by: &str, field: Field<'_>) -> Result<Image, UploadRefusal> {
    // Some browsers send a path.
    let name = field.file_name().unwrap_or_default().rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(invalid("Choose a file."));
    }
    let label = Label::new(name, signature).map_err(invalid)?;
    match upload::receive(app, label, by, field).await {
        Ok(image) => Ok(image),
        Err(UploadError::TooLarge { .. }) => Err(too_large()),
        Err(UploadError::Body(error)) => {
            Err(Failure::new(StatusCode::BAD_REQUEST, format!("The image did not arrive: {error}.")).into())
        }
        Err(UploadError::Store(error)) => Err(Failure::from(error).into()),
    }
}

/// The signature in base64 without white space; none if the field is empty.
fn signature(text: &str) -> Result<Option<String>, UploadRefusal> {
    let text: String = text.split_whitespace().collect();
    match STANDARD.decode(&text) {
        Ok(_) if text.len() <= SIGNATURE_TEXT_BYTES_MAX => Ok(Some(text).filter(|text| !text.is_empty())),
        Ok(_) => Err(invalid(format!("The signature has more than {SIGNATURE_TEXT_BYTES_MAX} characters."))),
        Err(error) => Err(invalid(format!("The signature is not base64: {error}."))),
    }
}

async fn text(mut field: Field<'_>) -> Result<String, UploadRefusal> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > UPLOAD_FORM_BYTES_MAX {
            return Err(invalid("A field of the form is too long."));
        }
    }
    String::from_utf8(bytes).map_err(|_| invalid("A field of the form is not text."))
}
