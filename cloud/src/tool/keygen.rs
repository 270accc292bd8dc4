//! `ota keygen`: an ECDSA P-256 key pair, the private half readable by its owner alone.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use p256::SecretKey;
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use ring::rand::{SecureRandom, SystemRandom};

use super::{Failed, say};

/// Only the owner reads the private key.
const PRIVATE_MODE: u32 = 0o600;
/// Everybody may read the public one.
const PUBLIC_MODE: u32 = 0o644;
/// A random scalar is outside 1..n once in 2^32 draws.
const DRAWS_MAX: usize = 8;

/// Make a key pair for signing images.
#[derive(Debug, Args)]
pub struct Keygen {
    /// Directory for `private.pem` (PKCS#8), and `public.pem` and `public.der` (SubjectPublicKeyInfo; devices take DER).
    #[arg(long)]
    out: PathBuf,
}

impl Keygen {
    /// Writes the files; an existing key is never overwritten.
    pub fn run(&self) -> Result<(), Failed> {
        let secret = draw()?;
        let private = secret.to_pkcs8_pem(LineEnding::LF).map_err(|error| Failed::new(error.to_string()))?;
        let public = secret.public_key().to_public_key_pem(LineEnding::LF);
        let public = public.map_err(|error| Failed::new(error.to_string()))?;
        let der = secret.public_key().to_public_key_der().map_err(|error| Failed::new(error.to_string()))?;
        std::fs::create_dir_all(&self.out).map_err(|error| Failed::file(&self.out, &error))?;
        let (private_path, public_path) = (self.out.join("private.pem"), self.out.join("public.pem"));
        let der_path = self.out.join("public.der");
        create(&private_path, private.as_bytes(), PRIVATE_MODE)?;
        create(&public_path, public.as_bytes(), PUBLIC_MODE)?;
        create(&der_path, der.as_bytes(), PUBLIC_MODE)?;
        say(private_path.display());
        say(public_path.display());
        say(format_args!(
            "{} (the same, {} bytes of DER, as a device takes it)",
            der_path.display(),
            der.as_bytes().len()
        ));
        Ok(())
    }
}

fn draw() -> Result<SecretKey, Failed> {
    for _ in 0..DRAWS_MAX {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Failed::new("the system gave no random numbers"))?;
        if let Ok(key) = SecretKey::from_slice(&bytes) {
            return Ok(key);
        }
    }
    Err(Failed::new("the system's random numbers make no key"))
}

fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failed> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| Failed::file(path, &error))
}
