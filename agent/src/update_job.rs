//! The update that a job document asks for. The document is parsed once, when it arrives; what the download and the
//! verification need is kept here, the URL in the caller's buffer.

use ota_jobs::document::{File, FileType, SignatureKind as WireKind};
use ota_jobs::{Document, Reason, StreamName};
use ota_pal::{Component, Digest, SIGNATURE_BYTES_MAX, Signature, SignatureKind, SlotId, Version};

use crate::machine::{Plan, Sources};

/// A longer key id is ignored: it only selects the key that is tried first.
const KEY_ID_BYTES_MAX: usize = 32;

/// The file of the active job.
pub(crate) struct UpdateJob<'b> {
    /// The slot that the component of the update runs from.
    pub(crate) running: SlotId,
    url: &'b mut [u8],
    url_len: usize,
    stream: Option<StreamName>,
    file_id: u32,
    signature: FileSignature,
    key_id: [u8; KEY_ID_BYTES_MAX],
    /// 0 if the job names no key.
    key_id_len: u8,
    /// The signature of the file that the device would run if this release were installed, and the length of that file.
    installed: FileSignature,
    installed_bytes: u32,
    /// The version that the image must have, if the application named one.
    version: Option<Version>,
}

/// A decoded signature.
struct FileSignature {
    kind: Option<SignatureKind>,
    bytes: [u8; SIGNATURE_BYTES_MAX],
    len: u16,
}

impl<'b> UpdateJob<'b> {
    /// Creates an empty update; `url` is the buffer for the URL of the active job.
    pub(crate) fn new(url: &'b mut [u8], running: SlotId) -> Self {
        Self {
            running,
            url,
            url_len: 0,
            stream: None,
            file_id: 0,
            signature: FileSignature::none(),
            key_id: [0; KEY_ID_BYTES_MAX],
            key_id_len: 0,
            installed: FileSignature::none(),
            installed_bytes: 0,
            version: None,
        }
    }

    /// Returns the plan of `file` in `document`; stores nothing.
    ///
    /// Errors: the reason why this device cannot receive the file.
    pub(crate) fn plan(&self, document: &Document<'_>, component: Component, file: &File<'_>) -> Result<Plan, Reason> {
        FileSignature::none().read(file)?;
        let stream = document.protocols.mqtt && document.stream_name.is_some();
        let http = document.protocols.http && file.update_data_url.is_some();
        let url_bytes = file.update_data_url.iter().flat_map(|url| url.chars()).map(char::len_utf8).sum::<usize>();
        let url_fits = url_bytes <= self.url.len();
        if http && !url_fits && !stream {
            return Err(Reason::DocumentFieldTooLong);
        }
        let plan = Plan::new(
            file.file_size,
            fingerprint(document, component, file),
            Sources { stream, http: http && url_fits },
        )?;
        Ok(plan.with_forced(document.forced))
    }

    /// Replaces the stored update with `file` of `document`, for which [`Self::plan`] returned a plan.
    pub(crate) fn store(&mut self, document: &Document<'_>, component: Component, file: &File<'_>) {
        self.stream = document.stream_name.clone();
        self.file_id = file.file_id;
        _ = self.signature.read(file); // `plan` has read it without an error
        // If the release is installed, the running slot has the file that is for it.
        let installed = firmware(document, component, self.running).unwrap_or(file);
        self.installed_bytes = installed.file_size;
        // The file is not received, so an error in its signature does not matter.
        _ = self.installed.read(installed);
        let key_id = file.cert_file.as_ref().map(|name| name.unescape(&mut self.key_id));
        self.key_id_len = key_id.and_then(Result::ok).map_or(0, str::len) as u8;
        let url = file.update_data_url.as_ref().map(|url| url.unescape(self.url));
        self.url_len = url.and_then(Result::ok).map_or(0, str::len);
        self.version = None;
    }

    /// Replaces the stored update with an image at `url`, and returns its plan.
    ///
    /// Errors: the reason why this device cannot receive it; then nothing changed.
    pub(crate) fn store_image(
        &mut self,
        url: &str,
        image_bytes: u32,
        version: Version,
        digest: &Digest,
    ) -> Result<Plan, Reason> {
        let place = self.url.get_mut(..url.len()).ok_or(Reason::DocumentFieldTooLong)?;
        let fingerprint = fnv(fnv(FNV_START, &image_bytes.to_le_bytes()), &digest.0);
        let plan = Plan::new(image_bytes, fingerprint, Sources { stream: false, http: true })?;
        place.copy_from_slice(url.as_bytes());
        self.url_len = url.len();
        self.stream = None;
        self.key_id_len = 0;
        self.signature.set_digest(digest);
        self.installed.set_digest(digest);
        self.installed_bytes = image_bytes;
        self.version = Some(version);
        Ok(plan)
    }

    /// Checks the version of the image's header.
    ///
    /// Errors: [`Reason::VersionMismatch`] unless it is the one that the application named, if it named one.
    pub(crate) fn check_version(&self, version: Version) -> Result<(), Reason> {
        match self.version {
            Some(wanted) if wanted != version => Err(Reason::VersionMismatch),
            _ => Ok(()),
        }
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
        self.of_key(&self.signature)
    }

    /// The length and the signature of the image that runs if the release is installed already; `None` if it is unsigned.
    pub(crate) fn installed(&self) -> Option<(u32, Signature<'_>)> {
        self.of_key(&self.installed).map(|signature| (self.installed_bytes, signature))
    }

    fn of_key<'s>(&'s self, signature: &'s FileSignature) -> Option<Signature<'s>> {
        let key_id = str::from_utf8(&self.key_id[..self.key_id_len.into()]).ok().filter(|id| !id.is_empty());
        signature.kind.map(|kind| Signature { kind, key_id, bytes: &signature.bytes[..signature.len.into()] })
    }
}

impl FileSignature {
    const fn none() -> Self {
        Self { kind: None, bytes: [0; SIGNATURE_BYTES_MAX], len: 0 }
    }

    /// Reads the signature of `file`; there is none after an error.
    fn read(&mut self, file: &File<'_>) -> Result<(), Reason> {
        self.kind = None;
        if let Some(signature) = &file.signature {
            self.len = signature.base64.decode_base64(&mut self.bytes).map_err(|_| Reason::SignatureMalformed)? as u16;
            self.kind = signature_kind(file)?;
        }
        Ok(())
    }

    fn set_digest(&mut self, digest: &Digest) {
        self.kind = Some(SignatureKind::Digest);
        self.bytes[..digest.0.len()].copy_from_slice(&digest.0);
        self.len = digest.0.len() as u16;
    }
}

/// The components that a document updates, that of its first firmware first.
fn components<'d>(document: &'d Document<'_>) -> impl Iterator<Item = Component> + 'd {
    document.files.iter().filter_map(|file| match FileType::new(file.file_type) {
        FileType::Firmware { system: true, .. } => Some(Component::System),
        FileType::Firmware { system: false, .. } => Some(Component::App),
        FileType::Other(_) => None,
    })
}

/// The component of the first firmware of a document.
pub(crate) fn component(document: &Document<'_>) -> Component {
    components(document).next().unwrap_or(Component::App)
}

/// Whether a document updates app and system.
pub(crate) fn has_both(document: &Document<'_>) -> bool {
    components(document).any(|other| other != component(document))
}

/// The file of a document for a slot of a component: the one that is linked for it, else the first one that runs from any
/// slot. The document only routes: the header of the image decides whether the slot takes it.
///
/// Errors: [`Reason::WrongSlotLink`] if all firmware is linked for other slots, [`Reason::NoFileForThisDevice`].
pub(crate) fn firmware<'d, 'a>(
    document: &'d Document<'a>,
    component: Component,
    slot: SlotId,
) -> Result<&'d File<'a>, Reason> {
    let is_system = component == Component::System;
    let mut found = Err(Reason::NoFileForThisDevice);
    for file in &document.files {
        let link = match FileType::new(file.file_type) {
            FileType::Firmware { system, slot } if system == is_system => slot,
            FileType::Firmware { .. } | FileType::Other(_) => continue,
        };
        match link {
            Some(number) if number == slot.number() => return Ok(file),
            None if found.is_err() => found = Ok(file),
            Some(_) if found.is_err() => found = Err(Reason::WrongSlotLink),
            Some(_) | None => {}
        }
    }
    found
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

/// Identifies a file: FNV-1a over its size, number and signature, or, if it is unsigned, over size, number and stream or URL;
/// and over the component, if that is the system. The query of a URL does not count: it is another one in each document.
fn fingerprint(document: &Document<'_>, component: Component, file: &File<'_>) -> u32 {
    let numbers = fnv(fnv(FNV_START, &file.file_size.to_le_bytes()), &file.file_id.to_le_bytes());
    let hash = if component == Component::System { fnv_byte(numbers, 1) } else { numbers };
    match (&file.signature, &document.stream_name) {
        (Some(signature), _) => signature.base64.base64().fold(hash, fnv_byte),
        (None, Some(stream)) => fnv(hash, stream.as_str().as_bytes()),
        (None, None) => {
            let url = file.update_data_url.iter().flat_map(|url| url.chars());
            url.take_while(|char| *char != '?').map(|char| char as u8).fold(hash, fnv_byte)
        }
    }
}

const FNV_START: u32 = 0x811C_9DC5;

/// Continues the FNV-1a hash with more bytes.
fn fnv(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().copied().fold(hash, fnv_byte)
}

fn fnv_byte(hash: u32, byte: u8) -> u32 {
    (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_jobs::RawJson;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    /// A document of one file, with these members more.
    fn document(stream: &str, more: &str) -> String {
        format!(
            r#"{{"afr_ota":{{"protocols":["MQTT","HTTP"],"streamname":"{stream}","files":[{{"filesize":1,"fileid":0,"sig--":null{more}}}]}}}}"#
        )
    }

    fn read(text: &str) -> Document<'_> {
        Document::parse(RawJson::parse(text.as_bytes()).unwrap()).unwrap().unwrap()
    }

    /// The update of a device that runs from slot A.
    fn update(url: &mut [u8]) -> UpdateJob<'_> {
        UpdateJob::new(url, SlotId::A)
    }

    fn plan(text: &str, url_bytes: usize) -> Result<Plan, Reason> {
        let (document, mut url) = (read(text), std::vec![0; url_bytes]);
        let component = component(&document);
        update(&mut url).plan(&document, component, firmware(&document, component, SlotId::B)?)
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
            assert_eq!(signature_kind(firmware(&read(&text), Component::App, SlotId::B).unwrap()), kind, "{member}");
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

    /// The value of the digit 0 in base64.
    const BASE64_OF_0: u8 = 52;

    /// A document with a file of each type, whose ids are their positions and whose signatures differ.
    fn release(types: &[&str]) -> String {
        let file = |(id, file_type): (usize, &&str)| {
            let size = 100 + id;
            format!(r#"{{"filesize":{size},"fileid":{id},"sig-sha256-ecdsa":"AAA{id}","fileType":{file_type}}}"#)
        };
        let files: Vec<String> = types.iter().enumerate().map(file).collect();
        format!(r#"{{"afr_ota":{{"protocols":["MQTT"],"streamname":"s","files":[{}]}}}}"#, files.join(","))
    }

    #[test]
    fn the_file_for_the_free_slot_is_taken_else_one_for_any_slot_else_the_job_is_refused_by_name() {
        let (wrong, none) = (Err(Reason::WrongSlotLink), Err(Reason::NoFileForThisDevice));
        for (types, in_a, in_b) in [
            (&["10", "11"][..], Ok(0), Ok(1)),
            (&["11", "10"], Ok(1), Ok(0)),
            (&["7", "13", "12", "11"], wrong, Ok(3)),
            (&["10"], Ok(0), wrong),
            (&["12", "13"], wrong, wrong),
            (&["0", "11"], Ok(0), Ok(1)),
            (&["11", "0"], Ok(1), Ok(0)),
            (&["null", "0"], Ok(0), Ok(0)),
            (&["7", "10", "null"], Ok(1), Ok(2)),
            (&["7", "14", "9"], none, none),
            (&["16"], Ok(0), Ok(0)),
            (&["26", "27"], Ok(0), Ok(1)),
            (&["27", "29"], wrong, Ok(0)),
            (&["16", "0", "11"], Ok(0), Ok(0)), // of one component only
            (&["0", "27"], Ok(0), Ok(0)),
        ] {
            let text = release(types);
            let document = read(&text);
            let taken = |free| firmware(&document, component(&document), free).map(|file| file.file_id);
            assert_eq!((taken(SlotId::A), taken(SlotId::B)), (in_a, in_b), "{types:?}");
        }
    }

    /// Stores the file for slot B.
    fn store(update: &mut UpdateJob<'_>, document: &Document<'_>) {
        let component = component(document);
        update.store(document, component, firmware(document, component, SlotId::B).unwrap());
    }

    #[test]
    fn a_document_updates_the_component_of_its_first_firmware() {
        let (app, system) = (Component::App, Component::System);
        for (types, expected) in
            [(&["0"][..], app), (&["null"], app), (&["13"], app), (&["16"], system), (&["7", "29", "0"], system)]
        {
            assert_eq!(component(&read(&release(types))), expected, "{types:?}");
        }
    }

    /// Otherwise half of one component's image would be completed in the slot of the other.
    #[test]
    fn the_same_file_for_another_component_is_another_file() {
        let of = |file_type| plan(&document("s", &format!(r#","fileType":{file_type}"#)), 0).unwrap().fingerprint();
        assert_eq!(of(0), of(11));
        assert_ne!(of(0), of(16));
    }

    #[test]
    fn a_release_runs_already_if_the_file_for_the_running_slot_does() {
        for (types, installed) in
            [(&["10", "11"][..], 0), (&["11", "10"], 1), (&["11"], 0), (&["0", "7"], 0), (&["12", "11"], 1)]
        {
            let (text, mut url) = (release(types), []);
            let document = read(&text);
            let mut update = self::update(&mut url);
            store(&mut update, &document);
            let found = update.installed().map(|(image_bytes, signature)| (image_bytes, signature.bytes.to_vec()));
            let bytes = std::vec![0, 0, BASE64_OF_0 + installed as u8];
            assert_eq!(found, Some((100 + installed, bytes)), "{types:?}");
        }
    }

    #[test]
    fn what_was_stored_is_what_the_document_holds() {
        let members = r#","sig-sha256-ecdsa":"QUI=","update_data_url":"https:\/\/a\/b","certfile":"release""#;
        let text = document("s", members);
        let (document, mut url) = (read(&text), [0; 16]);
        let mut update = self::update(&mut url);
        store(&mut update, &document);
        assert_eq!((update.stream(), update.url()), (Some(("s", 0)), &b"https://a/b"[..]));
        let signature = update.signature().unwrap();
        assert_eq!((signature.bytes, signature.key_id), (&b"AB"[..], Some("release")));
    }

    #[test]
    fn nothing_of_the_last_document_is_left() {
        let first = document("s", r#","sig-sha256-ecdsa":"QUI=","update_data_url":"https://a/b","certfile":"release""#);
        let second = document("s", "").replace(r#""streamname":"s","#, "");
        let (first, second, mut url) = (read(&first), read(&second), [0; 16]);
        let mut update = self::update(&mut url);
        store(&mut update, &first);
        store(&mut update, &second);
        assert_eq!((update.stream(), update.url(), update.signature()), (None, &b""[..], None));
    }

    #[test]
    fn nothing_of_a_document_is_left_in_an_update_by_address_and_the_other_way_round() {
        let (text, mut url) = (document("s", r#","certfile":"release""#), [0; 16]);
        let document = read(&text);
        let mut update = self::update(&mut url);
        store(&mut update, &document);
        update.store_image("https://a/b", 1, Version::new(1, 0, 0), &Digest([7; 32])).unwrap();
        assert_eq!((update.stream(), update.url()), (None, &b"https://a/b"[..]));
        assert_eq!(update.check_version(Version::new(1, 0, 0)), Ok(()));
        assert_eq!(update.check_version(Version::new(2, 0, 0)), Err(Reason::VersionMismatch));
        store(&mut update, &document);
        assert_eq!((update.stream(), update.url()), (Some(("s", 0)), &b""[..]));
        assert_eq!(update.check_version(Version::new(2, 0, 0)), Ok(()), "a document names none");
    }

    #[test]
    fn a_key_id_that_does_not_fit_is_left_out() {
        for (bytes, fits) in [(KEY_ID_BYTES_MAX, true), (KEY_ID_BYTES_MAX + 1, false)] {
            let id = "k".repeat(bytes);
            let text = document("s", &format!(r#","sig-sha256-ecdsa":"QUI=","certfile":"{id}""#));
            let (document, mut url) = (read(&text), []);
            let mut update = self::update(&mut url);
            store(&mut update, &document);
            assert_eq!(update.signature().unwrap().key_id, fits.then_some(&*id), "not a part of it");
        }
    }

    #[test]
    fn a_source_needs_its_protocol_and_its_address() {
        let url = r#","update_data_url":"https://a/b""#;
        let whole = document("s", url);
        for (protocols, stream, url, sources) in [
            (r#"["MQTT","HTTP"]"#, true, true, Some((true, true))),
            (r#"["MQTT"]"#, true, true, Some((true, false))),
            (r#"["HTTP"]"#, true, true, Some((false, true))),
            (r#"["MQTT","HTTP"]"#, true, false, Some((true, false))),
            (r#"["HTTP"]"#, false, true, Some((false, true))),
        ] {
            let mut text = whole.replace(r#"["MQTT","HTTP"]"#, protocols);
            text = if stream { text } else { text.replace(r#""streamname":"s","#, "") };
            text = if url { text } else { text.replace(r#","update_data_url":"https://a/b""#, "") };
            let found = plan(&text, 64);
            let fingerprint = found.map_or(0, |plan| plan.fingerprint());
            let (stream, http) = sources.unwrap_or_default();
            assert_eq!(found, Plan::new(1, fingerprint, Sources { stream, http }), "{text}");
        }
    }

    /// The journal holds the fingerprint: another one would cost a download half-way at an update of the agent.
    #[test]
    fn the_fingerprint_of_a_file_stays_what_it_is() {
        let fingerprint = |stream, more| plan(&document(stream, more), 64).unwrap().fingerprint();
        let url = document("s", r#","update_data_url":"https://a/b""#).replace(r#""streamname":"s","#, "");
        let found = [
            fingerprint("s", r#","sig-sha256-ecdsa":"QUI=""#),
            fingerprint("s", ""),
            plan(&url, 64).unwrap().fingerprint(),
        ];
        assert_eq!(found, [766_775_880, 2_593_959_061, 3_449_766_483]);
    }
}
