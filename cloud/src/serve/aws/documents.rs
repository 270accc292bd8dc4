//! Job documents in requests: texts, or objects that a URL names.

use serde_json::value::RawValue;

use super::error::AwsError;
use super::s3_url::{bind, object_of};
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::serve::files::read_at;
use crate::serve::http::app::App;

/// Returns the document of a job: the one in the request, or an object. URLs of objects in it are bound.
///
/// Errors: `InvalidRequestException` if there is none, or both, if it is too long, and for a URL of no object.
pub async fn document_of(app: &App, document: Option<String>, source: Option<String>) -> Result<String, AwsError> {
    let document = match (document, source) {
        (Some(document), None) => document,
        (None, Some(url)) => object(app, &url).await?,
        _ => return Err(AwsError::invalid("a job has either document or documentSource")),
    };
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(AwsError::invalid(format!("a document has at most {DOCUMENT_BYTES_MAX} bytes")));
    }
    bind(app, &document).await
}

/// Reads the object with a document.
async fn object(app: &App, url: &str) -> Result<String, AwsError> {
    let image = app.store.object(&object_of(url)?, None).await?;
    let image = image.ok_or_else(|| AwsError::invalid(format!("there is no object {url:?}: upload it first")))?;
    let len_bytes = usize::try_from(image.size_bytes).ok().filter(|len_bytes| *len_bytes <= DOCUMENT_BYTES_MAX);
    let Some(len_bytes) = len_bytes else {
        return Err(AwsError::invalid(format!("a document has at most {DOCUMENT_BYTES_MAX} bytes")));
    };
    let bytes = read_at(&app.files.image(&image.id).await?, 0, len_bytes).await?;
    String::from_utf8(bytes.to_vec()).map_err(|_| AwsError::invalid("documentSource is not text"))
}

/// A document is a text in this API.
///
/// Errors: `InvalidRequestException` for a text that is not JSON.
pub fn raw(document: String) -> Result<Box<RawValue>, AwsError> {
    RawValue::from_string(document).map_err(|error| AwsError::invalid(format!("document: {error}")))
}
