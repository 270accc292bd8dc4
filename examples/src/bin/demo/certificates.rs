//! Certificates that live as long as the demo: one CA, the server, and a device.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::Error;

/// The files of one party.
#[derive(Clone, Debug)]
pub struct ImageInfo {
    /// Its certificate (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

/// The CA of the demo.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate (PEM).
    pub certificate: PathBuf,
}

impl Authority {
    /// Makes a CA and writes its certificate to `folder`; its key stays in memory.
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

    /// A certificate for the server under the names that it is reached by.
    pub fn server(&self, folder: &Path) -> Result<ImageInfo, Error> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        self.issue(folder, "server", names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for the client `name`.
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

/// Writes what only its owner may read, from its first byte on.
fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::Folder;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_for_their_owner_alone() -> Result<(), Error> {
        let folder = Folder::new(&std::env::temp_dir())?;
        let authority = Authority::new(folder.path())?;
        let (server, device) = (authority.server(folder.path())?, authority.client(folder.path(), "kitchen")?);
        for key in [server.key, device.key] {
            assert_eq!(fs::metadata(key)?.permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::metadata(folder.path())?.permissions().mode() & 0o777, 0o700);
        Ok(())
    }
}
