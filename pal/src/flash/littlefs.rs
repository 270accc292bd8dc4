//! Slots as files of a littlefs2 file system, for devices whose external flash also holds other files. Images are not
//! executed from these slots: see `boot_staged` of `ota-boot`.

use super::super::bisync;
use embedded_storage::nor_flash::NorFlashErrorKind;
use littlefs2::driver::Storage;
use littlefs2::fs::{File, Filesystem};
use littlefs2::io::{Error, Result as FileResult, SeekFrom};
use littlefs2::path;
use littlefs2::path::Path;

use super::super::flash::Flash;
use crate::image::slot::SLOTS_MAX;

/// The files in the order of their addresses.
const FILES: [&Path; SLOTS_MAX + 1] =
    [path!("slot-0.img"), path!("slot-1.img"), path!("slot-2.img"), path!("slot-3.img"), path!("slot-4.img")];

/// Files of at most `SLOT` bytes in one address space, as a flash with sectors of `SECTOR` bytes: file `n` starts at
/// `n * SLOT`. An operation must not span two files.
///
/// It provides the guarantees of a flash as far as images need them:
///
/// * Bytes that were never written, and those beyond the end of a file, read as 0xFF.
/// * An erase truncates the file at its start: **everything after it is erased, too**. This suffices because the
///   sectors of a received or copied image are erased in rising order, each before anything is written at or after it.
/// * A write is atomic, and durable when it returns, because each one closes its file. Bytes may be rewritten.
///
/// The file system needs space for all files and one more, because littlefs writes new data before it frees the old.
pub struct FileSlots<'f, 's, S: Storage, const SLOT: u32, const SECTOR: usize = 4096> {
    filesystem: &'f Filesystem<'s, S>,
    slot_count: usize,
}

/// A position in a file.
struct Span {
    file: &'static Path,
    start: usize,
}

impl<'f, 's, S: Storage, const SLOT: u32, const SECTOR: usize> FileSlots<'f, 's, S, SLOT, SECTOR> {
    /// Creates `slot_count` slots, at most five, as files in the root of this file system. Slots without a file are
    /// empty.
    ///
    /// Fails to compile if `SLOT` is not a multiple of `SECTOR`.
    #[must_use]
    pub fn new(filesystem: &'f Filesystem<'s, S>, slot_count: usize) -> Self {
        const { assert!((SLOT as usize).is_multiple_of(SECTOR)) };
        Self { filesystem, slot_count: slot_count.min(FILES.len()) }
    }

    fn span(&self, offset_bytes: u32, len_bytes: usize) -> Result<Span, NorFlashErrorKind> {
        let (index, start) = ((offset_bytes / SLOT) as usize, (offset_bytes % SLOT) as usize);
        let file = FILES[..self.slot_count].get(index).ok_or(NorFlashErrorKind::OutOfBounds)?;
        match len_bytes <= SLOT as usize - start {
            true => Ok(Span { file, start }),
            false => Err(NorFlashErrorKind::OutOfBounds),
        }
    }

    /// Changes a file atomically, and creates it if necessary. The change is durable when this method returns.
    fn change(&self, file: &Path, change: impl FnOnce(&File<'_, '_, S>) -> FileResult<()>) -> FileResult<()> {
        self.filesystem.open_file_with_options_and_then(
            |options| options.read(true).write(true).create(true),
            file,
            change,
        )
    }
}

#[bisync]
impl<S: Storage, const SLOT: u32, const SECTOR: usize> Flash for FileSlots<'_, '_, S, SLOT, SECTOR> {
    const READ_SIZE: usize = 1;
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = SECTOR;

    fn capacity(&self) -> usize {
        self.slot_count * SLOT as usize
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let Span { file, start } = self.span(offset_bytes, out.len())?;
        out.fill(0xFF);
        absent_is_empty(self.filesystem.open_file_and_then(file, |file| {
            let held = file.len()?.saturating_sub(start).min(out.len());
            if held > 0 {
                file.seek(SeekFrom::Start(start as u32))?;
                read_exact(file, &mut out[..held])?;
            }
            Ok(())
        }))
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let Span { file, start } = self.span(offset_bytes, bytes.len())?;
        self.change(file, |file| {
            extend(file, start)?;
            file.seek(SeekFrom::Start(start as u32))?;
            write_exact(file, bytes)
        })
        .map_err(kind)
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        let len_bytes = to_bytes.checked_sub(from_bytes).ok_or(NorFlashErrorKind::OutOfBounds)? as usize;
        let Span { file, start } = self.span(from_bytes, len_bytes)?;
        if !start.is_multiple_of(SECTOR) || !len_bytes.is_multiple_of(SECTOR) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        let held = match self.filesystem.metadata(file) {
            Ok(metadata) => metadata.len(),
            Err(Error::NO_SUCH_ENTRY) => 0,
            Err(error) => return Err(kind(error)),
        };
        match held > start {
            true => self.change(file, |file| file.set_len(start)).map_err(kind),
            false => Ok(()),
        }
    }

    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        Ok(())
    }
}

/// Extends a file with 0xFF to this length.
fn extend<S: Storage>(file: &File<'_, '_, S>, len: usize) -> FileResult<()> {
    let mut held = file.len()?;
    if held < len {
        file.seek(SeekFrom::Start(held as u32))?;
    }
    while held < len {
        let step = (len - held).min(64);
        write_exact(file, &[0xFF; 64][..step])?;
        held += step;
    }
    Ok(())
}

fn read_exact<S: Storage>(file: &File<'_, '_, S>, out: &mut [u8]) -> FileResult<()> {
    if file.read(out)? == out.len() { Ok(()) } else { Err(Error::IO) }
}

fn write_exact<S: Storage>(file: &File<'_, '_, S>, bytes: &[u8]) -> FileResult<()> {
    if file.write(bytes)? == bytes.len() { Ok(()) } else { Err(Error::NO_SPACE) }
}

fn absent_is_empty(done: FileResult<()>) -> Result<(), NorFlashErrorKind> {
    match done {
        Ok(()) | Err(Error::NO_SUCH_ENTRY) => Ok(()),
        Err(error) => Err(kind(error)),
    }
}

fn kind(_: Error) -> NorFlashErrorKind {
    NorFlashErrorKind::Other
}
