//! A flash that gives way to other tasks after every operation.

use core::future::poll_fn;
use core::mem;
use core::task::Poll;

use embedded_storage::nor_flash::NorFlashErrorKind;

use crate::asynchronous::flash::{CHUNK_BYTES, Flash};

/// Gives way to other tasks after every 256 bytes that are read or written, and after every erased sector: a blocking driver
/// then keeps the others waiting for one page or one sector at most, and not for the hash of a whole image.
///
/// Its futures wait, so they need an executor, or a loop that polls them again.
#[derive(Debug)]
pub struct Yielding<F>(pub F);

impl<F: Flash> Flash for Yielding<F> {
    const READ_SIZE: usize = F::READ_SIZE;
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let mut at_bytes = offset_bytes;
        for page in out.chunks_mut(CHUNK_BYTES) {
            self.0.read(at_bytes, page).await?;
            give_way().await;
            at_bytes += page.len() as u32;
        }
        Ok(())
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let mut at_bytes = offset_bytes;
        for page in bytes.chunks(CHUNK_BYTES) {
            self.0.write(at_bytes, page).await?;
            give_way().await;
            at_bytes += page.len() as u32;
        }
        Ok(())
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        for sector in (from_bytes..to_bytes).step_by(F::ERASE_SIZE) {
            self.0.erase(sector, to_bytes.min(sector + F::ERASE_SIZE as u32)).await?;
            give_way().await;
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        self.0.sync().await
    }
}

/// Is ready at the second poll.
async fn give_way() {
    let mut given = false;
    poll_fn(|context| match mem::replace(&mut given, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}
