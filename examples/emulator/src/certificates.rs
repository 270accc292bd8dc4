//! Certificates for one run of the demo or of the emulated board: a CA, the server, and the devices.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// Why a certificate could not be made.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Certificate and key files of one endpoint.
#[derive(Clone, Debug)]
pub struct ImageInfo {
    /// Certificate (PEM).
    pub certificate: PathBuf,
    /// Private key (PEM).
    pub key: PathBuf,
}

/// The CA of the demo.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// CA certificate (PEM).
    pub certificate: PathBuf,
}

impl Authority {
    /// Creates a CA and writes its certificate to `folder`; its key is kept in memory.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "demo CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = folder.join("ca.pem");
        fs::write(&certificate, params.self_signed(&key)?.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// Issues a server certificate for these names and addresses of the service.
    pub fn server(&self, folder: &Path, names: &[&str]) -> Result<ImageInfo, Error> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.issue(folder, "server", names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a certificate for the client `name`.
    pub fn client(&self, folder: &Path, name: &str) -> Result<ImageInfo, Error> {
        self.issue(folder, name, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        folder: &Path,
        name: &str,
        addresses: Vec<String>,
        purpose: ExtendedKeyUsagePurpose,
    ) -> Result<ImageInfo, Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(addresses)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let identity =
            ImageInfo { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key.pem")) };
        fs::write(&identity.certificate, params.signed_by(&key, &self.issuer)?.pem())?;
        write_secret(&identity.key, &key.serialize_pem())?;
        Ok(identity)
    }
}

/// Writes a file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_for_their_owner_alone() -> Result<(), Error> {
        let folder = std::env::temp_dir().join(format!("ota-certificates-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let authority = Authority::new(&folder)?;
        let (server, device) = (authority.server(&folder, &["localhost"])?, authority.client(&folder, "kitchen")?);
        for key in [server.key, device.key] {
            assert_eq!(fs::metadata(key)?.permissions().mode() & 0o777, 0o600);
        }
        Ok(fs::remove_dir_all(folder)?)
    }
}
