//! The monotonic record in flash. Its meaning and its encoding are in `store/monotonic`.

use super::super::bisync;
use super::super::flash::Flash;
use super::super::flash::records::Records;
use crate::fault::Fault;
use crate::store::layout::Layout;
use crate::store::monotonic::{PAYLOAD_BYTES, RECORDS, RollbackCounters, emit, parse};

/// The monotonic record in flash. A power cut during a raise leaves the earlier counters or the new ones.
#[derive(Debug)]
pub struct MonotonicRecords(Records);

#[bisync]
impl MonotonicRecords {
    /// Creates the monotonic record of a layout. Does not access the flash.
    #[must_use]
    pub const fn new(layout: &Layout) -> Self {
        Self(Records::new(layout.monotonic(), RECORDS))
    }

    /// Returns the counters; zeros if none were ever stored.
    ///
    /// # Cancel safety
    /// This method does not change flash.
    ///
    /// # Errors
    /// [`Fault::MonotonicRecordInvalid`] for a record that this program cannot decode, [`Fault::Read`].
    pub async fn load<F: Flash>(&mut self, flash: &mut F) -> Result<RollbackCounters, Fault> {
        let mut payload = [0; PAYLOAD_BYTES];
        match self.0.load(flash, &mut payload).await? {
            None => Ok(RollbackCounters::default()),
            Some(len) => parse(&payload, len),
        }
    }

    /// Raises each counter to that of `to` where that is higher, and returns the result, which is durable. Writes
    /// nothing if no counter rises.
    ///
    /// # Cancel safety
    /// The stored counters are the earlier or the new ones; call again. The same holds after an error.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and the errors of the flash.
    pub async fn raise<F: Flash>(&mut self, flash: &mut F, to: RollbackCounters) -> Result<RollbackCounters, Fault> {
        let floor = self.load(flash).await?;
        let raised = floor.max(to);
        if raised != floor {
            self.0.store(flash, &emit(raised)).await?;
        }
        Ok(raised)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{CUTS, Op, Ram, run};
    use super::*;
    use crate::store::layout::Geometry;

    type Nor = Ram<1, 4, 1024>;

    const fn floor(security_counter: u32, key_epoch: u32) -> RollbackCounters {
        RollbackCounters { security_counter, key_epoch }
    }

    fn floors(flash: &Nor) -> MonotonicRecords {
        MonotonicRecords::new(&Layout::split(Geometry::of(flash)).unwrap())
    }

    #[test]
    fn a_floor_is_raised_and_never_lowered() {
        let mut flash = Nor::new(16);
        assert_eq!(run(floors(&flash).load(&mut flash)), Ok(floor(0, 0)));
        for (to, is) in [((3, 0), (3, 0)), ((2, 1), (3, 1)), ((1, 0), (3, 1)), ((4, 0), (4, 1))] {
            assert_eq!(run(floors(&flash).raise(&mut flash, floor(to.0, to.1))), Ok(floor(is.0, is.1)));
            assert_eq!(run(floors(&flash).load(&mut flash)), Ok(floor(is.0, is.1)));
        }
    }

    #[test]
    fn a_floor_that_stands_already_is_not_written_again() {
        let mut flash = Nor::new(16);
        run(floors(&flash).raise(&mut flash, floor(3, 1))).unwrap();
        flash.ops.clear();
        run(floors(&flash).raise(&mut flash, floor(3, 0))).unwrap();
        assert_eq!(flash.ops, [] as [Op; 0]);
    }

    #[test]
    fn a_cut_anywhere_in_a_raise_leaves_the_old_floor_or_the_new_and_repeating_it_ends_it() {
        for (operation, cut) in (0..4).flat_map(|operation| CUTS.map(|cut| (operation, cut))) {
            let mut flash = Nor::new(16);
            run(floors(&flash).raise(&mut flash, floor(1, 1))).unwrap();
            flash.power_on();
            flash.cut = Some((operation, cut));
            let _ = run(floors(&flash).raise(&mut flash, floor(2, 3)));
            flash.power_on();
            let found = run(floors(&flash).load(&mut flash)).unwrap();
            assert!([floor(1, 1), floor(2, 3)].contains(&found), "{operation} {cut:?}: {found:?}");
            assert_eq!(run(floors(&flash).raise(&mut flash, floor(2, 3))), Ok(floor(2, 3)));
        }
    }

    #[test]
    fn a_record_of_another_format_is_refused_and_not_read_as_zero() {
        let mut flash = Nor::new(16);
        let mut floors = floors(&flash);
        run(floors.0.store(&mut flash, &[2; PAYLOAD_BYTES])).unwrap();
        let refused = Err(Fault::MonotonicRecordInvalid { format: 2 });
        assert_eq!(run(floors.load(&mut flash)), refused);
        assert_eq!(run(floors.raise(&mut flash, floor(9, 9))), refused);
    }
}
