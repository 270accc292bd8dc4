//! What a person does with a job that runs: pause, resume, and another attempt where it failed.

use sqlx::Row;

use super::{Store, StoreError, Tx, events, int, uint};
use crate::clock::now_ms;
use crate::model::AuditNote;

/// What another attempt of a job has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// The things whose execution is queued again, sorted.
    pub things: Vec<String>,
    /// Number of things that have none because they are pinned.
    pub pinned: u64,
}

impl Store {
    /// Pauses the rollout of a job, or resumes it; `by`: the account or token that does it.
    pub async fn set_paused(&self, id: &str, paused: bool, by: &str) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("UPDATE jobs SET paused = $1 WHERE id = $2")
            .bind(i64::from(paused))
            .bind(id)
            .execute(&mut *tx)
            .await?;
        let text = if paused { "paused" } else { "resumed" };
        self.commit_with_note(tx, &AuditNote::new("job", text).by(by).of_job(id)).await
    }

    /// Replaces each execution of a job that is FAILED, REJECTED or TIMED_OUT by the next one of its thing, which is queued, unless
    /// the thing is pinned; `by`: the account or token that does it.
    ///
    /// Errors: nothing was changed.
    pub async fn retry_failed(&self, id: &str, by: &str, now_s: u64) -> Result<Retried, StoreError> {
        let mut tx = self.pool.begin().await?;
        let rows = sqlx::query(
            "UPDATE executions SET number = number + 1, status = 'QUEUED', details = NULL, queued_at_s = $2, started_at_s = NULL,
             updated_at_s = $2, version = 1, job_deadline_s = NULL, step_deadline_s = NULL
             WHERE job_id = $1 AND status IN ('FAILED', 'REJECTED', 'TIMED_OUT')
             AND thing NOT IN (SELECT name FROM things WHERE pinned_at_s IS NOT NULL) RETURNING thing",
        )
        .bind(id)
        .bind(int(now_s))
        .fetch_all(&mut *tx)
        .await?;
        let mut things = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        things.sort_unstable();
        let (pinned,): (i64,) = sqlx::query_as(
            "SELECT COUNT(*) FROM executions WHERE job_id = $1 AND status IN ('FAILED', 'REJECTED', 'TIMED_OUT')",
        )
        .bind(id)
        .fetch_one(&mut *tx)
        .await?;
        let seq = add_events(&mut tx, id, &things, by).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(Retried { things, pinned: uint(pinned, "count")? })
    }
}

/// Adds one event for the job, and one for each thing; returns the number of the last one.
async fn add_events(tx: &mut Tx<'_>, id: &str, things: &[String], by: &str) -> Result<i64, StoreError> {
    let text = format!("retried {} of the failed executions", things.len());
    let seq = events::add(tx, &AuditNote::new("job", text).by(by).of_job(id)).await?;
    sqlx::query(
        "INSERT INTO events (at_ms, kind, job_id, thing, text, made_by)
         SELECT $1, 'execution', $2, thing, 'QUEUED for attempt ' || number, $4 FROM executions
         WHERE job_id = $2 AND thing IN (SELECT value FROM json_each($3)) ORDER BY thing",
    )
    .bind(int(now_ms()))
    .bind(id)
    .bind(serde_json::json!(things).to_string())
    .bind(by)
    .execute(&mut **tx)
    .await?;
    Ok(if things.is_empty() { seq } else { events::newest(tx).await? })
}
