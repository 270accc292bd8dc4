//! Invariants of every run, each named by a sentence and checked against what the simulation observes. A violation is
//! collected and does not panic, so that the run continues and shows its consequences.

mod flash;
mod progress;
mod unaware;
mod updates;

use std::ops::Range;

use ota_agent::machine::{Notice, WINDOW_BLOCKS};
use ota_agent::{AgentConfig, AgentState, Command, CommandRefused, Progress, StartRefused, Statistics};
use ota_boot::Boot;
use ota_jobs::Reason;
use ota_pal::{Component, Digest, RollbackCounters, SlotId};
use sha2::{Digest as _, Sha256};

use crate::device::Device;
use crate::entry::Entry;
use crate::job::{Job, Kind};
use crate::nor::Chip;
use crate::service::Service;

/// What the checks store of a file of a job.
#[derive(Clone)]
struct Release {
    job: String,
    kind: Kind,
    /// What it updates.
    component: Component,
    /// Of the file that its sources serve.
    digest: Digest,
    image_bytes: u32,
    taken_back_ms: Option<u64>,
    retried: bool,
}

/// The checks of one simulation.
pub struct Checks {
    /// Violated invariants, as sentences.
    pub violations: Vec<String>,
    /// All notices of the application, in order.
    pub notices: Vec<Notice>,
    /// Download progress, in order; only of the newest boot.
    pub progress: Vec<Progress>,
    /// The application's commands, with their results, in order.
    pub commands: Vec<(Command, Result<(), CommandRefused>)>,
    /// The states of the agent, without repetitions.
    pub states: Vec<AgentState>,
    /// The agent's counters; of the newest boot.
    pub statistics: Statistics,
    /// Refused attempts of the application to start an update.
    pub refused: Vec<StartRefused>,
    /// Failure reasons that this run's faults allow, beside those of the jobs' own defects.
    pub allowed_failures: Vec<Reason>,
    releases: Vec<Release>,
    factory: Option<Digest>,
    window_bytes: u32,
    sector_bytes: u32,
    /// The slot that must not be touched, from the newest boot record.
    confirmed: SlotId,
    /// Whether that slot holds its image: a new device's image may run from elsewhere, and a boot copies it into the slot.
    adopted: bool,
    /// Images whose trial ended without a confirmation.
    ended: Vec<Digest>,
    /// The monotonic record as it was last seen.
    floor: RollbackCounters,
    connected_since_ms: Option<u64>,
    updates_read: usize,
    pace: progress::Pacing,
    unaware: unaware::Unaware,
    /// The checks of the flash of the system, if that has slots of its own.
    system: Option<Box<Checks>>,
}

impl Checks {
    /// Checks without observations.
    pub fn new(config: &AgentConfig, chip: Chip) -> Self {
        Self {
            violations: Vec::new(),
            notices: Vec::new(),
            progress: Vec::new(),
            commands: Vec::new(),
            states: Vec::new(),
            statistics: Statistics::default(),
            refused: Vec::new(),
            allowed_failures: Vec::new(),
            releases: Vec::new(),
            factory: None,
            window_bytes: WINDOW_BLOCKS * config.block_bytes(),
            sector_bytes: chip.sector_bytes as u32,
            confirmed: SlotId::A,
            adopted: true,
            ended: Vec::new(),
            floor: RollbackCounters::default(),
            connected_since_ms: None,
            updates_read: 0,
            pace: progress::Pacing::default(),
            unaware: unaware::Unaware::default(),
            system: None,
        }
    }

    /// The device left the factory.
    pub fn factory(&mut self, device: &Device) {
        let slot = device.first_slot();
        (self.factory, self.confirmed) = (device.digest_in(device.runs_from(slot)), slot);
        self.adopted = device.executing.is_none();
        self.system = device.system.as_ref().map(|system| {
            let mut checks = Self::new(&device.config, device.nor.chip());
            checks.factory(system);
            Box::new(checks)
        });
    }

    /// A job was created.
    pub fn released(&mut self, job: &Job) {
        let others = job.others.iter().map(|other| (other.component, &other.file, other.file.len() as u32));
        let first = std::iter::once((job.component, &job.file, job.announced_bytes));
        for (component, file, image_bytes) in first.chain(others) {
            self.releases.push(Release {
                job: job.id.clone(),
                kind: job.kind,
                component,
                digest: Digest(Sha256::digest(file).into()),
                image_bytes,
                taken_back_ms: None,
                retried: false,
            });
        }
    }

    /// The service ended a job.
    pub fn taken_back(&mut self, id: &str, now_ms: u64) {
        for release in self.releases.iter_mut().filter(|release| release.job == id) {
            release.taken_back_ms.get_or_insert(now_ms);
        }
    }

    /// The service retries a job: its image may be tried again.
    pub fn retried(&mut self, id: &str) {
        for release in self.releases.iter_mut().filter(|release| release.job == id) {
            (release.retried, release.taken_back_ms) = (true, None);
        }
    }

    /// The service deleted a job, and created it again as this execution.
    pub fn created_again(&mut self, entry: &Entry) {
        self.unaware.created_again(&entry.job.id, entry.queued_ms);
    }

    /// The connection was established or lost.
    pub fn connected(&mut self, since_ms: Option<u64>) {
        self.connected_since_ms = since_ms;
    }

    /// A program was chosen to start.
    pub fn booted(&mut self, device: &Device, boot: &Boot, now_ms: u64) {
        self.touched(device, now_ms); // by the selector
        self.the_running_image_was_verified_and_is_confirmed_or_on_trial(device, boot);
        self.app_and_system_of_a_release_run_together(device, boot);
        self.of_the_system(device, |checks, system| {
            let boot = system.booted.get().expect("the system started the app");
            checks.the_running_image_was_verified_and_is_confirmed_or_on_trial(system, &boot);
        });
        self.adopted |= device.image_digest(self.confirmed) == self.factory;
        self.connected_since_ms = None;
        self.pace.booted();
        self.progress.clear();
    }

    /// The flash may have been touched.
    pub fn touched(&mut self, device: &Device, now_ms: u64) {
        let touched = device.nor.touched();
        if !touched.is_empty() {
            self.touched_at(device, &touched, now_ms);
            self.of_the_system(device, |checks, system| checks.touched_at(system, &touched, now_ms));
        }
    }

    fn touched_at(&mut self, device: &Device, touched: &[Range<u32>], now_ms: u64) {
        self.the_confirmed_slot_is_never_touched(device, touched, now_ms);
        self.the_factory_slot_is_never_touched(device, touched);
        self.a_component_without_a_job_is_never_touched(device, touched);
        self.the_monotonic_record_is_raised_after_the_commit_and_never_lowered(device, touched);
        self.no_boot_of_a_trial_is_counted_before_its_image_is_in_place(device, touched);
    }

    /// Runs checks of the system, if it is a component of its own.
    fn of_the_system(&mut self, device: &Device, run: impl FnOnce(&mut Self, &Device)) {
        if let (Some(checks), Some(system)) = (&mut self.system, &device.system) {
            checks.releases.clone_from(&self.releases);
            checks.allowed_failures.clone_from(&self.allowed_failures);
            checks.connected_since_ms = self.connected_since_ms;
            run(checks, system);
            self.violations.extend(checks.violations.drain(..).map(|what| format!("system: {what}")));
        }
    }

    /// The device received a message.
    pub fn message_received(&mut self, topic: &str, payload: &[u8]) {
        self.unaware.received(topic, payload);
    }

    /// The device sent a message, at this time of its clock.
    pub fn message_sent(&mut self, topic: &str, payload: &[u8], now_ms: u64) {
        self.unaware.sent(topic, payload);
        self.progress_is_reported_every_five_per_cent_or_ten_seconds(topic, payload, now_ms);
    }

    /// The service received a message.
    pub fn service_received(&mut self, service: &Service, device: &Device) {
        self.a_request_never_asks_for_more_than_128_kib(service);
        for at in self.updates_read..service.updates.len() {
            self.an_update_names_the_version_that_it_expects(&service.updates[at]);
            self.an_execution_is_updated_only_after_the_device_received_it(&service.updates[at]);
            self.all_final_updates_of_a_job_are_the_same(&service.updates[..=at]);
            self.a_final_update_is_true(&service.updates[at], device);
            self.a_final_update_has_a_justified_reason(&service.updates[at]);
        }
        self.updates_read = service.updates.len();
    }

    /// The application received progress.
    pub fn progressed(&mut self, progress: Progress) {
        self.progress_never_falls_and_never_passes_the_whole(progress);
        self.progress.push(progress);
    }

    /// The application received a notice.
    pub fn noticed(&mut self, notice: Notice, now_ms: u64) {
        self.a_download_goes_on_where_the_reset_found_it(notice, now_ms);
        self.notices.push(notice);
    }

    /// The agent is in this state.
    pub fn in_state(&mut self, state: AgentState) {
        if self.states.last() != Some(&state) {
            self.states.push(state);
        }
    }

    /// The agent counted.
    pub fn counted(&mut self, statistics: Statistics) {
        self.statistics = statistics;
        let Statistics { blocks_received, blocks_accepted, blocks_duplicate, blocks_dropped, .. } = statistics;
        if blocks_received != blocks_accepted + blocks_duplicate + blocks_dropped {
            self.violated("every block is accepted, a duplicate or dropped", format!("{statistics:?}"));
        }
    }

    /// The application started an update and was refused.
    pub fn refused_to_start(&mut self, refused: StartRefused) {
        self.refused.push(refused);
    }

    /// Whether this run's flash refused an operation.
    fn flash_failed(&self) -> bool {
        self.allowed_failures.contains(&Reason::FlashWriteFailed)
    }

    fn violated(&mut self, sentence: &str, what: String) {
        self.violations.push(format!("{sentence}: {what}"));
    }
}
