//! [`Flash`](super::Flash) for the in-memory flash of the tests.

use super::{bisync, only_async, only_sync};
use embedded_storage::nor_flash::NorFlashErrorKind;

use super::flash::Flash;
pub(crate) use crate::fixtures::*;

fn told(cut: Result<(), Cut>) -> Result<(), NorFlashErrorKind> {
    cut.map_err(|_| NorFlashErrorKind::Other)
}

#[bisync]
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
        // A cut erase leaves words that may read as erased without being erased.
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

/// Flash whose first readings, this many, have their first bit flipped.
pub(crate) struct Flips<'f, F>(pub(crate) &'f mut F, pub(crate) u32);

#[bisync]
impl<F: Flash> Flash for Flips<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.0.read(offset_bytes, out).await?;
        if let Some(left) = self.1.checked_sub(1) {
            (self.1, out[0]) = (left, out[0] ^ 1);
        }
        Ok(())
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0.write(offset_bytes, bytes).await
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        self.0.erase(from_bytes, to_bytes).await
    }

    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        self.0.sync().await
    }
}

/// Returns the output of a future over this flash, which is ready at the first poll.
#[only_async]
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    super::flash::poll_ready(future).expect("memory never waits")
}

/// Returns `value`: the blocking counterpart of running a future.
#[only_sync]
pub(crate) fn run<T>(value: T) -> T {
    value
}
