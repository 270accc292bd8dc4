//! A NOR flash in a file, for Linux devices and for tests. It enforces the rules of NOR flash, so that code which works
//! on it also works on a board.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec;
use std::vec::Vec;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

const ERASED: u8 = 0xFF;

/// A flash in a file, with words of `WRITE` and sectors of `ERASE` bytes.
///
/// Writes are durable after [`Flash::sync`](crate::Flash::sync), which calls `fdatasync`. Two programs must not open
/// the same file at the same time.
#[derive(Debug)]
pub struct FileFlash<const WRITE: usize = 4, const ERASE: usize = 4096> {
    file: File,
    capacity_bytes: usize,
    unsynced: bool,
}

/// Errors of [`FileFlash`].
#[derive(Debug)]
pub enum FileFlashError {
    /// An error of the operating system.
    Io(io::Error),
    /// A range that is not aligned to words or sectors, or exceeds the flash.
    Range(NorFlashErrorKind),
    /// A write that would set a bit: the word was not erased.
    NotErased {
        /// The first such byte.
        offset_bytes: u32,
    },
}

impl NorFlashError for FileFlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Range(kind) => *kind,
            Self::Io(_) | Self::NotErased { .. } => NorFlashErrorKind::Other,
        }
    }
}

impl From<NorFlashErrorKind> for FileFlashError {
    fn from(kind: NorFlashErrorKind) -> Self {
        Self::Range(kind)
    }
}

impl From<io::Error> for FileFlashError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<const WRITE: usize, const ERASE: usize> FileFlash<WRITE, ERASE> {
    /// Opens the flash at `path`, and creates it in the erased state if it does not exist. Creation is atomic.
    ///
    /// # Errors
    /// The error of the operating system; `InvalidData`, with both lengths, if the file is not `capacity_bytes` long.
    pub fn open(path: &Path, capacity_bytes: u32) -> io::Result<Self> {
        if !path.try_exists()? {
            create_erased(path, capacity_bytes)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let got = file.metadata()?.len();
        if got != u64::from(capacity_bytes) {
            let text = std::format!("{} has {got} bytes, a flash of {capacity_bytes} was expected", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self { file, capacity_bytes: capacity_bytes as usize, unsynced: false })
    }

    /// Makes earlier writes durable.
    pub(crate) fn sync_data(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.file.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }
}

/// Writes a temporary file next to `path`, then renames it.
fn create_erased(path: &Path, capacity_bytes: u32) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_os_string();
    name.push(String::from(".new"));
    let unfinished: PathBuf = path.with_file_name(name);
    let file = File::create(&unfinished)?;
    file.write_all_at(&vec![ERASED; capacity_bytes as usize], 0)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    // The new name is durable after the folder is synced.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

impl<const WRITE: usize, const ERASE: usize> ErrorType for FileFlash<WRITE, ERASE> {
    type Error = FileFlashError;
}

impl<const WRITE: usize, const ERASE: usize> ReadNorFlash for FileFlash<WRITE, ERASE> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FileFlashError> {
        check_read(self, offset, bytes.len())?;
        Ok(self.file.read_exact_at(bytes, u64::from(offset))?)
    }

    fn capacity(&self) -> usize {
        self.capacity_bytes
    }
}

impl<const WRITE: usize, const ERASE: usize> NorFlash for FileFlash<WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FileFlashError> {
        check_erase(self, from, to)?;
        self.unsynced = true;
        let erased = vec![ERASED; (to - from) as usize];
        Ok(self.file.write_all_at(&erased, u64::from(from))?)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FileFlashError> {
        check_write(self, offset, bytes.len())?;
        let mut held: Vec<u8> = vec![0; bytes.len()];
        self.file.read_exact_at(&mut held, u64::from(offset))?;
        let sets_a_bit = held.iter().zip(bytes).position(|(held, new)| !held & new != 0);
        if let Some(index) = sets_a_bit {
            return Err(FileFlashError::NotErased { offset_bytes: offset + index as u32 });
        }
        self.unsynced = true;
        Ok(self.file.write_all_at(bytes, u64::from(offset))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asynchronous::flash::{Flash, poll_ready};

    type Small = FileFlash<4, 1024>;

    /// A temporary path, removed on drop.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(std::format!("ota-pal-{}-{test}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_flash_starts_erased_and_keeps_what_is_written() {
        let scratch = Scratch::new("keeps");
        let mut flash = Small::open(&scratch.0, 4096).unwrap();
        NorFlash::write(&mut flash, 1024, b"kept").unwrap();
        poll_ready(flash.sync()).unwrap().unwrap();
        let mut flash = Small::open(&scratch.0, 4096).unwrap();
        let mut found = [0; 8];
        ReadNorFlash::read(&mut flash, 1020, &mut found).unwrap();
        assert_eq!(&found, b"\xFF\xFF\xFF\xFFkept");
        NorFlash::erase(&mut flash, 1024, 2048).unwrap();
        ReadNorFlash::read(&mut flash, 1020, &mut found).unwrap();
        assert_eq!(found, [ERASED; 8]);
    }

    #[test]
    fn a_file_of_another_length_is_refused_and_left_alone() {
        let scratch = Scratch::new("length");
        std::fs::write(&scratch.0, b"not a flash").unwrap();
        let error = Small::open(&scratch.0, 4096).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(std::fs::read(&scratch.0).unwrap(), b"not a flash");
    }

    #[test]
    fn a_bit_is_set_by_an_erase_only() {
        let scratch = Scratch::new("bits");
        let mut flash = Small::open(&scratch.0, 4096).unwrap();
        NorFlash::write(&mut flash, 0, &[0xF0; 8]).unwrap();
        NorFlash::write(&mut flash, 0, &[0x30; 4]).unwrap();
        let refused = NorFlash::write(&mut flash, 0, &[0x30, 0x30, 0x30, 0x31, 0, 0, 0, 0]);
        assert!(matches!(refused, Err(FileFlashError::NotErased { offset_bytes: 3 })), "{refused:?}");
        NorFlash::erase(&mut flash, 0, 1024).unwrap();
        NorFlash::write(&mut flash, 0, &[0x31; 8]).unwrap();
    }

    #[test]
    fn ranges_off_the_words_or_beyond_the_flash_are_refused() {
        let scratch = Scratch::new("ranges");
        let mut flash = Small::open(&scratch.0, 4096).unwrap();
        let kind = |result: Result<(), FileFlashError>| result.unwrap_err().kind();
        assert_eq!(kind(NorFlash::write(&mut flash, 2, &[0; 4])), NorFlashErrorKind::NotAligned);
        assert_eq!(kind(NorFlash::write(&mut flash, 0, &[0; 3])), NorFlashErrorKind::NotAligned);
        assert_eq!(kind(NorFlash::write(&mut flash, 4096, &[0; 4])), NorFlashErrorKind::OutOfBounds);
        assert_eq!(kind(NorFlash::erase(&mut flash, 512, 1024)), NorFlashErrorKind::NotAligned);
        assert_eq!(kind(NorFlash::erase(&mut flash, 4096, 5120)), NorFlashErrorKind::OutOfBounds);
        assert_eq!(kind(ReadNorFlash::read(&mut flash, 4090, &mut [0; 8])), NorFlashErrorKind::OutOfBounds);
    }
}
