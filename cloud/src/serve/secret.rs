//! Texts that only their owner has, and what is compared with them.

use ring::digest::{SHA256, digest};

/// The SHA-256 of a secret text. Digests are compared, so that the time of a comparison reveals nothing about the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Returns the digest of this text.
    pub fn of(secret: &str) -> Self {
        Self(digest(&SHA256, secret.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Its bytes in lower-case hexadecimal.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Whether this is the digest of `given`.
    pub fn is(&self, given: &str) -> bool {
        *self == Self::of(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_text_has_the_digest() {
        let secret = SecretDigest::of("abc");
        assert!(secret.is("abc"));
        assert!(!secret.is("abd") && !secret.is("") && !secret.is("abc "));
    }
}
