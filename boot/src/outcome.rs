//! What a boot starts, and why; how much it checks; and why it may start nothing.

use ota_pal::{Fault, Header, SlotId};

/// The slot to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The slot.
    pub slot: SlotId,
    /// The header of the image in it.
    pub header: Header,
    /// Why this one.
    pub cause: BootReason,
}

/// Why a slot was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootReason {
    /// It is confirmed, and no trial is on.
    Confirmed,
    /// It is on trial, and this boot was counted.
    Trial,
    /// It is confirmed, and a trial of another slot was ended at this boot; the boot record says why.
    TrialEnded,
    /// It is confirmed, and something that this boot had to store could not be stored. Without its count, a trial could go
    /// on for ever: it waits.
    NotStored(Fault),
    /// The image of the confirmed slot cannot be started: this is the newest that can, and it is confirmed from now on.
    FellBack {
        /// The slot that was confirmed.
        from: SlotId,
    },
    /// A factory reset was carried out at this boot.
    FactoryReset,
    /// The same, but for sectors that cannot be erased; no image in them is known any more.
    FactoryResetInPart(Fault),
}

/// How much of an image a boot looks at before it starts it. One on trial, or fallen back to, is always hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyLevel {
    /// Its header.
    Header,
    /// The whole of it, where the image database has its digest: a boot takes as long as hashing it does.
    Whole,
}

/// Why nothing can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// Flash cannot be read, or a record is not understood.
    Fault(Fault),
    /// No slot holds an image that was verified, is whole, and may still run.
    NoBootableImage,
}

impl From<Fault> for BootError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
