//! NOR flash as used by this crate: read, erase, write and a barrier. Adapters for drivers, and verified writes.

pub mod boot_records;
#[cfg(any(test, feature = "std"))]
mod file;
pub mod floors;
pub mod hash;
pub mod image_header;
pub mod joined;
#[cfg(feature = "littlefs")]
pub mod littlefs;
pub(crate) mod records;
mod shared;

use super::{bisync, only_async, only_sync};
#[only_async]
use core::future::Future;
#[only_async]
use core::pin::pin;
#[only_async]
use core::task::{Context, Poll, Waker};

use embedded_storage::nor_flash as blocking;
use embedded_storage::nor_flash::{NorFlashError, NorFlashErrorKind};
#[only_async]
use embedded_storage_async::nor_flash as asynchronous;

use crate::fault::Fault;
use crate::store::layout::Geometry;
pub use crate::store::region::WORD_BYTES_MAX;

/// Maximum number of bytes of one read: the largest buffer in a future of this crate.
pub const CHUNK_BYTES: usize = 256;

/// NOR flash with a barrier. Offsets and lengths are in bytes and must be multiples of the constants.
///
/// The semantics are those of `embedded_storage_async::nor_flash`: an erase sets all bits, a write only clears bits,
/// and no word is written twice between erases. Wrap a driver in [`Blocking`] or `Async` rather than implementing this
/// trait.
#[allow(async_fn_in_trait)]
#[bisync]
pub trait Flash {
    /// Unit of reads in bytes.
    const READ_SIZE: usize;
    /// Unit of writes in bytes.
    const WRITE_SIZE: usize;
    /// Unit of erases in bytes: a sector.
    const ERASE_SIZE: usize;

    /// Returns the size of the flash in bytes.
    fn capacity(&self) -> usize;

    /// Fills `out` with the bytes from `offset_bytes` on.
    ///
    /// # Cancel safety
    /// This method does not change flash.
    ///
    /// # Errors
    /// The kind of the driver's error.
    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind>;

    /// Writes `bytes` at `offset_bytes`, which must be erased.
    ///
    /// # Cancel safety
    /// The content of these words is undefined.
    ///
    /// # Errors
    /// The kind of the driver's error.
    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind>;

    /// Erases `from_bytes..to_bytes`.
    ///
    /// # Cancel safety
    /// The content of these sectors is undefined; they may read as erased without being erased.
    ///
    /// # Errors
    /// The kind of the driver's error.
    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind>;

    /// Returns when all earlier writes and erases are durable.
    ///
    /// # Cancel safety
    /// Earlier writes and erases may not be durable. The same holds after an error.
    ///
    /// # Errors
    /// The kind of the driver's error.
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind>;
}

#[bisync]
impl<T: Flash> Flash for &mut T {
    const READ_SIZE: usize = T::READ_SIZE;
    const WRITE_SIZE: usize = T::WRITE_SIZE;
    const ERASE_SIZE: usize = T::ERASE_SIZE;

    fn capacity(&self) -> usize {
        T::capacity(self)
    }
    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        T::read(self, offset_bytes, out).await
    }
    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        T::write(self, offset_bytes, bytes).await
    }
    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        T::erase(self, from_bytes, to_bytes).await
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        T::sync(self).await
    }
}

/// A blocking driver as a [`Flash`]. Its futures are ready at the first poll, see [`poll_ready`]. A write is durable when it
/// returns.
#[only_async]
#[derive(Debug)]
pub struct Blocking<F>(pub F);

#[only_sync]
pub use crate::asynchronous::flash::Blocking;

#[bisync]
impl<F: blocking::NorFlash> Flash for Blocking<F> {
    const READ_SIZE: usize = F::READ_SIZE;
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.0.read(offset_bytes, out).map_err(|error| error.kind())
    }
    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0.write(offset_bytes, bytes).map_err(|error| error.kind())
    }
    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        self.0.erase(from_bytes, to_bytes).map_err(|error| error.kind())
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        Ok(())
    }
}

/// An async driver as a [`Flash`]. A write is durable when it returns.
#[only_async]
#[derive(Debug)]
pub struct Async<F>(pub F);

#[only_async]
#[bisync]
impl<F: asynchronous::NorFlash> Flash for Async<F> {
    const READ_SIZE: usize = F::READ_SIZE;
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.0.read(offset_bytes, out).await.map_err(|error| error.kind())
    }
    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0.write(offset_bytes, bytes).await.map_err(|error| error.kind())
    }
    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        self.0.erase(from_bytes, to_bytes).await.map_err(|error| error.kind())
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        Ok(())
    }
}

/// Polls a future once and returns its output; `None` if it is not ready.
///
/// Over [`Blocking`], every future of this crate is ready at the first poll: a boot selector needs no executor.
#[only_async]
pub fn poll_ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Returns the unit in bytes in which this crate reads and writes `F`. Some drivers have a larger unit for reads than
/// for writes.
pub(crate) const fn word_bytes<F: Flash>() -> u32 {
    if F::READ_SIZE > F::WRITE_SIZE { F::READ_SIZE as u32 } else { F::WRITE_SIZE as u32 }
}

/// Reads whole words. A failed read is repeated once, because a transient bus error must cause neither a return to an
/// older record nor the loss of an image.
///
/// # Cancel safety
/// This function does not change flash.
///
/// # Errors
/// [`Fault::Read`].
#[bisync]
pub async fn read<F: Flash>(flash: &mut F, at: u32, out: &mut [u8]) -> Result<(), Fault> {
    if flash.read(at, out).await.is_ok() {
        return Ok(());
    }
    flash.read(at, out).await.map_err(|_| Fault::Read { offset_bytes: at })
}

/// Erases the sector at `at` and verifies that it reads as erased, because data written to a sector that is not erased
/// would be lost.
///
/// # Cancel safety
/// The content of the sector is undefined.
///
/// # Errors
/// [`Fault::Erase`], [`Fault::Read`].
#[bisync]
pub async fn erase_sector<F: Flash>(flash: &mut F, at: u32) -> Result<(), Fault> {
    flash.erase(at, at + F::ERASE_SIZE as u32).await.map_err(|_| Fault::Erase { offset_bytes: at })?;
    match is_erased(flash, at, F::ERASE_SIZE as u32).await? {
        true => Ok(()),
        false => Err(Fault::Erase { offset_bytes: at }),
    }
}

/// Returns whether `len_bytes` from `at` on read as erased; both are multiples of a word. After an interrupted erase, a
/// sector may read as erased without being erased.
///
/// # Cancel safety
/// This function does not change flash.
///
/// # Errors
/// [`Fault::Read`].
#[bisync]
pub async fn is_erased<F: Flash>(flash: &mut F, at: u32, len_bytes: u32) -> Result<bool, Fault> {
    let end = at + len_bytes;
    for offset_bytes in (at..end).step_by(CHUNK_BYTES) {
        let len = CHUNK_BYTES.min((end - offset_bytes) as usize);
        if !holds(flash, offset_bytes, &[0xFF; CHUNK_BYTES][..len]).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether `expected`, at most [`CHUNK_BYTES`], is read at `at`. Anything else is read once more: a transient bit error
/// is no worn word.
#[bisync]
async fn holds<F: Flash>(flash: &mut F, at: u32, expected: &[u8]) -> Result<bool, Fault> {
    let mut found = [0; CHUNK_BYTES];
    let found = &mut found[..expected.len()];
    for _ in 0..2 {
        read(flash, at, found).await?;
        if *found == *expected {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes all earlier writes and erases durable.
///
/// # Cancel safety
/// Earlier writes and erases may not be durable.
///
/// # Errors
/// [`Fault::Sync`].
#[bisync]
pub async fn sync<F: Flash>(flash: &mut F) -> Result<(), Fault> {
    flash.sync().await.map_err(|_| Fault::Sync)
}

/// Writes `bytes` from a word boundary on, pads the last word with ones, and verifies everything by reading it back.
///
/// # Cancel safety
/// The content of these words is undefined.
///
/// # Errors
/// [`Fault::Write`], [`Fault::ReadBack`], [`Fault::Read`].
#[bisync]
pub async fn write<F: Flash>(flash: &mut F, at: u32, bytes: &[u8]) -> Result<(), Fault> {
    let word_bytes = word_bytes::<F>() as usize;
    let (words, rest) = bytes.split_at(bytes.len() - bytes.len() % word_bytes);
    let mut last = [0xFF; WORD_BYTES_MAX];
    last[..rest.len()].copy_from_slice(rest);
    let mut offset_bytes = at;
    for part in [words, &last[..rest.len().next_multiple_of(word_bytes)]] {
        if part.is_empty() {
            continue;
        }
        flash.write(offset_bytes, part).await.map_err(|_| Fault::Write { offset_bytes })?;
        for expected in part.chunks(CHUNK_BYTES) {
            if !holds(flash, offset_bytes, expected).await? {
                return Err(Fault::ReadBack { offset_bytes });
            }
            offset_bytes += expected.len() as u32;
        }
    }
    Ok(())
}

/// Returns the geometry of `flash`.
pub fn geometry<F: Flash>(flash: &F) -> Geometry {
    Geometry {
        word_bytes: word_bytes::<F>(),
        erase_bytes: F::ERASE_SIZE as u32,
        capacity_bytes: u32::try_from(flash.capacity()).unwrap_or(u32::MAX),
    }
}

#[only_async]
impl Geometry {
    /// Returns the geometry of `flash`.
    pub fn of<F: Flash>(flash: &F) -> Self {
        geometry(flash)
    }
}

#[cfg(test)]
#[bisync]
mod tests {
    use super::super::testing::{Ram, run};
    use super::*;
    use embedded_storage::nor_flash::ErrorType;

    /// A blocking and async driver of a flash of 64 bytes.
    struct Driver {
        bytes: [u8; 64],
    }

    impl ErrorType for Driver {
        type Error = NorFlashErrorKind;
    }

    impl blocking::ReadNorFlash for Driver {
        const READ_SIZE: usize = 2;
        fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
            let found = self.bytes.get(offset as usize..).ok_or(NorFlashErrorKind::OutOfBounds)?;
            bytes.copy_from_slice(&found[..bytes.len()]);
            Ok(())
        }
        fn capacity(&self) -> usize {
            self.bytes.len()
        }
    }

    impl blocking::NorFlash for Driver {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = 32;
        fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
            self.bytes[from as usize..to as usize].fill(0xFF);
            Ok(())
        }
        fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
            self.bytes[offset as usize..][..bytes.len()].copy_from_slice(bytes);
            Ok(())
        }
    }

    #[only_async]
    impl asynchronous::ReadNorFlash for Driver {
        const READ_SIZE: usize = 2;
        async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
            blocking::ReadNorFlash::read(self, offset, bytes)
        }
        fn capacity(&self) -> usize {
            self.bytes.len()
        }
    }

    #[only_async]
    impl asynchronous::NorFlash for Driver {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = 32;
        async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
            blocking::NorFlash::erase(self, from, to)
        }
        async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
            blocking::NorFlash::write(self, offset, bytes)
        }
    }

    fn hands_everything_through<F: Flash>(mut flash: F) {
        assert_eq!((F::READ_SIZE, F::WRITE_SIZE, F::ERASE_SIZE, flash.capacity()), (2, 4, 32, 64));
        assert_eq!(run(erase_sector(&mut flash, 32)), Ok(()));
        assert_eq!(run(write(&mut flash, 36, b"words!")), Ok(()));
        assert_eq!(run(sync(&mut flash)), Ok(()));
        let mut found = [0; 14];
        assert_eq!(run(read(&mut flash, 34, &mut found)), Ok(()));
        assert_eq!(&found, b"\xFF\xFFwords!\xFF\xFF\xFF\xFF\xFF\xFF");
        assert_eq!(run(read(&mut flash, 66, &mut found)), Err(Fault::Read { offset_bytes: 66 }));
    }

    #[test]
    fn the_blocking_adapter_hands_everything_through() {
        hands_everything_through(Blocking(Driver { bytes: [0; 64] }));
    }

    #[only_async]
    #[test]
    fn the_async_adapter_hands_everything_through() {
        hands_everything_through(Async(Driver { bytes: [0; 64] }));
    }

    #[only_async]
    #[test]
    fn a_future_that_waits_has_no_value_now() {
        assert_eq!(poll_ready(core::future::ready(1)), Some(1));
        assert_eq!(poll_ready(core::future::pending::<u8>()), None);
    }

    #[test]
    fn a_word_is_the_larger_unit() {
        assert_eq!(word_bytes::<Ram<1, 8, 256>>(), 8);
        assert_eq!(word_bytes::<Ram<4, 1, 256>>(), 4);
    }

    #[test]
    fn a_range_is_erased_only_if_every_byte_of_it_is() {
        const LEN: usize = 2 * CHUNK_BYTES + 16;
        for set in 0..4 + LEN + 4 {
            let mut flash = Ram::<4, 4, 1024>::new(1);
            flash.bytes[set] = 0xFE;
            let is_outside = !(4..4 + LEN).contains(&set);
            assert_eq!(run(is_erased(&mut flash, 4, LEN as u32)), Ok(is_outside), "byte {set}");
        }
    }
}
