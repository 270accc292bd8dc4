//! TCP and TLS on a host: the agent's [`Connector`] over tokio and rustls. The server is always verified against the given
//! CA; a client certificate is sent if configured.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use embedded_io_adapters::tokio_1::FromTokio;
use ota_agent::transport::{Activity, Connector};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Size of the read buffer: minimq reads packet headers byte by byte.
const READ_AHEAD_BYTES: usize = 16 * 1024;

/// A stream, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Makes connections; clones share the configuration.
#[derive(Clone)]
pub struct Network {
    tls: Option<TlsConnector>,
}

/// Why a connection failed.
#[derive(Debug)]
pub enum NetworkError {
    /// TLS was requested without a CA.
    NoCa,
    /// The host name is not valid in a certificate.
    ServerName,
    /// Error of the network, or of the server's certificate.
    Io(io::Error),
}

/// A certificate or key file that is not usable.
#[derive(Debug)]
pub struct CertificateError {
    what: String,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.what)
    }
}

impl std::error::Error for CertificateError {}

impl Network {
    /// Creates a network without TLS, for a broker on the same machine.
    pub fn plain() -> Self {
        Self { tls: None }
    }

    /// Creates a network that trusts the CA in `ca` and sends the certificate and key in `identity`. All are PEM files.
    pub fn with_tls(ca: &Path, identity: Option<(&Path, &Path)>) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| refuse(ca, &error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse(ca, &error))?
            .with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let secret = fs::read(key).map_err(|error| refuse(key, &error))?;
                let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|error| refuse(key, &error))?;
                config.with_client_auth_cert(chain, secret).map_err(|error| refuse(certificate, &error))?
            }
        };
        Ok(Self { tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    /// As [`Connector::connect`], with a stream of tokio.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt.
    pub async fn open<'a>(
        &self,
        host: &str,
        port: u16,
        tls: bool,
        activity: &'a Activity,
    ) -> Result<Box<dyn Stream + 'a>, NetworkError> {
        let tcp = TcpStream::connect((host, port)).await.map_err(NetworkError::Io)?;
        tcp.set_nodelay(true).map_err(NetworkError::Io)?;
        let tcp = Observed { socket: tcp, activity };
        if tls {
            let connector = self.tls.as_ref().ok_or(NetworkError::NoCa)?;
            let name = ServerName::try_from(host.to_owned()).map_err(|_| NetworkError::ServerName)?;
            Ok(Box::new(connector.connect(name, tcp).await.map_err(NetworkError::Io)?))
        } else {
            Ok(Box::new(tcp))
        }
    }
}

impl Connector for Network {
    type Stream<'a> = FromTokio<BufReader<Box<dyn Stream + 'a>>>;
    type Error = NetworkError;

    async fn connect<'a>(
        &'a mut self,
        host: &str,
        port: u16,
        tls: bool,
        activity: &'a Activity,
    ) -> Result<Self::Stream<'a>, Self::Error> {
        let stream = self.open(host, port, tls, activity).await?;
        Ok(FromTokio::new(BufReader::with_capacity(READ_AHEAD_BYTES, stream)))
    }
}

/// As `Activity::observe`, whose stream is not one of tokio.
struct Observed<'a, S> {
    socket: S,
    activity: &'a Activity,
}

impl<S: Stream> AsyncRead for Observed<'_, S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_read(context, out))?;
        self.activity.note();
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Observed<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = fs::read(path).map_err(|error| refuse(path, &error))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| refuse(path, &error))?;
    if chain.is_empty() { Err(refuse(path, &"no certificate in it")) } else { Ok(chain) }
}

fn refuse(path: &Path, error: &dyn fmt::Display) -> CertificateError {
    CertificateError { what: format!("{}: {error}", path.display()) }
}
