//! What a boot record asks for. Pure: flash is `boot`'s.

use ota_pal::{BootRecord, Digest, SlotId, Trial};

/// The reason stored when a trial used up its boots without a verdict.
pub const REASON_ATTEMPTS_EXHAUSTED: u16 = 0x0603;

/// The reason stored when the slot on trial does not hold what was activated.
pub const REASON_TRIAL_IMAGE_CORRUPT: u16 = 0x0604;

/// What to do at this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Boot the confirmed slot; nothing changes.
    Confirmed,
    /// If the slot still holds this image, store `counted` and boot it; otherwise store `corrupt` and boot the confirmed one.
    Try {
        /// The slot on trial.
        slot: SlotId,
        /// What it must hold.
        digest: Digest,
        /// How long the image is.
        image_bytes: u32,
        /// The record with this boot counted.
        counted: BootRecord,
        /// The record that ends the trial because the image is damaged.
        corrupt: BootRecord,
    },
    /// Store this record and boot the confirmed slot: the trial used up its boots.
    GiveUp(BootRecord),
}

/// The decision for `record`: each trial boot is counted before it happens, so a trial that never speaks ends by itself.
#[must_use]
pub fn select(record: &BootRecord) -> Decision {
    let (slot, digest, image_bytes, attempts_left, started) = match record.trial {
        Trial::None | Trial::Ended { .. } => return Decision::Confirmed,
        Trial::Pending { slot, digest, image_bytes, attempts_left } => {
            (slot, digest, image_bytes, attempts_left, false)
        }
        Trial::Started { slot, digest, image_bytes, attempts_left } => (slot, digest, image_bytes, attempts_left, true),
    };
    let confirmed = record.confirmed;
    let ended = |reason| BootRecord { confirmed, trial: Trial::Ended { slot, digest, reason, started } };
    match attempts_left.checked_sub(1) {
        None => Decision::GiveUp(ended(REASON_ATTEMPTS_EXHAUSTED)),
        Some(attempts_left) => Decision::Try {
            slot,
            digest,
            image_bytes,
            counted: BootRecord { confirmed, trial: Trial::Started { slot, digest, image_bytes, attempts_left } },
            corrupt: ended(REASON_TRIAL_IMAGE_CORRUPT),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: Digest = Digest([7; 32]);
    const SLOT: SlotId = SlotId::B;

    fn record(trial: Trial) -> BootRecord {
        BootRecord { confirmed: SlotId::A, trial }
    }

    fn started(attempts_left: u8) -> Trial {
        Trial::Started { slot: SLOT, digest: DIGEST, image_bytes: 100, attempts_left }
    }

    fn ended(reason: u16, started: bool) -> Trial {
        Trial::Ended { slot: SLOT, digest: DIGEST, reason, started }
    }

    #[test]
    fn a_trial_of_three_boots_is_given_exactly_three() {
        let mut record = record(Trial::Pending { slot: SLOT, digest: DIGEST, image_bytes: 100, attempts_left: 3 });
        for left in [2, 1, 0] {
            let Decision::Try { slot, counted, .. } = select(&record) else { panic!("{record:?}") };
            assert_eq!((slot, counted.trial), (SLOT, started(left)));
            record = counted;
        }
        let Decision::GiveUp(given_up) = select(&record) else { panic!("{record:?}") };
        assert_eq!(given_up.trial, ended(REASON_ATTEMPTS_EXHAUSTED, true));
        assert_eq!(given_up.confirmed, SlotId::A);
        assert_eq!(select(&given_up), Decision::Confirmed);
    }

    #[test]
    fn the_record_of_a_damaged_image_says_whether_it_ever_ran() {
        let pending = Trial::Pending { slot: SLOT, digest: DIGEST, image_bytes: 100, attempts_left: 1 };
        for (trial, has_run) in [(pending, false), (started(1), true)] {
            let Decision::Try { corrupt, .. } = select(&record(trial)) else { panic!("{trial:?}") };
            assert_eq!(corrupt.trial, ended(REASON_TRIAL_IMAGE_CORRUPT, has_run));
        }
    }

    #[test]
    fn without_a_trial_the_confirmed_slot_is_booted() {
        for trial in [Trial::None, ended(1, true), ended(1, false)] {
            assert_eq!(select(&record(trial)), Decision::Confirmed);
        }
    }
}
