//! Executions: one thing's queue in AWS's order, one execution, and the version-checked change of one.

use ota_jobs::Status;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, events, int, uint, uint_opt};
use crate::model::{Execution, Note};

/// The columns of an execution, in the order that [`execution`] reads them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT seq, job_id, thing, number, status, details, queued_at_s, started_at_s, updated_at_s, version, ",
            "job_deadline_s, step_deadline_s FROM executions ",
            $rest
        )
    };
}

impl Store {
    /// What a thing still has to do, in the order in which it shall: in progress before queued, then by queue time.
    ///
    /// Source: AWS IoT developer guide, "Jobs device MQTT API", StartNextPendingJobExecution.
    pub async fn pending(&self, thing: &str) -> Result<Vec<Execution>, StoreError> {
        let rows = sqlx::query(select!(
            "WHERE thing = $1 AND status IN ('IN_PROGRESS', 'QUEUED') ORDER BY status = 'QUEUED', queued_at_s, seq"
        ))
        .bind(thing)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(execution).collect()
    }

    /// The execution of one job at one thing.
    pub async fn execution(&self, thing: &str, job_id: &str) -> Result<Option<Execution>, StoreError> {
        let row = sqlx::query(select!("WHERE thing = $1 AND job_id = $2"))
            .bind(thing)
            .bind(job_id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(execution).transpose()
    }

    /// All executions of a job, in the order of their creation.
    pub async fn executions_of(&self, job_id: &str) -> Result<Vec<Execution>, StoreError> {
        let rows = sqlx::query(select!("WHERE job_id = $1 ORDER BY seq")).bind(job_id).fetch_all(&self.pool).await?;
        rows.iter().map(execution).collect()
    }

    /// Executions in progress with a timer that ran out before `now_s`.
    pub async fn overdue(&self, now_s: u64) -> Result<Vec<Execution>, StoreError> {
        let rows = sqlx::query(select!(
            "WHERE status = 'IN_PROGRESS' AND (job_deadline_s <= $1 OR step_deadline_s <= $1) ORDER BY seq"
        ))
        .bind(int(now_s))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(execution).collect()
    }

    /// Replaces an execution by its next version and adds `note` to the audit; both or nothing.
    ///
    /// Errors: `Stale` unless the stored version is the one before; `Full`.
    pub async fn save_execution(&self, next: &Execution, note: &Note) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "UPDATE executions SET status = $1, details = $2, started_at_s = $3, updated_at_s = $4, version = $5,
             job_deadline_s = $6, step_deadline_s = $7 WHERE seq = $8 AND version = $5 - 1",
        )
        .bind(next.status.as_str())
        .bind(next.details.as_deref())
        .bind(next.started_at_s.map(int))
        .bind(int(next.updated_at_s))
        .bind(int(next.version))
        .bind(next.job_deadline_s.map(int))
        .bind(next.step_deadline_s.map(int))
        .bind(next.seq)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::Stale);
        }
        let seq = events::add(&mut tx, note).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(())
    }
}

fn execution(row: &SqliteRow) -> Result<Execution, StoreError> {
    let status = Status::parse(row.try_get(4)?).ok_or(StoreError::Damaged { column: "status" })?;
    Ok(Execution {
        seq: row.try_get(0)?,
        job_id: row.try_get(1)?,
        thing: row.try_get(2)?,
        number: uint(row.try_get(3)?, "number")?,
        status,
        details: row.try_get(5)?,
        queued_at_s: uint(row.try_get(6)?, "queued_at_s")?,
        started_at_s: uint_opt(row.try_get(7)?, "started_at_s")?,
        updated_at_s: uint(row.try_get(8)?, "updated_at_s")?,
        version: uint(row.try_get(9)?, "version")?,
        job_deadline_s: uint_opt(row.try_get(10)?, "job_deadline_s")?,
        step_deadline_s: uint_opt(row.try_get(11)?, "step_deadline_s")?,
    })
}
