//! A flash that several users access in turn, such as the platforms of two components.

use super::super::bisync;
use core::cell::RefCell;
use embedded_storage::nor_flash::NorFlashErrorKind;

use super::super::flash::Flash;

/// An operation fails while another one is in progress: the users must take turns.
#[bisync]
// The borrow ends with the operation, or with its future.
#[allow(clippy::await_holding_refcell_ref)]
impl<F: Flash> Flash for &RefCell<F> {
    const READ_SIZE: usize = F::READ_SIZE;
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn capacity(&self) -> usize {
        self.borrow().capacity()
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let mut flash = self.try_borrow_mut().map_err(|_| NorFlashErrorKind::Other)?;
        flash.read(offset_bytes, out).await
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let mut flash = self.try_borrow_mut().map_err(|_| NorFlashErrorKind::Other)?;
        flash.write(offset_bytes, bytes).await
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        let mut flash = self.try_borrow_mut().map_err(|_| NorFlashErrorKind::Other)?;
        flash.erase(from_bytes, to_bytes).await
    }

    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        let mut flash = self.try_borrow_mut().map_err(|_| NorFlashErrorKind::Other)?;
        flash.sync().await
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Ram, run};
    use super::*;

    #[test]
    fn two_users_take_turns_and_an_operation_beside_another_one_fails() {
        let flash = RefCell::new(Ram::<1, 4, 1024>::new(2));
        let (mut one, mut other) = (&flash, &flash);
        assert_eq!(one.capacity(), 2048);
        run(one.write(0, &[1, 2, 3, 4])).unwrap();
        let mut found = [0; 4];
        run(other.read(0, &mut found)).unwrap();
        assert_eq!(found, [1, 2, 3, 4]);
        run(other.erase(0, 1024)).unwrap();
        run(other.sync()).unwrap();
        assert_eq!(flash.borrow().bytes[0], 0xFF);
        let _busy = flash.borrow_mut();
        assert_eq!(run(one.read(0, &mut found)), Err(NorFlashErrorKind::Other));
    }
}
