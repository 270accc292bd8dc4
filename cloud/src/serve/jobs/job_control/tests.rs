//! Tests of paused and retried jobs over a real store, at times that the test sets.

use std::time::Duration;

use ota_jobs::Status;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::super::changes::JobChange;
use super::super::messages::Request;
use super::super::rollouts::Rollouts;
use super::super::rules::{Change, StepTimer};
use super::*;
use crate::api::NewJob;
use crate::job_config::{JobConfig, RolloutConfig};
use crate::limits::DATABASE_BYTES_MAX;
use crate::maintenance::MaintenanceWindow;
use crate::release_plan::{HaltRule, Mode};
use crate::schedule::ScheduleConfig;
use crate::serve::signed_url::Signer;
use crate::store::Store;
use crate::testing::TempDir;

const NOW_S: u64 = 1_700_000_000;

async fn service(dir: &TempDir) -> JobService {
    let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
    JobService::new(store, Signer::new(&[1; 32], "http://h:1".into(), Duration::from_secs(60)))
}

/// A job for the things `t0` to `t3`.
fn new_job(config: JobConfig) -> NewJob {
    let document = Some(RawValue::from_string("{}".to_owned()).unwrap());
    let things = (0..4).map(|number| format!("t{number}")).collect();
    NewJob { things, document, config, ..NewJob::default() }
}

/// The rollouts after a restart.
async fn restarted(jobs: &JobService, now: Instant) -> Rollouts {
    let mut rollouts = Rollouts::default();
    for (job, release) in jobs.unfinished_rollouts().await.unwrap() {
        follow(&mut rollouts, (job, release), now);
    }
    rollouts
}

fn follow(rollouts: &mut Rollouts, (job, release): Changed, now: Instant) {
    rollouts.add(job.id.clone(), job.config, job.continuous, release, now);
    rollouts.set_paused(&job.id, job.paused);
}

/// Advances at this time; returns the things that are notified.
async fn notified(rollouts: &mut Rollouts, jobs: &JobService, at: Instant) -> Vec<String> {
    let advanced = rollouts.advance(jobs, Duration::MAX, at, NOW_S).await;
    assert!(advanced.canceled.is_empty());
    advanced.due.into_iter().map(|due| due.thing).collect()
}

/// The device reports the end of its execution with this number.
async fn end(jobs: &JobService, thing: &str, number: u64, status: Status) {
    let step_timer = StepTimer::Keep;
    let change = Change { status, details: None, expected_version: None, number: Some(number), step_timer };
    let job_id = "one".to_owned();
    let update = Request::Update { job_id, change, include_state: false, include_document: false };
    jobs.handle(thing, update, NOW_S).await;
}

fn refusal<T: std::fmt::Debug>(refused: Result<T, AdminError>) -> String {
    match refused {
        Err(AdminError::State(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_paused_job_reaches_no_further_thing_until_it_is_resumed_also_after_a_restart() {
    let (dir, begin) = (TempDir::new(), Instant::now());
    let after = |seconds| begin + Duration::from_secs(seconds);
    let config = JobConfig { rollout: Some(RolloutConfig::constant(60)), ..JobConfig::default() };
    let jobs = service(&dir).await;
    jobs.create("one", &new_job(config), "ann").await.unwrap();
    let mut rollouts = restarted(&jobs, begin).await;
    assert_eq!(notified(&mut rollouts, &jobs, begin).await, ["t0"]);
    follow(&mut rollouts, jobs.set_paused("one", true, "ann").await.unwrap(), after(1));
    assert_eq!(notified(&mut rollouts, &jobs, after(600)).await, [""; 0]);
    end(&jobs, "t0", 1, Status::Succeeded).await;
    let mut rollouts = restarted(&jobs, after(600)).await;
    assert_eq!(notified(&mut rollouts, &jobs, after(700)).await, [""; 0]);
    assert!(refusal(jobs.set_paused("one", true, "ann").await).contains("paused already"));
    follow(&mut rollouts, jobs.set_paused("one", false, "ann").await.unwrap(), after(700));
    assert_eq!(notified(&mut rollouts, &jobs, after(700)).await, ["t1"], "the pause is not made up for");
    assert_eq!(notified(&mut rollouts, &jobs, after(702)).await, ["t2", "t3"]);
    assert!(refusal(jobs.set_paused("one", false, "ann").await).contains("is not paused"));
    assert!(refusal(jobs.set_paused("one", true, "ann").await).contains("nothing to pause"));
}

#[tokio::test]
async fn things_that_join_a_paused_job_get_it_when_it_is_resumed() {
    let (dir, now) = (TempDir::new(), Instant::now());
    let jobs = service(&dir).await;
    jobs.store.create_group("lights", "ann", NOW_S).await.unwrap();
    let job = NewJob { groups: vec!["lights".into()], continuous: true, ..new_job(JobConfig::default()) };
    jobs.create("one", &NewJob { things: Vec::new(), ..job }, "ann").await.unwrap();
    let mut rollouts = restarted(&jobs, now).await;
    follow(&mut rollouts, jobs.set_paused("one", true, "ann").await.unwrap(), now);
    assert!(jobs.join("lights", &["lamp".into(), "star".into()], "ann", NOW_S).await.unwrap().is_empty());
    assert!(jobs.join("lights", &["lamp".into(), "moon".into()], "ann", NOW_S).await.unwrap().is_empty());
    assert_eq!(notified(&mut rollouts, &jobs, now).await, [""; 0]);
    let mut rollouts = restarted(&jobs, now).await;
    follow(&mut rollouts, jobs.set_paused("one", false, "ann").await.unwrap(), now);
    assert_eq!(notified(&mut rollouts, &jobs, now).await, ["lamp", "star", "moon"]);
    assert_eq!(jobs.join("lights", &["sun".into()], "ann", NOW_S).await.unwrap().len(), 1);
}

#[tokio::test]
async fn things_that_join_a_job_wait_for_its_maintenance_window() {
    let (dir, now) = (TempDir::new(), Instant::now());
    let jobs = service(&dir).await;
    jobs.store.create_group("lights", "ann", NOW_S).await.unwrap();
    // 2023-11-14 22:13:20 UTC is `NOW_S`.
    let maintenance_windows = vec![MaintenanceWindow::new("cron(15 22 * * ? *)", 60).unwrap()];
    let schedule = ScheduleConfig { maintenance_windows, ..ScheduleConfig::default() };
    let config = JobConfig { schedule: Some(schedule), ..JobConfig::default() };
    let job = NewJob { groups: vec!["lights".into()], continuous: true, ..new_job(config) };
    jobs.create("one", &NewJob { things: Vec::new(), ..job }, "ann").await.unwrap();
    assert!(jobs.join("lights", &["lamp".into()], "ann", NOW_S).await.unwrap().is_empty());
    let mut rollouts = restarted(&jobs, now).await;
    assert_eq!(notified(&mut rollouts, &jobs, now).await, [""; 0]);
    assert_eq!(rollouts.advance(&jobs, Duration::MAX, now, NOW_S + 100).await.due.len(), 1);
}

#[tokio::test]
async fn things_that_join_a_scheduled_job_wait_for_its_start_and_get_nothing_after_its_end() {
    let (dir, now) = (TempDir::new(), Instant::now());
    let jobs = service(&dir).await;
    jobs.store.create_group("lights", "ann", NOW_S).await.unwrap();
    // 2023-11-14 22:13:20 UTC is `NOW_S`.
    let (start_s, end_s) = (NOW_S + 100, NOW_S + 3_700);
    let (start_time, end_time) = (Some("2023-11-14 22:15".into()), Some("2023-11-14 23:15".into()));
    let schedule = ScheduleConfig { start_time, end_time, ..ScheduleConfig::default() };
    let config = JobConfig { schedule: Some(schedule), ..JobConfig::default() };
    let job = NewJob { groups: vec!["lights".into()], continuous: true, ..new_job(config) };
    jobs.create("one", &NewJob { things: Vec::new(), ..job }, "ann").await.unwrap();
    let join = async |thing: &str, at_s| jobs.join("lights", &[thing.into()], "ann", at_s).await.unwrap().len();
    let associate = async |thing: &str, at_s| {
        let change = JobChange::Associate { id: "one".into(), things: vec![thing.into()], groups: Vec::new() };
        jobs.change(change, "ann", at_s).await.unwrap().due.len()
    };
    assert_eq!((join("lamp", NOW_S).await, associate("moon", NOW_S).await), (0, 0), "not begun");
    let mut rollouts = restarted(&jobs, now).await;
    assert_eq!(notified(&mut rollouts, &jobs, now).await, [""; 0]);
    assert_eq!(rollouts.advance(&jobs, Duration::MAX, now, start_s).await.due.len(), 2);
    assert_eq!((join("star", end_s).await, associate("sun", end_s).await), (0, 0), "at the end");
    assert!(rollouts.advance(&jobs, Duration::MAX, now, end_s).await.due.is_empty());
    let counts = jobs.counts("one").await.unwrap();
    assert_eq!((counts.notified(), counts.waiting), (2, 0));
}

#[tokio::test]
async fn devices_whose_session_begins_while_a_release_is_paused_get_it_when_it_is_resumed() {
    let (dir, now) = (TempDir::new(), Instant::now());
    let jobs = service(&dir).await;
    jobs.release("one", &new_job(JobConfig::default()), &ReleasePlan::default(), "ann").await.unwrap();
    let mut rollouts = restarted(&jobs, now).await;
    follow(&mut rollouts, jobs.set_paused("one", true, "ann").await.unwrap(), now);
    for thing in ["t2", "t0", "t2"] {
        assert!(rollouts.begin_session(&jobs, thing, now, NOW_S).await.unwrap().is_empty());
    }
    assert_eq!(notified(&mut rollouts, &jobs, now).await, [""; 0]);
    follow(&mut rollouts, jobs.set_paused("one", false, "ann").await.unwrap(), now);
    assert_eq!(notified(&mut rollouts, &jobs, now).await, ["t2", "t0"]);
    assert_eq!(rollouts.begin_session(&jobs, "t1", now, NOW_S).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_failed_is_queued_again_under_the_next_number_and_nothing_else() {
    let dir = TempDir::new();
    let jobs = service(&dir).await;
    jobs.create("one", &new_job(JobConfig::default()), "ann").await.unwrap();
    assert!(refusal(jobs.retry_failed("one", "ann", NOW_S).await).contains("has failed"));
    for (thing, status) in
        [("t0", Status::Succeeded), ("t1", Status::Failed), ("t2", Status::Rejected), ("t3", Status::Failed)]
    {
        end(&jobs, thing, 1, status).await;
    }
    assert!(jobs.counts("one").await.unwrap().is_ended());
    jobs.store.pin("t3", true, "ann", NOW_S).await.unwrap();
    let (_, done, due) = jobs.retry_failed("one", "ann", NOW_S + 9).await.unwrap();
    assert_eq!(done, RetryResponse { queued: 2, pinned: 1 });
    assert_eq!(due.iter().map(|due| due.thing.as_str()).collect::<Vec<_>>(), ["t1", "t2"]);
    let state = |execution: crate::model::Execution| (execution.number, execution.status, execution.version);
    let stored: Vec<_> = jobs.store.executions_of("one").await.unwrap().into_iter().map(state).collect();
    let queued = (2, Status::Queued, 1);
    assert_eq!(stored, [(1, Status::Succeeded, 2), queued, queued, (1, Status::Failed, 2)]);
    let events = jobs.store.events_after(0, Some("one")).await.unwrap();
    let retried = events.iter().filter(|event| event.text == "QUEUED for attempt 2");
    assert_eq!(retried.map(|event| event.by.as_deref()).collect::<Vec<_>>(), [Some("ann"); 2]);
    end(&jobs, "t1", 2, Status::Succeeded).await;
    assert_eq!(jobs.counts("one").await.unwrap().of(Status::Succeeded), 2);
}

#[tokio::test]
async fn nothing_is_retried_once_a_job_was_cancelled_or_taken_back_or_is_past_its_end() {
    let dir = TempDir::new();
    let jobs = service(&dir).await;
    // 2023-11-14 22:13:20 UTC is `NOW_S`.
    let schedule = ScheduleConfig { end_time: Some("2023-11-14 23:15".into()), ..ScheduleConfig::default() };
    let config = JobConfig { schedule: Some(schedule), ..JobConfig::default() };
    let plan = |reverts| ReleasePlan { mode: Mode::Immediate, halt: HaltRule::none(), reverts };
    jobs.release("one", &new_job(config), &plan(None), "ann").await.unwrap();
    end(&jobs, "t1", 1, Status::Failed).await;
    assert!(refusal(jobs.retry_failed("one", "ann", NOW_S + 3_700).await).contains("end time"));
    assert!(jobs.retry_failed("one", "ann", NOW_S).await.is_ok());
    end(&jobs, "t1", 2, Status::Failed).await;
    jobs.release("two", &new_job(JobConfig::default()), &plan(Some("one".into())), "ann").await.unwrap();
    assert!(refusal(jobs.retry_failed("one", "ann", NOW_S).await).contains("taken back"));
    jobs.begin_cancel("one", true, "ann").await.unwrap();
    assert!(refusal(jobs.retry_failed("one", "ann", NOW_S).await).contains("CANCELED"));
    assert!(matches!(jobs.retry_failed("none", "ann", NOW_S).await, Err(AdminError::NoJob(_))));
}
