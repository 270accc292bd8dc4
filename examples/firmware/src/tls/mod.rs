//! TLS 1.3 over any connector, by embedded-tls; the server's chain and name are verified by rustls-webpki. A connection is
//! encrypted and verified, or it fails. Certificates, random numbers and the date are the board's.

mod records;
mod verifier;

use embedded_io_async::{ErrorType, Read, Write};
use embedded_tls::{
    Aes128GcmSha256, Certificate, CryptoProvider, CryptoRngCore, FlushPolicy, SignatureScheme, TlsConfig,
    TlsConnection, TlsContext, TlsError, TlsVerifier,
};
use ota_agent::transport::{Activity, Connector};
use p256_tls::ecdsa::signature::SignerMut;
use p256_tls::ecdsa::{DerSignature, SigningKey};
use p256_tls::pkcs8::DecodePrivateKey;
use rustls_pki_types::ServerName;

use records::Records;
use verifier::Verifier;
pub use verifier::{Date, Refused};

/// Holds any record: 2^14 bytes, 256 that encryption adds, and the header. Source: RFC 8446, 5.2.
pub const RECORD_BYTES_MAX: usize = (1 << 14) + 256 + records::HEADER_BYTES;

/// The certificates of a device.
#[derive(Clone, Copy, Debug)]
pub struct Certificates<'c> {
    /// The CA that every server's chain must end in, in DER. It and the chain have P-256 keys, signed with SHA-256.
    pub ca: &'c [u8],
    /// The device's certificate, in DER, and its P-256 key, in PKCS #8.
    pub device: &'c [u8],
    /// See `device`.
    pub key: &'c [u8],
}

/// The buffers of one connection.
#[derive(Debug)]
pub struct Buffers<'b> {
    /// Holds a received record until it is complete; [`RECORD_BYTES_MAX`], or what the server's records have at most.
    pub record: &'b mut [u8],
    /// Of the same size: the record that is read from.
    pub plain: &'b mut [u8],
    /// Holds a record to send: the device's certificate and 256 bytes at least.
    pub send: &'b mut [u8],
}

/// A connector that encrypts what another one connects.
#[derive(Debug)]
pub struct Tls<'b, N, R> {
    network: N,
    certificates: Certificates<'b>,
    random: R,
    date: fn() -> Date,
    buffers: Buffers<'b>,
}

/// Certificates that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidCertificates {
    /// `ca` is no certificate.
    Ca(webpki::Error),
    /// `key` is no P-256 key in PKCS #8.
    Key,
}

/// Why a connection failed.
#[derive(Debug)]
pub enum ConnectError<E> {
    /// A connection without TLS was requested.
    NotEncrypted,
    /// The host is neither a DNS name nor an IP address.
    ServerName,
    /// There is no connection.
    Network(E),
    /// The server's certificate is not accepted.
    Certificate(Refused),
    /// The handshake failed.
    Handshake(TlsError),
}

impl<'b, N, R> Tls<'b, N, R> {
    /// Creates a connector. `random` is a cryptographic generator with a seed from hardware; `date` is asked at every connection.
    ///
    /// Errors: `certificates` cannot be used.
    pub fn new(
        network: N,
        certificates: Certificates<'b>,
        random: R,
        date: fn() -> Date,
        buffers: Buffers<'b>,
    ) -> Result<Self, InvalidCertificates> {
        webpki::anchor_from_trusted_cert(&certificates.ca.into()).map_err(InvalidCertificates::Ca)?;
        SigningKey::from_pkcs8_der(certificates.key).map_err(|_| InvalidCertificates::Key)?;
        Ok(Self { network, certificates, random, date, buffers })
    }
}

impl<N: Connector, R: CryptoRngCore> Connector for Tls<'_, N, R> {
    type Stream<'a>
        = TlsStream<'a, N::Stream<'a>>
    where
        Self: 'a;
    type Error = ConnectError<N::Error>;

    async fn connect<'a>(
        &'a mut self,
        host: &str,
        port: u16,
        tls: bool,
        activity: &'a Activity,
    ) -> Result<Self::Stream<'a>, Self::Error> {
        if !tls {
            return Err(ConnectError::NotEncrypted);
        }
        let name = ServerName::try_from(host).map_err(|_| ConnectError::ServerName)?;
        let config = match name {
            ServerName::DnsName(_) => TlsConfig::new().with_server_name(host),
            _ => TlsConfig::new(), // RFC 6066, 3: no addresses
        };
        let socket = self.network.connect(host, port, false, activity).await.map_err(ConnectError::Network)?;
        let Buffers { record, plain, send } = &mut self.buffers;
        let mut connection = TlsConnection::new(Records::new(socket, record), plain, send);
        connection.set_flush_policy(FlushPolicy::Relaxed); // not until the peer has acknowledged
        let verifier = Verifier::new(self.certificates.ca, name, (self.date)());
        let mut handshake = Handshake { verifier, random: &mut self.random, certificates: self.certificates };
        let opened = connection.open(TlsContext::new(&config, &mut handshake)).await;
        match (opened, handshake.verifier.verdict()) {
            (Ok(()), Ok(())) => Ok(TlsStream { connection, writing: false }),
            (Err(error), Ok(()) | Err(Refused::NotProven)) => Err(ConnectError::Handshake(error)),
            (_, Err(refused)) => Err(ConnectError::Certificate(refused)),
        }
    }
}

/// What embedded-tls asks for during a handshake.
struct Handshake<'h, R> {
    verifier: Verifier<'h>,
    random: &'h mut R,
    certificates: Certificates<'h>,
}

impl<R: CryptoRngCore> CryptoProvider for Handshake<'_, R> {
    type CipherSuite = Aes128GcmSha256;
    type Signature = DerSignature;

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut *self.random
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.verifier)
    }

    fn signer(&mut self) -> Result<(impl SignerMut<DerSignature>, SignatureScheme), TlsError> {
        let key = SigningKey::from_pkcs8_der(self.certificates.key).map_err(|_| TlsError::InvalidPrivateKey)?;
        Ok((key, SignatureScheme::EcdsaSecp256r1Sha256))
    }

    fn client_cert(&mut self) -> Option<Certificate<impl AsRef<[u8]>>> {
        Some(Certificate::X509(self.certificates.device))
    }
}

/// An encrypted connection to a verified server.
pub struct TlsStream<'a, S: Read + Write> {
    connection: TlsConnection<'a, Records<'a, S>, Aes128GcmSha256>,
    /// A record is partly sent; if it stays so, the rest of it is lost.
    writing: bool,
}

impl<S: Read + Write> TlsStream<'_, S> {
    fn begin_write(&mut self) -> Result<(), TlsError> {
        if core::mem::replace(&mut self.writing, true) { Err(TlsError::ConnectionClosed) } else { Ok(()) }
    }
}

impl<S: Read + Write> ErrorType for TlsStream<'_, S> {
    type Error = TlsError;
}

impl<S: Read + Write> Read for TlsStream<'_, S> {
    /// # Cancel safety
    /// Cancel-safe: embedded-tls sees complete records only, and so nothing of one is lost.
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, TlsError> {
        match self.connection.read(out).await {
            Err(TlsError::ConnectionClosed) => Ok(0),
            read => read,
        }
    }
}

impl<S: Read + Write> Write for TlsStream<'_, S> {
    /// # Cancel safety
    /// After dropping the future, every write fails.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        self.begin_write()?;
        let written = self.connection.write(bytes).await;
        self.writing = false;
        written
    }

    /// # Cancel safety
    /// As for `write`.
    async fn flush(&mut self) -> Result<(), TlsError> {
        self.begin_write()?;
        let flushed = self.connection.flush().await;
        self.writing = false;
        flushed
    }
}
