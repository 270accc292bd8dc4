//! Test support: an in-memory NOR flash that enforces the rules of NOR flash and simulates power cuts, and signed
//! images.

use core::ops::Range;
use std::vec;
use std::vec::Vec;

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest as _, Sha256};

use crate::image::digest::Digest;
use crate::image::hardware::HardwareId;
use crate::image::header::{Body, Component, Header, Link};
use crate::image::version::Version;
use crate::verify::keys::Key;

/// The part of an operation that takes effect before a power cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Nothing.
    Before,
    /// The first half.
    Half,
    /// Every other byte: a write cleared some bits, an erase set some.
    Torn,
    /// All of it, but the operation returns an error.
    After,
}

pub(crate) const CUTS: [Cut; 4] = [Cut::Before, Cut::Half, Cut::Torn, Cut::After];

/// An operation that changes the flash or makes changes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Erase(u32),
    Write(u32),
    Sync,
}

/// A flash with reads of `R`, words of `W` and sectors of `E` bytes. It panics on misuse by the caller.
pub(crate) struct Ram<const R: usize, const W: usize, const E: usize> {
    pub(crate) bytes: Vec<u8>,
    /// Words that must not be written before the next erase, including those of a cut write.
    pub(crate) used: Vec<bool>,
    pub(crate) ops: Vec<Op>,
    /// The operation that is cut, counted from 0; every later operation fails.
    pub(crate) cut: Option<(usize, Cut)>,
    /// A byte that always reads with a flipped bit after it was written.
    pub(crate) stuck: Option<usize>,
    /// The number of reads before one that fails.
    pub(crate) deaf: Option<usize>,
    /// Sectors that cannot be read.
    pub(crate) unreadable: Range<usize>,
    /// Sectors that cannot be erased.
    pub(crate) unerasable: Range<usize>,
}

impl<const R: usize, const W: usize, const E: usize> Ram<R, W, E> {
    pub(crate) fn new(sectors: usize) -> Self {
        let len = sectors * E;
        Self { used: vec![false; len / W], ..Self::holding(vec![0xFF; len]) }
    }

    /// Creates a flash with these contents, every word of it already written.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        let used = vec![true; bytes.len() / W];
        let (ops, unreadable, unerasable) = (Vec::new(), 0..0, 0..0);
        Self { bytes, used, ops, cut: None, stuck: None, deaf: None, unreadable, unerasable }
    }

    /// Restores power.
    pub(crate) fn power_on(&mut self) {
        self.cut = None;
        self.ops.clear();
    }

    /// Records `op` and returns how much of it takes effect: `Ok` for all of it.
    pub(crate) fn count(&mut self, op: Op) -> Result<(), Cut> {
        self.ops.push(op);
        match self.cut {
            Some((at, cut)) if self.ops.len() == at + 1 => Err(cut),
            Some((at, _)) if self.ops.len() > at => Err(Cut::Before),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.cut.is_some_and(|(at, _)| self.ops.len() > at)
    }
}

/// Returns the indices of a range that a cut operation reaches.
pub(crate) fn reached(len: usize, cut: Result<(), Cut>) -> impl Iterator<Item = usize> {
    let (end, step) = match cut {
        Ok(()) | Err(Cut::After) => (len, 1),
        Err(Cut::Before) => (0, 1),
        Err(Cut::Half) => (len / 2, 1),
        Err(Cut::Torn) => (len, 2),
    };
    (0..end).step_by(step)
}

/// Returns a key for one test run; its scalar is the hash of a name.
pub(crate) fn signing_key(name: &str) -> SigningKey {
    SigningKey::from_slice(&Sha256::digest(name)).expect("a hash is below the order of the group, but once in 2^32")
}

/// Returns the public key, as a device stores it.
pub(crate) fn public_key(id: &str, key: &SigningKey) -> Key {
    Key::new(id, key.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
}

/// Returns a signature in the encoding of AWS, after base64 decoding.
pub(crate) fn sign(key: &SigningKey, digest: &Digest) -> Vec<u8> {
    let signature: p256::ecdsa::Signature = key.sign_prehash(&digest.0).unwrap();
    signature.to_der().as_bytes().to_vec()
}

/// The `openssl` command in a temporary folder, which is removed on drop.
#[cfg(any(feature = "ed25519", feature = "rsa"))]
pub(crate) struct OpenSsl(std::path::PathBuf);

#[cfg(any(feature = "ed25519", feature = "rsa"))]
impl OpenSsl {
    pub(crate) fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(std::format!("ota-pal-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Runs the command with these arguments, separated by spaces; `@` is replaced by the path of the folder.
    pub(crate) fn run(&self, arguments: &str) {
        let folder = std::format!("{}/", self.0.display());
        let mut command = std::process::Command::new("openssl");
        command.args(arguments.split(' ').map(|argument| argument.replace('@', &folder)));
        let output = command.output().expect("this test needs the command `openssl`: install it");
        assert!(
            output.status.success(),
            "openssl {arguments}: {}",
            std::string::String::from_utf8_lossy(&output.stderr)
        );
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }
}

#[cfg(any(feature = "ed25519", feature = "rsa"))]
impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Returns the header of an image for the board `board`.
pub(crate) fn header(version: Version, body_bytes: u32) -> Header {
    Header {
        component: Component::App,
        link: Link::Any,
        hardware: HardwareId::new("board").unwrap(),
        version,
        security_counter: 0,
        load_address: 0,
        body: Body::new(512, body_bytes).unwrap(),
        release_id: 1,
        system_min: crate::MajorMinor::default(),
    }
}

/// Returns an image with this header and a body that depends on its version.
pub(crate) fn image(header: &Header) -> Vec<u8> {
    let mut bytes = header.emit().to_vec();
    bytes.resize(header.body.offset_bytes() as usize, 0);
    bytes.extend((0..header.body.len_bytes()).map(|index| (index as u8).wrapping_mul(31) ^ header.version.patch as u8));
    bytes
}
