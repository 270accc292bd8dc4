//! RSA keys (feature `rsa`) of 2048 or 3072 bits with the exponent 65537, and the verification of PKCS #1 v1.5
//! signatures over SHA-256. A signature is not parsed: the only valid encoding of the digest is computed and compared
//! with the result of the exponentiation. All numbers are public, so constant time is not needed.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U3072};

use super::error::KeyError;
use crate::image::digest::Digest;
use crate::verify::signature::SignatureRefusal;

/// The bytes before the modulus in a SubjectPublicKeyInfo of 2048 bits, including the zero byte of its sign. Source:
/// RFC 3279, section 2.3.1; RFC 8017, appendix A.1.1.
const SPKI_PREFIX_2048: [u8; 33] = [
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00,
    0x03, 0x82, 0x01, 0x0F, 0x00, 0x30, 0x82, 0x01, 0x0A, 0x02, 0x82, 0x01, 0x01, 0x00,
];
/// The same for 3072 bits: only the lengths differ.
const SPKI_PREFIX_3072: [u8; 33] = [
    0x30, 0x82, 0x01, 0xA2, 0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00,
    0x03, 0x82, 0x01, 0x8F, 0x00, 0x30, 0x82, 0x01, 0x8A, 0x02, 0x82, 0x01, 0x81, 0x00,
];
/// The bytes after the modulus: the INTEGER 65537.
const SPKI_SUFFIX: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];

/// A DigestInfo of SHA-256 up to the digest. Source: RFC 8017, section 9.2, note 1.
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// Length of the longest modulus in bytes.
const NUMBER_BYTES_MAX: usize = U3072::BYTES;
/// Number of squarings: 65537 = 2^16 + 1, so one multiplication follows.
const SQUARINGS: usize = 16;

/// A modulus of full length.
#[derive(Clone, Debug)]
pub(super) struct PublicKey {
    modulus: Odd<U3072>,
    len_bytes: usize,
}

impl PublicKey {
    /// Parses the key in this SubjectPublicKeyInfo.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let unsupported = KeyError::RsaUnsupported { len_bytes: bytes.len() };
        let modulus = modulus(bytes).ok_or(unsupported)?;
        // Without its top bit, the modulus is shorter than its encoded length and needs no byte for its sign.
        if modulus[0] & 0x80 == 0 {
            return Err(unsupported);
        }
        let len_bytes = modulus.len();
        let modulus = Option::from(Odd::new(number(modulus))).ok_or(unsupported)?;
        Ok(Self { modulus, len_bytes })
    }

    /// Verifies `signature`, as many bytes as the modulus, over this digest. Source: RFC 8017, section 8.2.2
    /// (RSASSA-PKCS1-v1_5).
    pub(super) fn verify(&self, digest: &Digest, signature: &[u8]) -> Result<(), SignatureRefusal> {
        if signature.len() != self.len_bytes {
            let at_bytes = signature.len().min(self.len_bytes);
            return Err(SignatureRefusal::SignatureMalformed { at_bytes });
        }
        // A value not below the modulus would be a second signature for the same bytes.
        let signature = number(signature);
        if signature >= *self.modulus || self.power_65537(&signature) != self.encode(digest) {
            return Err(SignatureRefusal::SignatureInvalid);
        }
        Ok(())
    }

    fn power_65537(&self, base: &U3072) -> U3072 {
        let params = FixedMontyParams::new_vartime(self.modulus);
        let base = FixedMontyForm::new(base, &params);
        let power = (0..SQUARINGS).fold(base, |power, _| power.square());
        (power * base).retrieve()
    }

    /// Returns the only encoding of a digest: 00 01 FF .. FF 00 DigestInfo. Source: RFC 8017, section 9.2
    /// (EMSA-PKCS1-v1_5).
    fn encode(&self, digest: &Digest) -> U3072 {
        let mut bytes = [0xFF; NUMBER_BYTES_MAX];
        let encoded = &mut bytes[..self.len_bytes];
        encoded[..2].copy_from_slice(&[0x00, 0x01]);
        let (rest, hash) = encoded.split_at_mut(self.len_bytes - digest.0.len());
        hash.copy_from_slice(&digest.0);
        let (padding, info) = rest.split_at_mut(rest.len() - DIGEST_INFO.len());
        info.copy_from_slice(&DIGEST_INFO);
        padding[padding.len() - 1] = 0x00;
        number(&bytes[..self.len_bytes])
    }
}

/// Returns the number in these bytes, big endian; at most [`NUMBER_BYTES_MAX`] of them.
fn number(bytes: &[u8]) -> U3072 {
    let mut padded = [0; NUMBER_BYTES_MAX];
    padded[NUMBER_BYTES_MAX - bytes.len()..].copy_from_slice(bytes);
    U3072::from_be_slice(&padded)
}

/// Returns the bytes of the modulus if the bytes around it are valid.
fn modulus(spki: &[u8]) -> Option<&[u8]> {
    let (prefix, len_bytes) = match spki.len() {
        294 => (&SPKI_PREFIX_2048, 256),
        422 => (&SPKI_PREFIX_3072, 384),
        _ => return None,
    };
    let modulus = spki.strip_prefix(prefix)?.strip_suffix(&SPKI_SUFFIX)?;
    (modulus.len() == len_bytes).then_some(modulus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{OpenSsl, sha256};
    use crate::verify::keys::{Key, KeySet};
    use crate::verify::signature::{SignatureKind, Verifier};
    use std::format;
    use std::vec;
    use std::vec::Vec;

    const IMAGE: &[u8] = b"image";
    const INVALID: Result<(), SignatureRefusal> = Err(SignatureRefusal::SignatureInvalid);

    /// A key pair made by OpenSSL, and the public key for a device.
    fn pair(bits: u32, more: &str) -> (OpenSsl, Vec<u8>) {
        let openssl = OpenSsl::new();
        openssl.run(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits}{more} -out @private.pem"));
        openssl.run("pkey -in @private.pem -pubout -outform DER -out @public.der");
        let spki = openssl.read("public.der");
        (openssl, spki)
    }

    fn pair_2048() -> (OpenSsl, PublicKey) {
        let (openssl, spki) = pair(2048, "");
        (openssl, PublicKey::parse(&spki).unwrap())
    }

    /// Signs a file as a build server does.
    fn sign(openssl: &OpenSsl, file: &[u8], hash: &str) -> Vec<u8> {
        openssl.write("file", file);
        openssl.run(&format!("dgst -{hash} -sign @private.pem -out @signature @file"));
        openssl.read("signature")
    }

    /// Returns the signature whose exponentiation gives these bytes: signing and decryption are the same operation.
    fn sign_raw(openssl: &OpenSsl, encoded: &[u8]) -> Vec<u8> {
        openssl.write("encoded", encoded);
        openssl.run("pkeyutl -decrypt -inkey @private.pem -pkeyopt rsa_padding_mode:none -in @encoded -out @signature");
        openssl.read("signature")
    }

    /// Padding that fills 256 bytes before `tail`.
    fn padded(start: &[u8], tail: &[u8]) -> Vec<u8> {
        let mut encoded = start.to_vec();
        encoded.resize(256 - tail.len(), 0xFF);
        encoded.extend(tail);
        encoded
    }

    #[test]
    fn openssl_signs_what_holds_here_with_both_lengths() {
        for (bits, spki_bytes) in [(2048, 294), (3072, 422)] {
            let (openssl, spki) = pair(bits, "");
            assert_eq!(spki.len(), spki_bytes);
            let key = Key::new("", &spki).unwrap();
            assert_eq!(key.kind(), SignatureKind::Sha256Rsa);
            let signature = sign(&openssl, IMAGE, "sha256");
            assert_eq!(key.public.verify(&sha256(IMAGE), &signature), Ok(()), "{bits}");
            assert_eq!(key.public.verify(&sha256(b"other"), &signature), INVALID, "{bits}");
        }
    }

    #[test]
    fn every_changed_byte_every_other_length_and_every_other_key_is_refused() {
        let ((openssl, key), (_, foreign)) = (pair_2048(), pair_2048());
        let (digest, signature) = (sha256(IMAGE), sign(&openssl, IMAGE, "sha256"));
        assert_eq!(foreign.verify(&digest, &signature), INVALID);
        for index in 0..signature.len() {
            let mut changed = signature.clone();
            changed[index] ^= 1;
            assert_eq!(key.verify(&digest, &changed), INVALID, "byte {index}");
        }
        let longer = [&[0], &signature[..]].concat();
        for (bytes, at_bytes) in [(&signature[..255], 255), (&longer, 256), (&[], 0), (&[0; 1000], 256)] {
            assert_eq!(key.verify(&digest, bytes), Err(SignatureRefusal::SignatureMalformed { at_bytes }));
        }
    }

    #[test]
    fn keys_of_both_lengths_stand_in_one_set_and_the_refusal_is_that_of_the_one_that_fits() {
        let pairs = [2048, 3072].map(|bits| pair(bits, ""));
        let digest = sha256(IMAGE);
        for order in [[0, 1], [1, 0]] {
            let mut keys = KeySet::<2>::new();
            for index in order {
                keys.add(Key::new(["short", "long"][index], &pairs[index].1).unwrap()).unwrap();
            }
            for (openssl, _) in &pairs {
                let mut signature = sign(openssl, IMAGE, "sha256");
                let check = |signature: &[u8]| keys.verify(None, SignatureKind::Sha256Rsa, &digest, signature, 0);
                assert_eq!(check(&signature), Ok(()));
                signature[9] ^= 1;
                assert_eq!(check(&signature), INVALID);
                let cut = check(&signature[..99]);
                assert_eq!(cut, Err(SignatureRefusal::SignatureMalformed { at_bytes: 99 }));
            }
        }
    }

    #[test]
    fn numbers_that_are_nobodys_signature_are_refused() {
        let (_, spki) = pair(2048, "");
        let (key, modulus) = (PublicKey::parse(&spki).unwrap(), modulus(&spki).unwrap().to_vec());
        let mut below = modulus.clone();
        below[255] -= 1; // odd, so there is no borrow
        let mut one = vec![0; 256];
        one[255] = 1;
        for number in [&modulus, &below, &one, &vec![0; 256], &vec![0xFF; 256]] {
            assert_eq!(key.verify(&sha256(IMAGE), number), INVALID);
        }
    }

    #[test]
    fn a_second_signature_for_the_same_bytes_is_refused() {
        // The sum of signature and modulus must fit 256 bytes, which needs a small modulus and then a small signature.
        let (openssl, spki) = (0..64)
            .map(|_| pair(2048, ""))
            .find(|(_, spki)| modulus(spki).unwrap()[0] < 0xE0)
            .expect("half of all moduli are small enough");
        let (key, modulus) = (PublicKey::parse(&spki).unwrap(), modulus(&spki).unwrap());
        let (file, signature) = (0..400u32)
            .map(|number| (number.to_le_bytes(), sign(&openssl, &number.to_le_bytes(), "sha256")))
            .find(|(_, signature)| sum(signature, modulus).0 == 0)
            .expect("one signature in seven is small enough");
        assert_eq!(key.verify(&sha256(&file), &signature), Ok(()));
        assert_eq!(key.verify(&sha256(&file), &sum(&signature, modulus).1), INVALID);
    }

    /// Returns the carry and the sum of two big-endian numbers of the same length.
    fn sum(one: &[u8], other: &[u8]) -> (u16, Vec<u8>) {
        let mut sum = one.to_vec();
        let mut carry = 0;
        for (byte, other) in sum.iter_mut().zip(other).rev() {
            carry += u16::from(*byte) + u16::from(*other);
            *byte = carry as u8;
            carry >>= 8;
        }
        (carry, sum)
    }

    #[test]
    fn every_other_encoding_of_the_digest_is_refused() {
        let (openssl, key) = pair_2048();
        let digest = sha256(IMAGE);
        let info = [&DIGEST_INFO[..], &digest.0].concat();
        let good = padded(&[0, 1], &[&[0], &info[..]].concat());
        assert_eq!(key.verify(&digest, &sign_raw(&openssl, &good)), Ok(()));

        // The parameters omitted, which older standards allowed.
        let mut no_null = [&[0x30, 0x2F, 0x30, 0x0B], &DIGEST_INFO[4..15], &[0x04, 0x20]].concat();
        no_null.extend(digest.0);
        let mut sha512_oid = info.clone();
        sha512_oid[14] = 3;
        let mut one_byte_of_padding_is_zero = good.clone();
        one_byte_of_padding_is_zero[100] = 0;
        // Accepted by lenient PKCS #1 parsers: eight bytes of padding, the digest, and bytes chosen by the forger.
        let mut digest_in_the_middle = [&[0, 1][..], &[0xFF; 8], &[0], &info].concat();
        digest_in_the_middle.resize(256, 0xAA);
        for (what, encoded) in [
            ("no parameters", padded(&[0, 1], &[&[0], &no_null[..]].concat())),
            ("another hash's name", padded(&[0, 1], &[&[0], &sha512_oid[..]].concat())),
            ("no DigestInfo", padded(&[0, 1], &[&[0], &digest.0[..]].concat())),
            ("type 2", padded(&[0, 2], &[&[0], &info[..]].concat())),
            ("type 0", padded(&[0, 0], &[&[0], &info[..]].concat())),
            ("no separator", padded(&[0, 1], &info)),
            ("a trailing byte", padded(&[0, 1], &[&[0], &info[..], &[0]].concat())),
            ("a zero byte in the padding", one_byte_of_padding_is_zero),
            ("the digest in the middle", digest_in_the_middle),
        ] {
            assert_eq!(key.verify(&digest, &sign_raw(&openssl, &encoded)), INVALID, "{what}");
        }
        for hash in ["sha1", "sha512"] {
            assert_eq!(key.verify(&digest, &sign(&openssl, IMAGE, hash)), INVALID, "{hash}");
        }
        openssl.write("digest", &digest.0);
        openssl.run(
            "pkeyutl -sign -inkey @private.pem -pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss -in @digest -out @pss",
        );
        assert_eq!(key.verify(&digest, &openssl.read("pss")), INVALID, "PSS");
    }

    #[test]
    fn what_is_no_key_of_ours_is_refused_by_name() {
        let refused = |spki: &[u8]| Key::new("", spki).unwrap_err();
        let unsupported = |len_bytes| KeyError::RsaUnsupported { len_bytes };
        for (bits, more, len_bytes) in [(1024, "", 162), (2056, "", 295), (2048, " -pkeyopt rsa_keygen_pubexp:3", 292)]
        {
            assert_eq!(refused(&pair(bits, more).1), unsupported(len_bytes), "{bits} {more}");
        }
        let (_, spki) = pair(2048, "");
        let changed = |index: usize, to: u8| {
            let mut changed = spki.clone();
            changed[index] = to;
            refused(&changed)
        };
        assert_eq!(changed(288, spki[288] & !1), unsupported(294), "an even modulus");
        assert_eq!(changed(33, spki[33] & 0x7F), unsupported(294), "a modulus of 2047 bits");
        assert_eq!(changed(32, 1), unsupported(294), "a modulus of 2049 bits");
        assert_eq!(changed(293, 3), unsupported(294), "the exponent 65539");
        assert_eq!(changed(23, 1), unsupported(294), "a BIT STRING with an unused bit");
        assert_eq!(changed(0, 0x31), unsupported(294), "a SET");
        assert_eq!(refused(&[&spki[..], &[0]].concat()), unsupported(295), "a trailing byte");
        for len in 0..spki.len() {
            Key::new("", &spki[..len]).unwrap_err();
        }
    }
}
