//! For the tests of this crate: a NOR flash in memory that enforces the rules and loses power on demand, and signed images.

use core::ops::Range;
use std::vec;
use std::vec::Vec;

use embedded_storage::nor_flash::NorFlashErrorKind;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::flash::{Flash, now};
use crate::hardware::HardwareId;
use crate::header::{Body, Component, Header, Link};
use crate::keys::Key;
use crate::version::Version;

/// What a cut leaves of the operation it hits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Nothing was done.
    Before,
    /// The first half was done.
    Half,
    /// A write cleared some bits, an erase set some: every other byte.
    Torn,
    /// All was done, but nobody was told.
    After,
}

pub(crate) const CUTS: [Cut; 4] = [Cut::Before, Cut::Half, Cut::Torn, Cut::After];

/// An operation that changed the flash, or made it durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Erase(u32),
    Write(u32),
    Sync,
}

/// A flash of reads of `R`, words of `W` and sectors of `E` bytes. It panics on what a driver would call a bug of its caller.
pub(crate) struct Ram<const R: usize, const W: usize, const E: usize> {
    pub(crate) bytes: Vec<u8>,
    /// Words that may not be written before the next erase, a cut write's included.
    used: Vec<bool>,
    pub(crate) ops: Vec<Op>,
    /// The operation that is cut, counted from 0; everything after it fails.
    pub(crate) cut: Option<(usize, Cut)>,
    /// A byte that always reads with a flipped bit once written.
    pub(crate) stuck: Option<usize>,
    /// After so many more reads, one is refused.
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

    /// A flash that holds anything, every word of it used.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        let used = vec![true; bytes.len() / W];
        let (ops, unreadable, unerasable) = (Vec::new(), 0..0, 0..0);
        Self { bytes, used, ops, cut: None, stuck: None, deaf: None, unreadable, unerasable }
    }

    /// Power comes back.
    pub(crate) fn power_on(&mut self) {
        self.cut = None;
        self.ops.clear();
    }

    /// How much of an operation happens: `Ok` for all of it.
    fn count(&mut self, op: Op) -> Result<(), Cut> {
        self.ops.push(op);
        match self.cut {
            Some((at, cut)) if self.ops.len() == at + 1 => Err(cut),
            Some((at, _)) if self.ops.len() > at => Err(Cut::Before),
            _ => Ok(()),
        }
    }

    fn is_off(&self) -> bool {
        self.cut.is_some_and(|(at, _)| self.ops.len() > at)
    }
}

/// The bytes of a range that a cut operation still reached.
fn reached(len: usize, cut: Result<(), Cut>) -> impl Iterator<Item = usize> {
    let (end, step) = match cut {
        Ok(()) | Err(Cut::After) => (len, 1),
        Err(Cut::Before) => (0, 1),
        Err(Cut::Half) => (len / 2, 1),
        Err(Cut::Torn) => (len, 2),
    };
    (0..end).step_by(step)
}

fn told(cut: Result<(), Cut>) -> Result<(), NorFlashErrorKind> {
    cut.map_err(|_| NorFlashErrorKind::Other)
}

impl<const R: usize, const W: usize, const E: usize> Flash for Ram<R, W, E> {
    const READ_SIZE: usize = R;
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = E;

    fn capacity(&self) -> usize {
        self.bytes.len()
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let at = offset_bytes as usize;
        assert!(at.is_multiple_of(R) && out.len().is_multiple_of(R), "read of {} at {at}", out.len());
        if self.is_off() {
            return Err(NorFlashErrorKind::Other);
        }
        let is_deaf = self.deaf == Some(0);
        self.deaf = self.deaf.and_then(|reads| reads.checked_sub(1));
        if is_deaf || self.unreadable.contains(&(at / E)) {
            return Err(NorFlashErrorKind::Other);
        }
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
        Ok(())
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let at = offset_bytes as usize;
        assert!(at.is_multiple_of(W) && bytes.len().is_multiple_of(W), "write of {} at {at}", bytes.len());
        if self.is_off() {
            return Err(NorFlashErrorKind::Other);
        }
        let words = &mut self.used[at / W..(at + bytes.len()) / W];
        assert!(!words.contains(&true), "word written twice at {at}");
        words.fill(true);
        let cut = self.count(Op::Write(offset_bytes));
        for index in reached(bytes.len(), cut) {
            self.bytes[at + index] &= bytes[index];
        }
        if let Some(stuck) = self.stuck.filter(|stuck| (at..at + bytes.len()).contains(stuck)) {
            self.bytes[stuck] ^= 0x10;
        }
        told(cut)
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        let range = from_bytes as usize..to_bytes as usize;
        assert!(range.start.is_multiple_of(E) && range.end.is_multiple_of(E), "erase of {range:?}");
        if self.is_off() {
            return Err(NorFlashErrorKind::Other);
        }
        if self.unerasable.contains(&(range.start / E)) {
            return Err(NorFlashErrorKind::Other);
        }
        let cut = self.count(Op::Erase(from_bytes));
        for index in reached(range.len(), cut) {
            self.bytes[range.start + index] = 0xFF;
        }
        // A cut erase leaves words that may read as erased and are not.
        let whole = matches!(cut, Ok(()) | Err(Cut::After));
        self.used[range.start / W..range.end / W].fill(!whole);
        told(cut)
    }

    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        if self.is_off() {
            return Err(NorFlashErrorKind::Other);
        }
        told(self.count(Op::Sync))
    }
}

/// The value of a future over this flash, which never waits.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    now(future).expect("memory never waits")
}

/// A key that exists for one test run: its scalar is the hash of a name.
pub(crate) fn signing_key(name: &str) -> SigningKey {
    SigningKey::from_slice(&Sha256::digest(name)).expect("a hash is below the order of the group, but once in 2^32")
}

/// The public half, as a device holds it.
pub(crate) fn public_key(id: &str, key: &SigningKey) -> Key {
    Key::new(id, key.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
}

/// A signature as AWS sends it, after base64.
pub(crate) fn sign(key: &SigningKey, digest: &Digest) -> Vec<u8> {
    let signature: p256::ecdsa::Signature = key.sign_prehash(&digest.0).unwrap();
    signature.to_der().as_bytes().to_vec()
}

/// The `openssl` command, in a folder that lasts as long as this.
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

    /// Runs it with these arguments, separated by spaces; `@` stands before a file of the folder.
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

/// The header of an image for the board `board`.
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
    }
}

/// An image with this header and a body that depends on its version.
pub(crate) fn image(header: &Header) -> Vec<u8> {
    let mut bytes = header.emit().to_vec();
    bytes.resize(header.body.offset_bytes() as usize, 0);
    bytes.extend((0..header.body.len_bytes()).map(|index| (index as u8).wrapping_mul(31) ^ header.version.patch as u8));
    bytes
}
