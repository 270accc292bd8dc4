//! What needs no boot loader: the marks that are read back, and the refusals. Swaps are in the tests crate.

use super::super::super::testing::{Ram, run};
use super::*;

type Nor = Ram<4, 4, 256>;

const STATE: Region = Region::new(9 * 256, 256);

/// The byte of embassy-boot's mark for a swap.
const SWAP_MAGIC: u8 = 0xF0;

fn partitions() -> Partitions {
    let geometry = Geometry { word_bytes: 4, erase_bytes: 256, capacity_bytes: 10 * 256 };
    Partitions::new(geometry, Region::new(0, 4 * 256), Region::new(4 * 256, 5 * 256), STATE).unwrap()
}

/// A flash whose state word a power cut left between two values: it is read as the mark once.
struct Marginal {
    nor: Nor,
    was_read: bool,
}

impl Flash for Marginal {
    const READ_SIZE: usize = 4;
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 256;

    fn capacity(&self) -> usize {
        self.nor.capacity()
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.nor.read(offset_bytes, out).await?;
        if !core::mem::replace(&mut self.was_read, true) {
            out.fill(SWAP_MAGIC);
        }
        Ok(())
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.nor.write(offset_bytes, bytes).await
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        self.nor.erase(from_bytes, to_bytes).await
    }

    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        self.nor.sync().await
    }
}

#[test]
fn a_mark_that_is_read_once_and_not_again_is_not_set() {
    let mut flash = Marginal { nor: Nor::new(10), was_read: false };
    let refused = Err(Fault::ReadBack { offset_bytes: STATE.offset_bytes() });
    assert_eq!(run(partitions().mark_updated(&mut flash)), refused);
    assert_eq!(run(partitions().mark_updated(&mut flash)), Ok(()));
}

#[test]
fn only_an_image_that_is_marked_as_swapped_is_given_up() {
    let mut flash = Nor::new(10);
    assert_eq!(run(partitions().give_up(&mut flash, SlotId::A)), Err(Fault::NoTrialRuns));
    run(partitions().mark_updated(&mut flash)).unwrap();
    assert_eq!(run(partitions().give_up(&mut flash, SlotId::A)), Ok(()));
}

#[test]
fn a_switch_to_another_image_is_refused() {
    let mut flash = Nor::new(10);
    assert_eq!(run(partitions().switch(&mut flash, SlotId::A, SlotId::B)), Err(Fault::NoTrialRuns));
    assert_eq!(run(partitions().switch(&mut flash, SlotId::A, SlotId::A)), Ok(()));
}
