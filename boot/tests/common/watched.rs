//! A flash file whose operations are counted, cut, or refused.

use std::future::pending;

use embedded_storage::nor_flash::NorFlashErrorKind;
use ota_pal::{Flash, Region};

use super::{Device, Nor};

/// A flash that records its operations, loses power at one of them, misreads once, or refuses a region. Panics on a
/// write to a word that is not erased.
pub struct Watched {
    pub nor: Nor,
    pub touched: Vec<u32>,
    /// Number of operations before each `sync`.
    pub syncs: Vec<usize>,
    /// Offset and length in bytes of each read.
    pub reads: Vec<(u32, usize)>,
    pub cut_at: Option<usize>,
    /// Number of reads until one returns a flipped bit.
    pub misread_in: Option<usize>,
    pub refused: Option<Region>,
    /// A region that is misread while the last operation was at this offset.
    pub fades: Option<(u32, Region)>,
}

impl Watched {
    pub fn new(device: &Device) -> Self {
        Self {
            nor: device.flash(),
            touched: Vec::new(),
            syncs: Vec::new(),
            reads: Vec::new(),
            cut_at: None,
            misread_in: None,
            refused: None,
            fades: None,
        }
    }

    pub fn touches(&self, region: Region) -> bool {
        self.touched.iter().any(|at| lies_in(*at, region))
    }

    /// Number of bytes read in a region.
    pub fn bytes_read(&self, region: Region) -> usize {
        self.reads.iter().filter(|(at, _)| lies_in(*at, region)).map(|(_, len)| len).sum()
    }

    async fn touch(&mut self, at: u32) -> Result<(), NorFlashErrorKind> {
        if self.cut_at == Some(self.touched.len()) {
            pending::<()>().await;
        }
        self.touched.push(at);
        match self.refused {
            Some(region) if lies_in(at, region) => Err(NorFlashErrorKind::Other),
            _ => Ok(()),
        }
    }
}

fn lies_in(at: u32, region: Region) -> bool {
    (region.offset_bytes()..region.offset_bytes() + region.len_bytes()).contains(&at)
}

impl Flash for Watched {
    const READ_SIZE: usize = <Nor as Flash>::READ_SIZE;
    const WRITE_SIZE: usize = <Nor as Flash>::WRITE_SIZE;
    const ERASE_SIZE: usize = <Nor as Flash>::ERASE_SIZE;

    fn capacity(&self) -> usize {
        Flash::capacity(&self.nor)
    }
    async fn read(&mut self, at: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.reads.push((at, out.len()));
        Flash::read(&mut self.nor, at, out).await?;
        out[0] ^= u8::from(self.misread_in == Some(0));
        if let Some((after, region)) = self.fades {
            out[0] ^= u8::from(self.touched.last() == Some(&after) && lies_in(at, region));
        }
        self.misread_in = self.misread_in.and_then(|reads| reads.checked_sub(1));
        Ok(())
    }
    async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.touch(at).await?;
        let mut before = vec![0; bytes.len()];
        Flash::read(&mut self.nor, at, &mut before).await?;
        assert!(before.iter().all(|byte| *byte == 0xFF), "write to a word at {at:#x} that is not erased");
        Flash::write(&mut self.nor, at, bytes).await
    }
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.touch(from).await?;
        Flash::erase(&mut self.nor, from, to).await
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        self.syncs.push(self.touched.len());
        Ok(())
    }
}
