//! Two flash parts as one, for a device whose records or executing slot are in the controller and whose images are in
//! an external part. The assignment of regions to parts is up to the layout.

use super::super::bisync;
use embedded_storage::nor_flash::NorFlashErrorKind;

use super::super::flash::Flash;

/// Two parts in one address space: the second starts at the end of the first. An operation must not span both.
///
/// Each unit is the larger of the two and must be a multiple of the smaller; otherwise the code does not compile. The
/// end of the first part must be aligned to the larger sector, see [`new`](Self::new).
#[derive(Debug)]
pub struct ConcatFlash<F1, F2> {
    first: F1,
    second: F2,
}

/// The part that contains an offset, and the offset within it.
enum Part {
    First(u32),
    Second(u32),
}

const fn larger(one: usize, other: usize) -> usize {
    let (small, large) = if one < other { (one, other) } else { (other, one) };
    assert!(large % small == 0, "the larger unit of two joined parts is a multiple of the smaller");
    large
}

impl<F1: Flash, F2: Flash> ConcatFlash<F1, F2> {
    /// Joins both parts, the first at address 0. Returns `None` if the end of the first is not aligned to a sector of
    /// the joined flash, or if the total size exceeds 32 bits.
    pub fn new(first: F1, second: F2) -> Option<Self> {
        // Fails at compile time for units that do not match.
        const { assert!(Self::READ_SIZE > 0 && Self::WRITE_SIZE > 0 && Self::ERASE_SIZE > 0) };
        let both_bytes = first.capacity().checked_add(second.capacity())?;
        let fits = first.capacity().is_multiple_of(Self::ERASE_SIZE) && u32::try_from(both_bytes).is_ok();
        fits.then_some(Self { first, second })
    }

    /// Returns the address at which the second part starts.
    pub fn second_offset_bytes(&self) -> u32 {
        self.first.capacity() as u32
    }

    /// Returns the part that contains `len_bytes` from `offset_bytes` on.
    fn part(&self, offset_bytes: u32, len_bytes: usize) -> Result<Part, NorFlashErrorKind> {
        let border_bytes = self.second_offset_bytes();
        match offset_bytes.checked_sub(border_bytes) {
            Some(offset_bytes) => Ok(Part::Second(offset_bytes)),
            None if len_bytes <= (border_bytes - offset_bytes) as usize => Ok(Part::First(offset_bytes)),
            None => Err(NorFlashErrorKind::OutOfBounds),
        }
    }
}

#[bisync]
impl<F1: Flash, F2: Flash> Flash for ConcatFlash<F1, F2> {
    const READ_SIZE: usize = larger(F1::READ_SIZE, F2::READ_SIZE);
    const WRITE_SIZE: usize = larger(F1::WRITE_SIZE, F2::WRITE_SIZE);
    const ERASE_SIZE: usize = larger(F1::ERASE_SIZE, F2::ERASE_SIZE);

    fn capacity(&self) -> usize {
        self.first.capacity() + self.second.capacity()
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        match self.part(offset_bytes, out.len())? {
            Part::First(at) => self.first.read(at, out).await,
            Part::Second(at) => self.second.read(at, out).await,
        }
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        match self.part(offset_bytes, bytes.len())? {
            Part::First(at) => self.first.write(at, bytes).await,
            Part::Second(at) => self.second.write(at, bytes).await,
        }
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        let len_bytes = to_bytes.checked_sub(from_bytes).ok_or(NorFlashErrorKind::OutOfBounds)?;
        match self.part(from_bytes, len_bytes as usize)? {
            Part::First(at) => self.first.erase(at, at + len_bytes).await,
            Part::Second(at) => self.second.erase(at, at + len_bytes).await,
        }
    }

    /// Syncs the second part first: it contains the images that records on the first part refer to.
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        self.second.sync().await?;
        self.first.sync().await
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Op, Ram, run};
    use super::*;

    type Inner = Ram<1, 8, 256>;
    type Outer = Ram<4, 1, 1024>;

    fn joined() -> ConcatFlash<Inner, Outer> {
        ConcatFlash::new(Ram::new(8), Ram::new(2)).unwrap()
    }

    #[test]
    fn each_unit_is_the_larger_one_and_both_parts_count() {
        type Both = ConcatFlash<Inner, Outer>;
        assert_eq!((Both::READ_SIZE, Both::WRITE_SIZE, Both::ERASE_SIZE), (4, 8, 1024));
        assert_eq!((joined().capacity(), joined().second_offset_bytes()), (4096, 2048));
    }

    #[test]
    fn an_operation_reaches_the_part_that_it_names_and_no_other() {
        let mut flash = joined();
        for (at, byte) in [(1024, 1), (2048, 2)] {
            assert_eq!(run(flash.erase(at, at + 1024)), Ok(()));
            assert_eq!(run(flash.write(at, &[byte; 8])), Ok(()));
            let mut found = [0; 8];
            assert_eq!((run(flash.read(at, &mut found)), found), (Ok(()), [byte; 8]));
        }
        assert_eq!(flash.first.ops, [Op::Erase(1024), Op::Write(1024)]);
        assert_eq!(flash.second.ops, [Op::Erase(0), Op::Write(0)]);
        assert_eq!(run(flash.sync()), Ok(()));
        assert_eq!((flash.first.ops.pop(), flash.second.ops.pop()), (Some(Op::Sync), Some(Op::Sync)));
    }

    #[test]
    fn nothing_spans_both_parts() {
        let mut flash = joined();
        let beyond = Err(NorFlashErrorKind::OutOfBounds);
        assert_eq!(run(flash.erase(1024, 3072)), beyond);
        assert_eq!(run(flash.write(2040, &[0; 16])), beyond);
        assert_eq!(run(flash.read(2040, &mut [0; 16])), beyond);
        assert_eq!((flash.first.ops.len(), flash.second.ops.len()), (0, 0));
    }

    #[test]
    fn a_first_part_that_ends_within_a_sector_is_refused() {
        assert!(ConcatFlash::<Inner, Outer>::new(Ram::new(7), Ram::new(2)).is_none());
    }
}
