//! From a job document to what the machine works with: which file is ours, and can this device ever take it?

use ota_jobs::document::{File, SignatureKind as WireKind};
use ota_jobs::{Document, Reason};
use ota_pal::{SIGNATURE_BYTES_MAX, SignatureKind};

use crate::machine::{Plan, Sources};

/// The file type of firmware. Source: the AWS OTA library, `configOTA_FIRMWARE_UPDATE_FILE_TYPE_ID`.
const FILE_TYPE_FIRMWARE: u32 = 0;

/// The numbers of the update that a document asks for.
pub(crate) fn plan(document: &Document<'_>) -> Result<Plan, Reason> {
    let file = firmware(document)?;
    signature(file, &mut [0; SIGNATURE_BYTES_MAX])?;
    let sources = Sources {
        stream: document.protocols.mqtt && document.stream_name.is_some(),
        http: document.protocols.http && file.update_data_url.is_some(),
    };
    Plan::new(file.file_size, fingerprint(document, file), sources)
}

/// The file of a document that is this device's firmware.
pub(crate) fn firmware<'d, 'a>(document: &'d Document<'a>) -> Result<&'d File<'a>, Reason> {
    let is_firmware = |file: &&File<'_>| file.file_type.unwrap_or(FILE_TYPE_FIRMWARE) == FILE_TYPE_FIRMWARE;
    document.files.iter().find(is_firmware).ok_or(Reason::NoFileForThisDevice)
}

/// The kind of a file's signature, `None` if it has none; what the device's keys make of it is not asked here.
pub(crate) fn kind(file: &File<'_>) -> Result<Option<SignatureKind>, Reason> {
    let Some(signature) = &file.signature else { return Ok(None) };
    match signature.kind {
        WireKind::Sha256Ecdsa => Ok(Some(SignatureKind::Sha256Ecdsa)),
        WireKind::Sha256Ed25519 => Ok(Some(SignatureKind::Sha256Ed25519)),
        WireKind::Sha256Rsa => Ok(Some(SignatureKind::Sha256Rsa)),
        WireKind::Sha1Ecdsa | WireKind::Sha1Rsa => Err(Reason::SignatureSha1Refused),
    }
}

/// Writes the bytes of a file's signature and returns their number; none for a file without one.
pub(crate) fn signature(file: &File<'_>, out: &mut [u8; SIGNATURE_BYTES_MAX]) -> Result<usize, Reason> {
    let Some(signature) = &file.signature else { return Ok(0) };
    signature.base64.decode_base64(out).map_err(|_| Reason::SignatureMalformed)
}

/// Differs for every other file or signature: FNV-1a over what names them. An unsigned file has no name but the ways to it.
fn fingerprint(document: &Document<'_>, file: &File<'_>) -> u32 {
    let mut hash = 0x811C_9DC5_u32;
    let mut mix = |byte: u8| hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    file.file_size.to_le_bytes().into_iter().for_each(&mut mix);
    file.file_id.to_le_bytes().into_iter().for_each(&mut mix);
    match (&file.signature, &document.stream_name) {
        (Some(signature), _) => signature.base64.chars().for_each(|char| mix(char as u8)),
        (None, Some(stream)) => stream.as_str().bytes().for_each(mix),
        (None, None) => file.update_data_url.iter().flat_map(|url| url.chars()).for_each(|char| mix(char as u8)),
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
            r#"{{"afr_ota":{{"protocols":["MQTT"],"streamname":"{stream}","files":[{{"filesize":1,"fileid":0,"sig--":null{more}}}]}}}}"#
        )
    }

    fn read(text: &str) -> Document<'_> {
        Document::parse(RawJson::parse(text.as_bytes()).unwrap()).unwrap().unwrap()
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
            assert_eq!(super::kind(firmware(&read(&text)).unwrap()), kind, "{member}");
        }
    }

    /// Otherwise the half of one that lies in flash would be completed with the other, and nothing would notice.
    #[test]
    fn a_file_of_another_signature_or_unsigned_of_another_stream_is_another_file() {
        let plan = |stream, more| plan(&read(&document(stream, more))).unwrap();
        let (one, other) = (r#","sig-sha256-ecdsa":"QQ==""#, r#","sig-sha256-ecdsa":"Qg==""#);
        assert_eq!(plan("s", one), plan("t", one), "what is signed is the same wherever it lies");
        assert_ne!(plan("s", one), plan("s", other));
        assert_ne!(plan("s", ""), plan("t", ""));
        assert_eq!(plan("s", ""), plan("s", ""));
    }
}
