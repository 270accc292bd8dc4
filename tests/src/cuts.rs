//! Update scenarios, each repeated with a power cut or a flash fault at every flash operation, in every variant and on every
//! chip. A case is written `good/4x4096/3:Head,7:Fail`: scenario, chip, and faults, each position counted from the previous
//! fault.

mod scenario;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use ota_jobs::{Reason, Status};
use ota_pal::{Component, RollbackCounters, Trial};

use crate::device::Device;
use crate::fixtures::WHILE_MS;
use crate::job::{BOTH_COMPONENTS, Order};
use crate::nor::{CHIPS, Chip, CutEffect, FlashFault, PlannedFault};
use crate::sim::{Ended, Flow, Setup, Simulation};

use scenario::{GOOD, IMAGE_BYTES, JOB, NEW, NEWER, NEXT, OLD, REVOKED, order};

pub use scenario::{SCENARIOS, SMALL_SCENARIOS, Scenario};

/// A small window, so that progress is reported before the download ends.
const WINDOW_BYTES: u32 = 2_048;
/// Reasons that may be reported when the flash fails.
const FAULTS: [Reason; 9] = [
    Reason::ReadBackMismatch,
    Reason::FlashWriteFailed,
    Reason::FlashEraseFailed,
    Reason::FlashReadFailed,
    Reason::JournalFailed,
    Reason::BootRecordFailed,
    Reason::SignatureInvalid,
    Reason::DigestMismatch,
    Reason::TrialImageCorrupt,
];

/// A scenario, a chip, and the faults to inject.
#[derive(Clone, Debug)]
pub struct Case {
    /// The scenario.
    pub scenario: &'static Scenario,
    /// The device's flash.
    pub chip: Chip,
    /// The faults, each at an operation counted from the previous one.
    pub faults: Vec<PlannedFault>,
}

/// The result of a case.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// Writes and erases during the scenario, interrupted ones included.
    pub operations: u32,
    /// Violated expectations, as sentences.
    pub failures: Vec<String>,
}

/// Runs a case and then one more good job, which checks that no fault has left the device unable to update.
pub fn run_case(case: &Case) -> CaseResult {
    match catch_unwind(AssertUnwindSafe(|| run_unguarded(case))) {
        Ok(result) => result,
        Err(cause) => {
            let text = cause.downcast_ref::<String>().map(String::as_str);
            let text = text.or(cause.downcast_ref::<&str>().copied()).unwrap_or("no text");
            CaseResult { operations: 0, failures: vec![format!("nothing panics: {text}")] }
        }
    }
}

fn run_unguarded(case: &Case) -> CaseResult {
    let slot_sectors = (4 * IMAGE_BYTES).max(case.scenario.image_bytes + 1_024) as usize / case.chip.sector_bytes + 1;
    let Scenario { factory_slot, staged, system, .. } = *case.scenario;
    let mut setup = Setup { chip: case.chip, slot_sectors, factory_slot, staged, system, ..Setup::new(1) };
    setup.config.window_bytes_start = WINDOW_BYTES;
    let mut sim = Simulation::new(setup);
    sim.checks.allowed_failures.push(Reason::AbortedByUser);
    if case.has_faults() {
        sim.checks.allowed_failures.extend(FAULTS);
    }
    let job = order(JOB, case.scenario, NEW);
    match case.scenario.release {
        true => _ = sim.create_release(&job, &BOTH_COMPONENTS),
        false => sim.create(&job),
    }
    sim.device.nor.plan(case.faults.iter().copied());
    let mut middle = case.scenario.middle;
    let ended = sim.run(WHILE_MS, |sim| {
        let done_bytes = sim.checks.progress.last().map_or(0, |progress| progress.done_bytes);
        if let Some((_, act)) = middle.take_if(|(at_bytes, _)| done_bytes >= *at_bytes) {
            act(sim);
        }
        Flow::Go
    });
    let ended = match case.scenario.after {
        Some(act) if ended == Ended::Quiet => {
            act(&mut sim);
            sim.run(WHILE_MS, |_| Flow::Go)
        }
        _ => ended,
    };
    let operations = sim.device.nor.operations();
    let mut failures = the_scenario_ends_as_allowed(case, &sim, ended);
    failures.extend(the_other_component_is_what_it_was(case, &sim));
    failures.extend(no_sector_is_erased_too_often(&sim));
    failures.extend(the_next_job_works(&mut sim, case.scenario));
    failures.extend(a_revoked_key_is_refused(&mut sim, case.scenario.asks));
    failures.extend(the_monotonic_record_is_what_was_committed(&sim, case.scenario.asks));
    failures.append(&mut sim.checks.violations);
    CaseResult { operations, failures }
}

fn the_scenario_ends_as_allowed(case: &Case, sim: &Simulation, ended: Ended) -> Vec<String> {
    let (status, reason) = sim.verdict(JOB);
    let device = sim.device.of(case.scenario.component);
    let (_, patch) = device.confirmed();
    let record = device.record();
    let mut failures = Vec::new();
    if ended != Ended::Quiet {
        failures.push(format!("the scenario ends: {ended:?}"));
    }
    let reason = reason.filter(|_| status == Status::Failed);
    let gave_up = [Status::Failed, Status::Canceled].contains(&status) && patch == OLD;
    let ends = match () {
        _ if case.has_faults() && [JOB, NEWER].iter().any(|id| failed_for_a_fault(sim, id)) => gave_up,
        _ => case.scenario.ends.contains(&(status, reason, patch)),
    };
    if !ends {
        failures.push(format!("the status of the job matches the device: {status} {reason:?}, 1.0.{patch} runs"));
    }
    if case.scenario.release && sim.device.confirmed().1 != patch {
        failures
            .push(format!("both components of a release or neither: 1.0.{} and 1.0.{patch}", sim.device.confirmed().1));
    }
    if matches!(record.trial, Trial::Pending { .. } | Trial::Started { .. }) {
        failures.push(format!("no trial is left over: {record:?}"));
    }
    failures
}

/// Its slots and records were not touched either, unless a job was for it: one of the checks.
fn the_other_component_is_what_it_was(case: &Case, sim: &Simulation) -> Option<String> {
    let other = other(&sim.device, case.scenario)?;
    let (record, (_, patch)) = (other.record(), other.confirmed());
    let gave_up = case.has_faults() && patch == OLD;
    let is_right = (patch == case.scenario.other || gave_up)
        && !matches!(record.trial, Trial::Pending { .. } | Trial::Started { .. });
    (!is_right).then(|| format!("the other component is what it was: 1.0.{patch}, {:?}", record.trial))
}

/// The component that the job of the scenario does not update, if there are two.
fn other<'d>(device: &'d Device, scenario: &Scenario) -> Option<&'d Device> {
    let system = device.system.as_deref()?;
    Some(if scenario.component == Component::System { device } else { system })
}

fn failed_for_a_fault(sim: &Simulation, id: &str) -> bool {
    let ended = sim.service.entry(id).map(|_| sim.verdict(id));
    matches!(ended, Some((Status::Failed, Some(reason))) if FAULTS.contains(&reason))
}

/// Each boot starts at most one fresh sector of the journal and one of the boot record, and erases a sector of the slot
/// once: a sector is erased once per boot, and once more where the records of a boot fill one.
fn no_sector_is_erased_too_often(sim: &Simulation) -> Option<String> {
    let (erases, boots) = (sim.device.nor.erases_max(), sim.boots);
    (erases > 2 * boots + 2).then(|| format!("no sector is erased too often: {erases} times in {boots} boots"))
}

/// The next job's image requires the same floor as the scenario's; if that was not committed, it is raised now.
fn the_monotonic_record_is_what_was_committed(sim: &Simulation, asks: RollbackCounters) -> Option<String> {
    let floor = sim.device.floor();
    (floor != asks).then(|| format!("the monotonic record is what was committed: {floor:?} instead of {asks:?}"))
}

/// Of the other component, if there are two.
fn the_next_job_works(sim: &mut Simulation, scenario: &Scenario) -> Option<String> {
    sim.device.nor.plan([]);
    let asks = scenario.asks;
    let component = other(&sim.device, scenario).map_or(Component::App, |other| other.component);
    sim.create(&Order { asks, component, by_next_key: asks.key_epoch > 0, ..order(NEXT, &GOOD, 4) });
    let ended = sim.run(WHILE_MS, |_| Flow::Go);
    let (verdict, (_, patch)) = (sim.verdict(NEXT), sim.device.of(component).confirmed());
    let works = (ended, verdict, patch) == (Ended::Quiet, (Status::Succeeded, None), 4);
    (!works).then(|| format!("the next job works: {ended:?} {verdict:?}, 1.0.{patch} runs"))
}

fn a_revoked_key_is_refused(sim: &mut Simulation, asks: RollbackCounters) -> Option<String> {
    if asks.key_epoch == 0 {
        return None;
    }
    sim.checks.allowed_failures.push(Reason::KeyRevoked);
    sim.create(&Order { asks, ..order(REVOKED, &GOOD, 5) });
    let ended = sim.run(WHILE_MS, |_| Flow::Go);
    let verdict = sim.verdict(REVOKED);
    let is_refused = (ended, verdict) == (Ended::Quiet, (Status::Failed, Some(Reason::KeyRevoked)));
    (!is_refused).then(|| format!("a revoked key is refused: {ended:?} {verdict:?}"))
}

impl Case {
    /// Whether any fault is more than a power cut: the flash refuses an operation or reports a wrong result.
    fn has_faults(&self) -> bool {
        self.faults.iter().any(|planned| !matches!(planned.fault, FlashFault::Cut(_)))
    }
}

/// Every fault that a case can name.
fn faults() -> impl Iterator<Item = FlashFault> {
    [FlashFault::Fail, FlashFault::Deny, FlashFault::Ignore, FlashFault::Misread]
        .into_iter()
        .chain(CutEffect::ALL.map(FlashFault::Cut))
}

fn name(fault: FlashFault) -> String {
    match fault {
        FlashFault::Cut(effect) => format!("{effect:?}"),
        fault => format!("{fault:?}"),
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}x{}/", self.scenario.name, self.chip.word_bytes, self.chip.sector_bytes)?;
        let faults: Vec<String> =
            self.faults.iter().map(|PlannedFault { at, fault }| format!("{at}:{}", name(*fault))).collect();
        out.write_str(&faults.join(","))
    }
}

/// The text is not a valid case.
#[derive(Debug)]
pub struct NoCase;

impl FromStr for Case {
    type Err = NoCase;

    fn from_str(text: &str) -> Result<Self, NoCase> {
        let [scenario, chip, planned_faults] = text.split('/').collect::<Vec<_>>()[..] else { return Err(NoCase) };
        let scenario =
            SCENARIOS.iter().chain(SMALL_SCENARIOS.iter()).find(|known| known.name == scenario).ok_or(NoCase)?;
        let units = |chip: &Chip| format!("{}x{}", chip.word_bytes, chip.sector_bytes);
        let chip = CHIPS.into_iter().find(|known| units(known) == chip).ok_or(NoCase)?;
        let planned = |text: &str| {
            let (at, fault) = text.split_once(':').ok_or(NoCase)?;
            let fault = faults().find(|known| name(*known) == fault).ok_or(NoCase)?;
            Ok(PlannedFault { at: at.parse().map_err(|_| NoCase)?, fault })
        };
        let faults =
            planned_faults.split(',').filter(|text| !text.is_empty()).map(planned).collect::<Result<_, _>>()?;
        Ok(Self { scenario, chip, faults })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_reads_back_as_it_is_written() {
        for text in ["good/4x4096/3:Head,7:Bits", "resume/32x131072/", "bad/1x4096/0:Unstable,2:Misread"] {
            let case: Case = text.parse().expect("a case");
            assert_eq!(case.to_string(), text);
        }
        for text in [
            "",
            "good/4x4096",
            "none/4x4096/",
            "good/3x4096/",
            "good/4x4096/3",
            "good/4x4096/x:Head",
            "good/4x4096/3:Neck",
        ] {
            assert!(text.parse::<Case>().is_err(), "{text}");
        }
    }
}
