//! Executions: queue of a thing in AWS's order, single executions, and version-checked updates.

use ota_jobs::Status;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{PageNumber, Paged, Store, StoreError, Tx, events, int, uint, uint_opt};
use crate::limits::EVENTS_PER_EXECUTION_MAX;
use crate::model::{AuditNote, Execution};

/// Columns of an execution, in the order that [`execution`] reads them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT seq, job_id, thing, number, status, details, queued_at_s, started_at_s, updated_at_s, version, ",
            "job_deadline_s, step_deadline_s FROM executions ",
            $rest
        )
    };
}

/// A change of an execution.
#[derive(Clone, Debug)]
pub struct ExecutionChange {
    /// Its next version.
    pub next: Execution,
    /// What the audit has about it.
    pub note: AuditNote,
    /// The next execution of the thing, which replaces one that ended.
    pub retry: Option<(Execution, AuditNote)>,
}

impl ExecutionChange {
    /// The execution that is left.
    pub fn last(&self) -> &Execution {
        self.retry.as_ref().map_or(&self.next, |(retry, _)| retry)
    }
}

impl Store {
    /// Returns the pending executions of a thing: those in progress first, then by queue time.
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

    /// Returns the execution of a job for a thing.
    pub async fn execution(&self, thing: &str, job_id: &str) -> Result<Option<Execution>, StoreError> {
        let row = sqlx::query(select!("WHERE thing = $1 AND job_id = $2"))
            .bind(thing)
            .bind(job_id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(execution).transpose()
    }

    /// Returns all executions of a job, in the order of creation.
    pub async fn executions_of(&self, job_id: &str) -> Result<Vec<Execution>, StoreError> {
        let rows = sqlx::query(select!("WHERE job_id = $1 ORDER BY seq")).bind(job_id).fetch_all(&self.pool).await?;
        rows.iter().map(execution).collect()
    }

    /// Returns a page of the executions of a job, in the order of creation; only those with `status`, if there is one.
    pub async fn executions_page(
        &self,
        job_id: &str,
        status: Option<Status>,
        page: PageNumber,
    ) -> Result<Paged<Execution>, StoreError> {
        let rows = sqlx::query(select!(
            // The details of the rows before and behind the page are not read.
            "WHERE seq IN (SELECT seq FROM executions WHERE job_id = $1 AND ($2 IS NULL OR status = $2)
                 ORDER BY seq LIMIT $3 OFFSET $4) ORDER BY seq"
        ))
        .bind(job_id)
        .bind(status.map(Status::as_str))
        .bind(PageNumber::limit())
        .bind(page.offset())
        .fetch_all(&self.pool)
        .await?;
        Ok(Paged::new(rows.iter().map(execution).collect::<Result<_, _>>()?))
    }

    /// Returns a page of the executions of a thing, newest first.
    pub async fn history_page(&self, thing: &str, page: PageNumber) -> Result<Paged<Execution>, StoreError> {
        let rows = sqlx::query(select!("WHERE thing = $1 ORDER BY seq DESC LIMIT $2 OFFSET $3"))
            .bind(thing)
            .bind(PageNumber::limit())
            .bind(page.offset())
            .fetch_all(&self.pool)
            .await?;
        Ok(Paged::new(rows.iter().map(execution).collect::<Result<_, _>>()?))
    }

    /// Returns executions of a job after number `after`, in the order of creation, at most `limit`; only those with `status`, if
    /// there is one.
    pub async fn executions_after(
        &self,
        job_id: &str,
        status: Option<Status>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Execution>, StoreError> {
        let rows = sqlx::query(select!(
            "WHERE job_id = $1 AND ($2 IS NULL OR status = $2) AND seq > $3 ORDER BY seq LIMIT $4"
        ))
        .bind(job_id)
        .bind(status.map(Status::as_str))
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(execution).collect()
    }

    /// Returns executions of a thing before number `before`, newest first, at most `limit`; only those with `status` and of
    /// `job_id`, if these are given.
    pub async fn history_before(
        &self,
        thing: &str,
        (status, job_id): (Option<Status>, Option<&str>),
        before: i64,
        limit: i64,
    ) -> Result<Vec<Execution>, StoreError> {
        let rows = sqlx::query(select!(
            "WHERE thing = $1 AND ($2 IS NULL OR status = $2) AND ($3 IS NULL OR job_id = $3) AND seq < $4
             ORDER BY seq DESC LIMIT $5"
        ))
        .bind(thing)
        .bind(status.map(Status::as_str))
        .bind(job_id)
        .bind(before)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(execution).collect()
    }

    /// Returns the newest execution of each of these things, in no order.
    pub async fn last_executions(&self, things: &[String]) -> Result<Vec<Execution>, StoreError> {
        let rows = sqlx::query(select!(
            "WHERE seq IN (SELECT MAX(seq) FROM executions
             WHERE thing IN (SELECT value FROM json_each($1)) GROUP BY thing)"
        ))
        .bind(serde_json::json!(things).to_string())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(execution).collect()
    }

    /// Returns pending executions of a job after `thing`, sorted by thing, at most `max`.
    pub async fn pending_of_job(&self, job_id: &str, thing: &str, max: usize) -> Result<Vec<Execution>, StoreError> {
        let rows = sqlx::query(select!(
            "WHERE job_id = $1 AND thing > $2 AND status IN ('IN_PROGRESS', 'QUEUED') ORDER BY thing LIMIT $3"
        ))
        .bind(job_id)
        .bind(thing)
        .bind(int(max as u64))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(execution).collect()
    }

    /// Returns names of things with pending executions after `thing`, sorted, at most `max`.
    pub async fn things_with_work(&self, thing: &str, max: usize) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT thing FROM executions
             WHERE thing > $1 AND status IN ('IN_PROGRESS', 'QUEUED') ORDER BY thing LIMIT $2",
        )
        .bind(thing)
        .bind(int(max as u64))
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Returns executions in progress with a timer that expired at `now_s` or before, at most `max`.
    pub async fn overdue(&self, now_s: u64, max: usize) -> Result<Vec<Execution>, StoreError> {
        let rows = sqlx::query(select!(
            "WHERE status = 'IN_PROGRESS' AND (job_deadline_s <= $1 OR step_deadline_s <= $1) ORDER BY seq LIMIT $2"
        ))
        .bind(int(now_s))
        .bind(int(max as u64))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(execution).collect()
    }

    /// Moves the deadlines of all executions by `step_s` seconds, by which the wall clock was set.
    ///
    /// Errors: nothing was changed.
    pub async fn move_deadlines(&self, step_s: i64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE executions SET
             job_deadline_s = CASE WHEN job_deadline_s + $1 < 0 THEN 0 ELSE job_deadline_s + $1 END,
             step_deadline_s = CASE WHEN step_deadline_s + $1 < 0 THEN 0 ELSE step_deadline_s + $1 END
             WHERE status = 'IN_PROGRESS'",
        )
        .bind(step_s)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Replaces an execution by its next version, and that by its retry, and adds the notes to the audit, in one transaction.
    ///
    /// Errors: `Stale` unless the stored version is the preceding one; `Full`.
    pub async fn save_execution(&self, change: &ExecutionChange) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        let seq = save(&mut tx, change).await?.ok_or(StoreError::Stale)?;
        tx.commit().await?;
        self.announce(seq);
        Ok(())
    }

    /// Replaces many executions in one transaction; returns for each whether it was written. Stale ones are skipped.
    ///
    /// Errors: `Full` and others; nothing was changed.
    pub async fn save_executions(&self, changes: &[ExecutionChange]) -> Result<Vec<bool>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let (mut written, mut newest) = (Vec::with_capacity(changes.len()), 0);
        for change in changes {
            let seq = save(&mut tx, change).await?;
            newest = seq.unwrap_or(newest);
            written.push(seq.is_some());
        }
        tx.commit().await?;
        self.announce(newest);
        Ok(written)
    }
}

/// Returns the number of the last event; `None` if the stored version is stale, and nothing was changed.
async fn save(tx: &mut Tx<'_>, change: &ExecutionChange) -> Result<Option<i64>, StoreError> {
    let ExecutionChange { next, note, retry } = change;
    let Some(seq) = replace(tx, next, next.version - 1, note).await? else { return Ok(None) };
    match retry {
        Some((retry, note)) => replace(tx, retry, next.version, note).await,
        None => Ok(Some(seq)),
    }
}

async fn replace(
    tx: &mut Tx<'_>,
    next: &Execution,
    stored_version: u64,
    note: &AuditNote,
) -> Result<Option<i64>, StoreError> {
    let done = sqlx::query(
        "UPDATE executions SET status = $1, details = $2, started_at_s = $3, updated_at_s = $4, version = $5,
         job_deadline_s = $6, step_deadline_s = $7, number = $8, queued_at_s = $9 WHERE seq = $10 AND version = $11",
    )
    .bind(next.status.as_str())
    .bind(next.details.as_deref())
    .bind(next.started_at_s.map(int))
    .bind(int(next.updated_at_s))
    .bind(int(next.version))
    .bind(next.job_deadline_s.map(int))
    .bind(next.step_deadline_s.map(int))
    .bind(int(next.number))
    .bind(int(next.queued_at_s))
    .bind(next.seq)
    .bind(int(stored_version))
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() != 1 {
        return Ok(None);
    }
    let seq = events::add(tx, note).await?;
    // Each version adds one event, so a smaller version of a first execution has at most that many events.
    if next.version > EVENTS_PER_EXECUTION_MAX || next.number > 1 {
        events::prune(tx, &next.job_id, &next.thing).await?;
    }
    Ok(Some(seq))
}

fn execution(row: &AnyRow) -> Result<Execution, StoreError> {
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
