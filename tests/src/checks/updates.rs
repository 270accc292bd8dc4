//! Checks of what is reported to the service.

use ota_agent::{Command, Notice};
use ota_jobs::{Reason, Status};
use ota_pal::{Component, Trial};

use super::{Checks, Release};
use crate::device::Device;
use crate::service::{Service, StatusUpdate};
use crate::stream::REQUEST_BYTES_MAX;

/// The state of a component's image.
#[derive(Debug)]
struct ImageState {
    runs: bool,
    is_on_trial: bool,
}

impl StatusUpdate {
    /// The reason in its details.
    pub fn reason(&self) -> Option<Reason> {
        let detail = |key| self.details.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
        let code = u16::from_str_radix(detail("code")?.strip_prefix("0x")?, 16).ok()?;
        Reason::from_code(code).filter(|reason| detail("reason") == Some(reason.name()))
    }
}

impl Checks {
    pub(super) fn a_request_never_asks_for_more_than_128_kib(&mut self, service: &Service) {
        if service.largest_request_bytes > REQUEST_BYTES_MAX {
            let what = format!("{} bytes", service.largest_request_bytes);
            self.violated("a request never asks for more than 128 KiB", what);
        }
    }

    pub(super) fn an_update_names_the_version_that_it_expects(&mut self, update: &StatusUpdate) {
        if update.expected_version.is_none() {
            self.violated("an update names the version that it expects", format!("{update:?}"));
        }
    }

    pub(super) fn an_execution_is_updated_only_after_the_device_received_it(&mut self, update: &StatusUpdate) {
        if update.taken && !update.offered && !self.unaware.has_sent(update) {
            self.violated("an execution is updated only after the device received it", format!("{update:?}"));
        }
    }

    /// A final update that is repeated because its response was lost must be the same, and only one is accepted.
    pub(super) fn all_final_updates_of_a_job_are_the_same(&mut self, updates: &[StatusUpdate]) {
        let Some((update, earlier)) = updates.split_last().filter(|(update, _)| update.status.is_terminal()) else {
            return;
        };
        if self.unaware.has_sent(update) {
            return;
        }
        let same = |other: &&StatusUpdate| (&other.job, other.execution) == (&update.job, update.execution);
        let earlier = earlier.iter().filter(same).filter(|other| other.status.is_terminal());
        let earlier: Vec<&StatusUpdate> = earlier.filter(|other| !self.unaware.has_sent(other)).collect();
        let is_other = |other: &&&StatusUpdate| (other.status, other.reason()) != (update.status, update.reason());
        // An image whose flash write failed in one boot may succeed in the next, as long as no final update was accepted.
        let excused = self.flash_failed();
        if let Some(other) = earlier.iter().find(is_other).filter(|_| !excused) {
            self.violated("all final updates of a job are the same", format!("{other:?}, then {update:?}"));
        }
        if update.taken && earlier.iter().any(|other| other.taken) {
            self.violated("one final update of a job is accepted", format!("{update:?}"));
        }
    }

    /// SUCCEEDED exactly when an image of the job runs and is confirmed, in each component that it updates; otherwise in none
    /// of them. Of a job that is executed again, one component may still have the image of the earlier execution; of one whose
    /// app was rolled back on command, the system has its.
    pub(super) fn a_final_update_is_true(&mut self, update: &StatusUpdate, device: &Device) {
        let components = [Component::App, Component::System];
        let states = components.into_iter().filter_map(|component| self.state_of(component, update, device));
        let states: Vec<ImageState> = states.collect();
        if states.is_empty() {
            return;
        }
        let is_again = self.final_update_of(update).any(|file| file.retried);
        let succeeded = update.status == Status::Succeeded;
        let all_run = states.iter().all(|state| state.runs);
        let any_runs = states.iter().any(|state| state.runs);
        let may_be_partial = is_again || update.reason() == Some(Reason::RolledBack);
        let is_true = if succeeded || may_be_partial { all_run == succeeded } else { !any_runs };
        if !is_true || states.iter().any(|state| state.is_on_trial) {
            self.violated("a final update is true", format!("{update:?}, {states:?}"));
        }
    }

    /// The state of a component's image of the job that this update ends; `None` if it has none.
    fn state_of(&self, component: Component, update: &StatusUpdate, device: &Device) -> Option<ImageState> {
        let files: Vec<&Release> = self.final_update_of(update).filter(|file| file.component == component).collect();
        if files.is_empty() {
            return None;
        }
        let device = device.of(component);
        let record = device.record();
        let runs_from = device.runs_from(device.confirmed_slot());
        let runs = |release: &&Release| {
            device.digest(runs_from, release.image_bytes.min(slot_bytes(device))) == release.digest
        };
        let tried = match record.trial {
            // An image that was overwritten cannot be tried: the boot selector hashes it first.
            Trial::Pending { slot, digest, .. } | Trial::Started { slot, digest, .. } => {
                device.image_digest(slot).filter(|held| *held == digest)
            }
            Trial::None | Trial::WithSystem { .. } | Trial::Ended { .. } => None,
        };
        let is_on_trial = files.iter().any(|release| Some(release.digest) == tried);
        Some(ImageState { runs: files.iter().any(runs), is_on_trial })
    }

    pub(super) fn a_final_update_has_a_justified_reason(&mut self, update: &StatusUpdate) {
        let Some(release) = self.final_update_of(update).next() else { return };
        let earned = release.kind.reasons();
        let kind = release.kind;
        let fits = match (update.status, update.reason()) {
            (Status::Succeeded, None) => earned.is_empty() || self.accepted_on_command(),
            (Status::Failed, Some(Reason::RolledBack)) if self.is_left_on_command() => true,
            (status, Some(reason)) => {
                status == reason.status() && (earned.contains(&reason) || self.allowed_failures.contains(&reason))
            }
            (_, None) => false,
        };
        if !fits {
            self.violated(
                "a final update has a reason that the job or a fault justifies",
                format!("{kind:?}: {update:?}"),
            );
        }
    }

    fn accepted_on_command(&self) -> bool {
        self.commands.contains(&(Command::Accept, Ok(())))
    }

    /// Whether the image of the last job was left on command.
    fn is_left_on_command(&self) -> bool {
        let mut since_last_job = self.notices.iter().rev().take_while(|n| !matches!(n, Notice::UpdateAvailable { .. }));
        since_last_job.any(|notice| matches!(notice, Notice::RolledBack { .. } | Notice::FactoryReset))
    }

    /// The files of the job that an update ends.
    fn final_update_of(&self, update: &StatusUpdate) -> impl Iterator<Item = &Release> {
        let is_final = update.taken && update.status.is_terminal();
        self.releases.iter().filter(move |release| is_final && release.job == update.job)
    }
}

fn slot_bytes(device: &Device) -> u32 {
    device.layout.slot(ota_pal::SlotId::A).len_bytes()
}
