//! Tests of rollouts and releases over a real store, at times that the test sets.

use std::time::Duration;

use super::super::admin_error::AdminError;
use super::super::messages::Request;
use super::super::rules::{Change, StepTimer};
use super::*;
use crate::api::NewJob;
use crate::device::DeviceReport;
use crate::job_config::{AbortConfig, RolloutConfig};
use crate::limits::DATABASE_BYTES_MAX;
use crate::maintenance::MaintenanceWindow;
use crate::release_plan::{HaltRule, SILENT_MINUTES};
use crate::schedule::ScheduleConfig;
use crate::serve::signed_url::Signer;
use crate::store::Store;
use crate::testing::TempDir;
use ota_jobs::Status;

const NOW_S: u64 = 1_700_000_000;
/// Devices were able to report all the time.
const CONTACT: Duration = Duration::MAX;

async fn service(dir: &TempDir) -> JobService {
    let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
    JobService::new(store, Signer::new(&[1; 32], "http://h:1".into(), Duration::from_secs(60)))
}

/// Sixty things a minute; aborted when half of at least two have failed.
fn config() -> JobConfig {
    JobConfig {
        rollout: Some(RolloutConfig::constant(60)),
        abort: Some(AbortConfig::of_all(50.0, 2)),
        retry: None,
        schedule: None,
    }
}

/// A service with a job for the things `t0` to `t4`.
async fn with_job(dir: &TempDir) -> JobService {
    with_config(dir, config()).await
}

async fn with_config(dir: &TempDir, config: JobConfig) -> JobService {
    let jobs = service(dir).await;
    let document = Some(serde_json::value::RawValue::from_string("{}".to_owned()).unwrap());
    let things = (0..5).map(|number| format!("t{number}")).collect();
    let job = NewJob { things, document, config, ..NewJob::default() };
    assert!(jobs.create("one", &job, "ann").await.unwrap().0.is_empty(), "nothing is notified yet");
    jobs
}

async fn end(jobs: &JobService, thing: &str, status: Status) {
    let change = Change { status, details: None, expected_version: None, number: None, step_timer: StepTimer::Keep };
    let job_id = "one".to_owned();
    let update = Request::Update { job_id, change, include_state: false, include_document: false };
    jobs.handle(thing, update, NOW_S).await;
}

/// Advances at this time after the begin; returns the things that are notified.
async fn notified(rollouts: &mut Rollouts, jobs: &JobService, at: Instant) -> Vec<String> {
    let advanced = rollouts.advance(jobs, CONTACT, at, NOW_S).await;
    assert!(advanced.canceled.is_empty());
    advanced.due.into_iter().map(|due| due.thing).collect()
}

#[tokio::test]
async fn things_get_their_execution_at_the_rate_also_after_a_restart() {
    let (dir, begin) = (TempDir::new(), Instant::now());
    let after = |seconds| begin + Duration::from_secs(seconds);
    let jobs = with_job(&dir).await;
    let mut rollouts = Rollouts::default();
    for _ in 0..2 {
        rollouts.add("one".into(), config(), false, None, begin);
    }
    assert_eq!(notified(&mut rollouts, &jobs, begin).await, ["t0"]);
    assert_eq!(notified(&mut rollouts, &jobs, begin).await, [""; 0]);
    assert_eq!(notified(&mut rollouts, &jobs, after(2)).await, ["t1", "t2"]);
    assert_eq!(jobs.things_with_work("").await.unwrap(), ["t0", "t1", "t2"]);
    assert_eq!(jobs.counts("one").await.unwrap().waiting, 2);

    drop(jobs);
    let jobs = service(&dir).await;
    let mut rollouts = Rollouts::default();
    for (job, release) in jobs.unfinished_rollouts().await.unwrap() {
        rollouts.add(job.id, job.config, job.continuous, release, begin);
    }
    assert_eq!(notified(&mut rollouts, &jobs, begin).await, ["t3"]);
    assert_eq!(notified(&mut rollouts, &jobs, after(60)).await, ["t4"]);
    for number in 0..5 {
        assert_eq!(rollouts.jobs.len(), 1, "t{number} has not ended");
        end(&jobs, &format!("t{number}"), Status::Succeeded).await;
        notified(&mut rollouts, &jobs, after(61)).await;
    }
    assert!(rollouts.jobs.is_empty());
    assert!(jobs.unfinished_rollouts().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_scheduled_job_begins_and_ends_at_its_times() {
    // 2023-11-14 22:13:20 UTC is `NOW_S`.
    let (start_s, end_s) = (NOW_S + 100, NOW_S + 3_700);
    for (behavior, rolls_out) in
        [(EndBehavior::StopRollout, true), (EndBehavior::Cancel, true), (EndBehavior::ForceCancel, false)]
    {
        let (dir, now) = (TempDir::new(), Instant::now());
        let schedule = ScheduleConfig {
            start_time: Some("2023-11-14 22:15".into()),
            end_time: Some("2023-11-14 23:15".into()),
            end_behavior: Some(behavior),
            maintenance_windows: Vec::new(),
        };
        assert_eq!((schedule.start_s(), schedule.end_s()), (Some(start_s), Some(end_s)));
        let rollout = rolls_out.then_some(RolloutConfig::constant(1));
        let config = JobConfig { schedule: Some(schedule), rollout, ..JobConfig::default() };
        let jobs = with_config(&dir, config.clone()).await;
        let mut rollouts = Rollouts::default();
        rollouts.add("one".into(), config, false, None, now);
        let before = rollouts.advance(&jobs, CONTACT, now, start_s - 1).await;
        assert!(before.due.is_empty() && jobs.counts("one").await.unwrap().waiting == 5);
        let begun = rollouts.advance(&jobs, CONTACT, now, start_s).await;
        assert_eq!(begun.due.len(), if rolls_out { 1 } else { 5 }, "all at once without a rate");
        end(&jobs, "t0", Status::InProgress).await;
        assert!(rollouts.advance(&jobs, CONTACT, now, end_s - 1).await.canceled.is_empty());
        let Advanced { canceled, .. } = rollouts.advance(&jobs, CONTACT, now, end_s).await;
        for mut cancellation in canceled {
            while jobs.cancel_batch(&mut cancellation, NOW_S).await.unwrap().is_some() {}
        }
        let counts = jobs.counts("one").await.unwrap();
        let in_progress = if behavior == EndBehavior::ForceCancel { 0 } else { 1 };
        assert_eq!((counts.waiting, counts.of(Status::InProgress)), (0, in_progress), "{behavior:?}");
        assert_eq!(counts.of(Status::Canceled), if behavior == EndBehavior::ForceCancel { 5 } else { 0 });
        assert!(rollouts.advance(&jobs, CONTACT, now, end_s + 1).await.canceled.is_empty(), "once");
    }
}

#[tokio::test]
async fn things_get_a_job_in_its_maintenance_windows_only() {
    // 2023-11-14 22:13:20 UTC is `NOW_S`, a Tuesday; the window is from 22:15 to 22:17.
    let (dir, now, open_s) = (TempDir::new(), Instant::now(), NOW_S + 100);
    let windows = vec![MaintenanceWindow::new("cron(15 22 ? * TUE *)", 2).unwrap()];
    let schedule = ScheduleConfig { maintenance_windows: windows, ..ScheduleConfig::default() };
    let config = JobConfig { schedule: Some(schedule), rollout: Some(RolloutConfig::constant(6)), ..config() };
    let jobs = with_config(&dir, config.clone()).await;
    let mut rollouts = Rollouts::default();
    rollouts.add("one".into(), config, false, None, now);
    let mut created = Vec::new();
    for at_s in [NOW_S, open_s - 1, open_s, open_s + 119, open_s + 120, open_s + 7 * 24 * 3600] {
        let at = now + Duration::from_secs(at_s - NOW_S);
        created.push(rollouts.advance(&jobs, CONTACT, at, at_s).await.due.len());
    }
    assert_eq!(created, [0, 0, 1, 1, 0, 1], "at the rate");
}

#[tokio::test]
async fn a_release_waits_for_sessions_and_its_maintenance_window() {
    let (dir, now, open_s) = (TempDir::new(), Instant::now(), NOW_S + 100);
    let windows = vec![MaintenanceWindow::new("cron(15 22 * * ? *)", 60).unwrap()];
    let schedule = ScheduleConfig { maintenance_windows: windows, ..ScheduleConfig::default() };
    let config = JobConfig { schedule: Some(schedule), ..JobConfig::default() };
    let jobs = with_release(&dir, config.clone(), &ReleasePlan::default()).await;
    let mut rollouts = Rollouts::default();
    rollouts.add("one".into(), config, false, Some(ReleasePlan::default()), now);
    assert_eq!(notified(&mut rollouts, &jobs, now).await, [""; 0]);
    assert_eq!(session(&mut rollouts, &jobs, "t3", now).await, 0, "it waits for the window");
    let due = rollouts.advance(&jobs, CONTACT, now, open_s).await.due;
    assert_eq!(due.iter().map(|due| due.thing.as_str()).collect::<Vec<_>>(), ["t3"]);
    assert_eq!(rollouts.begin_session(&jobs, "t1", now, open_s).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_job_that_fails_too_often_is_cancelled_before_others_get_it() {
    let (dir, begin) = (TempDir::new(), Instant::now());
    let jobs = with_job(&dir).await;
    let mut rollouts = Rollouts::default();
    rollouts.add("one".into(), config(), false, None, begin);
    notified(&mut rollouts, &jobs, begin).await;
    notified(&mut rollouts, &jobs, begin + Duration::from_secs(2)).await;
    end(&jobs, "t0", Status::Succeeded).await;
    assert!(notified(&mut rollouts, &jobs, begin + Duration::from_secs(2)).await.is_empty());
    end(&jobs, "t2", Status::InProgress).await;
    end(&jobs, "t1", Status::Failed).await;
    let Advanced { due, mut canceled } = rollouts.advance(&jobs, CONTACT, begin + Duration::from_secs(60), NOW_S).await;
    assert!(due.is_empty() && rollouts.jobs.is_empty());
    let mut cancellation = canceled.pop().unwrap();
    while jobs.cancel_batch(&mut cancellation, NOW_S).await.unwrap().is_some() {}
    assert_eq!((cancellation.done.canceled, cancellation.done.left_in_progress), (2, 1));
    let counts = jobs.counts("one").await.unwrap();
    assert_eq!((counts.waiting, counts.of(Status::InProgress), counts.notified()), (0, 1, 3));
    assert!(jobs.unfinished_rollouts().await.unwrap().is_empty());
}

/// Creates the release `one` for the things `t0` to `t4`.
async fn with_release(dir: &TempDir, config: JobConfig, plan: &ReleasePlan) -> JobService {
    let jobs = service(dir).await;
    let document = Some(serde_json::value::RawValue::from_string("{}".to_owned()).unwrap());
    let things = (0..5).map(|number| format!("t{number}")).collect();
    let job = NewJob { things, document, config, ..NewJob::default() };
    assert!(jobs.release("one", &job, plan, "ann").await.unwrap().0.is_empty(), "nothing is notified yet");
    jobs
}

/// Begins a session of a thing; returns the number of its new executions.
async fn session(rollouts: &mut Rollouts, jobs: &JobService, thing: &str, at: Instant) -> usize {
    rollouts.begin_session(jobs, thing, at, NOW_S).await.unwrap().len()
}

#[tokio::test]
async fn a_gradual_release_reaches_devices_at_the_rate_however_many_sessions_begin() {
    let (dir, begin, plan) = (TempDir::new(), Instant::now(), ReleasePlan::default());
    let jobs = with_release(&dir, config(), &plan).await;
    let mut rollouts = Rollouts::default();
    rollouts.add("one".into(), config(), false, Some(plan), begin);
    assert_eq!(session(&mut rollouts, &jobs, "t3", begin).await, 0, "it has not begun");
    let after = |seconds| begin + Duration::from_secs(seconds);
    assert_eq!(notified(&mut rollouts, &jobs, begin).await, [""; 0]);
    // An hour passes in which no session begins: all of them begin at once.
    assert_eq!(notified(&mut rollouts, &jobs, after(3600)).await, [""; 0]);
    let mut created = Vec::new();
    for thing in ["t4", "t1", "t2", "t1", "t0", "t3"] {
        created.push(session(&mut rollouts, &jobs, thing, after(3600)).await);
    }
    assert_eq!(created, [1, 1, 1, 0, 0, 0], "what the rate makes up for after a delay");
    assert_eq!(notified(&mut rollouts, &jobs, after(3601)).await, ["t0"], "in the order of their sessions");
    assert_eq!(notified(&mut rollouts, &jobs, after(3601)).await, [""; 0]);
    assert_eq!(notified(&mut rollouts, &jobs, after(3602)).await, ["t3"]);
    assert_eq!(jobs.counts("one").await.unwrap().waiting, 0);
}

#[tokio::test]
async fn a_release_without_a_rate_reaches_each_device_with_its_session_unless_it_is_pinned() {
    let (dir, now) = (TempDir::new(), Instant::now());
    let jobs = with_release(&dir, JobConfig::default(), &ReleasePlan::default()).await;
    jobs.store.pin("t1", true, "ann", NOW_S).await.unwrap();
    let mut rollouts = Rollouts::default();
    rollouts.add("one".into(), JobConfig::default(), false, Some(ReleasePlan::default()), now);
    for (thing, created) in [("t4", 1), ("t1", 0), ("door", 0)] {
        assert_eq!(session(&mut rollouts, &jobs, thing, now).await, created);
    }
    let counts = jobs.counts("one").await.unwrap();
    assert_eq!((counts.waiting, counts.of(Status::Queued)), (3, 1), "a pinned one waits no longer");
}

#[tokio::test]
async fn silence_halts_a_release_also_after_a_restart_and_a_hold_is_no_silence() {
    let (dir, begin) = (TempDir::new(), Instant::now());
    let halt = HaltRule { min_devices: 2, ..HaltRule::default() };
    let plan = ReleasePlan { mode: Mode::Immediate, halt, reverts: None };
    let jobs = service(&dir).await;
    let document = Some(serde_json::value::RawValue::from_string("{}".to_owned()).unwrap());
    let things = (0..5).map(|number| format!("t{number}")).collect();
    let job = NewJob { things, document, ..NewJob::default() };
    assert_eq!(jobs.release("one", &job, &plan, "ann").await.unwrap().0.len(), 5);
    let update = async |thing: &str, details: &str| {
        let details = Some(details.to_owned());
        let (status, step_timer) = (Status::InProgress, StepTimer::Keep);
        let change = Change { status, details, expected_version: None, number: None, step_timer };
        let job_id = "one".to_owned();
        let update = Request::Update { job_id, change, include_state: false, include_document: false };
        jobs.handle(thing, update, NOW_S).await;
    };
    update("t0", r#"{"waiting":"reset","why":"held"}"#).await;
    update("t1", r#"{"self_test":"receiving"}"#).await;
    let rollouts = async || {
        let mut rollouts = Rollouts::default();
        for (job, release) in jobs.unfinished_rollouts().await.unwrap() {
            rollouts.add(job.id, job.config, job.continuous, release, begin);
        }
        rollouts
    };
    let silent_s = NOW_S + SILENT_MINUTES * 60;
    assert!(rollouts().await.advance(&jobs, CONTACT, begin, silent_s - 1).await.canceled.is_empty());
    let counts = jobs.counts("one").await.unwrap();
    let health = jobs.health("one", &plan.halt, counts, silent_s).await.unwrap();
    assert_eq!((health.silent, health.begun, health.on_hold), (1, 2, 1));
    let just_back = Duration::from_secs(SILENT_MINUTES * 60 - 1);
    assert!(rollouts().await.advance(&jobs, just_back, begin, silent_s).await.canceled.is_empty(), "after an outage");
    assert_eq!(rollouts().await.advance(&jobs, CONTACT, begin, silent_s).await.canceled.len(), 1);
    let release = jobs.store.release("one").await.unwrap().unwrap();
    let reason = "1 of 2 devices reported nothing for 30 minutes, the limit is 10 %";
    assert_eq!(release.halted.as_deref(), Some(reason));
    let again = jobs.begin_halt("one", "again", "ann").await;
    assert!(
        matches!(again, Err(AdminError::State(text)) if text == format!("release one is HALTED already: {reason}"))
    );
    assert_eq!(jobs.store.release("one").await.unwrap(), Some(release), "the first reason stays");
    assert!(jobs.unfinished_rollouts().await.unwrap().is_empty());
}

#[tokio::test]
async fn pinned_devices_do_not_wait_for_a_session_and_get_nothing_when_they_are_unpinned() {
    for config in [JobConfig::default(), config()] {
        let (dir, begin) = (TempDir::new(), Instant::now());
        let store = service(&dir).await.store;
        store.pin("t1", true, "ann", NOW_S).await.unwrap();
        let jobs = with_release(&dir, config.clone(), &ReleasePlan::default()).await;
        assert_eq!(jobs.counts("one").await.unwrap().waiting, 4);
        let mut rollouts = Rollouts::default();
        rollouts.add("one".into(), config.clone(), false, Some(ReleasePlan::default()), begin);
        if config.has_waiting() {
            store.pin("t0", true, "ann", NOW_S).await.unwrap();
            notified(&mut rollouts, &jobs, begin).await;
            assert_eq!(jobs.counts("one").await.unwrap().waiting, 3);
        }
        for thing in ["t0", "t1"] {
            store.pin(thing, false, "ann", NOW_S).await.unwrap();
        }
        assert_eq!(session(&mut rollouts, &jobs, "t1", begin).await, 0);
        assert_eq!(session(&mut rollouts, &jobs, "t0", begin).await, usize::from(!config.has_waiting()));
    }
}

#[tokio::test]
async fn a_device_that_waits_because_it_is_not_available_is_on_hold() {
    let dir = TempDir::new();
    let jobs = with_release(&dir, JobConfig::default(), &ReleasePlan::default()).await;
    let report = |available| DeviceReport { available, ..DeviceReport::default() };
    let reports = [("t0", report(false)), ("t1", report(true))].map(|(thing, report)| (thing.to_owned(), report));
    jobs.store.save_reports(&reports).await.unwrap();
    assert_eq!(session(&mut Rollouts::default(), &jobs, "t0", Instant::now()).await, 0);
    let counts = jobs.counts("one").await.unwrap();
    let health = jobs.health("one", &HaltRule::default(), counts, NOW_S).await.unwrap();
    assert_eq!((health.on_hold, health.counts.waiting), (1, 5));
}
