//! Audit events: added in the transaction of the change that they describe, read by number, and awaited.

use std::time::Duration;

use sqlx::Row;

use super::{PageNumber, Paged, Store, StoreError, Tx, int, uint};
use crate::clock::now_ms;
use crate::limits::{EVENTS_PER_ANSWER_MAX, EVENTS_PER_EXECUTION_MAX};
use crate::model::{AuditNote, Event};

/// Adds one event to the open transaction; returns its number for [`Store::announce`].
pub(super) async fn add(tx: &mut Tx<'_>, note: &AuditNote) -> Result<i64, StoreError> {
    let (seq,): (i64,) = sqlx::query_as(
        "INSERT INTO events (at_ms, kind, job_id, thing, text, made_by) VALUES ($1, $2, $3, $4, $5, $6) RETURNING seq",
    )
    .bind(int(now_ms()))
    .bind(note.kind)
    .bind(note.job_id.as_deref())
    .bind(note.thing.as_deref())
    .bind(note.text.as_str())
    .bind(note.by.as_deref())
    .fetch_one(&mut **tx)
    .await?;
    Ok(seq)
}

/// Returns the number of the newest event, which the open transaction may have added; 0 if there is none.
pub(super) async fn newest(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let (seq,): (i64,) = sqlx::query_as("SELECT COALESCE(MAX(seq), 0) FROM events").fetch_one(&mut **tx).await?;
    Ok(seq)
}

/// Removes the oldest events of an execution that has more than [`EVENTS_PER_EXECUTION_MAX`].
pub(super) async fn prune(tx: &mut Tx<'_>, job_id: &str, thing: &str) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM events WHERE job_id = $1 AND thing = $2 AND seq <=
         (SELECT seq FROM events WHERE job_id = $1 AND thing = $2 ORDER BY seq DESC LIMIT 1 OFFSET $3)",
    )
    .bind(job_id)
    .bind(thing)
    .bind(int(EVENTS_PER_EXECUTION_MAX))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// Wakes tasks that wait for events; called after the commit.
    pub(super) fn announce(&self, seq: i64) {
        self.newest.send_if_modified(|newest| {
            let grows = seq > *newest;
            *newest = seq.max(*newest);
            grows
        });
    }

    /// Ends a transaction with an event about it.
    pub(super) async fn commit_with_note(&self, mut tx: Tx<'_>, note: &AuditNote) -> Result<(), StoreError> {
        let seq = add(&mut tx, note).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(())
    }

    /// Returns the events after number `after`, oldest first, at most [`EVENTS_PER_ANSWER_MAX`].
    ///
    /// `job_id`: only events of this job.
    pub async fn events_after(&self, after: i64, job_id: Option<&str>) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, at_ms, kind, job_id, thing, text, made_by FROM events
             WHERE seq > $1 AND ($2 IS NULL OR job_id = $2) ORDER BY seq LIMIT $3",
        )
        .bind(after)
        .bind(job_id)
        .bind(EVENTS_PER_ANSWER_MAX)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(event).collect()
    }

    /// Returns a page of the events before number `before`, newest first.
    pub async fn events_before(&self, before: i64) -> Result<Paged<Event>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, at_ms, kind, job_id, thing, text, made_by FROM events WHERE seq < $1 ORDER BY seq DESC LIMIT $2",
        )
        .bind(before)
        .bind(PageNumber::limit())
        .fetch_all(&self.pool)
        .await?;
        Ok(Paged::new(rows.iter().map(event).collect::<Result<_, _>>()?))
    }

    /// Returns whether this job has an event after number `after` and up to `last`.
    pub async fn has_event(&self, job_id: &str, after: i64, last: i64) -> Result<bool, StoreError> {
        // By number: the events since `after` are few, those of a job can be many. An expression is not looked up by its index.
        let row = sqlx::query("SELECT 1 FROM events WHERE seq > $1 AND seq <= $2 AND (job_id || '') = $3 LIMIT 1")
            .bind(after)
            .bind(last)
            .bind(job_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    /// Returns why a job was cancelled or its rollout stopped, if not by a person.
    pub async fn end_of_job(&self, job_id: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query(
            "SELECT text FROM events WHERE job_id = $1 AND thing IS NULL AND kind = 'job' AND text NOT IN ('cancelled', 'paused', 'resumed')
             AND text NOT LIKE 'created %' AND text NOT LIKE 'retried %' ORDER BY seq DESC LIMIT 1",
        )
        .bind(job_id)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Returns the number of the newest event; 0 if there is none.
    pub fn newest_event(&self) -> i64 {
        *self.newest.borrow()
    }

    /// Waits until an event after number `after` exists, at most `wait`; returns the newest number.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn wait_for_event(&self, after: i64, wait: Duration) -> i64 {
        let mut newest = self.newest.subscribe();
        let found = tokio::time::timeout(wait, newest.wait_for(|seq| *seq > after)).await;
        match found {
            Ok(Ok(seq)) => *seq,
            _ => after,
        }
    }
}

fn event(row: &sqlx::any::AnyRow) -> Result<Event, StoreError> {
    Ok(Event {
        seq: row.try_get(0)?,
        at_ms: uint(row.try_get(1)?, "at_ms")?,
        kind: row.try_get(2)?,
        job_id: row.try_get(3)?,
        thing: row.try_get(4)?,
        text: row.try_get(5)?,
        by: row.try_get(6)?,
    })
}
