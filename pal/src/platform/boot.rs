//! The values that `BootControl` and boot loaders exchange.

use crate::image::slot::SlotId;
use crate::store::boot_record::BootRecord;

/// The running slot and the boot record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootStatus {
    /// The slot whose image runs.
    pub running: SlotId,
    /// The boot record.
    pub record: BootRecord,
}

/// The effect that a new boot record has on the boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// None.
    RecordOnly,
    /// The next boot tries this slot.
    Test(SlotId),
    /// The running image, which is on trial, becomes permanent.
    Confirm,
    /// The trial of the running image has ended: the next boot starts the confirmed one.
    Revert,
    /// Every later boot starts this slot.
    SetDefault(SlotId),
}

/// The state of a slot as reported by the loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoaderState {
    /// The next boot tries it.
    Pending,
    /// It was started on trial and is not confirmed: the next boot reverts.
    Testing,
    /// It is permanent.
    Confirmed,
    /// It was tried and rejected.
    Reverted,
    /// No state, or one that cannot be read.
    Unknown,
}
