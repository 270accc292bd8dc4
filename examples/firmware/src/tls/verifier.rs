//! Verifies a server: its chain up to the CA, by dates and use, its name, and the signature that proves its key.
//!
//! The verifier of embedded-tls is not used: it accepts any certificate of a chain as a CA, so that one device could act as the
//! server for all others. Nor does embedded-tls require that the server sends a certificate: see [`Verifier::verdict`].

use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;

use embedded_tls::{
    Aes128GcmSha256, CertificateEntryRef, CertificateRef, CertificateVerifyRef, SignatureScheme, TlsError, TlsVerifier,
};
use heapless::Vec;
use p256_tls::ecdsa::signature::Verifier as _;
use p256_tls::ecdsa::{Signature, VerifyingKey};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName, SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use sha2_tls::{Digest, Sha256};
use webpki::{EndEntityCert, Error, KeyUsage};

/// Certificates of a chain below the CA; embedded-tls has the same limit.
const CHAIN_MAX: usize = 16;
/// Signatures that are verified for one server, of its certificates and of the handshake. A server that is not verified could make
/// a device compute for longer than its watchdog waits.
const SIGNATURES_MAX: u8 = 8;
/// Size of a server's certificate.
const SERVER_BYTES_MAX: usize = 2048;
/// What is signed: 64 spaces, the context, and a digest. Source: RFC 8446, 4.4.3.
const SIGNED_BYTES: usize = 64 + CONTEXT.len() + 32;
const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";

/// The date, in seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Date {
    /// The device has a clock that is right.
    Exact(u64),
    /// It has none; the date is this one or later, as that of its build. A certificate that expires later is accepted for ever,
    /// and one that is valid later is accepted already.
    AtLeast(u64),
}

/// Why a server is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It sent no certificate, or did not prove that it has the key.
    NotProven,
    /// Its certificate has more than 2,048 bytes, or its chain more than 16 certificates.
    TooLarge,
    /// Chain, name, dates or use of its certificate.
    Certificate(Error),
    /// The signature is not that of the certificate's key, or not P-256 with SHA-256.
    Signature,
}

/// The verification of one server.
pub(super) struct Verifier<'v> {
    ca: &'v [u8],
    name: ServerName<'v>,
    date: Date,
    /// The server's verified certificate, and what its signature covers.
    server: Option<(Vec<u8, SERVER_BYTES_MAX>, Sha256)>,
    verdict: Result<(), Refused>,
    algorithm: EcdsaP256Sha256,
}

impl<'v> Verifier<'v> {
    pub(super) fn new(ca: &'v [u8], name: ServerName<'v>, date: Date) -> Self {
        Self { ca, name, date, server: None, verdict: Err(Refused::NotProven), algorithm: EcdsaP256Sha256::default() }
    }

    /// The result after the handshake: without it a server that sent no certificate at all would be accepted.
    pub(super) fn verdict(self) -> Result<(), Refused> {
        self.verdict
    }

    /// Verifies a chain, the server's certificate first.
    fn verify_chain(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let (server, intermediates) = chain.split_first().ok_or(Error::UnknownIssuer)?;
        let ca = self.ca.into();
        let anchor = [webpki::anchor_from_trusted_cert(&ca)?];
        let server = EndEntityCert::try_from(server)?;
        let verify = |date_s| {
            let date = UnixTime::since_unix_epoch(Duration::from_secs(date_s));
            let usage = KeyUsage::server_auth();
            server.verify_for_usage(&[&self.algorithm], &anchor, intermediates, date, usage, None, None).map(|_| ())
        };
        match self.date {
            Date::Exact(date_s) => verify(date_s)?,
            Date::AtLeast(date_s) => from_date(date_s, verify)?,
        }
        server.verify_is_valid_for_subject_name(&self.name)
    }

    /// Verifies what the server sent, and keeps its certificate.
    fn accept_chain(&mut self, transcript: &Sha256, sent: &CertificateRef<'_>) -> Result<(), Refused> {
        let mut chain = Vec::<_, CHAIN_MAX>::new();
        for entry in &sent.entries {
            let CertificateEntryRef::X509(der) = entry else { return Err(Refused::NotProven) };
            chain.push(CertificateDer::from(*der)).map_err(|_| Refused::TooLarge)?;
        }
        self.verify_chain(&chain).map_err(Refused::Certificate)?;
        let server = chain.first().ok_or(Refused::NotProven)?;
        let server = Vec::from_slice(server).map_err(|_| Refused::TooLarge)?;
        self.server = Some((server, transcript.clone()));
        Ok(())
    }

    /// Verifies that the server has the key of its certificate. Source: RFC 8446, 4.4.3.
    fn accept_signature(&self, sent: &CertificateVerifyRef<'_>) -> Result<(), Refused> {
        let (server, transcript) = self.server.as_ref().ok_or(Refused::NotProven)?;
        if sent.signature_scheme != SignatureScheme::EcdsaSecp256r1Sha256 {
            return Err(Refused::Signature);
        }
        let mut signed = [b' '; SIGNED_BYTES];
        signed[64..64 + CONTEXT.len()].copy_from_slice(CONTEXT);
        signed[64 + CONTEXT.len()..].copy_from_slice(&transcript.clone().finalize());
        let server = CertificateDer::from(&server[..]);
        let server = EndEntityCert::try_from(&server).map_err(Refused::Certificate)?;
        server.verify_signature(&self.algorithm, &signed, sent.signature).map_err(|_| Refused::Signature)
    }
}

/// Verifies at the earliest date, not before `date_s`, at which every certificate of the chain is valid.
fn from_date(mut date_s: u64, verify: impl Fn(u64) -> Result<(), Error>) -> Result<(), Error> {
    for _ in 0..CHAIN_MAX {
        match verify(date_s) {
            Err(Error::CertNotValidYet { not_before, .. }) => date_s = not_before.as_secs(),
            verified => return verified,
        }
    }
    verify(date_s)
}

impl TlsVerifier<Aes128GcmSha256> for Verifier<'_> {
    fn set_hostname_verification(&mut self, _: &str) -> Result<(), TlsError> {
        Ok(()) // `new` got the name: an address is verified, too
    }

    fn verify_certificate(&mut self, transcript: &Sha256, sent: CertificateRef<'_>) -> Result<(), TlsError> {
        self.accept_chain(transcript, &sent).map_err(|refused| {
            self.verdict = Err(refused);
            TlsError::InvalidCertificate
        })
    }

    fn verify_signature(&mut self, sent: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        self.verdict = self.accept_signature(&sent);
        self.verdict.clone().map_err(|_| TlsError::InvalidSignature)
    }
}

/// Signatures of certificates, and of the handshake: at most [`SIGNATURES_MAX`].
#[derive(Debug, Default)]
struct EcdsaP256Sha256 {
    verified: AtomicU8,
}

impl SignatureVerificationAlgorithm for EcdsaP256Sha256 {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        // Only one thread verifies for one server.
        let verified = self.verified.load(Ordering::Relaxed);
        if verified >= SIGNATURES_MAX {
            return Err(InvalidSignature);
        }
        self.verified.store(verified + 1, Ordering::Relaxed);
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_sent_nothing_is_not_proven() {
        let name = ServerName::try_from("localhost").expect("a valid name");
        let verifier = Verifier::new(&[], name, Date::Exact(0));
        assert_eq!(verifier.verdict(), Err(Refused::NotProven));
    }

    #[test]
    fn a_server_makes_a_device_verify_few_signatures() {
        let key = p256_tls::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a valid key");
        let signature: p256_tls::ecdsa::DerSignature = p256_tls::ecdsa::signature::Signer::sign(&key, b"message");
        let public_key = key.verifying_key().to_encoded_point(false);
        let algorithm = EcdsaP256Sha256::default();
        let verify = || algorithm.verify_signature(public_key.as_bytes(), b"message", signature.as_bytes());
        assert!((0..SIGNATURES_MAX).all(|_| verify().is_ok()));
        assert!(verify().is_err());
    }

    #[test]
    fn a_signature_without_a_certificate_proves_nothing() {
        let name = ServerName::try_from("localhost").expect("a valid name");
        let mut verifier = Verifier::new(&[], name, Date::Exact(0));
        let sent =
            CertificateVerifyRef { signature_scheme: SignatureScheme::EcdsaSecp256r1Sha256, signature: &[0x30, 0] };
        assert!(verifier.verify_signature(sent).is_err());
        assert_eq!(verifier.verdict(), Err(Refused::NotProven));
    }
}
