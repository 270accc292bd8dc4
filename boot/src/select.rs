//! The decision that a boot record leads to. Pure: flash is accessed in `carry_out`.

use ota_pal::{BootRecord, Digest, POWER_LOSSES_MAX, SlotId, Trial};
pub use ota_pal::{REASON_ATTEMPTS_EXHAUSTED, REASON_TRIAL_IMAGE_CORRUPT};

use crate::outcome::ResetCause;

/// The action of one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Boot the confirmed slot without changes.
    Confirmed,
    /// If the slot still holds this image, store `counted` and boot it. Otherwise store `corrupt` and boot the
    /// confirmed slot.
    Try {
        /// The trial with this boot counted.
        counted: Trial,
        /// The trial, ended because the image is damaged.
        corrupt: Trial,
    },
    /// If the slot still holds this image, and the system that runs is of its release, boot it. Otherwise boot the confirmed
    /// slot. Store nothing.
    WithSystem {
        /// The slot.
        slot: SlotId,
        /// The digest of its image.
        digest: Digest,
        /// The length of the image in bytes.
        image_bytes: u32,
    },
    /// Store this ended trial and boot the confirmed slot: no attempts are left.
    EndTrial(Trial),
    /// If the factory image is intact, erase everything else and boot it.
    FactoryReset,
}

/// Returns the decision for `record` after a reset for `cause`. A trial boot is counted before it is started, so that a trial
/// without a verdict ends; a power loss is no verdict, and is counted apart.
#[must_use]
pub fn select(record: &BootRecord, cause: ResetCause) -> Decision {
    if record.factory_reset_pending {
        return Decision::FactoryReset;
    }
    let (slot, digest, image_bytes, attempts_left, losses) = match record.trial {
        Trial::None | Trial::Ended { .. } => return Decision::Confirmed,
        Trial::WithSystem { slot, digest, image_bytes } => {
            return Decision::WithSystem { slot, digest, image_bytes };
        }
        Trial::Pending { slot, digest, image_bytes, attempts_left } => (slot, digest, image_bytes, attempts_left, None),
        Trial::Started { slot, digest, image_bytes, attempts_left, power_losses } => {
            (slot, digest, image_bytes, attempts_left, Some(power_losses))
        }
    };
    let ended = |reason| Trial::Ended { slot, digest, reason, started: losses.is_some() };
    let counts = match losses {
        Some(losses) if cause == ResetCause::PowerLoss && losses < POWER_LOSSES_MAX => {
            Some((attempts_left, losses + 1))
        }
        _ => attempts_left.checked_sub(1).map(|left| (left, losses.unwrap_or(0))),
    };
    match counts {
        None => Decision::EndTrial(ended(REASON_ATTEMPTS_EXHAUSTED)),
        Some((attempts_left, power_losses)) => Decision::Try {
            counted: Trial::Started { slot, digest, image_bytes, attempts_left, power_losses },
            corrupt: ended(REASON_TRIAL_IMAGE_CORRUPT),
        },
    }
}

/// Returns the next slot to try: that of the newest image that was once confirmed, then the factory slot. The caller removes the
/// rows of the images that cannot be started. Images below `security_counter_min` are excluded.
#[must_use]
pub fn fallback(record: &BootRecord, security_counter_min: u32) -> Option<SlotId> {
    let factory = record
        .images
        .get(SlotId::FACTORY)
        .filter(|image| image.status.was_confirmed() && image.security_counter >= security_counter_min);
    record.images.newest_confirmed(security_counter_min, |_| false).or(factory.map(|_| SlotId::FACTORY))
}

#[cfg(test)]
mod tests {
    use super::ResetCause::{Other, PowerLoss};
    use super::*;
    use ota_pal::{Image, ImageStatus, Images, Source, Version};

    const DIGEST: Digest = Digest([7; 32]);
    const SLOT: SlotId = SlotId::B;

    fn record(trial: Trial) -> BootRecord {
        BootRecord { trial, ..BootRecord::new_device(SlotId::A) }
    }

    fn started(attempts_left: u8, power_losses: u8) -> Trial {
        Trial::Started { slot: SLOT, digest: DIGEST, image_bytes: 100, attempts_left, power_losses }
    }

    fn ended(reason: u16, started: bool) -> Trial {
        Trial::Ended { slot: SLOT, digest: DIGEST, reason, started }
    }

    #[test]
    fn a_trial_of_three_boots_is_given_exactly_three() {
        let mut record = record(Trial::Pending { slot: SLOT, digest: DIGEST, image_bytes: 100, attempts_left: 3 });
        for left in [2, 1, 0] {
            let Decision::Try { counted, .. } = select(&record, Other) else { panic!("{record:?}") };
            assert_eq!(counted, started(left, 0));
            record.trial = counted;
        }
        let Decision::EndTrial(given_up) = select(&record, Other) else { panic!("{record:?}") };
        assert_eq!(given_up, ended(REASON_ATTEMPTS_EXHAUSTED, true));
        record.trial = given_up;
        assert_eq!(select(&record, Other), Decision::Confirmed);
    }

    #[test]
    fn fifteen_power_losses_of_a_trial_use_up_no_boot() {
        let mut record = record(Trial::Pending { slot: SLOT, digest: DIGEST, image_bytes: 100, attempts_left: 2 });
        let first = [(1, 0)].into_iter().chain((1..=15).map(|losses| (1, losses)));
        for (left, losses) in first.chain([(0, 15)]) {
            let Decision::Try { counted, .. } = select(&record, PowerLoss) else { panic!("{record:?}") };
            assert_eq!(counted, started(left, losses));
            record.trial = counted;
        }
        assert_eq!(select(&record, PowerLoss), Decision::EndTrial(ended(REASON_ATTEMPTS_EXHAUSTED, true)));
    }

    #[test]
    fn the_last_boot_of_a_trial_is_given_again_after_a_power_loss_only() {
        let record = record(started(0, 3));
        assert!(matches!(select(&record, PowerLoss), Decision::Try { counted, .. } if counted == started(0, 4)));
        assert_eq!(select(&record, Other), Decision::EndTrial(ended(REASON_ATTEMPTS_EXHAUSTED, true)));
    }

    #[test]
    fn the_record_of_a_damaged_image_says_whether_it_ever_ran() {
        let pending = Trial::Pending { slot: SLOT, digest: DIGEST, image_bytes: 100, attempts_left: 1 };
        for (trial, has_run) in [(pending, false), (started(1, 0), true)] {
            let Decision::Try { corrupt, .. } = select(&record(trial), Other) else { panic!("{trial:?}") };
            assert_eq!(corrupt, ended(REASON_TRIAL_IMAGE_CORRUPT, has_run));
        }
    }

    #[test]
    fn without_a_trial_the_confirmed_slot_is_booted() {
        for trial in [Trial::None, ended(1, true), ended(1, false)] {
            assert_eq!(select(&record(trial), Other), Decision::Confirmed);
        }
    }

    #[test]
    fn the_app_of_a_release_is_started_with_its_system_and_no_boot_of_it_is_counted() {
        let trial = Trial::WithSystem { slot: SLOT, digest: DIGEST, image_bytes: 100 };
        let expected = Decision::WithSystem { slot: SLOT, digest: DIGEST, image_bytes: 100 };
        for cause in [Other, PowerLoss] {
            assert_eq!(select(&record(trial), cause), expected);
        }
    }

    #[test]
    fn a_factory_reset_comes_before_everything_else() {
        let ordered = BootRecord { factory_reset_pending: true, confirmed: SlotId::FACTORY, ..record(started(2, 0)) };
        assert_eq!(select(&ordered, Other), Decision::FactoryReset);
    }

    #[test]
    fn images_are_ranked_newest_first_and_the_factory_is_the_last() {
        let image = |patch, status| Image {
            status,
            version: Version::new(1, 0, patch),
            security_counter: patch,
            image_bytes: 100,
            digest: DIGEST,
            source: Source::new(""),
        };
        let mut images = Images::NONE;
        images.set(SlotId::A, Some(image(3, ImageStatus::Confirmed)));
        images.set(SlotId::B, Some(image(4, ImageStatus::Confirmed)));
        images.set(SlotId::C, Some(image(9, ImageStatus::Failed)));
        images.set(SlotId::FACTORY, Some(image(1, ImageStatus::Confirmed)));
        let mut record = BootRecord { images, ..record(Trial::None) };
        assert_eq!(fallback(&record, 5), None, "no image meets the counter");
        assert_eq!(fallback(&record, 4), Some(SlotId::B));
        let mut ranked = std::vec::Vec::new();
        while let Some(slot) = fallback(&record, 0) {
            ranked.push(slot);
            record.images.set(slot, None);
            if ranked.len() == 2 {
                assert_eq!(fallback(&record, 2), None, "nor does the factory image");
            }
        }
        assert_eq!(ranked, [SlotId::B, SlotId::A, SlotId::FACTORY]);
    }
}
