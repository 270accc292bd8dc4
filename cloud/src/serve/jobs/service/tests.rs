//! Tests of the job service over a real store.

use std::collections::BTreeSet;

use ota_jobs::{RejectCode, Status};

use super::*;
use crate::job_config::{JobConfig, RetryConfig, RolloutConfig};
use crate::limits::{DATABASE_BYTES_MAX, EVENTS_PER_EXECUTION_MAX};
use crate::serve::jobs::rules::{Change, StepTimer};
use crate::testing::TempDir;

const NOW_S: u64 = 1_700_000_000;

struct TestService {
    dir: TempDir,
    jobs: JobService,
}

impl TestService {
    async fn new() -> Self {
        let dir = TempDir::new();
        let jobs = open(&dir, DATABASE_BYTES_MAX).await;
        Self { dir, jobs }
    }

    async fn create(&self, id: &str) -> Vec<Notification> {
        let (due, _) = self.jobs.create(id, &new_job(), "ann").await.unwrap();
        self.notifications(&due).await
    }

    /// Builds the notifications owed now.
    async fn notifications(&self, due: &[PendingNotify]) -> Vec<Notification> {
        let mut notifications = Vec::new();
        for due in due {
            notifications.extend(self.jobs.notifications(due, NOW_S).await.unwrap());
        }
        notifications
    }

    /// Cancels a job completely, as the job actor does.
    async fn cancel(&self, id: &str, force: bool) -> (Vec<Notification>, CancelResponse) {
        let mut cancellation = self.jobs.begin_cancel(id, force, "ann").await.unwrap();
        let mut notifications = Vec::new();
        while let Some(due) = self.jobs.cancel_batch(&mut cancellation, NOW_S).await.unwrap() {
            notifications.extend(self.notifications(&due).await);
        }
        (notifications, cancellation.done)
    }

    async fn ask(&self, request: Request) -> Reply {
        self.jobs.handle("lamp", request, NOW_S).await.0
    }

    async fn update(&self, id: &str, change: Change) -> (Reply, Vec<Notification>) {
        let job_id = id.to_owned();
        let request = Request::Update { job_id, change, include_state: true, include_document: false };
        self.jobs.handle("lamp", request, NOW_S).await
    }
}

async fn open(dir: &TempDir, bytes_max: u64) -> JobService {
    let store = Store::open(dir.path(), bytes_max).await.unwrap();
    let signer = Signer::new(&[1; 32], "http://h:1".into(), std::time::Duration::from_secs(60));
    JobService::new(store, signer)
}

/// White space, key cancellation and numbers that a JSON serializer would change.
const DOCUMENT: &str = r#"{"with": {"z": 1.50,"a":[1, 2]},"do":"blink"}"#;

fn raw(text: &str) -> Option<Box<serde_json::value::RawValue>> {
    Some(serde_json::value::RawValue::from_string(text.to_owned()).unwrap())
}

fn new_job() -> NewJob {
    NewJob { things: vec!["lamp".into()], document: raw(DOCUMENT), ..NewJob::default() }
}

fn to(status: Status) -> Change {
    Change { status, details: None, expected_version: None, number: None, step_timer: StepTimer::Keep }
}

fn code(reply: &Reply) -> Option<RejectCode> {
    match reply {
        Reply::Refused(refusal) => Some(refusal.code),
        _ => None,
    }
}

fn summary(notifications: &[Notification]) -> Vec<String> {
    let name = |notification: &Notification| match notification {
        Notification::List { pending, .. } => format!("list {}", pending.len()),
        Notification::Next { first, .. } => {
            let id = first.as_ref().map_or("nothing", |first| first.execution.job_id.as_str());
            format!("first {id}")
        }
    };
    notifications.iter().map(name).collect()
}

const NEXT: Request = Request::Describe { job_id: None, number: None, include_document: true };

fn describe(id: &str) -> Request {
    Request::Describe { job_id: Some(id.to_owned()), number: None, include_document: true }
}

#[tokio::test]
async fn an_empty_queue_has_nothing_to_start_or_to_show() {
    let world = TestService::new().await;
    let start = Request::StartNext { details: None, step_timer: StepTimer::Keep };
    assert_eq!(world.ask(Request::Pending).await, Reply::Pending(vec![]));
    assert_eq!(world.ask(start).await, Reply::Execution(None));
    assert_eq!(world.ask(NEXT).await, Reply::Execution(None));
    assert_eq!(code(&world.ask(describe("none")).await), Some(RejectCode::ResourceNotFound));
    assert_eq!(code(&world.update("none", to(Status::Failed)).await.0), Some(RejectCode::ResourceNotFound));
}

#[tokio::test]
async fn a_job_runs_to_its_end_and_each_step_sends_its_notifications() {
    let world = TestService::new().await;
    assert_eq!(summary(&world.create("one").await), ["list 1", "first one"]);
    assert_eq!(summary(&world.create("two").await), ["list 2"]);
    let start = Request::StartNext { details: Some(r#"{"a":"1"}"#.into()), step_timer: StepTimer::Keep };
    let (reply, change) = world.jobs.handle("lamp", start.clone(), NOW_S).await;
    assert_eq!(summary(&change), Vec::<String>::new());
    let Reply::Execution(Some(shown)) = reply else { panic!("{reply:?}") };
    assert_eq!((shown.execution.job_id.as_str(), shown.execution.version), ("one", 2));
    assert_eq!(shown.document.as_deref(), Some(DOCUMENT));
    // A second start returns the same execution; its details stay.
    let other = Request::StartNext { details: Some("{}".into()), step_timer: StepTimer::Keep };
    let Reply::Execution(Some(again)) = world.ask(other).await else { panic!() };
    assert_eq!((again.execution.version, again.execution.details.as_deref()), (2, Some(r#"{"a":"1"}"#)));
    let (_, change) = world.update("one", to(Status::Succeeded)).await;
    assert_eq!(summary(&change), ["list 1", "first two"]);
    assert_eq!(code(&world.ask(describe("one")).await), Some(RejectCode::TerminalStateReached));
    let (_, change) = world.update("two", to(Status::Rejected)).await;
    assert_eq!(summary(&change), ["list 0", "first nothing"]);
}

#[tokio::test]
async fn a_job_that_overtakes_is_announced_as_first_and_listed_first() {
    let world = TestService::new().await;
    for id in ["one", "two", "three"] {
        world.create(id).await;
    }
    world.update("one", to(Status::Succeeded)).await;
    let (_, change) = world.update("three", to(Status::InProgress)).await;
    assert_eq!(summary(&change), ["first three"]);
    let Reply::Pending(list) = world.ask(Request::Pending).await else { panic!() };
    let ids: Vec<&str> = list.iter().map(|e| e.job_id.as_str()).collect();
    assert_eq!(ids, ["three", "two"]);
}

#[tokio::test]
async fn a_thing_cannot_see_the_executions_of_another() {
    let world = TestService::new().await;
    world.create("one").await;
    let (reply, _) = world.jobs.handle("door", describe("one"), NOW_S).await;
    assert_eq!(code(&reply), Some(RejectCode::ResourceNotFound));
    let (reply, _) = world.jobs.handle("door", NEXT, NOW_S).await;
    assert_eq!(reply, Reply::Execution(None));
}

#[tokio::test]
async fn cancelling_notifies_the_thing_and_ends_queued_executions() {
    let world = TestService::new().await;
    world.create("one").await;
    world.create("two").await;
    assert_eq!(summary(&world.cancel("one", false).await.0), ["list 1", "first two"]);
    let (reply, _) = world.update("one", to(Status::Succeeded)).await;
    let Reply::Refused(refusal) = reply else { panic!("{reply:?}") };
    assert_eq!(refusal.code, RejectCode::InvalidStateTransition);
    assert_eq!(refusal.state.map(|e| e.status), Some(Status::Canceled));
    world.update("two", to(Status::InProgress)).await;
    let (change, done) = world.cancel("two", false).await;
    assert_eq!((summary(&change), done), (vec![], CancelResponse { canceled: 0, left_in_progress: 1 }));
    let (change, done) = world.cancel("two", true).await;
    assert_eq!(summary(&change), ["list 0", "first nothing"]);
    assert_eq!(done, CancelResponse { canceled: 1, left_in_progress: 0 });
    assert!(matches!(world.jobs.begin_cancel("none", true, "ann").await, Err(AdminError::NoJob(_))));
}

#[tokio::test]
async fn a_job_that_is_over_cannot_be_cancelled_and_stays_what_it_is() {
    let world = TestService::new().await;
    world.create("one").await;
    world.update("one", to(Status::Succeeded)).await;
    for force in [false, true] {
        match world.jobs.begin_cancel("one", force, "ann").await {
            Err(AdminError::Ended { id, status }) => assert_eq!((id.as_str(), status), ("one", "COMPLETED")),
            other => panic!("{other:?}"),
        }
    }
    assert!(!world.jobs.store.job("one").await.unwrap().unwrap().canceled);
    world.create("two").await;
    world.cancel("two", false).await;
    assert!(matches!(
        world.jobs.begin_cancel("two", true, "ann").await,
        Err(AdminError::Ended { status: "CANCELED", .. })
    ));
}

/// More than two batches, not sorted by name.
fn fleet() -> Vec<String> {
    (0..=2 * CHANGES_PER_TRANSACTION_MAX).rev().map(|i| format!("t{i}")).collect()
}

#[tokio::test]
async fn a_job_for_many_things_is_cancelled_in_batches() {
    let world = TestService::new().await;
    let things = fleet();
    let (due, _) = world.jobs.create("one", &NewJob { things: things.clone(), ..new_job() }, "ann").await.unwrap();
    assert_eq!(due.iter().map(|due| due.thing.clone()).collect::<Vec<_>>(), things);
    let stored = world.jobs.store.executions_of("one").await.unwrap();
    assert_eq!(stored.iter().map(|e| e.thing.clone()).collect::<Vec<_>>(), things, "in the cancellation of the list");
    assert_eq!(summary(&world.notifications(&due[..1]).await), ["list 1", "first one"]);

    let mut cancellation = world.jobs.begin_cancel("one", false, "ann").await.unwrap();
    let mut sizes = Vec::new();
    while let Some(due) = world.jobs.cancel_batch(&mut cancellation, NOW_S).await.unwrap() {
        sizes.push(due.len());
    }
    assert_eq!(sizes, [CHANGES_PER_TRANSACTION_MAX, CHANGES_PER_TRANSACTION_MAX, 1]);
    assert_eq!(cancellation.done.canceled, things.len() as u64);
    let stored = world.jobs.store.executions_of("one").await.unwrap();
    assert!(stored.iter().all(|e| e.status == Status::Canceled && e.version == 2));
}

#[tokio::test]
async fn all_things_with_work_are_found_page_by_page() {
    let world = TestService::new().await;
    let mut things: Vec<String> = (0..THINGS_PER_PAGE_MAX + 3).map(|i| format!("t{i}")).collect();
    world.jobs.create("one", &NewJob { things: things.clone(), ..new_job() }, "ann").await.unwrap();
    world.create("two").await;
    world.update("two", to(Status::Failed)).await;
    things.sort();
    let first = world.jobs.things_with_work("").await.unwrap();
    let rest = world.jobs.things_with_work(first.last().unwrap()).await.unwrap();
    assert_eq!([first, rest.clone()].concat(), things);
    assert_eq!(world.jobs.things_with_work(rest.last().unwrap()).await.unwrap(), Vec::<String>::new());
}

/// The database is full after the first batch: that batch stays cancelled, the others stay pending.
#[tokio::test]
async fn a_cancellation_that_fails_in_the_middle_keeps_its_progress() {
    let world = TestService::new().await;
    world.jobs.create("one", &NewJob { things: fleet(), ..new_job() }, "ann").await.unwrap();
    let mut cancellation = world.jobs.begin_cancel("one", false, "ann").await.unwrap();
    assert_eq!(
        world.jobs.cancel_batch(&mut cancellation, NOW_S).await.unwrap().unwrap().len(),
        CHANGES_PER_TRANSACTION_MAX
    );
    let before = cancellation.done;
    world.jobs.store.close().await;
    let full = open(&world.dir, 4096).await;
    assert!(matches!(full.cancel_batch(&mut cancellation, NOW_S).await, Err(StoreError::Full)));
    assert_eq!(cancellation.done, before);
    full.store.close().await;
    let free = open(&world.dir, DATABASE_BYTES_MAX).await;
    assert_eq!(free.cancel_batch(&mut cancellation, NOW_S).await.unwrap().unwrap().len(), CHANGES_PER_TRANSACTION_MAX);
}

#[tokio::test]
async fn one_execution_leaves_a_bounded_audit_of_short_lines() {
    let world = TestService::new().await;
    world.create("other").await;
    world.create("one").await;
    let wide = Some(format!(r#"{{"text":"{}"}}"#, "x".repeat(30_000)));
    for _ in 0..EVENTS_PER_EXECUTION_MAX + 30 {
        let (reply, _) = world.update("one", Change { details: wide.clone(), ..to(Status::InProgress) }).await;
        assert_eq!(code(&reply), None);
    }
    let mut events = world.jobs.store.events_after(0, Some("one")).await.unwrap();
    assert_eq!((events.len() as u64, events[0].kind.as_str()), (EVENTS_PER_EXECUTION_MAX + 1, "job"));
    let last = events.pop().unwrap();
    assert!(last.text.starts_with(r#"IN_PROGRESS {"text":"xxx"#) && last.text.len() < 200, "{}", last.text);
    let newest = world.jobs.store.events_after(last.seq - 1, None).await.unwrap();
    assert_eq!(newest.len(), 1, "the oldest ones went");
    assert_eq!(world.jobs.store.events_after(0, Some("other")).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_expired_timer_ends_the_execution_and_notifies_the_thing() {
    let world = TestService::new().await;
    let timed = NewJob { timeout_minutes: Some(1), ..new_job() };
    world.jobs.create("one", &timed, "ann").await.unwrap();
    world.update("one", to(Status::InProgress)).await;
    assert!(world.jobs.time_out(NOW_S + 59).await.unwrap().is_empty());
    let due = world.jobs.time_out(NOW_S + 60).await.unwrap();
    assert_eq!(summary(&world.notifications(&due).await), ["list 0", "first nothing"]);
    let stored = world.jobs.store.execution("lamp", "one").await.unwrap().unwrap();
    assert_eq!((stored.status, stored.version), (Status::TimedOut, 3));
}

#[tokio::test]
async fn after_a_restart_everything_is_as_it_was() {
    let world = TestService::new().await;
    world.create("one").await;
    world.create("two").await;
    let details = Some(r#"{"self_test":"active"}"#.to_owned());
    world.update("one", Change { details, ..to(Status::InProgress) }).await;
    let before = world.ask(Request::Pending).await;
    let events = world.jobs.store.events_after(0, None).await.unwrap();
    world.jobs.store.close().await;
    let jobs = open(&world.dir, DATABASE_BYTES_MAX).await;
    assert_eq!(jobs.handle("lamp", Request::Pending, NOW_S).await.0, before);
    assert_eq!(jobs.store.events_after(0, None).await.unwrap(), events);
    assert!(matches!(
        jobs.create("one", &new_job(), "ann").await,
        Err(AdminError::Store(StoreError::JobExists { .. }))
    ));
}

/// The database quota is reached: a real SQLITE_FULL.
#[tokio::test]
async fn a_full_disk_is_an_internal_error_and_nothing_is_lost_or_half_done() {
    let world = TestService::new().await;
    world.create("one").await;
    world.jobs.store.close().await;
    let full = open(&world.dir, 4096).await;
    let wide = Some(format!(r#"{{"text":"{}"}}"#, "x".repeat(20_000)));
    let request = Request::Update {
        job_id: "one".into(),
        change: Change { details: wide, ..to(Status::InProgress) },
        include_state: true,
        include_document: false,
    };
    let (reply, change) = full.handle("lamp", request.clone(), NOW_S).await;
    assert_eq!((code(&reply), change), (Some(RejectCode::InternalError), vec![]));
    let Reply::Execution(Some(shown)) = full.handle("lamp", describe("one"), NOW_S).await.0 else { panic!() };
    assert_eq!((shown.execution.status, shown.execution.version), (Status::Queued, 1));
    assert!(matches!(full.create("two", &big_job(), "ann").await, Err(AdminError::Store(StoreError::Full))));
    full.store.close().await;
    let free = open(&world.dir, DATABASE_BYTES_MAX).await;
    assert_eq!(code(&free.handle("lamp", request, NOW_S).await.0), None);
}

fn big_job() -> NewJob {
    NewJob { document: raw(&format!(r#"{{"text":"{}"}}"#, "y".repeat(20_000))), ..new_job() }
}

#[tokio::test]
async fn a_change_of_a_version_that_is_gone_is_not_written() {
    let world = TestService::new().await;
    world.create("one").await;
    let store = &world.jobs.store;
    let queued = store.execution("lamp", "one").await.unwrap().unwrap();
    let next = rules::update(&queued, to(Status::InProgress), None, NOW_S).unwrap();
    let change = |next: Execution| ExecutionChange { note: audit_note(&next), next, retry: None };
    store.save_execution(&change(next.clone())).await.unwrap();
    let late = rules::update(&queued, to(Status::Failed), None, NOW_S).unwrap();
    assert!(matches!(store.save_execution(&change(late)).await, Err(StoreError::Stale)));
    assert_eq!(store.execution("lamp", "one").await.unwrap(), Some(next));
}

#[tokio::test]
async fn invalid_jobs_are_rejected_with_the_reason() {
    let world = TestService::new().await;
    world.jobs.store.create_group("none", "ann", NOW_S).await.unwrap();
    let bad = [
        ("a b", new_job(), "jobId"),
        ("one", NewJob { things: vec![], ..new_job() }, "0 things"),
        ("one", NewJob { continuous: true, ..new_job() }, "for groups"),
        (
            "one",
            NewJob { things: vec![], groups: vec!["none".into()], ..new_job() },
            "0 things with those of the groups",
        ),
        ("one", NewJob { things: vec!["x/y".into()], ..new_job() }, "thing 0, \"x/y\": thingName"),
        ("one", NewJob { things: vec!["x".into(), "x".into()], ..new_job() }, "twice"),
        ("one", NewJob { document: None, ..new_job() }, "either"),
        ("one", NewJob { document: raw("[1]"), ..new_job() }, "object"),
        ("one", NewJob { document: raw(&format!(r#"{{"x":"{}"}}"#, "z".repeat(40_000))), ..new_job() }, "40008"),
        ("one", NewJob { timeout_minutes: Some(0), ..new_job() }, "0 minutes"),
        ("one", NewJob { forced: true, ..new_job() }, "custom document"),
        ("one", NewJob { config: retries(11), ..new_job() }, "11 retries"),
    ];
    for (id, job, expected) in bad {
        match world.jobs.create(id, &job, "ann").await {
            Err(AdminError::Bad(text)) => assert!(text.contains(expected), "{text} has no {expected}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

fn retries(number_of_retries: u64) -> JobConfig {
    JobConfig { retry: Some(RetryConfig::of_all(number_of_retries)), ..JobConfig::default() }
}

async fn stored(world: &TestService) -> (u64, Status, u64) {
    let execution = world.jobs.store.execution("lamp", "one").await.unwrap().unwrap();
    (execution.number, execution.status, execution.version)
}

#[tokio::test]
async fn an_execution_that_failed_is_retried_under_the_next_number_until_its_retries_are_used_up() {
    let world = TestService::new().await;
    world
        .jobs
        .create("one", &NewJob { config: retries(2), timeout_minutes: Some(1), ..new_job() }, "ann")
        .await
        .unwrap();
    world.update("one", to(Status::InProgress)).await;
    let (reply, notifications) = world.update("one", to(Status::Failed)).await;
    let Reply::Updated { state: Some(state), .. } = reply else { panic!("{reply:?}") };
    assert_eq!((state.number, state.status, state.version), (1, Status::Failed, 3), "the update that was made");
    assert_eq!(summary(&notifications), ["list 1", "first one"]);
    assert_eq!(stored(&world).await, (2, Status::Queued, 1));
    let of_first = Change { number: Some(1), ..to(Status::Succeeded) };
    assert_eq!(code(&world.update("one", of_first).await.0), Some(RejectCode::ResourceNotFound));

    world.update("one", Change { number: Some(2), ..to(Status::InProgress) }).await;
    let due = world.jobs.time_out(NOW_S + 60).await.unwrap();
    assert_eq!(summary(&world.notifications(&due).await), ["list 1", "first one"]);
    assert_eq!(stored(&world).await, (3, Status::Queued, 1));
    let repeated = world.update("one", to(Status::Failed)).await.0;
    assert_eq!(code(&repeated), Some(RejectCode::InvalidStateTransition), "of the attempt before");
    let (_, notifications) = world.update("one", Change { number: Some(3), ..to(Status::Failed) }).await;
    assert_eq!(summary(&notifications), ["list 0", "first nothing"]);
    assert_eq!(stored(&world).await, (3, Status::Failed, 2));
    let events = world.jobs.store.events_after(0, Some("one")).await.unwrap();
    let texts: Vec<&str> = events.iter().map(|event| event.text.as_str()).collect();
    let attempts = ["QUEUED for attempt 2", "QUEUED for attempt 3"];
    assert!(attempts.iter().all(|text| texts.contains(text)), "{texts:?}");
}

#[tokio::test]
async fn an_execution_of_a_cancelled_job_is_not_retried() {
    let world = TestService::new().await;
    world.jobs.create("one", &NewJob { config: retries(2), ..new_job() }, "ann").await.unwrap();
    world.update("one", to(Status::InProgress)).await;
    world.cancel("one", false).await;
    world.update("one", to(Status::Failed)).await;
    assert_eq!(stored(&world).await, (1, Status::Failed, 3));
}

#[tokio::test]
async fn a_job_for_a_group_is_for_its_members_and_a_continuous_one_for_those_that_join() {
    let world = TestService::new().await;
    let (jobs, store) = (&world.jobs, &world.jobs.store);
    assert!(matches!(jobs.join("lights", &["lamp".into()], "ann", NOW_S).await, Err(AdminError::NoGroup(_))));
    store.create_group("lights", "ann", NOW_S).await.unwrap();
    jobs.join("lights", &["lamp".into(), "bulb".into()], "ann", NOW_S).await.unwrap();
    let of_group = |continuous| NewJob {
        things: vec!["lamp".into(), "door".into()],
        groups: vec!["lights".into()],
        continuous,
        ..new_job()
    };
    let (due, _) = jobs.create("snapshot", &of_group(false), "ann").await.unwrap();
    let things: Vec<&str> = due.iter().map(|due| due.thing.as_str()).collect();
    assert_eq!(things, ["lamp", "door", "bulb"], "each once");
    jobs.create("continuous", &of_group(true), "ann").await.unwrap();

    let due = jobs.join("lights", &["star".into(), "bulb".into(), "star".into()], "ann", NOW_S).await.unwrap();
    assert_eq!(due.len(), 1, "only the new one, once");
    assert_eq!(summary(&world.notifications(&due).await), ["list 1", "first continuous"]);
    store.remove_members("lights", &["star".into()], "ann").await.unwrap();
    assert_eq!(store.members("lights").await.unwrap().unwrap(), ["bulb", "lamp"]);
    assert!(store.execution("star", "continuous").await.unwrap().is_some(), "it stays");
    assert!(jobs.join("lights", &["star".into()], "ann", NOW_S).await.unwrap().is_empty(), "and there is one");

    let ended: Vec<Execution> = store.executions_of("continuous").await.unwrap();
    for execution in ended {
        let job_id = "continuous".to_owned();
        let request =
            Request::Update { job_id, change: to(Status::Succeeded), include_state: false, include_document: false };
        jobs.handle(&execution.thing, request, NOW_S).await;
    }
    let job = store.job("continuous").await.unwrap().unwrap();
    let view = crate::api::JobView::new(&job, &store.executions_of("continuous").await.unwrap(), 0, NOW_S);
    assert_eq!(view.status, "IN_PROGRESS", "it ends when it is cancelled");
    world.cancel("continuous", false).await;
    assert!(matches!(
        jobs.begin_cancel("continuous", false, "ann").await,
        Err(AdminError::Ended { status: "CANCELED", .. })
    ));
    assert!(jobs.join("lights", &["moon".into()], "ann", NOW_S).await.unwrap().is_empty());
    assert!(store.delete_group("lights", "ann").await.unwrap() && !store.delete_group("lights", "ann").await.unwrap());
    assert!(store.members("lights").await.unwrap().is_none());
}

#[tokio::test]
async fn a_pinned_thing_is_passed_over_by_jobs_rollouts_and_groups_until_it_is_unpinned() {
    let world = TestService::new().await;
    let (jobs, store) = (&world.jobs, &world.jobs.store);
    store.pin("lamp", true, "ann", NOW_S).await.unwrap();
    store.pin("lamp", true, "ann", NOW_S).await.unwrap();
    assert!(
        matches!(jobs.create("own", &new_job(), "ann").await, Err(AdminError::Bad(text)) if text.contains("pinned"))
    );
    let both = NewJob { things: vec!["lamp".into(), "door".into()], ..new_job() };
    let (due, pinned) = jobs.create("both", &both, "ann").await.unwrap();
    assert_eq!((pinned, due.len(), due[0].thing.as_str()), (vec!["lamp".to_owned()], 1, "door"));
    let rollout = Some(RolloutConfig::constant(1));
    let config = JobConfig { rollout, ..JobConfig::default() };
    jobs.create("slow", &NewJob { config, ..both.clone() }, "ann").await.unwrap();
    assert_eq!(jobs.roll_out("slow", 1, NOW_S).await.unwrap(), ["door"], "the pinned one does not use up the rate");
    assert_eq!(jobs.counts("slow").await.unwrap().waiting, 0);
    store.create_group("lights", "ann", NOW_S).await.unwrap();
    jobs.create("group", &NewJob { groups: vec!["lights".into()], continuous: true, ..both }, "ann").await.unwrap();
    for _ in 0..2 {
        assert!(jobs.join("lights", &["lamp".into()], "ann", NOW_S).await.unwrap().is_empty());
    }
    let of = async |thing: &str| -> BTreeSet<String> {
        store.pending(thing).await.unwrap().into_iter().map(|execution| execution.job_id).collect()
    };
    let all = BTreeSet::from(["both", "slow", "group"].map(String::from));
    assert_eq!((of("lamp").await, of("door").await), (BTreeSet::new(), all));
    let events = store.events_after(0, None).await.unwrap();
    let texts: Vec<&str> =
        events.iter().filter(|e| e.thing.as_deref() == Some("lamp")).map(|e| e.text.as_str()).collect();
    let passed_over = "passed over: the thing is pinned";
    assert_eq!(texts, ["pinned", passed_over, passed_over, passed_over]);

    assert_eq!(store.pinned().await.unwrap(), ["lamp"]);
    store.pin("lamp", false, "ann", NOW_S).await.unwrap();
    assert_eq!(store.pinned().await.unwrap(), [""; 0]);
    jobs.create("own", &new_job(), "ann").await.unwrap();
    assert_eq!(of("lamp").await, BTreeSet::from(["own".to_owned()]));
}
