//! The job document of an over-the-air update, in the format of AWS's CreateOTAUpdate, and the URLs in it.
//! It is stored with placeholders; as on AWS, a URL is signed when a device requests the document.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::Protocol;
use crate::model::Image;
use crate::serve::signed_url::Signer;
use crate::signature::kind;

/// Placeholder for a URL in a stored document; the image's id follows.
const PLACEHOLDER: &str = "${presigned-url:";
/// End of the placeholder.
const PLACEHOLDER_END: char = '}';
/// AWS's name for presigned URLs.
const AUTH_SCHEME: &str = "aws.s3.presigned";

/// One file of the document.
#[derive(Clone, Debug)]
pub struct DocumentFile<'a> {
    /// Id in the stream.
    pub file_id: u8,
    /// The image.
    pub image: &'a Image,
    /// Path on the device.
    pub file_path: &'a str,
    /// Name of the verification key on the device.
    pub key_name: &'a str,
    /// File type, defined by the device.
    pub file_type: Option<u32>,
}

#[derive(Serialize)]
struct Document<'a> {
    afr_ota: AfrOta<'a>,
}

/// Keys and their order as in documents of AWS.
#[derive(Serialize)]
struct AfrOta<'a> {
    protocols: &'a [Protocol],
    #[serde(skip_serializing_if = "Option::is_none")]
    streamname: Option<&'a str>,
    files: Vec<File<'a>>,
    /// Specific to this project.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forced: bool,
}

#[derive(Serialize)]
struct File<'a> {
    filepath: &'a str,
    filesize: u64,
    fileid: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    certfile: Option<&'a str>,
    #[serde(rename = "fileType", skip_serializing_if = "Option::is_none")]
    file_type: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_data_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_scheme: Option<&'static str>,
    /// One member whose name depends on the kind of signature.
    #[serde(flatten)]
    signature: BTreeMap<&'static str, Option<&'a str>>,
}

/// AWS's member for an unsigned file; its value is null.
const UNSIGNED: &str = "sig--";

/// Serializes the document; `stream` is the stream that delivers the files over MQTT.
pub fn write(protocols: &[Protocol], stream: &str, files: &[DocumentFile<'_>], forced: bool) -> String {
    let over_http = protocols.contains(&Protocol::Http);
    let streamname = protocols.contains(&Protocol::Mqtt).then_some(stream);
    let files = files.iter().map(|f| file(f, over_http)).collect();
    let document = Document { afr_ota: AfrOta { protocols, streamname, files, forced } };
    serde_json::to_string(&document).expect("text and numbers are JSON")
}

fn file<'a>(from: &DocumentFile<'a>, over_http: bool) -> File<'a> {
    let signature = from.image.signature.as_deref();
    File {
        filepath: from.file_path,
        filesize: from.image.size_bytes,
        fileid: from.file_id,
        certfile: signature.map(|_| from.key_name),
        file_type: from.file_type,
        update_data_url: over_http.then(|| placeholder(&from.image.id)),
        auth_scheme: over_http.then_some(AUTH_SCHEME),
        signature: BTreeMap::from([(signature.map_or(UNSIGNED, |text| kind(text).as_str()), signature)]),
    }
}

/// Returns the placeholder for a URL of this image.
pub fn placeholder(image_id: &str) -> String {
    format!("{PLACEHOLDER}{image_id}{PLACEHOLDER_END}")
}

/// Returns the document with a signed URL for each placeholder.
pub fn with_urls(document: &str, signer: &Signer, now_s: u64) -> String {
    let mut out = String::with_capacity(document.len() + 256);
    let mut rest = document;
    while let Some((before, after)) = rest.split_once(PLACEHOLDER) {
        let Some((image_id, after)) = after.split_once(PLACEHOLDER_END) else { break };
        out.push_str(before);
        out.push_str(&signer.url(image_id, now_s));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use std::time::Duration;

    fn image(signature: Option<&str>) -> Image {
        Image {
            id: "0a1b".into(),
            name: "lamp.img".into(),
            size_bytes: 65_536,
            sha256: "00".into(),
            signature: signature.map(Into::into),
        }
    }

    fn file(image: &Image) -> DocumentFile<'_> {
        DocumentFile { file_id: 0, image, file_path: "lamp.img", key_name: "main", file_type: Some(0) }
    }

    #[test]
    fn an_mqtt_document_has_a_stream_and_no_url() {
        let signed = image(Some("MEUC"));
        let text = write(&[Protocol::Mqtt], "AFR_OTA-1", &[file(&signed)], false);
        let expected = r#"{"afr_ota":{"protocols":["MQTT"],"streamname":"AFR_OTA-1","files":[{"filepath":"lamp.img","filesize":65536,"fileid":0,"certfile":"main","fileType":0,"sig-sha256-ecdsa":"MEUC"}]}}"#;
        assert_eq!(text, expected);
        let forced = write(&[Protocol::Mqtt], "AFR_OTA-1", &[file(&signed)], true);
        assert_eq!(forced, expected.replace("]}}", r#"],"forced":true}}"#));
    }

    #[test]
    fn an_http_document_has_a_url_that_is_signed_when_it_is_fetched() {
        let signed = image(Some("MEUC"));
        let stored = write(&[Protocol::Http], "AFR_OTA-1", &[file(&signed)], false);
        assert!(!stored.contains("streamname") && stored.contains(r#""auth_scheme":"aws.s3.presigned""#), "{stored}");
        let signer = Signer::new(&[1; 32], "https://h:1".into(), Duration::from_secs(60));
        let fetched = with_urls(&stored, &signer, 100);
        let url = signer.url("0a1b", 100);
        assert!(fetched.contains(&format!(r#""update_data_url":"{url}""#)), "{fetched}");
    }

    #[test]
    fn the_kind_of_a_signature_names_its_member() {
        for (len, member) in [(64, "sig-sha256-ed25519"), (256, "sig-sha256-rsa"), (384, "sig-sha256-rsa")] {
            let signature = STANDARD.encode(vec![7; len]);
            let signed = image(Some(&signature));
            let text = write(&[Protocol::Mqtt], "s", &[file(&signed)], false);
            assert!(text.contains(&format!(r#""{member}":"{signature}""#)) && !text.contains("ecdsa"), "{text}");
        }
    }

    #[test]
    fn an_unsigned_file_has_the_member_of_aws() {
        let unsigned = image(None);
        let text = write(&[Protocol::Mqtt], "s", &[file(&unsigned)], false);
        assert!(text.contains(r#""sig--":null"#) && !text.contains("certfile"), "{text}");
    }

    #[test]
    fn an_incomplete_placeholder_of_a_custom_document_is_unchanged() {
        let signer = Signer::new(&[1; 32], "https://h:1".into(), Duration::from_secs(60));
        assert_eq!(with_urls(r#"{"a":"${presigned-url:x"#, &signer, 1), r#"{"a":"${presigned-url:x"#);
    }

    #[test]
    fn devices_read_every_document_that_is_written() {
        let signer = Signer::new(&[1; 32], "https://h:1".into(), Duration::from_secs(60));
        let (signed, unsigned) = (image(Some("MEUC")), image(None));
        for protocols in [&[Protocol::Mqtt][..], &[Protocol::Http], &[Protocol::Mqtt, Protocol::Http]] {
            for image in [&signed, &unsigned] {
                let text = with_urls(&write(protocols, "AFR_OTA-1", &[file(image)], false), &signer, 100);
                let raw = ota_jobs::RawJson::parse(text.as_bytes()).unwrap();
                let document = ota_jobs::Document::parse(raw).unwrap();
                assert!(document.is_some(), "{text}");
            }
        }
    }
}
