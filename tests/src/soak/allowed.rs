//! The failure reasons that the faults of a run allow for a job that is otherwise good.

use ota_agent::Command;
use ota_jobs::Reason;

use super::Action;
use crate::nor::{FlashFault, PlannedFault};
use crate::sim::{Act, Simulation};

pub(super) fn failures(script: &[(u64, Action)], sim: &Simulation) -> Vec<Reason> {
    let actions: Vec<&Action> = script.iter().map(|(_, action)| when_it_happens(action)).collect();
    let has = |is: fn(&&Action) -> bool| actions.iter().copied().any(|action| is(&action));
    // A power cut uses up no boot of a trial.
    let is_reset = |action: &&&Action| matches!(action, Action::Device(Act::Reset));
    let resets = actions.iter().filter(is_reset).count();
    let mut allowed_failures = Vec::new();
    if resets >= 2 {
        allowed_failures.push(Reason::TrialAttemptsExhausted);
    }
    let is_late =
        |(_, action): &(u64, Action)| matches!(action, Action::In(_, late) if matches!(**late, Action::Supersede(_)));
    if has(|action| matches!(action, Action::ExecuteAgain { .. })) || script.iter().any(is_late) {
        allowed_failures.push(Reason::VersionNotNewer); // a newer image may have been confirmed meanwhile
    }
    if has(|action| matches!(action, Action::Device(Act::ClockJump { .. }))) {
        allowed_failures.push(Reason::TransferTimedOut); // a jump counts as silence
    }
    if has(|action| matches!(action, Action::Device(Act::Command(Command::Abort)))) {
        allowed_failures.push(Reason::AbortedByUser);
    }
    if has(|action| matches!(action, Action::Flash(PlannedFault { fault: FlashFault::Fail, .. }))) {
        allowed_failures.extend([Reason::FlashWriteFailed, Reason::FlashEraseFailed, Reason::JournalFailed]);
        allowed_failures.extend([Reason::BootRecordFailed, Reason::TrialAttemptsExhausted]);
    }
    if sim.network.conditions.garbage > 0 {
        allowed_failures.push(Reason::ImageTooShort); // three short blocks in a row are taken for the end of the file
    }
    let is_outage = |action: &&&Action| {
        let is_link =
            matches!(action, Action::Device(Act::HalfOpen { .. } | Act::ClockJump { .. }) | Action::Stall { .. });
        is_link || matches!(action, Action::Restart { .. })
    };
    let forgets = sim.service.failure_rates.forgets + sim.service.failure_rates.ignores > 0;
    if forgets || actions.iter().filter(is_outage).count() >= 3 {
        allowed_failures.push(Reason::DocumentTooLarge); // four lost responses are taken for a document that does not fit
    }
    if sim.web.failures > 0 {
        allowed_failures.extend([
            Reason::HttpUnreachable,
            Reason::HttpBodyTooShort,
            Reason::HttpServerBusy,
            Reason::HttpProtocol,
        ]);
    }
    allowed_failures
}

/// The action itself, of one that waits for a state.
fn when_it_happens(action: &Action) -> &Action {
    if let Action::In(_, action) = action { action } else { action }
}
