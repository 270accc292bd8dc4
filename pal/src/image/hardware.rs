//! The name of a kind of board. An image for another board is refused.

use core::fmt;

use crate::print::print_by_name;

/// Length of a hardware id.
pub const HARDWARE_ID_BYTES: usize = 16;

/// The error for a text that is not 1 to 16 printable ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardwareIdInvalid;

print_by_name!(HardwareIdInvalid);

/// The kind of board that an image is made for: 1 to 16 printable ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HardwareId([u8; HARDWARE_ID_BYTES]);

impl HardwareId {
    /// Creates the id with this text.
    ///
    /// # Errors
    /// [`HardwareIdInvalid`] if it is empty, too long, or not printable ASCII without spaces.
    pub fn new(text: &str) -> Result<Self, HardwareIdInvalid> {
        let mut bytes = [0; HARDWARE_ID_BYTES];
        match bytes.get_mut(..text.len()) {
            // A zero byte in the text would be read back as padding.
            Some(space) if !text.contains('\0') => space.copy_from_slice(text.as_bytes()),
            _ => return Err(HardwareIdInvalid),
        }
        Self::parse(bytes)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        core::str::from_utf8(text).expect("both constructors accept only ASCII")
    }

    /// The bytes of an id, padded with zeros.
    pub(crate) fn bytes(&self) -> &[u8; HARDWARE_ID_BYTES] {
        &self.0
    }

    /// Parses an id from text padded with zeros.
    pub(crate) fn parse(bytes: [u8; HARDWARE_ID_BYTES]) -> Result<Self, HardwareIdInvalid> {
        let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let (text, padding) = bytes.split_at(len);
        let printable = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
        if printable && padding.iter().all(|byte| *byte == 0) { Ok(Self(bytes)) } else { Err(HardwareIdInvalid) }
    }
}

impl fmt::Display for HardwareId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for HardwareId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_id_is_1_to_16_printable_characters() {
        assert_eq!(HardwareId::new("0123456789abcdef").unwrap().as_str(), "0123456789abcdef");
        for text in ["", "0123456789abcdefg", "with space", "caf\u{e9}", "nul\0"] {
            assert_eq!(HardwareId::new(text), Err(HardwareIdInvalid), "{text:?}");
        }
    }
}
