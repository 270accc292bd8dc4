//! What a revert reads: which things have the image of a release, and what each had before.

use sqlx::Row;

use super::{Store, StoreError, int, uint};
use crate::limits::EARLIER_JOBS_MAX;
use crate::model::Image;

impl Store {
    /// Returns the things that have the image of a job, or may have it, sorted: those whose execution succeeded, timed out, is in
    /// progress, or was cancelled while it was. With each come the jobs that succeeded on it before, the newest first, at most
    /// [`EARLIER_JOBS_MAX`], except custom jobs and releases that were taken back.
    pub async fn reached(&self, job_id: &str) -> Result<Vec<(String, Vec<String>)>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.thing, before.job_id FROM executions a LEFT JOIN
             (SELECT e.thing, e.job_id, e.seq,
              ROW_NUMBER() OVER (PARTITION BY e.thing ORDER BY e.seq DESC) AS place
              FROM executions e JOIN executions own ON own.job_id = $1 AND own.thing = e.thing AND e.seq < own.seq
              JOIN jobs j ON j.id = e.job_id AND j.stream IS NOT NULL
              WHERE e.status = 'SUCCEEDED' AND e.job_id NOT IN (SELECT reverts FROM releases WHERE reverts IS NOT NULL)
             ) before ON before.thing = a.thing AND before.place <= $2
             WHERE a.job_id = $1 AND (a.status IN ('SUCCEEDED', 'TIMED_OUT', 'IN_PROGRESS')
              OR a.status = 'CANCELED' AND a.started_at_s IS NOT NULL)
             ORDER BY a.thing, before.seq DESC",
        )
        .bind(job_id)
        .bind(int(EARLIER_JOBS_MAX))
        .fetch_all(&self.pool)
        .await?;
        let mut reached: Vec<(String, Vec<String>)> = Vec::new();
        for row in &rows {
            let thing: String = row.try_get(0)?;
            if reached.last().is_none_or(|(last, _)| *last != thing) {
                reached.push((thing, Vec::new()));
            }
            let before: Option<String> = row.try_get(1)?;
            if let (Some(before), Some((_, jobs))) = (before, reached.last_mut()) {
                jobs.push(before);
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
        let file = |row: &sqlx::sqlite::SqliteRow| {
            let file_id = u32::try_from(uint(row.try_get(5)?, "file_id")?);
            let file_id = file_id.map_err(|_| StoreError::Damaged { column: "file_id" })?;
            Ok((file_id, super::images::image(row)?))
        };
        rows.iter().map(file).collect()
    }
}
