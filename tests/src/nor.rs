//! NOR flash in memory. It outlives the programs that run from it, remembers who touched what, and fails or loses power
//! on demand. What lies in it is pal's business.

use std::cell::RefCell;
use std::future::pending;
use std::ops::Range;
use std::rc::Rc;

use embedded_storage::nor_flash::NorFlashErrorKind;
use ota_pal::Flash;

/// Unit of reads and writes.
pub const WORD_BYTES: usize = 4;
/// Unit of erases.
pub const SECTOR_BYTES: usize = 4096;

/// A flash; its clones are the same flash.
#[derive(Clone)]
pub struct Nor(Rc<RefCell<Memory>>);

/// What comes over the next operations that change the flash. Operations count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The operation is refused and changes nothing; the device goes on.
    Fail {
        /// Which operation.
        at: u32,
    },
    /// The power goes at the operation: it never returns, and neither does anything after it.
    Cut {
        /// Which operation.
        at: u32,
        /// Whether it was done.
        done: bool,
    },
}

struct Memory {
    bytes: Vec<u8>,
    /// Words that were written since their sector was erased.
    used: Vec<bool>,
    touched: Vec<Range<u32>>,
    mishap: Option<Mishap>,
    dark: bool,
}

/// What becomes of one operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Failed,
    /// Nobody hears how it ended.
    Lost {
        done: bool,
    },
}

impl Nor {
    /// An erased flash.
    pub fn new(sectors: usize) -> Self {
        let len = sectors * SECTOR_BYTES;
        let (bytes, used) = (vec![0xFF; len], vec![false; len / WORD_BYTES]);
        Self(Rc::new(RefCell::new(Memory { bytes, used, touched: Vec::new(), mishap: None, dark: false })))
    }

    /// Puts `bytes` there as a factory does: no operation, nobody's touch.
    pub fn burn(&self, offset_bytes: u32, bytes: &[u8]) {
        let mut memory = self.0.borrow_mut();
        let at = offset_bytes as usize;
        memory.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        memory.used[at / WORD_BYTES..(at + bytes.len()).div_ceil(WORD_BYTES)].fill(true);
    }

    /// A copy of what lies there.
    pub fn bytes(&self, offset_bytes: u32, len_bytes: u32) -> Vec<u8> {
        let from = offset_bytes as usize;
        self.0.borrow().bytes[from..from + len_bytes as usize].to_vec()
    }

    /// Plans a mishap instead of the one that was planned.
    pub fn plan(&self, mishap: Mishap) {
        self.0.borrow_mut().mishap = Some(mishap);
    }

    /// Nothing more goes wrong.
    pub fn plan_nothing(&self) {
        self.0.borrow_mut().mishap = None;
    }

    /// The power is back, or the device was reset.
    pub fn power_on(&self) {
        self.0.borrow_mut().dark = false;
    }

    /// The ranges that were written or erased since the last call, in order.
    pub fn touched(&self) -> Vec<Range<u32>> {
        std::mem::take(&mut self.0.borrow_mut().touched)
    }
}

impl Memory {
    fn fate(&mut self, range: Range<u32>) -> Fate {
        let fate = self.befalls();
        if matches!(fate, Fate::Done | Fate::Lost { done: true }) {
            self.touched.push(range);
        }
        fate
    }

    fn befalls(&mut self) -> Fate {
        let (fate, next) = match self.mishap {
            _ if self.dark => return Fate::Lost { done: false },
            None => return Fate::Done,
            Some(Mishap::Fail { at: 0 }) => (Fate::Failed, None),
            Some(Mishap::Cut { at: 0, done }) => (Fate::Lost { done }, None),
            Some(Mishap::Fail { at }) => (Fate::Done, Some(Mishap::Fail { at: at - 1 })),
            Some(Mishap::Cut { at, done }) => (Fate::Done, Some(Mishap::Cut { at: at - 1, done })),
        };
        self.mishap = next;
        self.dark = matches!(fate, Fate::Lost { .. });
        fate
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> Fate {
        assert!(at.is_multiple_of(WORD_BYTES) && bytes.len().is_multiple_of(WORD_BYTES), "{} at {at}", bytes.len());
        let fate = self.fate(at as u32..(at + bytes.len()) as u32);
        if matches!(fate, Fate::Done | Fate::Lost { done: true }) {
            let words = &mut self.used[at / WORD_BYTES..(at + bytes.len()) / WORD_BYTES];
            assert!(!words.contains(&true), "a word is written twice at {at}");
            words.fill(true);
            self.bytes[at..at + bytes.len()].iter_mut().zip(bytes).for_each(|(old, new)| *old &= new);
        }
        fate
    }

    fn erase(&mut self, range: Range<usize>) -> Fate {
        assert!(range.start.is_multiple_of(SECTOR_BYTES) && range.end.is_multiple_of(SECTOR_BYTES), "{range:?}");
        let fate = self.fate(range.start as u32..range.end as u32);
        if matches!(fate, Fate::Done | Fate::Lost { done: true }) {
            self.used[range.start / WORD_BYTES..range.end / WORD_BYTES].fill(false);
            self.bytes[range].fill(0xFF);
        }
        fate
    }
}

async fn told(fate: Fate) -> Result<(), NorFlashErrorKind> {
    match fate {
        Fate::Done => Ok(()),
        Fate::Failed => Err(NorFlashErrorKind::Other),
        Fate::Lost { .. } => pending().await,
    }
}

impl Flash for Nor {
    const READ_SIZE: usize = WORD_BYTES;
    const WRITE_SIZE: usize = WORD_BYTES;
    const ERASE_SIZE: usize = SECTOR_BYTES;

    fn capacity(&self) -> usize {
        self.0.borrow().bytes.len()
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let at = offset_bytes as usize;
        assert!(at.is_multiple_of(WORD_BYTES) && out.len().is_multiple_of(WORD_BYTES), "{} at {at}", out.len());
        out.copy_from_slice(&self.0.borrow().bytes[at..at + out.len()]);
        Ok(())
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let fate = self.0.borrow_mut().write(offset_bytes as usize, bytes);
        told(fate).await
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        let fate = self.0.borrow_mut().erase(from_bytes as usize..to_bytes as usize);
        told(fate).await
    }

    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_pal::now;

    #[test]
    fn a_cut_operation_never_returns_and_the_flash_keeps_what_was_done() {
        for done in [false, true] {
            let mut flash = Nor::new(1);
            flash.plan(Mishap::Cut { at: 1, done });
            assert_eq!(now(flash.write(0, &[1; 4])), Some(Ok(())));
            assert_eq!(now(flash.write(4, &[2; 4])), None);
            assert_eq!(now(flash.write(8, &[3; 4])), None);
            flash.power_on();
            assert_eq!(now(flash.write(8, &[3; 4])), Some(Ok(())));
            assert_eq!(flash.bytes(0, 12), [[1; 4], if done { [2; 4] } else { [0xFF; 4] }, [3; 4]].concat());
        }
    }

    #[test]
    fn a_failed_operation_changes_nothing_and_the_next_one_works() {
        let mut flash = Nor::new(1);
        flash.plan(Mishap::Fail { at: 0 });
        assert!(now(flash.erase(0, 4096)).is_some_and(|result| result.is_err()));
        assert_eq!(now(flash.erase(0, 4096)), Some(Ok(())));
        assert_eq!(flash.touched(), vec![0..4096; 1]);
    }
}
