//! Sessions of devices for which a release waits, while the release is held.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqlitePool;

use super::super::super::changes::JobUpdate;
use super::*;
use crate::job_config::{JobConfig, RolloutConfig};
use crate::testing::TempDir;

impl Idle {
    /// Creates the release `v2`, which the thing `lamp` gets with its session, and pauses it.
    async fn pause_release(&mut self) {
        let plan = ReleasePlan::default();
        self.actor.jobs.release("v2", &job(vec!["lamp".into()]), &plan, "ann").await.unwrap();
        self.actor.resume().await;
        self.pause(true).await;
    }

    async fn pause(&mut self, paused: bool) {
        self.ask(|done| Command::Pause { id: "v2".into(), paused, by: "ann".into(), done }).await;
    }

    async fn ask<T>(&mut self, command: impl FnOnce(Answer<T>) -> Command) -> T {
        let (done, answer) = oneshot::channel();
        self.actor.execute(command(done)).await;
        answer.await.unwrap().unwrap()
    }

    /// Returns how many executions of `v2` are created by one advance.
    async fn advance(&mut self, now: Instant) -> u64 {
        let before = self.actor.jobs.counts("v2").await.unwrap().notified();
        self.actor.advance_rollouts(now, now_s()).await;
        self.actor.jobs.counts("v2").await.unwrap().notified() - before
    }
}

async fn set_config(dir: &TempDir, id: &str, config: &str) {
    let database = SqlitePool::connect(&format!("sqlite:{}/cloud.db", dir.path().display())).await.unwrap();
    let update = format!("UPDATE jobs SET config = '{config}' WHERE id = '{id}'");
    sqlx::raw_sql(AssertSqlSafe(update)).execute(&database).await.unwrap();
    database.close().await;
}

#[tokio::test]
async fn a_session_that_begins_before_the_last_run_is_read_brings_no_paused_release() {
    let mut idle = Idle::new(true).await;
    idle.pause_release().await;
    idle.actor.jobs.create("other", &job(vec!["door".into()]), "ann").await.unwrap();
    set_config(&idle.dir, "other", "damaged").await;
    let Idle { dir, .. } = idle;

    let mut idle = Idle::over(dir, true).await;
    idle.actor.begin_session("lamp").await;
    assert!(!idle.actor.has_resumed, "a row cannot be read");
    assert_eq!(idle.actor.jobs.counts("v2").await.unwrap().notified(), 0);
    set_config(&idle.dir, "other", "{}").await;
    idle.actor.resume().await;
    idle.actor.begin_early_sessions().await;
    assert_eq!((idle.actor.has_resumed, idle.advance(Instant::now()).await), (true, 0), "it is paused");
    idle.pause(false).await;
    assert_eq!(idle.advance(Instant::now() + TIMER_TICK).await, 1);
}

#[tokio::test]
async fn a_new_rate_does_not_end_the_wait_of_a_device_whose_session_began() {
    let mut idle = Idle::new(true).await;
    idle.pause_release().await;
    idle.actor.begin_session("lamp").await;
    let config = JobConfig { rollout: Some(RolloutConfig::constant(60)), ..JobConfig::default() };
    let update = Box::new(JobUpdate { config, ..JobUpdate::default() });
    let change = JobChange::Update { id: "v2".into(), update };
    idle.ask(|done| Command::Change { change, by: "ann".into(), done }).await;
    assert_eq!(idle.advance(Instant::now()).await, 0, "it is paused");
    idle.pause(false).await;
    assert_eq!(idle.advance(Instant::now() + TIMER_TICK).await, 1);
}
