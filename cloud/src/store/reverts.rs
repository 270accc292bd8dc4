//! What a revert reads: which things have the image of a release, and what each had before and after it.

use sqlx::Row;

use super::{Store, StoreError, flag, int, uint};
use crate::limits::EARLIER_JOBS_MAX;
use crate::model::Image;

/// A thing that has the image of a release, or may have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Its name.
    pub thing: String,
    /// Jobs with images that it got after the release, and that succeeded, the newest first, at most [`EARLIER_JOBS_MAX`].
    /// Releases that were taken back are left out. What was retried has the place of its last attempt.
    pub later: Vec<String>,
    /// Those that it got before the release.
    pub earlier: Vec<String>,
}

impl Store {
    /// Returns the things that have the image of a job, or may have it, sorted: those whose execution succeeded, timed out, is in
    /// progress, or was cancelled while it was, or during a retry. Things that a revert of this job includes are left out, unless it
    /// ended there without success.
    pub async fn reached(&self, job_id: &str) -> Result<Vec<Reached>, StoreError> {
        let rows = sqlx::query(
            "SELECT thing, job_id, is_later FROM (
             SELECT a.thing, e.job_id, CASE WHEN (e.queued_at_s, e.seq) > (a.queued_at_s, a.seq) THEN 1 ELSE 0 END AS is_later,
              e.queued_at_s, e.seq,
              ROW_NUMBER() OVER (PARTITION BY a.thing, (e.queued_at_s, e.seq) > (a.queued_at_s, a.seq)
               ORDER BY e.queued_at_s DESC, e.seq DESC) AS place
             FROM executions a LEFT JOIN executions e ON e.thing = a.thing AND e.status = 'SUCCEEDED' AND e.seq <> a.seq
              AND e.job_id NOT IN (SELECT job_id FROM releases WHERE reverted = 1)
              AND e.job_id IN (SELECT id FROM jobs WHERE stream IS NOT NULL)
             WHERE a.job_id = $1 AND (a.status IN ('SUCCEEDED', 'TIMED_OUT', 'IN_PROGRESS')
              OR a.status = 'CANCELED' AND (a.started_at_s IS NOT NULL OR a.number > 1))
             AND a.thing NOT IN (SELECT e.thing FROM executions e JOIN releases r ON r.job_id = e.job_id AND r.reverts = $1
              WHERE e.status IN ('QUEUED', 'IN_PROGRESS', 'SUCCEEDED')
              UNION ALL SELECT w.thing FROM waiting w JOIN releases r ON r.job_id = w.job_id AND r.reverts = $1)
             ) AS ranked WHERE place <= $2 ORDER BY thing, queued_at_s DESC, seq DESC",
        )
        .bind(job_id)
        .bind(int(EARLIER_JOBS_MAX))
        .fetch_all(&self.pool)
        .await?;
        let mut reached: Vec<Reached> = Vec::new();
        for row in &rows {
            let thing: String = row.try_get(0)?;
            if reached.last().is_none_or(|last| last.thing != thing) {
                reached.push(Reached { thing, later: Vec::new(), earlier: Vec::new() });
            }
            let (other, is_later): (Option<String>, bool) = (row.try_get(1)?, flag(row, 2)?);
            if let (Some(other), Some(last)) = (other, reached.last_mut()) {
                if is_later { last.later.push(other) } else { last.earlier.push(other) }
            }
        }
        Ok(reached)
    }

    /// Returns the file ids and images of a job, sorted by file id.
    pub async fn job_files(&self, job_id: &str) -> Result<Vec<(u32, Image)>, StoreError> {
        let rows = sqlx::query(
            "SELECT i.id, i.name, i.size_bytes, i.sha256, i.signature, f.file_id FROM jobs j
             JOIN stream_files f ON f.stream = j.stream JOIN images i ON i.id = f.image_id
             WHERE j.id = $1 ORDER BY f.file_id",
        )
        .bind(job_id)
        .fetch_all(&self.pool)
        .await?;
        let file = |row: &sqlx::any::AnyRow| {
            let file_id = u32::try_from(uint(row.try_get(5)?, "file_id")?);
            let file_id = file_id.map_err(|_| StoreError::Damaged { column: "file_id" })?;
            Ok((file_id, super::images::image(row)?))
        };
        rows.iter().map(file).collect()
    }
}
