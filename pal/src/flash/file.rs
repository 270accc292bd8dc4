//! [`Flash`] for a flash in a file. The file itself is in `platform/file`.

use embedded_storage::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use super::super::bisync;
use super::Flash;
use crate::platform::file::FileFlash;

#[bisync]
impl<const WRITE: usize, const ERASE: usize> Flash for FileFlash<WRITE, ERASE> {
    const READ_SIZE: usize = <Self as ReadNorFlash>::READ_SIZE;
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn capacity(&self) -> usize {
        ReadNorFlash::capacity(self)
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        ReadNorFlash::read(self, offset_bytes, out).map_err(|error| error.kind())
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        NorFlash::write(self, offset_bytes, bytes).map_err(|error| error.kind())
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        NorFlash::erase(self, from_bytes, to_bytes).map_err(|error| error.kind())
    }

    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        self.sync_data().map_err(|_| NorFlashErrorKind::Other)
    }
}
