//! A flash whose error correction reports words that a power cut tore by an exception of the processor, where another flash returns
//! any bytes. A program that ends there would end at every start, because it reads its records first.

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

/// A driver whose reads return any bytes for a torn word: the checksum of a record rejects them.
pub struct Tolerant<F> {
    flash: F,
    guarded: fn(&mut dyn FnMut()),
    before_change: fn(),
}

impl<F> Tolerant<F> {
    /// `guarded` runs a read such that the exception has no effect; `before_change` makes the driver forget what reads before an
    /// erase or a write reported.
    pub fn new(flash: F, guarded: fn(&mut dyn FnMut()), before_change: fn()) -> Self {
        Self { flash, guarded, before_change }
    }
}

impl<F: ErrorType> ErrorType for Tolerant<F> {
    type Error = F::Error;
}

impl<F: ReadNorFlash> ReadNorFlash for Tolerant<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        let mut result = Ok(());
        (self.guarded)(&mut || result = self.flash.read(offset, bytes));
        result
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl<F: NorFlash> NorFlash for Tolerant<F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        (self.before_change)();
        self.flash.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        (self.before_change)();
        self.flash.write(offset, bytes)
    }
}
