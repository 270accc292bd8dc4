//! The line that a boot selector prints.

use ota_boot::{Boot, BootReason};
use ota_pal::{SlotId, Version};

use crate::number::Number;

/// Prints with `print` which slot is started, the version in it, why, and `end`.
pub fn boot(boot: &Boot, end: &[u8], print: fn(&[&[u8]])) {
    let slot: &[u8] = match boot.slot {
        SlotId::A => b"A",
        SlotId::B => b"B",
        _ => b"factory",
    };
    let Version { major, minor, patch } = boot.header.version;
    let [major, minor, patch] = [major.into(), minor.into(), patch].map(Number::decimal);
    let why: &[u8] = match boot.cause {
        BootReason::Confirmed => b"confirmed",
        BootReason::Trial => b"on trial",
        BootReason::WithSystem => b"of the release of the system",
        BootReason::TrialEnded => b"confirmed; a trial ended",
        BootReason::NotStored(_) => b"confirmed; the record cannot be stored",
        BootReason::FellBack { .. } => b"fell back: the confirmed image cannot be started",
        BootReason::FactoryReset => b"factory reset",
        BootReason::FactoryResetInPart(_) => b"factory reset; some sectors cannot be erased",
    };
    let (major, minor, patch) = (major.bytes(), minor.bytes(), patch.bytes());
    print(&[b"boots slot ", slot, b", version ", major, b".", minor, b".", patch, b" (", why, b")", end]);
}
