//! Ids of access keys, and the secrets that are derived from them. Which keys there are is in the store.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// Length of the key that secrets are derived with. Unit: bytes.
pub const KEY_BYTES: usize = 32;
/// First characters of each id, as at AWS.
const ID_PREFIX: &str = "AKIA";
/// Number of random characters of an id: with the prefix, 20 as at AWS. Five bits each.
const ID_RANDOM_CHARS: usize = 16;
/// RFC 4648, section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Bytes of a secret: 40 characters of base64 without padding, as at AWS.
const SECRET_BYTES: usize = 30;

/// Derives the secrets of access keys, so that none is stored.
#[derive(Clone, Debug)]
pub struct KeyRing(hmac::Key);

impl KeyRing {
    /// `key`: a secret of the data directory. With another one, all access keys have other secrets.
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// Returns the secret of the access key with this id: 40 characters of base64.
    pub fn secret(&self, id: &str) -> String {
        STANDARD.encode(&hmac::sign(&self.0, id.as_bytes()).as_ref()[..SECRET_BYTES])
    }
}

/// Returns a new random id, 20 characters.
pub fn new_id() -> String {
    let mut bytes = [0; ID_RANDOM_CHARS];
    SystemRandom::new().fill(&mut bytes).expect("the system provides random numbers");
    let chars = bytes.iter().map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    ID_PREFIX.chars().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_secrets_have_the_form_of_aws() {
        let (id, other) = (new_id(), new_id());
        assert_eq!((id.len(), &id[..4]), (20, "AKIA"));
        assert!(id.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()), "{id}");
        let ring = KeyRing::new(&[7; KEY_BYTES]);
        assert_eq!(ring.secret(&id).len(), 40);
        assert_eq!(ring.secret(&id), KeyRing::new(&[7; KEY_BYTES]).secret(&id), "also after a restart");
        assert_ne!(ring.secret(&id), ring.secret(&other));
        assert_ne!(ring.secret(&id), KeyRing::new(&[8; KEY_BYTES]).secret(&id));
    }
}
