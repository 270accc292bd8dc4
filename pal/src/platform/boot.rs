//! What a boot loader did, and what it is to do next: the values that `BootControl` and loaders exchange.

use crate::image::slot::SlotId;
use crate::store::boot_record::BootRecord;

/// What runs, and what the boot record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootStatus {
    /// The slot whose image runs.
    pub running: SlotId,
    /// The boot record.
    pub record: BootRecord,
}

/// What a new boot record is to bring about at the boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Note,
    /// The next boot tries this slot.
    Try(SlotId),
    /// The running image, which is on trial, stays.
    Keep,
    /// The trial of the running image is over: the next boot starts the confirmed one.
    Revert,
    /// The next boot starts this slot, for good.
    Switch(SlotId),
}

/// Where a slot stands by the loader's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoaderState {
    /// The next boot tries it.
    Waiting,
    /// It was started on trial, and has no verdict yet: the next boot goes back.
    Trying,
    /// It stays.
    Kept,
    /// It was tried, and given up.
    GivenUp,
    /// Nothing that can be read, or nothing at all.
    Nothing,
}
