//! Where the document of the job at hand lies: the caller's buffer, and what is looked up in it again and again.
//! Kept as it came; fields are read when they are needed, so that no second copy of them exists.

use heapless::String;
use ota_jobs::{Document, RawJson, Reason, StreamName};
use ota_pal::{SIGNATURE_BYTES_MAX, Signature, SignatureKind};

use crate::machine::Plan;
use crate::plan;

/// A key's name longer than this is not looked for: the name only says which key is tried first.
const KEY_ID_BYTES_MAX: usize = 32;

pub(crate) struct Desk<'b> {
    buffer: &'b mut [u8],
    len: usize,
    /// Needed for every block, so it is looked up once: the stream, and the number of the file in it.
    stream: Option<(StreamName, u32)>,
}

/// A signature, if there is one, with the memory that its parts lie in.
pub(crate) struct Signed {
    kind: Option<SignatureKind>,
    key_id: String<KEY_ID_BYTES_MAX>,
    bytes: [u8; SIGNATURE_BYTES_MAX],
    len: usize,
}

impl Signed {
    pub(crate) fn signature(&self) -> Option<Signature<'_>> {
        let key_id = Some(self.key_id.as_str()).filter(|id| !id.is_empty());
        self.kind.map(|kind| Signature { kind, key_id, bytes: &self.bytes[..self.len] })
    }
}

impl<'b> Desk<'b> {
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0, stream: None }
    }

    /// Keeps `document` instead of the one before.
    pub(crate) fn put(&mut self, document: RawJson<'_>) -> Result<(), Reason> {
        let bytes = document.as_bytes();
        let room = self.buffer.get_mut(..bytes.len()).ok_or(Reason::DocumentTooLarge)?;
        room.copy_from_slice(bytes);
        self.len = bytes.len();
        self.stream = self.find_stream();
        Ok(())
    }

    /// What the document asks for; it is known to be an update.
    pub(crate) fn plan(&self) -> Result<Plan, Reason> {
        plan::plan(&self.update()?)
    }

    /// The kind of the file's signature, `None` for none; the signature itself may be anything.
    pub(crate) fn signature_kind(&self) -> Result<Option<SignatureKind>, Reason> {
        plan::kind(plan::firmware(&self.update()?)?)
    }

    pub(crate) fn signed(&self) -> Result<Signed, Reason> {
        let document = self.update()?;
        let file = plan::firmware(&document)?;
        let kind = plan::kind(file)?;
        let mut bytes = [0; SIGNATURE_BYTES_MAX];
        let len = plan::signature(file, &mut bytes)?;
        let mut key_id = String::new();
        if let Some(name) = &file.cert_file {
            let fits = name.chars().try_for_each(|char| key_id.push(char));
            if fits.is_err() {
                key_id.clear();
            }
        }
        Ok(Signed { kind, key_id, bytes, len })
    }

    /// The stream and the number of the file in it.
    pub(crate) fn stream(&self) -> Option<(&str, u32)> {
        self.stream.as_ref().map(|(name, file_id)| (name.as_str(), *file_id))
    }

    fn find_stream(&self) -> Option<(StreamName, u32)> {
        let document = self.update().ok()?;
        let file_id = plan::firmware(&document).ok()?.file_id;
        Some((document.stream_name?, file_id))
    }

    pub(crate) fn url_into(&self, buffer: &mut [u8]) -> Result<usize, Reason> {
        let document = self.update()?;
        let url = plan::firmware(&document)?.update_data_url.as_ref().ok_or(Reason::UrlNotAllowed)?;
        url.unescape(buffer).map(str::len).map_err(|_| Reason::DocumentFieldTooLong)
    }

    fn update(&self) -> Result<Document<'_>, Reason> {
        let document = Document::parse(RawJson::parse(&self.buffer[..self.len])?)?;
        document.ok_or(Reason::NoFileForThisDevice)
    }
}
