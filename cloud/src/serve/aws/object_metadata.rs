//! The metadata of an object: the headers `x-amz-meta-*` of its upload, which its downloads return.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::error::{AwsError, Code};
use crate::limits::OBJECT_METADATA_BYTES_MAX;
use crate::store::StoreError;

const PREFIX: &str = "x-amz-meta-";
/// Name of the metadata that is the signature of the image in base64.
pub const SIGNATURE: &str = "ota-signature";

/// Returns the values in the headers of an upload by their names, which are in lower case.
///
/// Errors: `MetadataTooLarge` for more than [`OBJECT_METADATA_BYTES_MAX`]; `InvalidRequest` for a value that is not ASCII.
pub fn read(headers: &HeaderMap) -> Result<BTreeMap<String, String>, AwsError> {
    let mut metadata = BTreeMap::new();
    for (header, value) in headers {
        let Some(name) = header.as_str().strip_prefix(PREFIX) else { continue };
        let text = value.to_str().map_err(|_| AwsError::invalid(format!("{header} is not ASCII")))?;
        metadata.insert(name.to_owned(), text.to_owned());
    }
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    match bytes > OBJECT_METADATA_BYTES_MAX {
        true => Err(AwsError::new(
            Code::MetadataTooLarge,
            format!("metadata of {bytes} bytes, at most {OBJECT_METADATA_BYTES_MAX}"),
        )),
        false => Ok(metadata),
    }
}

/// Adds the metadata of an object to the headers of a response.
///
/// Errors: `Damaged` for a name or a value that is none of a header.
pub fn write(metadata: &BTreeMap<String, String>, headers: &mut HeaderMap) -> Result<(), StoreError> {
    let damaged = StoreError::Damaged { column: "metadata" };
    for (name, value) in metadata {
        let name = HeaderName::from_bytes(format!("{PREFIX}{name}").as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) else { return Err(damaged) };
        headers.insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_an_upload_is_that_of_its_downloads_up_to_the_limit_of_s3() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-meta-ota-signature", HeaderValue::from_static("MEUC"));
        headers.insert("x-amz-meta-Build", HeaderValue::from_static("7 of 9"));
        headers.insert("content-type", HeaderValue::from_static("text/plain"));
        let metadata = read(&headers).unwrap();
        assert_eq!(metadata.get(SIGNATURE).map(String::as_str), Some("MEUC"));
        let mut answer = HeaderMap::new();
        write(&metadata, &mut answer).unwrap();
        assert_eq!((answer.len(), answer.get("x-amz-meta-build")), (2, headers.get("x-amz-meta-build")));
        headers.insert("x-amz-meta-long", HeaderValue::from_str(&"x".repeat(OBJECT_METADATA_BYTES_MAX)).unwrap());
        assert!(read(&headers).is_err());
        assert!(write(&[("a b".to_owned(), String::new())].into(), &mut answer).is_err());
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-meta-name", HeaderValue::from_bytes("Küche".as_bytes()).unwrap());
        assert!(read(&headers).is_err());
    }
}
