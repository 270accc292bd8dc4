//! The boot record in flash. Its meaning and its encoding are in `store/boot_record`.

use super::super::bisync;
use super::super::flash::Flash;
use super::super::flash::records::Records;
use crate::fault::Fault;
use crate::image::slot::SlotId;
use crate::store::boot_record::{BootRecord, RECORDS, emit, parse};
use crate::store::layout::Layout;

/// The boot record in flash. The newest record is valid; a power cut during a store leaves the earlier one valid.
#[derive(Debug)]
pub struct BootRecords {
    records: Records,
    /// The confirmed slot of a device without a stored record.
    first: SlotId,
}

#[bisync]
impl BootRecords {
    /// Creates the boot record of a layout. Does not access the flash.
    #[must_use]
    pub const fn new(layout: &Layout) -> Self {
        let first = if layout.factory().is_some() { SlotId::FACTORY } else { SlotId::A };
        Self { records: Records::new(layout.boot_record(), RECORDS), first }
    }

    /// Returns the newest record. If there is none, returns that of a new device: the factory slot is confirmed, or A
    /// on a device without one.
    ///
    /// # Cancel safety
    /// This method does not change flash.
    ///
    /// # Errors
    /// [`Fault::BootRecordInvalid`] for a record that this program cannot decode, [`Fault::Read`].
    pub async fn load<F: Flash>(&mut self, flash: &mut F) -> Result<BootRecord, Fault> {
        Ok(self.stored(flash).await?.unwrap_or(BootRecord::new_device(self.first)))
    }

    /// Stores `record`. It is durable, with all earlier writes, when this method returns.
    ///
    /// # Cancel safety
    /// The stored record is the earlier or the new one. The same holds after an error.
    ///
    /// # Errors
    /// The errors of the flash.
    pub async fn store<F: Flash>(&mut self, flash: &mut F, record: &BootRecord) -> Result<(), Fault> {
        self.records.store_with(flash, &mut |room| emit(record, room)).await
    }

    /// Returns the newest record; `None` if none was ever stored.
    pub(crate) async fn stored<F: Flash>(&mut self, flash: &mut F) -> Result<Option<BootRecord>, Fault> {
        self.records.load_with(flash, parse).await?.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{CUTS, Ram, run};
    use super::*;
    use crate::image::digest::Digest;
    use crate::store::boot_record::Trial;
    use crate::store::layout::Geometry;

    /// Returns a record with a pending trial, and one with a started trial.
    fn old_and_new() -> [BootRecord; 2] {
        let (slot, digest, image_bytes) = (SlotId::B, Digest([0xD1; 32]), 0x0102_0304);
        let trials = [
            Trial::Pending { slot, digest, image_bytes, attempts_left: 15 },
            Trial::Started { slot, digest, image_bytes, attempts_left: 0, power_losses: 0 },
        ];
        trials.map(|trial| BootRecord { trial, ..BootRecord::new_device(SlotId::A) })
    }

    #[test]
    fn a_new_device_has_slot_a_confirmed_or_the_factory_slot_where_there_is_one() {
        let mut flash = Ram::<1, 4, 1024>::new(16);
        for (factory, first) in [(false, SlotId::A), (true, SlotId::FACTORY)] {
            let layout = Layout::divide(Geometry::of(&flash), 2, factory).unwrap();
            assert_eq!(run(BootRecords::new(&layout).load(&mut flash)), Ok(BootRecord::new_device(first)));
        }
    }

    fn a_cut_leaves_the_old_or_the_new<const W: usize>() {
        let [old, new] = old_and_new();
        for (operation, cut) in (0..4).flat_map(|operation| CUTS.map(|cut| (operation, cut))) {
            let mut flash = Ram::<1, W, 1024>::new(10);
            let layout = Layout::split(Geometry::of(&flash)).unwrap();
            run(BootRecords::new(&layout).store(&mut flash, &old)).unwrap();
            flash.power_on();
            flash.cut = Some((operation, cut));
            let stored = run(BootRecords::new(&layout).store(&mut flash, &new));
            flash.power_on();
            let found = run(BootRecords::new(&layout).load(&mut flash)).unwrap();
            assert!(found == new || (found == old && stored.is_err()), "{operation} {cut:?}: {found:?}");
        }
    }

    #[test]
    fn a_cut_anywhere_in_a_store_leaves_the_old_record_or_the_new() {
        a_cut_leaves_the_old_or_the_new::<1>();
        a_cut_leaves_the_old_or_the_new::<4>();
        a_cut_leaves_the_old_or_the_new::<8>();
        a_cut_leaves_the_old_or_the_new::<16>();
        a_cut_leaves_the_old_or_the_new::<32>();
    }
}
