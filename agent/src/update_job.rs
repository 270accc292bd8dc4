//! The update that a job document asks for. The document is parsed once, when it arrives; what the download and the
//! verification need is kept here, the URL in the caller's buffer.

use heapless::String;
use ota_jobs::document::{File, SignatureKind as WireKind};
use ota_jobs::{Document, Reason, StreamName};
use ota_pal::{SIGNATURE_BYTES_MAX, Signature, SignatureKind};

use crate::machine::{Plan, Sources};

/// The file type of firmware. Source: the AWS OTA library, `configOTA_FIRMWARE_UPDATE_FILE_TYPE_ID`.
const FILE_TYPE_FIRMWARE: u32 = 0;
/// A longer key id is ignored: it only selects the key that is tried first.
const KEY_ID_BYTES_MAX: usize = 32;

/// The file of the active job.
pub(crate) struct UpdateJob<'b> {
    url: &'b mut [u8],
    url_len: usize,
    stream: Option<StreamName>,
    file_id: u32,
    signature_kind: Option<SignatureKind>,
    signature: [u8; SIGNATURE_BYTES_MAX],
    signature_len: usize,
    key_id: String<KEY_ID_BYTES_MAX>,
}

impl<'b> UpdateJob<'b> {
    /// Creates an empty update; `url` is the buffer for the URL of the active job.
    pub(crate) fn new(url: &'b mut [u8]) -> Self {
        Self {
            url,
            url_len: 0,
            stream: None,
            file_id: 0,
            signature_kind: None,
            signature: [0; SIGNATURE_BYTES_MAX],
            signature_len: 0,
            key_id: String::new(),
        }
    }

    /// Returns the plan of `file` in `document`; stores nothing.
    ///
    /// Errors: the reason why this device cannot receive the file.
    pub(crate) fn plan(&self, document: &Document<'_>, file: &File<'_>) -> Result<Plan, Reason> {
        decode_signature(file, &mut [0; SIGNATURE_BYTES_MAX])?;
        let stream = document.protocols.mqtt && document.stream_name.is_some();
        let http = document.protocols.http && file.update_data_url.is_some();
        let url_bytes = file.update_data_url.iter().flat_map(|url| url.chars()).map(char::len_utf8).sum::<usize>();
        let url_fits = url_bytes <= self.url.len();
        if http && !url_fits && !stream {
            return Err(Reason::DocumentFieldTooLong);
        }
        Plan::new(file.file_size, fingerprint(document, file), Sources { stream, http: http && url_fits })
    }

    /// Replaces the stored update with `file` of `document`, for which [`Self::plan`] returned a plan.
    pub(crate) fn store(&mut self, document: &Document<'_>, file: &File<'_>) -> Result<(), Reason> {
        self.stream = document.stream_name.clone();
        self.file_id = file.file_id;
        self.signature_kind = signature_kind(file)?;
        self.signature_len = decode_signature(file, &mut self.signature)?;
        self.key_id.clear();
        if let Some(name) = &file.cert_file
            && name.chars().try_for_each(|char| self.key_id.push(char)).is_err()
        {
            self.key_id.clear();
        }
        let url = file.update_data_url.as_ref().map(|url| url.unescape(self.url));
        self.url_len = url.and_then(Result::ok).map_or(0, str::len);
        Ok(())
    }

    /// The stream, and the number of the file in it.
    pub(crate) fn stream(&self) -> Option<(&str, u32)> {
        self.stream.as_ref().map(|name| (name.as_str(), self.file_id))
    }

    /// The URL; empty if the document has none.
    pub(crate) fn url(&self) -> &[u8] {
        &self.url[..self.url_len]
    }

    /// The signature, unless the file has none.
    pub(crate) fn signature(&self) -> Option<Signature<'_>> {
        let key_id = Some(self.key_id.as_str()).filter(|id| !id.is_empty());
        self.signature_kind.map(|kind| Signature { kind, key_id, bytes: &self.signature[..self.signature_len] })
    }
}

/// The file of a document that is this device's firmware.
pub(crate) fn firmware<'d, 'a>(document: &'d Document<'a>) -> Result<&'d File<'a>, Reason> {
    let is_firmware = |file: &&File<'_>| file.file_type.unwrap_or(FILE_TYPE_FIRMWARE) == FILE_TYPE_FIRMWARE;
    document.files.iter().find(is_firmware).ok_or(Reason::NoFileForThisDevice)
}

/// The kind of a file's signature, `None` if it has none.
///
/// Errors: [`Reason::SignatureSha1Refused`].
pub(crate) fn signature_kind(file: &File<'_>) -> Result<Option<SignatureKind>, Reason> {
    let Some(signature) = &file.signature else { return Ok(None) };
    match signature.kind {
        WireKind::Sha256Ecdsa => Ok(Some(SignatureKind::Sha256Ecdsa)),
        WireKind::Sha256Ed25519 => Ok(Some(SignatureKind::Sha256Ed25519)),
        WireKind::Sha256Rsa => Ok(Some(SignatureKind::Sha256Rsa)),
        WireKind::Sha1Ecdsa | WireKind::Sha1Rsa => Err(Reason::SignatureSha1Refused),
    }
}

/// Decodes a file's signature and returns its length; 0 without one.
fn decode_signature(file: &File<'_>, out: &mut [u8; SIGNATURE_BYTES_MAX]) -> Result<usize, Reason> {
    let Some(signature) = &file.signature else { return Ok(0) };
    signature.base64.decode_base64(out).map_err(|_| Reason::SignatureMalformed)
}

/// Identifies a file: FNV-1a over its size, number and signature, or, if it is unsigned, over size, number and stream or URL.
/// The query of a URL does not count: it is another one in each document.
fn fingerprint(document: &Document<'_>, file: &File<'_>) -> u32 {
    let mut hash = 0x811C_9DC5_u32;
    let mut mix = |byte: u8| hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    file.file_size.to_le_bytes().into_iter().for_each(&mut mix);
    file.file_id.to_le_bytes().into_iter().for_each(&mut mix);
    match (&file.signature, &document.stream_name) {
        (Some(signature), _) => signature.base64.base64().for_each(mix),
        (None, Some(stream)) => stream.as_str().bytes().for_each(mix),
        (None, None) => {
            let url = file.update_data_url.iter().flat_map(|url| url.chars());
            url.take_while(|char| *char != '?').for_each(|char| mix(char as u8));
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_jobs::RawJson;
    use std::format;
    use std::string::String;

    /// A document of one file, with these members more.
    fn document(stream: &str, more: &str) -> String {
        format!(
            r#"{{"afr_ota":{{"protocols":["MQTT","HTTP"],"streamname":"{stream}","files":[{{"filesize":1,"fileid":0,"sig--":null{more}}}]}}}}"#
        )
    }

    fn read(text: &str) -> Document<'_> {
        Document::parse(RawJson::parse(text.as_bytes()).unwrap()).unwrap().unwrap()
    }

    fn plan(text: &str, url_bytes: usize) -> Result<Plan, Reason> {
        let (document, mut url) = (read(text), std::vec![0; url_bytes]);
        UpdateJob::new(&mut url).plan(&document, firmware(&document)?)
    }

    #[test]
    fn every_kind_on_the_wire_is_one_of_the_devices_and_sha_1_is_none() {
        for (member, kind) in [
            ("sig-sha256-ecdsa", Ok(Some(SignatureKind::Sha256Ecdsa))),
            ("sig-sha256-ed25519", Ok(Some(SignatureKind::Sha256Ed25519))),
            ("sig-sha256-rsa", Ok(Some(SignatureKind::Sha256Rsa))),
            ("sig-sha1-ecdsa", Err(Reason::SignatureSha1Refused)),
            ("sig-sha1-rsa", Err(Reason::SignatureSha1Refused)),
            ("note", Ok(None)),
        ] {
            let text = document("s", &format!(r#","{member}":"QQ==""#));
            assert_eq!(signature_kind(firmware(&read(&text)).unwrap()), kind, "{member}");
        }
    }

    /// Otherwise a half of one file in flash would be completed with the other file.
    #[test]
    fn a_file_of_another_signature_or_unsigned_of_another_stream_is_another_file() {
        let plan = |stream, more| plan(&document(stream, more), 64).unwrap();
        let (one, other) = (r#","sig-sha256-ecdsa":"QQ==""#, r#","sig-sha256-ecdsa":"Qg==""#);
        assert_eq!(plan("s", one), plan("t", one), "a signed file is the same in every stream");
        assert_ne!(plan("s", one), plan("s", other));
        assert_ne!(plan("s", ""), plan("t", ""));
        assert_eq!(plan("s", ""), plan("s", ""));
    }

    #[test]
    fn neither_a_line_break_in_a_signature_nor_the_query_of_a_url_makes_another_file() {
        let plan = |stream, more| plan(&document(stream, more), 64).unwrap();
        let (flat, wrapped) = (r#","sig-sha256-ecdsa":"QUJD""#, r#","sig-sha256-ecdsa":"QU\nJD\r\n""#);
        assert_eq!(plan("s", flat).fingerprint(), plan("s", wrapped).fingerprint());
        let unsigned = |url: &str| {
            let text = document("s", &format!(r#","update_data_url":"{url}""#)).replace(r#""streamname":"s","#, "");
            self::plan(&text, 64).unwrap().fingerprint()
        };
        assert_eq!(unsigned("https://a/b?token=1"), unsigned("https://a/b?token=2"));
        assert_ne!(unsigned("https://a/b?token=1"), unsigned("https://a/c?token=1"));
    }

    #[test]
    fn a_url_that_does_not_fit_leaves_the_stream_and_without_a_stream_the_job_is_refused() {
        let url = r#","update_data_url":"https:\/\/a\/b""#;
        let text = document("s", url);
        let sources = |url_bytes| plan(&text, url_bytes).unwrap();
        assert_ne!(sources(11), sources(10));
        assert_eq!(sources(10), plan(&text, 0).unwrap());
        let http_only = text.replace(r#""streamname":"s","#, "");
        assert!(plan(&http_only, 11).is_ok());
        assert_eq!(plan(&http_only, 10), Err(Reason::DocumentFieldTooLong));
    }

    #[test]
    fn what_was_stored_is_what_the_document_holds() {
        let members = r#","sig-sha256-ecdsa":"QUI=","update_data_url":"https:\/\/a\/b","certfile":"release""#;
        let text = document("s", members);
        let (document, mut url) = (read(&text), [0; 16]);
        let mut update = UpdateJob::new(&mut url);
        update.store(&document, firmware(&document).unwrap()).unwrap();
        assert_eq!((update.stream(), update.url()), (Some(("s", 0)), &b"https://a/b"[..]));
        let signature = update.signature().unwrap();
        assert_eq!((signature.bytes, signature.key_id), (&b"AB"[..], Some("release")));
    }

    #[test]
    fn nothing_of_the_last_document_is_left() {
        let first = document("s", r#","sig-sha256-ecdsa":"QUI=","update_data_url":"https://a/b","certfile":"release""#);
        let second = document("s", "").replace(r#""streamname":"s","#, "");
        let (first, second, mut url) = (read(&first), read(&second), [0; 16]);
        let mut update = UpdateJob::new(&mut url);
        update.store(&first, firmware(&first).unwrap()).unwrap();
        update.store(&second, firmware(&second).unwrap()).unwrap();
        assert_eq!((update.stream(), update.url(), update.signature()), (None, &b""[..], None));
    }
}
