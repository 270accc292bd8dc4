//! What the agent reads after a boot: the journal's record and the state of the device, for the machine.
//! Compiled twice, for async platforms and in [`blocking`](crate::blocking): see lib.rs.

use ota_jobs::Reason;
use ota_pal::{BootState, Fault, SlotId};

use super::{Platform, bisync};
use crate::machine::{Boot, Phase, RECORD_BYTES, Record, Trial};

/// The record of the journal, if it has one, and the state of the boot record.
#[bisync]
pub(super) async fn read_boot<P: Platform>(platform: &mut P) -> Result<(Option<Record>, BootState), Fault> {
    let mut bytes = [0; ota_pal::JOURNAL_PAYLOAD_BYTES_MAX];
    let len = platform.load_journal(&mut bytes).await?;
    Ok((Record::decode(&bytes[..len.min(RECORD_BYTES)]), platform.boot_state().await?))
}

/// The state of the device, for the machine.
#[bisync]
pub(super) async fn machine_boot<P: Platform>(
    platform: &mut P,
    record: Option<&Record>,
    state: &BootState,
) -> Result<Boot, Fault> {
    let running = state.running.number();
    // Hashing a slot takes long: it is done only if the machine decides by the digest.
    let digest = match record {
        Some(Record { phase: Phase::Activating { slot, .. }, image_bytes, digest, .. }) if *slot == running => {
            let mut found = platform.running_digest(*image_bytes).await?.0;
            if found != *digest {
                found = platform.running_digest(*image_bytes).await?.0; // a transient bit error must not end the trial
            }
            Some(found)
        }
        _ => None,
    };
    Ok(Boot { running, app_of_release: state.app_of_release.map(SlotId::number), digest, trial: trial(state) })
}

fn trial(state: &BootState) -> Trial {
    use ota_pal::Trial as T;
    match state.trial {
        T::Started { slot, .. } | T::Pending { slot, .. } if slot == state.running => Trial::Running,
        T::Ended { slot, digest, reason, .. } => {
            let reason = Reason::from_code(reason).unwrap_or(Reason::RolledBack);
            match slot == state.confirmed {
                true => Trial::Kept(reason),
                false => Trial::Ended { slot: slot.number(), digest: digest.0, reason },
            }
        }
        // Of an app, the trial is that of its system.
        T::None | T::WithSystem { .. } | T::Started { .. } | T::Pending { .. } => Trial::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_pal::{Digest, RollbackCounters, Trial as Stored};

    #[test]
    fn only_the_image_that_runs_is_on_trial() {
        let digest = Digest([1; 32]);
        let of = |slot| {
            [
                Stored::Pending { slot, digest, image_bytes: 9, attempts_left: 1 },
                Stored::Started { slot, digest, image_bytes: 9, attempts_left: 1, power_losses: 0 },
            ]
        };
        for (slot, expected) in [(SlotId::A, Trial::None), (SlotId::B, Trial::Running)] {
            for stored in of(slot) {
                let state = BootState {
                    running: SlotId::B,
                    confirmed: SlotId::A,
                    free: SlotId::A,
                    trial: stored,
                    running_image: None,
                    app_of_release: None,
                    broken_rows: 0,
                    floor: Ok(RollbackCounters::default()),
                };
                assert_eq!(trial(&state), expected, "{stored:?}");
            }
        }
    }

    #[test]
    fn an_image_whose_trial_ended_is_kept_if_it_is_confirmed() {
        let digest = Digest([1; 32]);
        let reason = Reason::SelfTestFailed;
        let ended = Trial::Ended { slot: SlotId::B.number(), digest: digest.0, reason };
        for (confirmed, expected) in [(SlotId::A, ended), (SlotId::B, Trial::Kept(reason))] {
            let state = BootState {
                running: SlotId::B,
                confirmed,
                free: SlotId::A,
                trial: Stored::Ended { slot: SlotId::B, digest, reason: reason.code(), started: true },
                running_image: None,
                app_of_release: None,
                broken_rows: 0,
                floor: Ok(RollbackCounters::default()),
            };
            assert_eq!(trial(&state), expected, "{confirmed:?}");
        }
    }
}
