//! Verifies signatures of AWS Signature Version 4 in the header `Authorization`, by computing them again.
//! Where secrets come from, and the digest of the body, are the caller's.
//!
//! Source: AWS General Reference, "Signature Version 4 signing process".

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use time::PrimitiveDateTime;
use time::macros::format_description;

use super::refusal::SignatureRefusal;
use crate::limits::{AWS_SKEW_MAX, AWS_URI_BYTES_MAX, SIGNED_HEADERS_MAX};
use crate::serve::secret::SecretDigest;

/// The algorithm, with which the header begins.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Last part of a scope.
const TERMINATOR: &str = "aws4_request";
/// Time of the signature.
const DATE: &str = "x-amz-date";
/// Headers of AWS, all of which must be signed.
const AMZ_PREFIX: &str = "x-amz-";
/// The service whose paths are not normalized and not encoded twice.
pub const S3: &str = "s3";
/// The service that returns the identity of a key.
pub const STS: &str = "sts";

/// The header `Authorization` of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Id of the access key.
    pub key_id: String,
    /// Region of the scope.
    pub region: String,
    /// Service of the scope.
    pub service: String,
    /// Date of the scope: `YYYYMMDD`.
    date: String,
    /// Names of the signed headers.
    signed_headers: Vec<String>,
    /// In hexadecimal.
    signature: String,
}

/// Whether a request has a signature of this kind.
pub fn is_signed(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(ALGORITHM.as_bytes()))
}

impl Authorization {
    /// Reads the header.
    ///
    /// Errors: `Incomplete` with the part that is missing.
    pub fn parse(headers: &HeaderMap) -> Result<Self, SignatureRefusal> {
        let incomplete = |why: &str| SignatureRefusal::Incomplete(why.to_owned());
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let value = value.and_then(|value| value.strip_prefix(ALGORITHM)).ok_or_else(|| incomplete("no algorithm"))?;
        let part = |name: &'static str| {
            let mut parts = value.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).ok_or_else(|| incomplete(name))
        };
        let scope: Vec<&str> = part("Credential")?.split('/').collect();
        let [key_id, date, region, service, TERMINATOR] = scope[..] else {
            return Err(incomplete("Credential is not ID/DATE/REGION/SERVICE/aws4_request"));
        };
        let signed_headers: Vec<String> = part("SignedHeaders")?.split(';').map(str::to_owned).collect();
        if signed_headers.len() > SIGNED_HEADERS_MAX {
            return Err(incomplete("more SignedHeaders than a request has"));
        }
        Ok(Self {
            key_id: key_id.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            date: date.to_owned(),
            signed_headers,
            signature: part("Signature")?.to_owned(),
        })
    }

    /// Verifies that the secret's owner signed this request, within 15 minutes.
    ///
    /// `payload`: what the body was signed as, its SHA-256 in hexadecimal or a constant of S3. That the body agrees with it is
    /// checked by the caller.
    /// Errors: `Incomplete`, `NotSigned`, `Skew`, `Mismatch`.
    pub fn verify(&self, secret: &str, request: &Parts, payload: &str, now_s: u64) -> Result<(), SignatureRefusal> {
        self.check_headers(&request.headers)?;
        let signed_at_s = self.signed_at_s(&request.headers)?;
        if signed_at_s.abs_diff(now_s) > AWS_SKEW_MAX.as_secs() {
            return Err(SignatureRefusal::Skew { signed_at_s, now_s });
        }
        let signature = self.signature(secret, request, payload, signed_at_s)?;
        // Digests are compared: the time of the comparison reveals nothing.
        match SecretDigest::of(&signature).is(&self.signature) {
            true => Ok(()),
            false => Err(SignatureRefusal::Mismatch),
        }
    }

    /// Without a signed host, a request to another service could be replayed to this one.
    fn check_headers(&self, headers: &HeaderMap) -> Result<(), SignatureRefusal> {
        let of_aws = headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with(AMZ_PREFIX));
        let mut needed = of_aws.chain(["host"]);
        match needed.find(|name| !self.signed_headers.iter().any(|signed| signed == name)) {
            Some(header) => Err(SignatureRefusal::NotSigned { header: header.to_owned() }),
            None => Ok(()),
        }
    }

    /// The header `date`, which AWS takes in its place, is not signed by any of its clients of today.
    fn signed_at_s(&self, headers: &HeaderMap) -> Result<u64, SignatureRefusal> {
        const FORMAT: time::format_description::StaticFormatDescription =
            format_description!("[year][month][day]T[hour][minute][second]Z");
        let text = headers.get(DATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let at = PrimitiveDateTime::parse(text, FORMAT).ok().map(|at| at.assume_utc().unix_timestamp());
        let at_s = at.and_then(|at_s| u64::try_from(at_s).ok());
        match at_s.filter(|_| text.starts_with(&self.date)) {
            Some(at_s) => Ok(at_s),
            None => Err(SignatureRefusal::Incomplete(format!("{DATE} is not a time of the date in Credential"))),
        }
    }

    fn signature(
        &self,
        secret: &str,
        request: &Parts,
        payload: &str,
        signed_at_s: u64,
    ) -> Result<String, SignatureRefusal> {
        let incomplete = |why: &dyn std::fmt::Display| SignatureRefusal::Incomplete(why.to_string());
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        // The library writes the query again, with all characters escaped, and panics above 64 KiB.
        if target.len() > AWS_URI_BYTES_MAX {
            return Err(incomplete(&format_args!("a URI of {} bytes, at most {AWS_URI_BYTES_MAX}", target.len())));
        }
        let mut headers = Vec::new();
        for name in &self.signed_headers {
            for value in request.headers.get_all(name) {
                headers.push((name.as_str(), value.to_str().map_err(|error| incomplete(&error))?));
            }
        }
        // The host is in the signed headers; the one of the URI is not used.
        let uri = format!("http://host{target}");
        let body = SignableBody::Precomputed(payload.to_owned());
        let request = SignableRequest::new(request.method.as_str(), uri, headers.into_iter(), body);
        let identity = Credentials::new(&self.key_id, secret, None, None, "ota-cloud").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(UNIX_EPOCH + Duration::from_secs(signed_at_s))
            .settings(settings(&self.service))
            .build()
            .expect("everything is set")
            .into();
        let signed = request.and_then(|request| sign(request, &params)).map_err(|error| incomplete(&error))?;
        Ok(signed.signature().to_owned())
    }
}

fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    // The client chose which headers it signed.
    settings.excluded_headers = None;
    if service == S3 {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue, Request};

    /// Source: AWS General Reference, "Examples of the complete Signature Version 4 signing process".
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const TARGET: &str = "/?Action=ListUsers&Version=2010-05-08";
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date, \
        Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    /// 2015-08-30T12:36:00Z.
    const SIGNED_AT_S: u64 = 1_440_938_160;

    fn example() -> Parts {
        let request = Request::get(TARGET)
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("host", "iam.amazonaws.com")
            .header("x-amz-date", "20150830T123600Z")
            .header("user-agent", "not signed")
            .header("authorization", AUTHORIZATION);
        request.body(()).unwrap().into_parts().0
    }

    fn verify(request: &Parts, payload: &str, now_s: u64) -> Result<(), SignatureRefusal> {
        Authorization::parse(&request.headers)?.verify(SECRET, request, payload, now_s)
    }

    fn with(name: &'static str, value: &str) -> Parts {
        let mut parts = example();
        parts.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        parts
    }

    #[test]
    fn the_example_of_aws_is_accepted_within_fifteen_minutes() {
        let skew_s = AWS_SKEW_MAX.as_secs();
        for now_s in [SIGNED_AT_S - skew_s, SIGNED_AT_S, SIGNED_AT_S + skew_s] {
            assert_eq!(verify(&example(), EMPTY, now_s), Ok(()));
        }
        for now_s in [SIGNED_AT_S - skew_s - 1, SIGNED_AT_S + skew_s + 1] {
            let refused = verify(&example(), EMPTY, now_s);
            assert_eq!(refused, Err(SignatureRefusal::Skew { signed_at_s: SIGNED_AT_S, now_s }));
        }
    }

    #[test]
    fn a_request_that_was_changed_after_it_was_signed_is_refused() {
        let mut query = example();
        query.uri = format!("{TARGET}&MaxItems=1").parse().unwrap();
        let mut path = example();
        path.uri = format!("/users{}", &TARGET[1..]).parse().unwrap();
        let mut method = example();
        method.method = axum::http::Method::POST;
        let scope = |from: &str, to: &str| with("authorization", &AUTHORIZATION.replace(from, to));
        for (name, request) in [
            ("query", query),
            ("path", path),
            ("method", method),
            ("header", with("content-type", "application/json")),
            ("host", with("host", "sts.amazonaws.com")),
            ("time", with("x-amz-date", "20150830T123601Z")),
            ("region", scope("us-east-1", "us-east-2")),
            ("service", scope("/iam/", "/iot/")),
            ("signature", scope("5d672d79", "5d672d78")),
            ("case of the signature", scope("5d672d79", "5D672D79")),
        ] {
            assert_eq!(verify(&request, EMPTY, SIGNED_AT_S), Err(SignatureRefusal::Mismatch), "{name}");
        }
        assert_eq!(verify(&example(), &EMPTY.replace('e', "f"), SIGNED_AT_S), Err(SignatureRefusal::Mismatch), "body");
        let parsed = Authorization::parse(&example().headers).unwrap();
        let other = parsed.verify("wJalrXUtnFEMI", &example(), EMPTY, SIGNED_AT_S);
        assert_eq!(other, Err(SignatureRefusal::Mismatch), "secret");
    }

    #[test]
    fn the_host_and_the_headers_of_aws_must_be_signed() {
        let not_signed = |header: &str| Err(SignatureRefusal::NotSigned { header: header.to_owned() });
        let request = with("authorization", &AUTHORIZATION.replace("content-type;host;", "content-type;"));
        assert_eq!(verify(&request, EMPTY, SIGNED_AT_S), not_signed("host"));
        let request = with("authorization", &AUTHORIZATION.replace(";x-amz-date", ""));
        assert_eq!(verify(&request, EMPTY, SIGNED_AT_S), not_signed("x-amz-date"));
        let request = with("x-amz-content-sha256", EMPTY);
        assert_eq!(verify(&request, EMPTY, SIGNED_AT_S), not_signed("x-amz-content-sha256"));
    }

    #[test]
    fn a_header_that_lacks_a_part_is_refused_by_its_name() {
        for (from, to, word) in [
            ("Credential=", "Cred=", "Credential"),
            ("/aws4_request", "", "Credential"),
            ("SignedHeaders=", "Signed=", "SignedHeaders"),
            ("Signature=", "Sign=", "Signature"),
            ("AWS4-HMAC-SHA256", "AWS4-ECDSA", "algorithm"),
            ("20150830", "20150831", "x-amz-date"),
        ] {
            let refused = verify(&with("authorization", &AUTHORIZATION.replace(from, to)), EMPTY, SIGNED_AT_S);
            assert!(matches!(&refused, Err(SignatureRefusal::Incomplete(why)) if why.contains(word)), "{refused:?}");
        }
        let many = AUTHORIZATION.replace(";host;", &format!("{};host;", ";a".repeat(SIGNED_HEADERS_MAX)));
        let refused = verify(&with("authorization", &many), EMPTY, SIGNED_AT_S);
        assert!(matches!(&refused, Err(SignatureRefusal::Incomplete(why)) if why.contains("more")), "{refused:?}");
        for date in ["", "20150830", "20150830T126000Z", "2015-08-30T12:36:00Z"] {
            let refused = verify(&with("x-amz-date", date), EMPTY, SIGNED_AT_S);
            assert!(matches!(&refused, Err(SignatureRefusal::Incomplete(_))), "{date}: {refused:?}");
        }
    }

    /// The library would panic above 64 KiB, with characters that become three times or nine times as long.
    #[test]
    fn a_query_of_any_length_and_any_characters_is_refused_or_signed() {
        for piece in ["*", "%FF", "\u{e9}", "&a="] {
            for count in [1, AWS_URI_BYTES_MAX / piece.len() - 1, 60_000 / piece.len()] {
                let Ok(uri) = format!("/?{}", piece.repeat(count)).parse() else { continue };
                let mut request = example();
                request.uri = uri;
                assert!(verify(&request, EMPTY, SIGNED_AT_S).is_err());
            }
        }
    }
}
