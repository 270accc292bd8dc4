//! Hardware that exists only as addresses: nothing that reads or writes it can be optimised away.
#![no_std]

use core::convert::Infallible;

use embedded_storage::nor_flash::{self, NorFlash, ReadNorFlash};

/// Volatile reads from here can return any byte.
const DEVICE: *mut u8 = 0x4000_0000 as *mut u8;

/// Reads bytes that the optimiser cannot predict.
pub fn read_device(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = unsafe { DEVICE.read_volatile() };
    }
}

/// Writes bytes that the optimiser cannot remove.
pub fn write_device(bytes: &[u8]) {
    for byte in bytes {
        unsafe { DEVICE.write_volatile(*byte) };
    }
}

/// A flash of 1 MiB.
pub struct Flash;

impl nor_flash::ErrorType for Flash {
    type Error = Infallible;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, _offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        read_device(bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        0x10_0000
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        write_device(&from.to_le_bytes());
        write_device(&to.to_le_bytes());
        Ok(())
    }

    fn write(&mut self, _offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        write_device(bytes);
        Ok(())
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        write_device(&[2]);
    }
}
