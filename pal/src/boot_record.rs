//! The boot record: which slot is confirmed, and how a trial stands. Written by the agent and by boot selectors.
//! Which slot to boot is decided in `ota-boot`, not here.

use crate::bytes::{put, take, u16_at, u32_at};
use crate::digest::Digest;
use crate::error::Fault;
use crate::flash::Flash;
use crate::layout::{Layout, SlotId};
use crate::records::{Kind, Records};

/// The most boots a trial may be given.
pub const TRIAL_ATTEMPTS_MAX: u8 = 15;

/// How the trial of a new image stands. A trial is always of the slot that is not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// There is none, or the last one was confirmed.
    None,
    /// Activated; has not been booted.
    Pending {
        /// The slot on trial.
        slot: SlotId,
        /// What it holds.
        digest: Digest,
        /// How long the image is.
        image_bytes: u32,
        /// Boots it is given.
        attempts_left: u8,
    },
    /// Booted at least once, no verdict yet.
    Started {
        /// The slot on trial.
        slot: SlotId,
        /// What it holds.
        digest: Digest,
        /// How long the image is.
        image_bytes: u32,
        /// Boots left.
        attempts_left: u8,
    },
    /// Ended without confirmation.
    Ended {
        /// The slot that was on trial.
        slot: SlotId,
        /// What it held.
        digest: Digest,
        /// Why; the numbers are the agent's, boot selectors have a few of their own.
        reason: u16,
        /// Whether the image was ever booted.
        started: bool,
    },
}

/// What the boot record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootRecord {
    /// The slot that is booted when no trial is on.
    pub confirmed: SlotId,
    /// The trial.
    pub trial: Trial,
}

impl BootRecord {
    /// The record of a device that never stored one: slot A is confirmed, there is no trial.
    pub const NEW_DEVICE: Self = Self { confirmed: SlotId::A, trial: Trial::None };
}

/// The boot record in flash: the newest one counts, and a cut while storing leaves the earlier one.
#[derive(Debug)]
pub struct BootRecords(Records);

impl BootRecords {
    /// The boot record of a layout.
    #[must_use]
    pub const fn new(layout: &Layout) -> Self {
        Self(Records::new(layout.boot_record(), Kind::Boot))
    }

    /// The newest record, [`BootRecord::NEW_DEVICE`] if there is none. Dropped: nothing happened.
    ///
    /// # Errors
    /// [`Fault::BootRecordInvalid`] for one that this program does not understand, [`Fault::Read`].
    pub async fn load<F: Flash>(&mut self, flash: &mut F) -> Result<BootRecord, Fault> {
        let mut payload = [0; PAYLOAD_BYTES];
        match self.0.load(flash, &mut payload).await {
            Ok(None) => Ok(BootRecord::NEW_DEVICE),
            Ok(Some(len)) => parse(&payload[..len]),
            // Longer than ours: of a format to come.
            Err(Fault::JournalBufferTooSmall { .. }) => Err(Fault::BootRecordInvalid { format: 0 }),
            Err(fault) => Err(fault),
        }
    }

    /// Stores `record`, durable when this returns, after everything written before. Dropped: the earlier or the new one is
    /// found.
    ///
    /// # Errors
    /// The flash's own; the earlier or the new one is found then.
    pub async fn store<F: Flash>(&mut self, flash: &mut F, record: &BootRecord) -> Result<(), Fault> {
        self.0.store(flash, &emit(record)).await
    }
}

const FORMAT: u8 = 1;
const PAYLOAD_BYTES: usize = 44;

// Offsets in the payload; numbers are little endian, what a trial does not use is zero.
const AT_CONFIRMED: usize = 1;
const AT_TRIAL: usize = 2;
const AT_SLOT: usize = 3;
const AT_COUNT: usize = 4; // attempts left, or whether an ended trial had started
const AT_ZERO: usize = 5;
const AT_REASON: usize = 6;
const AT_IMAGE_BYTES: usize = 8;
const AT_DIGEST: usize = 12;

const TRIAL_NONE: u8 = 0;
const TRIAL_PENDING: u8 = 1;
const TRIAL_STARTED: u8 = 2;
const TRIAL_ENDED: u8 = 3;

fn emit(record: &BootRecord) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [0; PAYLOAD_BYTES];
    payload[0] = FORMAT;
    payload[AT_CONFIRMED] = slot_number(record.confirmed);
    let mut trial = |kind, slot, count, reason: u16, image_bytes: u32, digest: &Digest| {
        payload[AT_TRIAL] = kind;
        payload[AT_SLOT] = slot_number(slot);
        payload[AT_COUNT] = count;
        put(&mut payload, AT_REASON, &reason.to_le_bytes());
        put(&mut payload, AT_IMAGE_BYTES, &image_bytes.to_le_bytes());
        put(&mut payload, AT_DIGEST, &digest.0);
    };
    match &record.trial {
        Trial::None => {}
        Trial::Pending { slot, digest, image_bytes, attempts_left } => {
            trial(TRIAL_PENDING, *slot, *attempts_left, 0, *image_bytes, digest);
        }
        Trial::Started { slot, digest, image_bytes, attempts_left } => {
            trial(TRIAL_STARTED, *slot, *attempts_left, 0, *image_bytes, digest);
        }
        Trial::Ended { slot, digest, reason, started } => {
            trial(TRIAL_ENDED, *slot, u8::from(*started), *reason, 0, digest);
        }
    }
    payload
}

fn parse(payload: &[u8]) -> Result<BootRecord, Fault> {
    let invalid = Fault::BootRecordInvalid { format: payload.first().copied().unwrap_or_default() };
    let payload: &[u8; PAYLOAD_BYTES] = payload.try_into().map_err(|_| invalid)?;
    let confirmed = parse_slot(payload[AT_CONFIRMED]).ok_or(invalid)?;
    let trial = parse_trial(payload).ok_or(invalid)?;
    if payload[0] != FORMAT || payload[AT_ZERO] != 0 || slot_of(&trial) == Some(confirmed) {
        return Err(invalid);
    }
    Ok(BootRecord { confirmed, trial })
}

fn parse_trial(payload: &[u8; PAYLOAD_BYTES]) -> Option<Trial> {
    let slot = parse_slot(payload[AT_SLOT])?;
    let digest = Digest(take(payload, AT_DIGEST));
    let image_bytes = u32_at(payload, AT_IMAGE_BYTES);
    let attempts_left = payload[AT_COUNT];
    match payload[AT_TRIAL] {
        TRIAL_NONE => Some(Trial::None),
        TRIAL_PENDING if attempts_left <= TRIAL_ATTEMPTS_MAX => {
            Some(Trial::Pending { slot, digest, image_bytes, attempts_left })
        }
        TRIAL_STARTED if attempts_left <= TRIAL_ATTEMPTS_MAX => {
            Some(Trial::Started { slot, digest, image_bytes, attempts_left })
        }
        TRIAL_ENDED => {
            Some(Trial::Ended { slot, digest, reason: u16_at(payload, AT_REASON), started: attempts_left != 0 })
        }
        _ => None,
    }
}

fn slot_of(trial: &Trial) -> Option<SlotId> {
    match trial {
        Trial::None => None,
        Trial::Pending { slot, .. } | Trial::Started { slot, .. } | Trial::Ended { slot, .. } => Some(*slot),
    }
}

const fn slot_number(slot: SlotId) -> u8 {
    match slot {
        SlotId::A => 0,
        SlotId::B => 1,
    }
}

fn parse_slot(number: u8) -> Option<SlotId> {
    match number {
        0 => Some(SlotId::A),
        1 => Some(SlotId::B),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Geometry;
    use crate::testing::{CUTS, Ram, run};
    use proptest::prelude::*;

    const DIGEST: Digest = Digest([0xD1; 32]);

    fn samples() -> [BootRecord; 4] {
        let (slot, digest, image_bytes) = (SlotId::B, DIGEST, 0x0102_0304);
        [
            BootRecord::NEW_DEVICE,
            BootRecord {
                confirmed: SlotId::A,
                trial: Trial::Pending { slot, digest, image_bytes, attempts_left: TRIAL_ATTEMPTS_MAX },
            },
            BootRecord { confirmed: SlotId::A, trial: Trial::Started { slot, digest, image_bytes, attempts_left: 0 } },
            BootRecord {
                confirmed: SlotId::B,
                trial: Trial::Ended { slot: SlotId::A, digest, reason: 0x0603, started: true },
            },
        ]
    }

    #[test]
    fn the_bytes_of_a_boot_record_never_change() {
        let [none, pending, started, ended] = samples().map(|record| emit(&record));
        let mut golden = [0; PAYLOAD_BYTES];
        golden[0] = 1;
        assert_eq!(none, golden);
        golden[AT_DIGEST..].fill(0xD1);
        golden[..AT_DIGEST].copy_from_slice(&[1, 0, 1, 1, 15, 0, 0, 0, 4, 3, 2, 1]);
        assert_eq!(pending, golden);
        golden[..AT_DIGEST].copy_from_slice(&[1, 0, 2, 1, 0, 0, 0, 0, 4, 3, 2, 1]);
        assert_eq!(started, golden);
        golden[..AT_DIGEST].copy_from_slice(&[1, 1, 3, 0, 1, 0, 3, 6, 0, 0, 0, 0]);
        assert_eq!(ended, golden);
    }

    #[test]
    fn a_record_reads_back_what_it_says() {
        for record in samples() {
            assert_eq!(parse(&emit(&record)), Ok(record));
        }
    }

    #[test]
    fn an_unknown_or_contradictory_record_is_refused_with_its_format() {
        let [_, pending, started, _] = samples().map(|record| emit(&record));
        let refused = |mut payload: [u8; PAYLOAD_BYTES], at: usize, byte: u8| {
            payload[at] = byte;
            assert_eq!(parse(&payload), Err(Fault::BootRecordInvalid { format: payload[0] }), "byte {at} = {byte}");
        };
        refused(pending, 0, 2);
        refused(pending, AT_CONFIRMED, 1); // on trial and confirmed at once
        refused(pending, AT_CONFIRMED, 2);
        refused(pending, AT_TRIAL, 4);
        refused(pending, AT_SLOT, 2);
        refused(pending, AT_ZERO, 1);
        refused(pending, AT_COUNT, TRIAL_ATTEMPTS_MAX + 1);
        refused(started, AT_COUNT, TRIAL_ATTEMPTS_MAX + 1);
        assert_eq!(parse(&pending[..43]), Err(Fault::BootRecordInvalid { format: 1 }));
        assert_eq!(parse(&[]), Err(Fault::BootRecordInvalid { format: 0 }));
    }

    #[test]
    fn a_record_longer_than_ours_is_refused() {
        let mut flash = Ram::<1, 4, 1024>::new(8);
        let layout = Layout::split(Geometry::of(&flash)).unwrap();
        let mut records = BootRecords::new(&layout);
        run(records.0.store(&mut flash, &[2; PAYLOAD_BYTES + 1])).unwrap();
        assert_eq!(run(records.load(&mut flash)), Err(Fault::BootRecordInvalid { format: 0 }));
    }

    #[test]
    fn a_new_device_has_slot_a_confirmed() {
        let mut flash = Ram::<1, 4, 1024>::new(8);
        let layout = Layout::split(Geometry::of(&flash)).unwrap();
        assert_eq!(run(BootRecords::new(&layout).load(&mut flash)), Ok(BootRecord::NEW_DEVICE));
    }

    fn a_cut_leaves_the_old_or_the_new<const W: usize>() {
        let [_, old, new, _] = samples();
        for (operation, cut) in (0..4).flat_map(|operation| CUTS.map(|cut| (operation, cut))) {
            let mut flash = Ram::<1, W, 1024>::new(8);
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

    proptest! {
        #[test]
        fn any_payload_parses_to_what_emits_it_or_is_refused(mut payload: [u8; PAYLOAD_BYTES]) {
            payload[0] = FORMAT;
            payload[AT_ZERO] = 0;
            for at in [AT_CONFIRMED, AT_SLOT, AT_COUNT] {
                payload[at] %= 2;
            }
            payload[AT_TRIAL] %= 4;
            if let Ok(record) = parse(&payload) {
                prop_assert_eq!(parse(&emit(&record)), Ok(record));
            }
        }
    }
}
