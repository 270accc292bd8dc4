//! Erases the slots for a factory reset. After a power cut it can be repeated; erased sectors are skipped.

use super::super::bisync;
use super::super::flash::{Flash, erase_sector, is_erased};
use crate::fault::Fault;
use crate::image::slot::SlotId;
use crate::platform::hooks::Watchdog;
use crate::store::layout::Layout;
use crate::store::region::Region;

/// Erases all slots but the factory's, and feeds the watchdog after each sector.
///
/// # Cancel safety
/// Some sectors may not be erased; call again.
///
/// # Errors
/// [`Fault::Erase`] or [`Fault::Read`] of the last sector that could not be erased in two attempts; all others are
/// erased.
#[bisync]
pub async fn erase_slots<F: Flash, W: Watchdog>(flash: &mut F, layout: &Layout, watchdog: &mut W) -> Result<(), Fault> {
    let mut erased = Ok(());
    for slot in layout.next_slots(SlotId::FACTORY) {
        erased = erase_region(flash, layout.slot(slot), watchdog).await.and(erased);
    }
    erased
}

#[bisync]
async fn erase_region<F: Flash, W: Watchdog>(flash: &mut F, region: Region, watchdog: &mut W) -> Result<(), Fault> {
    let mut erased = Ok(());
    for at in (0..region.len_bytes()).step_by(F::ERASE_SIZE) {
        let sector = region.at(at);
        // A sector that an interrupted erase left unreadable is erased, too.
        let is_erased = is_erased(flash, sector, F::ERASE_SIZE as u32).await == Ok(true);
        if !is_erased && erase_sector(flash, sector).await.is_err() {
            erased = erase_sector(flash, sector).await.and(erased);
        }
        watchdog.feed();
    }
    erased
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Op, Ram, run};
    use super::*;
    use crate::platform::hooks::NoWatchdog;
    use crate::store::layout::Geometry;

    #[test]
    fn only_sectors_that_hold_something_are_erased() {
        let mut flash = Ram::<1, 4, 1024>::new(16);
        let layout = Layout::split(Geometry { word_bytes: 4, erase_bytes: 1024, capacity_bytes: 16 * 1024 }).unwrap();
        let written = layout.slot(SlotId::B).at(1024);
        run(flash.write(written, &[0; 4])).unwrap();
        flash.ops.clear();
        run(erase_slots(&mut flash, &layout, &mut NoWatchdog)).unwrap();
        assert_eq!(flash.ops, [Op::Erase(written)]);
    }
}
