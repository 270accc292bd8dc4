//! Checks of the contents of flash, and of what runs from it.

use std::ops::Range;

use ota_boot::Boot;
use ota_pal::{BootRecord, Digest, Region, RollbackCounters, SlotId, Trial};

use super::{Checks, Release};
use crate::device::Device;
use crate::image::key_epoch;
use crate::job::Kind;

/// Time after its end at the service within which a connected device may still activate a job: the response that reports the
/// end may be lost or refused many times.
const CANCEL_MS_MAX: u64 = 180_000;

impl Release {
    /// Whether a device may run it: its sources serve what was signed, by the right key, for this board.
    pub(super) fn may_run(&self) -> bool {
        matches!(self.kind, Kind::Good | Kind::FailsItsTest | Kind::HangsInItsTest)
    }
}

impl Checks {
    pub(super) fn the_running_image_was_verified_and_is_confirmed_or_on_trial(&mut self, device: &Device, boot: &Boot) {
        let digest = device.digest_in(device.runs_from(boot.slot));
        let verified = |release: &Release| {
            release.may_run() && release.component == device.component && Some(release.digest) == digest
        };
        if digest != self.factory && !self.releases.iter().any(verified) {
            self.violated("the running image was verified", format!("slot {} holds {digest:?}", boot.slot));
        }
        let BootRecord { confirmed, trial, .. } = device.record();
        let on_trial =
            matches!(trial, Trial::Started { slot, .. } | Trial::WithSystem { slot, .. } if slot == boot.slot);
        if boot.slot != confirmed && !on_trial {
            self.violated("the running image is confirmed or on trial", format!("slot {}, {trial:?}", boot.slot));
        }
    }

    /// A release is tried whole.
    pub(super) fn app_and_system_of_a_release_run_together(&mut self, device: &Device, boot: &Boot) {
        let Some(system) = &device.system else { return };
        let below = system.booted.get().expect("the system started the app");
        let waits = match device.record().trial {
            Trial::WithSystem { slot, .. } => Some(slot),
            _ => None,
        };
        let of_one_release = boot.header.release_id == below.header.release_id;
        if waits == Some(boot.slot) && !of_one_release {
            let what = format!("app {:x}, system {:x}", boot.header.release_id, below.header.release_id);
            self.violated("app and system of a release run together", what);
        }
    }

    /// Ranges are in the order of the operations: the protected slot changes where the boot record was written between them.
    pub(super) fn the_confirmed_slot_is_never_touched(&mut self, device: &Device, touched: &[Range<u32>], now_ms: u64) {
        let is_record = |range| lies_in(range, device.layout.boot_record());
        let record = touched.iter().any(is_record).then(|| device.record()); // reading it takes long
        for range in touched {
            if let Some(BootRecord { confirmed, trial, .. }) = record.filter(|_| is_record(range)) {
                self.confirmed = confirmed;
                self.a_job_that_was_taken_back_is_not_activated(&trial, now_ms);
                self.an_image_whose_trial_ended_is_not_tried_again(&trial);
            }
            if self.adopted && lies_in(range, device.layout.slot(self.confirmed)) {
                self.violated("the confirmed slot is never touched", format!("{range:?} in slot {}", self.confirmed));
            }
        }
    }

    pub(super) fn the_factory_slot_is_never_touched(&mut self, device: &Device, touched: &[Range<u32>]) {
        let Some(factory) = device.layout.factory().filter(|_| self.adopted) else { return };
        for range in touched.iter().filter(|range| lies_in(range, factory)) {
            self.violated("the factory slot is never touched", format!("{range:?}"));
        }
    }

    /// Its slots, its boot record and its monotonic record: the updates are those of the other component.
    pub(super) fn a_component_without_a_job_is_never_touched(&mut self, device: &Device, touched: &[Range<u32>]) {
        if self.releases.is_empty() || self.releases.iter().any(|release| release.component == device.component) {
            return;
        }
        let layout = &device.layout;
        let own = [SlotId::A, SlotId::B].map(|slot| layout.slot(slot)).into_iter();
        let own = own.chain([layout.boot_record(), layout.monotonic()]);
        for region in own {
            for range in touched.iter().filter(|range| lies_in(range, region)) {
                self.violated("a component without a job is never touched", format!("{range:?}"));
            }
        }
    }

    pub(super) fn the_monotonic_record_is_raised_after_the_commit_and_never_lowered(
        &mut self,
        device: &Device,
        touched: &[Range<u32>],
    ) {
        if !touched.iter().any(|range| lies_in(range, device.layout.monotonic())) {
            return;
        }
        let (floor, earlier) = (device.floor(), self.floor);
        if floor.max(earlier) != floor {
            self.violated("the monotonic record is never lowered", format!("{earlier:?} became {floor:?}"));
        }
        let confirmed = device.record().confirmed;
        let asked = device.header(confirmed).map_or(RollbackCounters::default(), |header| RollbackCounters {
            security_counter: header.security_counter,
            key_epoch: key_epoch(&header),
        });
        let allowed = asked.max(earlier);
        if floor.max(allowed) != allowed {
            let what = format!("{earlier:?} became {floor:?}, slot {confirmed} is confirmed and asks for {asked:?}");
            self.violated("the monotonic record is raised after the commit", what);
        }
        self.floor = floor;
    }

    /// Where images are copied before they run, a cut in the middle of the copy costs none of their boots.
    pub(super) fn no_boot_of_a_trial_is_counted_before_its_image_is_in_place(
        &mut self,
        device: &Device,
        touched: &[Range<u32>],
    ) {
        let counted = touched.iter().any(|range| lies_in(range, device.layout.boot_record()));
        let Some(executing) = device.executing.filter(|_| counted) else { return };
        let Trial::Started { digest, .. } = device.record().trial else { return };
        if !self.flash_failed() && device.digest_in(executing) != Some(digest) {
            self.violated("no boot of a trial is counted before its image is in place", format!("{digest}"));
        }
    }

    fn a_job_that_was_taken_back_is_not_activated(&mut self, trial: &Trial, now_ms: u64) {
        let Trial::Pending { digest, .. } = trial else { return };
        let Some(since_ms) = self.connected_since_ms else { return };
        let Some(Release { job, taken_back_ms: Some(at_ms), .. }) = self.release(digest) else { return };
        if now_ms > since_ms.max(*at_ms) + CANCEL_MS_MAX {
            let what = format!("{job} ended at {at_ms} ms, activated at {now_ms} ms");
            self.violated("a job that was taken back is not activated", what);
        }
    }

    fn an_image_whose_trial_ended_is_not_tried_again(&mut self, trial: &Trial) {
        match trial {
            Trial::Ended { digest, .. } => self.ended.push(*digest),
            Trial::Pending { digest, .. } if self.ended.contains(digest) => {
                let retried = self.release(digest).is_some_and(|release| release.retried);
                // If the journal failed, the cancellation may have been lost.
                if !retried && !self.flash_failed() {
                    self.violated("an image whose trial ended is not tried again", format!("{digest}"));
                }
            }
            Trial::None | Trial::WithSystem { .. } | Trial::Pending { .. } | Trial::Started { .. } => {}
        }
    }

    fn release(&self, digest: &Digest) -> Option<&Release> {
        self.releases.iter().find(|release| release.digest == *digest)
    }
}

fn lies_in(range: &Range<u32>, region: Region) -> bool {
    range.start < region.offset_bytes() + region.len_bytes() && region.offset_bytes() < range.end
}
