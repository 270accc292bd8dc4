//! URLs of objects in job documents: `${aws:iot:s3-presigned-url:https://s3.REGION.amazonaws.com/BUCKET/KEY}`. They become the
//! placeholders of this service, for which a device gets a signed URL of its own.

use super::error::AwsError;
use crate::model::ObjectName;
use crate::serve::http::app::App;
use crate::serve::jobs::document::placeholder;

/// What AWS's placeholders begin with.
const PLACEHOLDERS: [&str; 2] = ["${aws:iot:s3-presigned-url:", "${aws:iot:s3-presigned-url-v2:"];
const PLACEHOLDER_END: char = '}';
/// Host names of S3 end so.
const DOMAIN: &str = ".amazonaws.com";

/// Returns the object that a URL is about, by the path or by the host name.
///
/// Errors: `InvalidRequestException` with the URL.
pub fn object_of(url: &str) -> Result<ObjectName, AwsError> {
    let parsed = url.strip_prefix("https://").and_then(|rest| rest.split_once('/')).and_then(|(host, path)| {
        let host = host.strip_suffix(DOMAIN)?;
        let (bucket, key) = match host.find(".s3").map(|at| host.split_at(at)) {
            Some((bucket, _)) => (bucket, path),
            None if host.starts_with("s3") => path.split_once('/')?,
            None => return None,
        };
        let is_plain = !key.is_empty() && !key.contains(['?', '#']);
        is_plain.then(|| ObjectName { bucket: bucket.to_owned(), key: key.to_owned() })
    });
    parsed.ok_or_else(|| {
        AwsError::invalid(format!("{url:?} is not https://s3.REGION.amazonaws.com/BUCKET/KEY without a query"))
    })
}

/// Replaces the placeholders of AWS in a job document. Each is bound to the version that the object has now.
///
/// Errors: `InvalidRequestException` with the URL, if it is not one of S3 or the object does not exist.
pub async fn bind(app: &App, document: &str) -> Result<String, AwsError> {
    let (mut out, mut rest) = (String::with_capacity(document.len()), document);
    while let Some((before, url, after)) = next(rest) {
        let object = object_of(url)?;
        let image = app.store.object(&object, None).await?;
        let image = image.ok_or_else(|| AwsError::invalid(format!("there is no object {url:?}: upload it first")))?;
        out.push_str(before);
        out.push_str(&placeholder(&image.id));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Splits a document at its first placeholder: what is before it, its URL, and what follows.
fn next(document: &str) -> Option<(&str, &str, &str)> {
    let found = PLACEHOLDERS.iter().filter_map(|begin| Some((document.find(begin)?, begin.len())));
    let (at, len) = found.min()?;
    let (url, after) = document[at + len..].split_once(PLACEHOLDER_END)?;
    Some((&document[..at], url, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_urls_that_aws_documents_name_the_same_object() {
        for url in [
            "https://s3.amazonaws.com/images/a/b.img",
            "https://s3.eu-central-1.amazonaws.com/images/a/b.img",
            "https://s3-eu-central-1.amazonaws.com/images/a/b.img",
            "https://images.s3.amazonaws.com/a/b.img",
            "https://images.s3.eu-central-1.amazonaws.com/a/b.img",
        ] {
            let object = object_of(url).unwrap();
            assert_eq!((object.bucket.as_str(), object.key.as_str()), ("images", "a/b.img"), "{url}");
        }
        for url in [
            "",
            "http://s3.amazonaws.com/images/a",
            "https://s3.amazonaws.com/images",
            "https://s3.amazonaws.com/images/",
            "https://s3.amazonaws.com/images/a?versionId=1",
            "https://example.com/images/a",
            "https://sqs.amazonaws.com/images/a",
        ] {
            assert!(object_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn placeholders_are_found_in_their_order_and_incomplete_ones_are_left() {
        let document = "a${aws:iot:s3-presigned-url-v2:x}b${aws:iot:s3-presigned-url:y}c${aws:iot:s3-presigned-url:z";
        let (before, url, rest) = next(document).unwrap();
        assert_eq!((before, url), ("a", "x"));
        let (before, url, rest) = next(rest).unwrap();
        assert_eq!((before, url), ("b", "y"));
        assert_eq!(next(rest), None);
    }
}
