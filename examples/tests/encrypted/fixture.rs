//! Certificates made at run time, and a service and a device that use them.

use std::path::{Path, PathBuf};

use ota_cloud::serve::{Config, Service, TlsFiles};
use ota_examples::connect::Network;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A folder with a CA, and certificates for "localhost" and for the thing "kitchen".
pub struct Fixture(pub PathBuf);

impl Fixture {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ota-encrypted-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        for (name, hosts) in [("server", vec!["localhost".to_owned()]), ("kitchen", Vec::new())] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(hosts).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            std::fs::write(folder.join(format!("{name}.pem")), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
            std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self(folder)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub async fn service(&self) -> (Service, u16) {
        let tls = TlsFiles { cert: self.file("server.pem"), key: self.file("server.key"), ca: self.file("ca.pem") };
        let service = Service::start(Config { tls: Some(tls), ..Config::local(&self.0) }).await.unwrap();
        let port = service.mqtt.rsplit_once(':').unwrap().1.parse().unwrap();
        (service, port)
    }

    pub fn device(&self, ca: &Path) -> Network {
        Network::with_tls(ca, Some((&self.file("kitchen.pem"), &self.file("kitchen.key")))).unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
