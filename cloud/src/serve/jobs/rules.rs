//! Rules of job executions: state transitions and notifications.
//! Pure functions; no store, no messages, no clock.

use ota_jobs::{RejectCode, Status};

use crate::model::Execution;

/// Update of an execution by a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The new status.
    pub status: Status,
    /// Replaces the status details if present. A JSON object of strings.
    pub details: Option<String>,
    /// Version that the device expects.
    pub expected_version: Option<u64>,
    /// Execution number that the device expects.
    pub number: Option<u64>,
    /// Change of the step timer.
    pub step_timer: StepTimer,
}

/// Change of the step timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepTimer {
    /// Unchanged.
    Keep,
    /// Restart. Unit: minutes.
    Minutes(u64),
    /// Stop.
    Stop,
}

/// Why a request is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// AWS's code.
    pub code: RejectCode,
    /// Human-readable reason.
    pub message: String,
    /// Current state of the execution; only with the codes that include it.
    pub state: Option<Box<Execution>>,
}

impl Refusal {
    /// Creates a rejection without execution state.
    pub fn new(code: RejectCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), state: None }
    }

    fn showing(code: RejectCode, message: String, execution: &Execution) -> Self {
        Self { code, message, state: Some(Box::new(execution.clone())) }
    }
}

/// Starts a queued execution. Returns `None` for one in progress, which stays unchanged.
///
/// Source: AWS IoT Jobs, StartNextPendingJobExecution.
pub fn start(
    execution: &Execution,
    details: Option<String>,
    step_timer: StepTimer,
    timeout_s: Option<u64>,
    now_s: u64,
) -> Option<Execution> {
    if execution.status != Status::Queued {
        return None;
    }
    let mut next = stepped(execution, Status::InProgress, details, now_s);
    begin_timers(&mut next, step_timer, timeout_s, now_s);
    Some(next)
}

/// Applies a device's update.
///
/// Errors: `VersionMismatch` and `InvalidStateTransition` with the state, `ResourceNotFound` for another execution number,
/// `InvalidRequest` for a status that only the service sets. AWS does not document which of the first two is checked first;
/// a device with an old version has not seen the status either, so the version is checked first.
pub fn update(execution: &Execution, change: Change, timeout_s: Option<u64>, now_s: u64) -> Result<Execution, Refusal> {
    check(execution, &change)?;
    let mut next = stepped(execution, change.status, change.details, now_s);
    if next.is_pending() {
        begin_timers(&mut next, change.step_timer, timeout_s, now_s);
    }
    Ok(next)
}

fn check(execution: &Execution, change: &Change) -> Result<(), Refusal> {
    if change.number.is_some_and(|number| number != execution.number) {
        let message = format!("there is no attempt {}", change.number.unwrap_or_default());
        return Err(Refusal::new(RejectCode::ResourceNotFound, message));
    }
    if let Some(expected) = change.expected_version.filter(|expected| *expected != execution.version) {
        let message = format!("expected version {expected}, it is {}", execution.version);
        return Err(Refusal::showing(RejectCode::VersionMismatch, message, execution));
    }
    // It may be a delayed or repeated update of the execution before.
    let is_unstarted_retry = execution.number > 1 && execution.status == Status::Queued;
    if is_unstarted_retry && change.number.is_none() && change.status.is_terminal() {
        let message = format!("attempt {} has not begun: start it, or send its executionNumber", execution.number);
        return Err(Refusal::showing(RejectCode::InvalidStateTransition, message, execution));
    }
    if execution.status.is_terminal() {
        let (from, to) = (execution.status.as_str(), change.status.as_str());
        let message = format!("{from} is final and cannot become {to}");
        return Err(Refusal::showing(RejectCode::InvalidStateTransition, message, execution));
    }
    match change.status {
        // AWS documents the transition from QUEUED for REJECTED only; all final states are accepted.
        Status::InProgress | Status::Succeeded | Status::Failed | Status::Rejected => Ok(()),
        other => {
            let message = format!("a device cannot set the status {}", other.as_str());
            Err(Refusal::new(RejectCode::InvalidRequest, message))
        }
    }
}

/// Ends an execution whose timer has expired.
pub fn time_out(execution: &Execution, now_s: u64) -> Option<Execution> {
    let overdue = execution.deadline_s().is_some_and(|deadline_s| deadline_s <= now_s);
    (execution.status == Status::InProgress && overdue).then(|| stepped(execution, Status::TimedOut, None, now_s))
}

/// Cancels a queued execution; one in progress only if forced.
///
/// Source: AWS IoT Jobs, CancelJob.
pub fn cancel(execution: &Execution, force: bool, now_s: u64) -> Option<Execution> {
    let taken = match execution.status {
        Status::Queued => true,
        Status::InProgress => force,
        _ => false,
    };
    taken.then(|| stepped(execution, Status::Canceled, None, now_s))
}

/// Changes of a thing's queue that require notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueChange {
    /// The set of pending executions has changed: topic `notify`.
    pub list: bool,
    /// The next pending execution has changed: topic `notify-next`.
    pub first: bool,
}

/// Compares a thing's queue before and after a change; both are in AWS's order.
///
/// Source: AWS IoT developer guide, "Jobs notifications": added or removed for `notify`, another first for `notify-next`.
pub fn queue_change(before: &[Execution], after: &[Execution]) -> QueueChange {
    // The retry of an execution is another one.
    let identity = |e: &Execution| (e.seq, e.number);
    let same = before.len() == after.len() && after.iter().all(|e| before.iter().any(|b| identity(b) == identity(e)));
    let first = |queue: &[Execution]| queue.first().map(identity);
    QueueChange { list: !same, first: first(before) != first(after) }
}

/// Returns a thing's queue after one of its executions changed, in AWS's order; ended executions are removed.
pub fn requeued(before: &[Execution], next: &Execution) -> Vec<Execution> {
    let others = before.iter().filter(|e| e.seq != next.seq);
    let mut after: Vec<Execution> = others.chain(next.is_pending().then_some(next)).cloned().collect();
    after.sort_by_key(|e| (e.status == Status::Queued, e.queued_at_s, e.seq));
    after
}

fn stepped(execution: &Execution, status: Status, details: Option<String>, now_s: u64) -> Execution {
    let mut next = execution.clone();
    if status == Status::InProgress {
        next.started_at_s = next.started_at_s.or(Some(now_s));
    }
    if status.is_terminal() {
        next.job_deadline_s = None;
        next.step_deadline_s = None;
    }
    next.status = status;
    next.details = details.or(next.details);
    next.updated_at_s = now_s;
    next.version += 1;
    next
}

/// Sets the deadlines. The job's timer starts once, with the execution; a device may restart the step timer.
fn begin_timers(next: &mut Execution, step_timer: StepTimer, timeout_s: Option<u64>, now_s: u64) {
    if next.job_deadline_s.is_none() {
        next.job_deadline_s = timeout_s.map(|timeout_s| now_s + timeout_s);
    }
    match step_timer {
        StepTimer::Keep => {}
        StepTimer::Minutes(minutes) => next.step_deadline_s = Some(now_s + minutes * 60),
        StepTimer::Stop => next.step_deadline_s = None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_700_000_000;

    fn execution(seq: i64, status: Status) -> Execution {
        Execution {
            seq,
            job_id: format!("job{seq}"),
            thing: "lamp".into(),
            number: 1,
            status,
            details: Some(r#"{"a":"1"}"#.into()),
            queued_at_s: NOW_S - 100,
            started_at_s: None,
            updated_at_s: NOW_S - 100,
            version: 4,
            job_deadline_s: None,
            step_deadline_s: None,
        }
    }

    fn change(status: Status) -> Change {
        Change { status, details: None, expected_version: None, number: None, step_timer: StepTimer::Keep }
    }

    #[test]
    fn the_table_of_transitions_holds_for_every_pair() {
        use Status::{Canceled, Failed, InProgress, Queued, Rejected, Removed, Succeeded, TimedOut};
        let device = [InProgress, Succeeded, Failed, Rejected];
        for from in [Queued, InProgress, Succeeded, Failed, Rejected, Removed, Canceled, TimedOut] {
            for to in [Queued, InProgress, Succeeded, Failed, Rejected, Removed, Canceled, TimedOut] {
                let got = update(&execution(1, from), change(to), None, NOW_S).map(|e| e.status).map_err(|r| r.code);
                let expected = match (from.is_terminal(), device.contains(&to)) {
                    (true, _) => Err(RejectCode::InvalidStateTransition),
                    (false, true) => Ok(to),
                    (false, false) => Err(RejectCode::InvalidRequest),
                };
                assert_eq!(got, expected, "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn an_update_adds_one_to_the_version_and_keeps_details_that_are_not_given() {
        let next = update(&execution(1, Status::Queued), change(Status::InProgress), None, NOW_S).unwrap();
        assert_eq!((next.version, next.details.as_deref()), (5, Some(r#"{"a":"1"}"#)));
        assert_eq!((next.started_at_s, next.updated_at_s), (Some(NOW_S), NOW_S));
        let details = Some(r#"{"b":"2"}"#.to_owned());
        let again = update(&next, Change { details, ..change(Status::InProgress) }, None, NOW_S + 9).unwrap();
        assert_eq!((again.version, again.details.as_deref()), (6, Some(r#"{"b":"2"}"#)));
        assert_eq!(again.started_at_s, Some(NOW_S), "a start happens once");
    }

    #[test]
    fn another_version_or_attempt_is_refused_and_the_version_shows_the_state() {
        let old = Change { expected_version: Some(3), ..change(Status::Succeeded) };
        let refusal = update(&execution(1, Status::InProgress), old, None, NOW_S).unwrap_err();
        assert_eq!(refusal.code, RejectCode::VersionMismatch);
        assert_eq!(refusal.state.map(|e| e.version), Some(4));
        let other = Change { number: Some(2), ..change(Status::Succeeded) };
        let refusal = update(&execution(1, Status::InProgress), other, None, NOW_S).unwrap_err();
        assert_eq!((refusal.code, refusal.state), (RejectCode::ResourceNotFound, None));
    }

    #[test]
    fn an_end_without_a_number_is_not_that_of_a_retry_which_has_not_begun() {
        let retry = |status| Execution { number: 2, ..execution(1, status) };
        let refusal = update(&retry(Status::Queued), change(Status::Failed), None, NOW_S).unwrap_err();
        assert_eq!((refusal.code, refusal.state.is_some()), (RejectCode::InvalidStateTransition, true));
        let named = Change { number: Some(2), ..change(Status::Failed) };
        assert!(update(&retry(Status::Queued), named, None, NOW_S).is_ok());
        assert!(update(&retry(Status::Queued), change(Status::InProgress), None, NOW_S).is_ok());
        assert!(update(&retry(Status::InProgress), change(Status::Failed), None, NOW_S).is_ok());
        assert!(update(&execution(1, Status::Queued), change(Status::Failed), None, NOW_S).is_ok());
    }

    #[test]
    fn starting_what_is_in_progress_changes_nothing() {
        let details = Some("{}".to_owned());
        assert_eq!(start(&execution(1, Status::InProgress), details, StepTimer::Keep, None, NOW_S), None);
    }

    #[test]
    fn the_shorter_timer_ends_an_execution_and_a_terminal_one_has_none() {
        let started = start(&execution(1, Status::Queued), None, StepTimer::Minutes(1), Some(600), NOW_S).unwrap();
        assert_eq!(started.deadline_s(), Some(NOW_S + 60));
        assert_eq!(time_out(&started, NOW_S + 59), None);
        let ended = time_out(&started, NOW_S + 60).unwrap();
        assert_eq!((ended.status, ended.deadline_s()), (Status::TimedOut, None));
        let stopped = Change { step_timer: StepTimer::Stop, ..change(Status::InProgress) };
        let stopped = update(&started, stopped, Some(600), NOW_S + 30).unwrap();
        assert_eq!(stopped.deadline_s(), Some(NOW_S + 600), "the job's timer is not restarted by an update");
    }

    #[test]
    fn cancelling_leaves_what_is_in_progress_unless_forced() {
        assert!(cancel(&execution(1, Status::Queued), false, NOW_S).is_some());
        assert!(cancel(&execution(1, Status::InProgress), false, NOW_S).is_none());
        assert!(cancel(&execution(1, Status::InProgress), true, NOW_S).is_some());
        assert!(cancel(&execution(1, Status::Failed), true, NOW_S).is_none());
    }

    /// The walk-through of the developer guide's page "Jobs notifications", step by step.
    #[test]
    fn notifications_follow_the_walk_through_of_the_guide() {
        let queued = |seq| execution(seq, Status::Queued);
        let running = |seq| execution(seq, Status::InProgress);
        let changed = |before: &[Execution], after: &[Execution]| {
            let change = queue_change(before, after);
            (change.list, change.first)
        };
        assert_eq!(changed(&[], &[queued(1)]), (true, true), "the first job is created");
        assert_eq!(changed(&[queued(1)], &[queued(1), queued(2)]), (true, false), "a second job is created");
        assert_eq!(changed(&[queued(1), queued(2)], &[running(1), queued(2)]), (false, false), "the first is started");
        assert_eq!(changed(&[running(1), queued(2)], &[queued(2)]), (true, true), "the first is done");
        assert_eq!(changed(&[queued(2), queued(3)], &[running(3), queued(2)]), (false, true), "the third overtakes");
        assert_eq!(changed(&[running(3)], &[]), (true, true), "the last is done");
    }
}
