//! TLS configurations from PEM files: server with or without client certificates, and client.
//! The only crypto provider is ring; the client always verifies the server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
#[cfg(feature = "broker")]
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Files of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, PEM: own certificate first.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// CA certificate that verifies the peer, PEM.
    pub ca: PathBuf,
}

/// A PEM file is not usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// Path of the file.
    pub file: PathBuf,
    /// Reason.
    pub why: String,
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Server configuration of the broker; requires a client certificate of our CA.
///
/// Errors: [`TlsError`] with the file's name.
#[cfg(feature = "broker")]
pub fn mutual(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&files.ca)?), provider())
        .build()
        .map_err(|error| refused(&files.ca, &error))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&files.cert, &error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&files.cert)?, key(&files.key)?)
        .map_err(|error| refused(&files.cert, &error))?;
    Ok(Arc::new(config))
}

/// Server configuration of the image server; requests no client certificate because the signed URL is the credential.
pub fn server_only(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&files.cert, &error))?
        .with_no_client_auth()
        .with_single_cert(certificates(&files.cert)?, key(&files.key)?)
        .map_err(|error| refused(&files.cert, &error))?;
    Ok(Arc::new(config))
}

/// Client configuration for an external broker.
///
/// `identity`: certificate and key for mutual TLS.
pub fn client(ca: &Path, own: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(ca, &error))?
        .with_root_certificates(roots(ca)?);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((cert, private)) => {
            builder.with_client_auth_cert(certificates(cert)?, key(private)?).map_err(|error| refused(cert, &error))?
        }
    };
    Ok(Arc::new(config))
}

fn refused(file: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError { file: file.to_owned(), why: error.to_string() }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| refused(file, &error))?;
    if certificates.is_empty() {
        return Err(refused(file, &"no certificate in it"));
    }
    Ok(certificates)
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| refused(file, &error))
}

fn roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| refused(file, &error))?;
    }
    Ok(roots)
}
