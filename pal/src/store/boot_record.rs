//! The boot record: the confirmed slot, the state of the trial, and the contents of the slots. Written by the agent and
//! by boot selectors. `ota-boot` decides which slot to boot.

use crate::bytes::{put, take, u16_at, u32_at};
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::slot::SlotId;
use crate::store::images::{self, Images, ROW_BYTES, ROWS_MAX};
use crate::store::record_format::RecordSpec;

/// The most boots that a trial may have.
pub const TRIAL_ATTEMPTS_MAX: u8 = 15;

/// The most power losses of a trial that use up no boot.
pub const POWER_LOSSES_MAX: u8 = 15;

/// The reason stored when a trial ended without a verdict: its boots are used up, or the boot loader reverted the
/// image.
pub const REASON_ATTEMPTS_EXHAUSTED: u16 = 0x0603;

/// The reason stored when the slot on trial does not hold the activated image.
pub const REASON_TRIAL_IMAGE_CORRUPT: u16 = 0x0604;

/// The reason of a trial whose system was started without the app of its release, although that is intact.
pub(crate) const REASON_APP_NOT_STARTED: u16 = 0x0606;

/// The state of the trial of a new image. A trial is always of a slot that is not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// No trial, or the last one was confirmed.
    None,
    /// Runs in every boot in which a system of the same release runs, until it is confirmed: the trial of the system counts
    /// its boots. Programs of earlier commits read [`Trial::None`].
    WithSystem {
        /// The slot.
        slot: SlotId,
        /// The digest of its image.
        digest: Digest,
        /// The length of the image in bytes.
        image_bytes: u32,
    },
    /// Activated and not booted yet.
    Pending {
        /// The slot on trial.
        slot: SlotId,
        /// The digest of its image.
        digest: Digest,
        /// The length of the image in bytes.
        image_bytes: u32,
        /// Boots left.
        attempts_left: u8,
    },
    /// Booted at least once, without a verdict yet.
    Started {
        /// The slot on trial.
        slot: SlotId,
        /// The digest of its image.
        digest: Digest,
        /// The length of the image in bytes.
        image_bytes: u32,
        /// Boots left.
        attempts_left: u8,
        /// Boots after a power loss, which used up no attempt.
        power_losses: u8,
    },
    /// Ended without confirmation.
    Ended {
        /// The slot that was on trial.
        slot: SlotId,
        /// The digest of its image.
        digest: Digest,
        /// The reason. The numbers are defined by the agent; boot selectors have a few of their own.
        reason: u16,
        /// Whether the image was ever booted.
        started: bool,
    },
}

/// The contents of the boot record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootRecord {
    /// The slot that is booted when no trial is in progress.
    pub confirmed: SlotId,
    /// The trial.
    pub trial: Trial,
    /// The contents of the slots.
    pub images: Images,
    /// Rows that this program cannot parse. They count as absent and are lost when the record is next stored.
    pub broken_rows: u8,
    /// A factory reset is pending: the boot selector erases all slots except the factory slot, and all rows except its
    /// row.
    pub factory_reset_pending: bool,
}

impl BootRecord {
    /// Creates the record of a device that has not stored one: this slot is confirmed, and the others have no rows.
    #[must_use]
    pub const fn new_device(confirmed: SlotId) -> Self {
        Self { confirmed, trial: Trial::None, images: Images::NONE, broken_rows: 0, factory_reset_pending: false }
    }
}

const FORMAT: u8 = 2;
/// Length of the payload without rows.
const FIXED_BYTES: usize = 44;
/// Length of the longest payload: a row for every slot.
const PAYLOAD_BYTES_MAX: usize = FIXED_BYTES + ROWS_MAX * ROW_BYTES;

pub(crate) const RECORDS: RecordSpec = RecordSpec::new(0x42, PAYLOAD_BYTES_MAX);

// Offsets in the payload; numbers are little endian, and fields that a trial does not use are zero. The rows follow.
const AT_CONFIRMED: usize = 1;
const AT_TRIAL: usize = 2;
const AT_SLOT: usize = 3;
const AT_COUNT: usize = 4; // attempts left, whether an ended trial had started, or, without a trial, WITH_SYSTEM
const AT_FACTORY_RESET: usize = 5;
const AT_REASON: usize = 6; // of a started trial: the power losses
const AT_IMAGE_BYTES: usize = 8;
const AT_DIGEST: usize = 12;

const TRIAL_NONE: u8 = 0;
const TRIAL_PENDING: u8 = 1;
const TRIAL_STARTED: u8 = 2;
const TRIAL_ENDED: u8 = 3;
const WITH_SYSTEM: u8 = 1;

/// Writes the payload and returns its length.
pub(crate) fn emit(record: &BootRecord, payload: &mut [u8]) -> usize {
    payload[..FIXED_BYTES].fill(0);
    payload[0] = FORMAT;
    payload[AT_CONFIRMED] = record.confirmed.number();
    payload[AT_FACTORY_RESET] = u8::from(record.factory_reset_pending);
    let mut trial = |kind, slot, count, reason: u16, image_bytes: u32, digest: &Digest| {
        payload[AT_TRIAL] = kind;
        payload[AT_SLOT] = SlotId::number(slot);
        payload[AT_COUNT] = count;
        put(payload, AT_REASON, &reason.to_le_bytes());
        put(payload, AT_IMAGE_BYTES, &image_bytes.to_le_bytes());
        put(payload, AT_DIGEST, &digest.0);
    };
    match &record.trial {
        Trial::None => {}
        Trial::WithSystem { slot, digest, image_bytes } => {
            trial(TRIAL_NONE, *slot, WITH_SYSTEM, 0, *image_bytes, digest);
        }
        Trial::Pending { slot, digest, image_bytes, attempts_left } => {
            trial(TRIAL_PENDING, *slot, *attempts_left, 0, *image_bytes, digest);
        }
        Trial::Started { slot, digest, image_bytes, attempts_left, power_losses } => {
            trial(TRIAL_STARTED, *slot, *attempts_left, (*power_losses).into(), *image_bytes, digest);
        }
        Trial::Ended { slot, digest, reason, started } => {
            trial(TRIAL_ENDED, *slot, u8::from(*started), *reason, 0, digest);
        }
    }
    let mut len = FIXED_BYTES;
    for (slot, image) in record.images.iter() {
        put(payload, len, &images::emit(slot, image));
        len += ROW_BYTES;
    }
    len
}

pub(crate) fn parse(payload: &[u8]) -> Result<BootRecord, Fault> {
    let invalid = Fault::BootRecordInvalid { format: payload.first().copied().unwrap_or_default() };
    let (fixed, rows) = payload.split_first_chunk().ok_or(invalid)?;
    let confirmed = SlotId::from_number(fixed[AT_CONFIRMED]).ok_or(invalid)?;
    let trial = parse_trial(fixed).ok_or(invalid)?;
    let (images, broken_rows) = parse_rows(rows).ok_or(invalid)?;
    if fixed[0] != FORMAT || fixed[AT_FACTORY_RESET] > 1 || slot_of(&trial) == Some(confirmed) {
        return Err(invalid);
    }
    Ok(BootRecord { confirmed, trial, images, broken_rows, factory_reset_pending: fixed[AT_FACTORY_RESET] == 1 })
}

/// Parses the rows and counts the invalid ones; an invalid row does not invalidate the record.
fn parse_rows(mut rows: &[u8]) -> Option<(Images, u8)> {
    let (mut images, mut broken_rows) = (Images::NONE, 0);
    while let Some((row, rest)) = rows.split_first_chunk() {
        match images::parse(row) {
            Some((slot, image)) => images.set(slot, Some(image)),
            None => broken_rows = u8::saturating_add(broken_rows, 1),
        }
        rows = rest;
    }
    rows.is_empty().then_some((images, broken_rows))
}

fn parse_trial(payload: &[u8; FIXED_BYTES]) -> Option<Trial> {
    let slot = SlotId::from_number(payload[AT_SLOT])?;
    let digest = Digest(take(payload, AT_DIGEST));
    let image_bytes = u32_at(payload, AT_IMAGE_BYTES);
    let (attempts_left, reason) = (payload[AT_COUNT], u16_at(payload, AT_REASON));
    match payload[AT_TRIAL] {
        TRIAL_NONE if attempts_left == WITH_SYSTEM => Some(Trial::WithSystem { slot, digest, image_bytes }),
        TRIAL_NONE => Some(Trial::None),
        TRIAL_PENDING if attempts_left <= TRIAL_ATTEMPTS_MAX => {
            Some(Trial::Pending { slot, digest, image_bytes, attempts_left })
        }
        TRIAL_STARTED if attempts_left <= TRIAL_ATTEMPTS_MAX => {
            let power_losses = u8::try_from(reason).ok().filter(|losses| *losses <= POWER_LOSSES_MAX)?;
            Some(Trial::Started { slot, digest, image_bytes, attempts_left, power_losses })
        }
        TRIAL_ENDED => Some(Trial::Ended { slot, digest, reason, started: attempts_left != 0 }),
        _ => None,
    }
}

fn slot_of(trial: &Trial) -> Option<SlotId> {
    match trial {
        Trial::None => None,
        Trial::WithSystem { slot, .. } | Trial::Pending { slot, .. } => Some(*slot),
        Trial::Started { slot, .. } | Trial::Ended { slot, .. } => Some(*slot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::version::Version;
    use crate::store::images::{Image, ImageStatus, Source};
    use proptest::prelude::*;
    use std::vec::Vec;

    const DIGEST: Digest = Digest([0xD1; 32]);
    const NEW_DEVICE: BootRecord = BootRecord::new_device(SlotId::A);

    fn emitted(record: &BootRecord) -> Vec<u8> {
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        let len = emit(record, &mut payload);
        payload[..len].to_vec()
    }

    fn image(patch: u32) -> Image {
        let version = Version::new(1, 0, patch);
        let (digest, source) = (DIGEST, Source::new("job"));
        Image { status: ImageStatus::Confirmed, version, security_counter: 1, image_bytes: 2, digest, source }
    }

    fn samples() -> [BootRecord; 5] {
        let (slot, digest, image_bytes) = (SlotId::B, DIGEST, 0x0102_0304);
        let with_system = Trial::WithSystem { slot, digest, image_bytes };
        let pending = Trial::Pending { slot, digest, image_bytes, attempts_left: TRIAL_ATTEMPTS_MAX };
        let started = Trial::Started { slot, digest, image_bytes, attempts_left: 0, power_losses: POWER_LOSSES_MAX };
        let ended = Trial::Ended { slot: SlotId::A, digest, reason: 0x0603, started: true };
        let mut images = Images::NONE;
        images.set(SlotId::B, Some(image(1)));
        images.set(SlotId::FACTORY, Some(image(2)));
        [
            NEW_DEVICE,
            BootRecord { trial: with_system, ..NEW_DEVICE },
            BootRecord { trial: pending, ..NEW_DEVICE },
            BootRecord { trial: started, ..NEW_DEVICE },
            BootRecord { trial: ended, images, factory_reset_pending: true, ..BootRecord::new_device(SlotId::FACTORY) },
        ]
    }

    #[test]
    fn the_bytes_of_a_boot_record_never_change() {
        let [none, with_system, pending, started, ended] = samples().map(|record| emitted(&record));
        let mut golden = [0; FIXED_BYTES];
        golden[0] = 2;
        assert_eq!(none, golden);
        golden[AT_DIGEST..].fill(0xD1);
        golden[..AT_DIGEST].copy_from_slice(&[2, 0, 0, 1, 1, 0, 0, 0, 4, 3, 2, 1]);
        assert_eq!(with_system, golden);
        golden[..AT_DIGEST].copy_from_slice(&[2, 0, 1, 1, 15, 0, 0, 0, 4, 3, 2, 1]);
        assert_eq!(pending, golden);
        golden[..AT_DIGEST].copy_from_slice(&[2, 0, 2, 1, 0, 0, 15, 0, 4, 3, 2, 1]);
        assert_eq!(started, golden);
        golden[..AT_DIGEST].copy_from_slice(&[2, 15, 3, 0, 1, 1, 3, 6, 0, 0, 0, 0]);
        assert_eq!(ended[..FIXED_BYTES], golden);
        assert_eq!(ended[FIXED_BYTES..][..ROW_BYTES], images::emit(SlotId::B, &image(1)));
        assert_eq!(ended[FIXED_BYTES + ROW_BYTES..], images::emit(SlotId::FACTORY, &image(2)));
    }

    #[test]
    fn a_record_reads_back_what_it_says() {
        for record in samples() {
            assert_eq!(parse(&emitted(&record)), Ok(record));
        }
    }

    #[test]
    fn an_unknown_or_contradictory_record_is_refused_with_its_format() {
        let [_, _, pending, started, ended] = samples().map(|record| emitted(&record));
        let refused = |payload: &[u8], at: usize, byte: u8| {
            let mut payload = payload.to_vec();
            payload[at] = byte;
            assert_eq!(parse(&payload), Err(Fault::BootRecordInvalid { format: payload[0] }), "byte {at} = {byte}");
        };
        refused(&pending, 0, 1);
        refused(&pending, 0, 3);
        refused(&pending, AT_CONFIRMED, 1); // on trial and confirmed at once
        refused(&pending, AT_CONFIRMED, 4);
        refused(&pending, AT_TRIAL, 4);
        refused(&pending, AT_SLOT, 4);
        refused(&pending, AT_FACTORY_RESET, 2);
        refused(&pending, AT_COUNT, TRIAL_ATTEMPTS_MAX + 1);
        refused(&started, AT_COUNT, TRIAL_ATTEMPTS_MAX + 1);
        refused(&started, AT_REASON, POWER_LOSSES_MAX + 1);
        refused(&started, AT_REASON + 1, 1);
        for len in [1, FIXED_BYTES - 1, FIXED_BYTES + 1, FIXED_BYTES + ROW_BYTES - 1, ended.len() - 1] {
            assert_eq!(parse(&ended[..len]), Err(Fault::BootRecordInvalid { format: 2 }), "{len} bytes");
        }
        assert_eq!(parse(&[]), Err(Fault::BootRecordInvalid { format: 0 }));
    }

    proptest! {
        #[test]
        fn any_payload_parses_to_what_emits_it_or_is_refused(
            mut fixed: [u8; FIXED_BYTES],
            mut rows: [[u8; ROW_BYTES]; 2],
        ) {
            fixed[0] = FORMAT;
            for at in [AT_CONFIRMED, AT_SLOT, AT_COUNT, AT_FACTORY_RESET] {
                fixed[at] %= 2;
            }
            fixed[AT_TRIAL] %= 4;
            for row in &mut rows {
                (row[0], row[1], row[2], row[3]) = (row[0] % 4, row[1] % 4, row[2] % 3, 0);
            }
            if let Ok(record) = parse(&[&fixed[..], &rows.concat()].concat()) {
                prop_assert_eq!(parse(&emitted(&record)), Ok(BootRecord { broken_rows: 0, ..record }));
            }
        }
    }
}
