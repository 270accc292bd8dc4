//! Signed URLs: each grants access to one image until it expires.
//! HMAC-SHA256 over path and expiry, with a key from the data directory.

use std::time::Duration;

use ring::hmac;

/// Length of the key. Unit: bytes.
pub const KEY_BYTES: usize = 32;

/// Signs and verifies URLs.
#[derive(Clone, Debug)]
pub struct Signer {
    key: hmac::Key,
    base: String,
    life: Duration,
}

/// Why a URL is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlRefusal {
    /// It was valid but has expired.
    Expired {
        /// Time of expiry. Seconds since 1970.
        at_s: u64,
    },
    /// The signature is invalid.
    Forged,
}

impl std::fmt::Display for UrlRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Expired { at_s } => write!(f, "the URL expired at {at_s}"),
            Self::Forged => f.write_str("the signature is not valid"),
        }
    }
}

impl Signer {
    /// `base`: scheme, host and port of the image server as devices reach it, without a trailing slash.
    pub fn new(key: &[u8; KEY_BYTES], base: String, life: Duration) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), base, life }
    }

    /// Returns a URL for this image that is valid from `now_s` for the configured time.
    pub fn url(&self, image_id: &str, now_s: u64) -> String {
        let expires = now_s.saturating_add(self.life.as_secs()).to_string();
        let signature = hmac::sign(&self.key, message(image_id, &expires).as_bytes());
        format!("{}/images/{image_id}?expires={expires}&signature={}", self.base, hex::encode(signature.as_ref()))
    }

    /// Verifies the query of a request.
    ///
    /// Both values must be spelled as in the URL that was signed: an image has one URL for each time of expiry.
    /// Errors: `Forged` is checked first, so that `Expired` is returned only for a URL that was valid once.
    pub fn check(&self, image_id: &str, expires: &str, signature: &str, now_s: u64) -> Result<(), UrlRefusal> {
        let bytes = hex::decode(signature).ok().filter(|bytes| hex::encode(bytes) == signature);
        let bytes = bytes.ok_or(UrlRefusal::Forged)?;
        hmac::verify(&self.key, message(image_id, expires).as_bytes(), &bytes).map_err(|_| UrlRefusal::Forged)?;
        let at_s = expires.parse().map_err(|_| UrlRefusal::Forged)?;
        if now_s >= at_s {
            return Err(UrlRefusal::Expired { at_s });
        }
        Ok(())
    }
}

fn message(image_id: &str, expires: &str) -> String {
    format!("/images/{image_id}\n{expires}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_700_000_000;
    const EXPIRES: &str = "1700000060";

    fn signer() -> Signer {
        Signer::new(&[7; KEY_BYTES], "http://127.0.0.1:1".into(), Duration::from_secs(60))
    }

    fn signature(url: &str) -> String {
        url.split_once("signature=").unwrap().1.to_owned()
    }

    #[test]
    fn a_url_is_good_until_its_last_second() {
        let signer = signer();
        let url = signer.url("abc", NOW_S);
        assert!(url.starts_with("http://127.0.0.1:1/images/abc?expires=1700000060&signature="));
        assert_eq!(signer.check("abc", EXPIRES, &signature(&url), NOW_S + 59), Ok(()));
        let late = signer.check("abc", EXPIRES, &signature(&url), NOW_S + 60);
        assert_eq!(late, Err(UrlRefusal::Expired { at_s: NOW_S + 60 }));
    }

    #[test]
    fn another_image_time_signature_or_spelling_is_forged() {
        let signer = signer();
        let good = signature(&signer.url("abc", NOW_S));
        let mut flipped = good.clone().into_bytes();
        flipped[0] = if flipped[0] == b'0' { b'1' } else { b'0' };
        let flipped = String::from_utf8(flipped).unwrap();
        for (id, expires, signature) in [
            ("abd", EXPIRES, good.as_str()),
            ("abc", "1700000061", good.as_str()),
            ("abc", "+1700000060", good.as_str()),
            ("abc", "01700000060", good.as_str()),
            ("abc", EXPIRES, flipped.as_str()),
            ("abc", EXPIRES, good.to_uppercase().as_str()),
            ("abc", EXPIRES, ""),
            ("abc", EXPIRES, "zz"),
        ] {
            assert_eq!(
                signer.check(id, expires, signature, NOW_S),
                Err(UrlRefusal::Forged),
                "{id} {expires} {signature}"
            );
        }
    }
}
