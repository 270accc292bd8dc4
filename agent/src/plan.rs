//! From a job document to what the machine works with: which file is ours, and can this device ever take it?

use ota_jobs::document::{File, SignatureKind};
use ota_jobs::{Document, Reason};

use crate::machine::{Plan, Sources};

/// The file type of firmware. Source: the AWS OTA library, `configOTA_FIRMWARE_UPDATE_FILE_TYPE_ID`.
const FILE_TYPE_FIRMWARE: u32 = 0;
/// A DER signature by P-256 is no longer.
pub(crate) const SIGNATURE_BYTES_MAX: usize = 72;

/// The numbers of the update that a document asks for.
pub(crate) fn plan(document: &Document<'_>) -> Result<Plan, Reason> {
    let file = firmware(document)?;
    signature(file, &mut [0; SIGNATURE_BYTES_MAX])?;
    let sources = Sources {
        stream: document.protocols.mqtt && document.stream_name.is_some(),
        http: document.protocols.http && file.update_data_url.is_some(),
    };
    Plan::new(file.file_size, fingerprint(file), sources)
}

/// The file of a document that is this device's firmware.
pub(crate) fn firmware<'d, 'a>(document: &'d Document<'a>) -> Result<&'d File<'a>, Reason> {
    let is_firmware = |file: &&File<'_>| file.file_type.unwrap_or(FILE_TYPE_FIRMWARE) == FILE_TYPE_FIRMWARE;
    document.files.iter().find(is_firmware).ok_or(Reason::NoFileForThisDevice)
}

/// The DER bytes of a file's signature.
pub(crate) fn signature<'o>(file: &File<'_>, out: &'o mut [u8; SIGNATURE_BYTES_MAX]) -> Result<&'o [u8], Reason> {
    let signature = file.signature.as_ref().ok_or(Reason::SignatureMissing)?;
    match signature.kind {
        SignatureKind::Sha256Ecdsa => {}
        SignatureKind::Sha1Ecdsa | SignatureKind::Sha1Rsa => return Err(Reason::SignatureSha1Refused),
        SignatureKind::Sha256Rsa => return Err(Reason::UnknownSignatureKind),
    }
    let len = signature.base64.decode_base64(out).map_err(|_| Reason::SignatureMalformed)?;
    Ok(&out[..len])
}

/// Differs for every other file or signature: FNV-1a over what names them.
fn fingerprint(file: &File<'_>) -> u32 {
    let mut hash = 0x811C_9DC5_u32;
    let mut mix = |byte: u8| hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    file.file_size.to_le_bytes().into_iter().for_each(&mut mix);
    file.file_id.to_le_bytes().into_iter().for_each(&mut mix);
    if let Some(signature) = &file.signature {
        signature.base64.chars().for_each(|char| mix(char as u8));
    }
    hash
}
