//! Certificates made at run time, and servers that have them.

use std::sync::Arc;

use ota_cloud::serve::{Config, Service, TlsFiles};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// The first of January of this year is now.
const THIS_YEAR: i32 = 2030;
/// That date, in seconds since 1970.
pub const NOW: u64 = 1_893_456_000;
/// A year, in seconds.
pub const YEAR: u64 = 365 * 24 * 3600;

/// A certificate and its key, or the request for one.
pub struct Leaf {
    params: CertificateParams,
    key: KeyPair,
    key_der: Vec<u8>,
    der: CertificateDer<'static>,
    pem: String,
}

impl Leaf {
    fn new(hosts: &[&str], usage: Option<ExtendedKeyUsagePurpose>) -> Self {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.not_before = date_time_ymd(THIS_YEAR - 10, 1, 1);
        params.extended_key_usages.extend(usage);
        let key = KeyPair::generate().unwrap();
        Self { params, key_der: key.serialize_der(), key, der: CertificateDer::from(Vec::new()), pem: String::new() }
    }

    pub fn server(hosts: &[&str]) -> Self {
        Self::new(hosts, Some(ExtendedKeyUsagePurpose::ServerAuth))
    }

    pub fn device(name: &str) -> Self {
        let mut leaf = Self::new(&[], None);
        leaf.params.distinguished_name.push(DnType::CommonName, name);
        leaf
    }

    pub fn client_only(host: &str) -> Self {
        Self::new(&[host], Some(ExtendedKeyUsagePurpose::ClientAuth))
    }

    /// Valid between two dates, in years from now.
    pub fn valid(mut self, from_years: i32, until_years: i32) -> Self {
        self.params.not_before = date_time_ymd(THIS_YEAR + from_years, 1, 1);
        self.params.not_after = date_time_ymd(THIS_YEAR + until_years, 1, 1);
        self
    }

    /// The same certificate, for a server that has not its key.
    pub fn with_another_key(mut self) -> Self {
        self.key_der = KeyPair::generate().unwrap().serialize_der();
        self
    }

    /// Signs a certificate although it is no CA.
    pub fn issue(&self, leaf: Leaf) -> Leaf {
        sign(leaf, &Issuer::from_params(&self.params, &self.key))
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub fn key_der(&self) -> &[u8] {
        &self.key_der
    }
}

fn sign(mut leaf: Leaf, issuer: &Issuer<'_, &KeyPair>) -> Leaf {
    let certificate = leaf.params.signed_by(&leaf.key, issuer).unwrap();
    (leaf.der, leaf.pem) = (certificate.der().clone(), certificate.pem());
    leaf
}

/// A CA.
pub struct Ca(Leaf);

impl Ca {
    fn unsigned(name: &str) -> Leaf {
        let mut leaf = Leaf::device(name);
        leaf.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        leaf
    }

    pub fn new() -> Self {
        let mut leaf = Self::unsigned("CA");
        let certificate = leaf.params.self_signed(&leaf.key).unwrap();
        (leaf.der, leaf.pem) = (certificate.der().clone(), certificate.pem());
        Self(leaf)
    }

    pub fn intermediate(&self) -> Self {
        Self(self.issue(Self::unsigned("intermediate")))
    }

    pub fn into_leaf(self) -> Leaf {
        self.0
    }

    pub fn issue(&self, leaf: Leaf) -> Leaf {
        self.0.issue(leaf)
    }

    pub fn der(&self) -> &[u8] {
        self.0.der()
    }

    /// A service with TLS as "localhost", and its port.
    pub async fn service(&self, name: &str) -> (Service, u16) {
        let folder = std::env::temp_dir().join(format!("ota-firmware-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let server = self.issue(Leaf::server(&["localhost"]));
        let files = [("ca.pem", &self.0.pem), ("server.pem", &server.pem), ("server.key", &server.key.serialize_pem())];
        for (file, text) in files {
            std::fs::write(folder.join(file), text).unwrap();
        }
        let [ca, cert, key] = files.map(|(file, _)| folder.join(file));
        let service =
            Service::start(Config { tls: Some(TlsFiles { cert, key, ca }), ..Config::local(&folder) }).await.unwrap();
        let port = service.mqtt.rsplit_once(':').unwrap().1.parse().unwrap();
        (service, port)
    }
}

/// A TLS server for one connection.
pub struct Server {
    port: u16,
    send: mpsc::UnboundedSender<Vec<u8>>,
}

impl Server {
    /// Starts a server with `chain`, its own certificate first.
    pub async fn start(chain: Vec<Leaf>) -> Self {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(chain[0].key_der.clone()));
        let key = rustls::crypto::ring::sign::any_ecdsa_type(&key).unwrap();
        let chain = chain.into_iter().map(|leaf| leaf.der).collect();
        let certified = rustls::sign::CertifiedKey::new(chain, key);
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (send, mut to_send) = mpsc::unbounded_channel::<Vec<u8>>();
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(socket).await else { return };
            while let Some(bytes) = to_send.recv().await {
                stream.write_all(&bytes).await.unwrap();
                stream.flush().await.unwrap();
            }
        });
        Self { port, send }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends `bytes` in pieces of 300.
    pub fn send_slowly(&self, bytes: &[u8]) {
        for piece in bytes.chunks(300) {
            self.send.send(piece.to_vec()).unwrap();
        }
    }
}
