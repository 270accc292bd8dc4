//! Base64 of `ota-jobs`, into memory of its own.

use ota_jobs::base64;

/// The text of these bytes.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = vec![0; base64::encoded_len(bytes.len())];
    let len = base64::encode(bytes, &mut text).expect("the buffer has the length that the text takes");
    text.truncate(len);
    String::from_utf8(text).expect("base64 is ASCII")
}

/// The bytes of this text; `None` if it is not base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; text.len()];
    let len = base64::decode(text.as_bytes(), &mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_each_other() {
        // RFC 4648, section 10.
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text), Some(bytes.as_bytes().to_vec()));
        }
        assert_eq!(decode("Zg="), None);
    }
}
