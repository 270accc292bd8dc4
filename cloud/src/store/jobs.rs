//! Jobs: creation of a job with its executions in one transaction, cancellation, and queries.

use sqlx::Row;

use super::{PageNumber, Paged, Store, StoreError, Tx, events, int, uint, uint_opt};
use crate::clock::now_ms;
use crate::limits::JOBS_LISTED_MAX;
use crate::model::{AuditNote, Job};

/// Value of the column `canceled`: the queued executions are cancelled.
const CANCELED: i64 = 1;
/// Value of the column `canceled`: also those in progress. Earlier versions wrote 1 and read every other value than 0 as
/// cancelled, so the schema has the same version.
const CANCELED_BY_FORCE: i64 = 2;

/// Everything that is stored for a new job.
#[derive(Clone, Debug)]
pub struct NewJobRecord<'a> {
    /// The job.
    pub job: &'a Job,
    /// Things that get an execution.
    pub things: &'a [String],
    /// File ids and images of its stream.
    pub files: &'a [(u32, String)],
}

/// A job in a list, with the number of executions per status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSummary {
    /// The job's id.
    pub id: String,
    /// Whether it was cancelled.
    pub canceled: bool,
    /// Seconds since 1970.
    pub created_at_s: u64,
    /// Number of executions per status.
    pub counts: Vec<(String, u64)>,
}

impl Store {
    /// Stores a job, its stream and one queued execution per thing, in one transaction.
    ///
    /// Errors: `JobExists`; `Full`.
    pub async fn create_job(&self, created: &NewJobRecord<'_>) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        insert_job(&mut tx, created.job).await?;
        for (file_id, image_id) in created.files {
            sqlx::query("INSERT INTO stream_files (stream, file_id, image_id) VALUES ($1, $2, $3)")
                .bind(created.job.stream.as_deref())
                .bind(i64::from(*file_id))
                .bind(image_id.as_str())
                .execute(&mut *tx)
                .await?;
        }
        let newest = insert_executions(&mut tx, created.job, created.things).await?;
        tx.commit().await?;
        self.announce(newest);
        Ok(())
    }

    /// Returns the job with this id.
    pub async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let row = sqlx::query("SELECT id, document, stream, timeout_s, canceled, created_at_s FROM jobs WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(job).transpose()
    }

    /// Returns the newest jobs, newest first, at most [`JOBS_LISTED_MAX`].
    pub async fn jobs(&self) -> Result<Vec<JobSummary>, StoreError> {
        self.jobs_from(0, JOBS_LISTED_MAX).await
    }

    /// Returns a page of the jobs, newest first.
    pub async fn jobs_page(&self, page: PageNumber) -> Result<Paged<JobSummary>, StoreError> {
        Ok(Paged::new(self.jobs_from(page.offset(), PageNumber::limit()).await?))
    }

    async fn jobs_from(&self, offset: i64, limit: i64) -> Result<Vec<JobSummary>, StoreError> {
        let rows = sqlx::query(
            "SELECT j.id, j.canceled, j.created_at_s, e.status, COUNT(e.seq) FROM
             (SELECT * FROM jobs ORDER BY seq DESC LIMIT $1 OFFSET $2) j
             LEFT JOIN executions e ON e.job_id = j.id GROUP BY j.id, e.status ORDER BY j.seq DESC, e.status",
        )
        .bind(limit)
        .bind(offset)
        .fetch_all(&self.pool)
        .await?;
        let mut jobs: Vec<JobSummary> = Vec::new();
        for row in &rows {
            add_row(&mut jobs, row)?;
        }
        Ok(jobs)
    }

    /// Marks a job as cancelled. Its executions are cancelled by the caller; if `force`, also those in progress.
    pub async fn mark_canceled(&self, id: &str, force: bool) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("UPDATE jobs SET canceled = MAX(canceled, $1) WHERE id = $2")
            .bind(if force { CANCELED_BY_FORCE } else { CANCELED })
            .bind(id)
            .execute(&mut *tx)
            .await?;
        let note = AuditNote { kind: "job", job_id: Some(id.to_owned()), thing: None, text: "cancelled".to_owned() };
        let seq = events::add(&mut tx, &note).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(())
    }
}

impl Store {
    /// Returns the cancelled jobs with an execution that should be cancelled and is not, oldest first, and whether they
    /// are cancelled by force.
    pub async fn unfinished_cancellations(&self) -> Result<Vec<(String, bool)>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT j.id, j.canceled, j.seq FROM executions e JOIN jobs j ON j.id = e.job_id
             WHERE e.status IN ('IN_PROGRESS', 'QUEUED')
             AND (j.canceled = $1 OR j.canceled = $2 AND e.status = 'QUEUED') ORDER BY j.seq",
        )
        .bind(CANCELED_BY_FORCE)
        .bind(CANCELED)
        .fetch_all(&self.pool)
        .await?;
        let job = |row: &sqlx::sqlite::SqliteRow| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? == CANCELED_BY_FORCE));
        rows.iter().map(job).collect()
    }
}

async fn insert_job(tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO jobs (id, document, stream, timeout_s, canceled, created_at_s) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(job.id.as_str())
    .bind(job.document.as_str())
    .bind(job.stream.as_deref())
    .bind(job.timeout_s.map(int))
    .bind(job.canceled)
    .bind(int(job.created_at_s))
    .execute(&mut **tx)
    .await
    .map_err(|error| match &error {
        sqlx::Error::Database(e) if e.is_unique_violation() => StoreError::JobExists { id: job.id.clone() },
        _ => error.into(),
    })?;
    Ok(())
}

/// One statement per table, independent of the number of things: SQLite splits the JSON array, in its order.
async fn insert_executions(tx: &mut Tx<'_>, job: &Job, things: &[String]) -> Result<i64, StoreError> {
    let (at_s, list) = (int(job.created_at_s), serde_json::json!(things).to_string());
    sqlx::query("INSERT OR IGNORE INTO things (name, created_at_s) SELECT value, $2 FROM json_each($1)")
        .bind(&list)
        .bind(at_s)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO executions (job_id, thing, number, status, queued_at_s, updated_at_s, version)
         SELECT $1, value, 1, 'QUEUED', $2, $2, 1 FROM json_each($3) ORDER BY key",
    )
    .bind(job.id.as_str())
    .bind(at_s)
    .bind(&list)
    .execute(&mut **tx)
    .await?;
    let done = sqlx::query(
        "INSERT INTO events (at_ms, kind, job_id, thing, text)
         SELECT $1, 'execution', $2, value, 'QUEUED' FROM json_each($3) ORDER BY key",
    )
    .bind(int(now_ms()))
    .bind(job.id.as_str())
    .bind(&list)
    .execute(&mut **tx)
    .await?;
    Ok(done.last_insert_rowid())
}

fn job(row: &sqlx::sqlite::SqliteRow) -> Result<Job, StoreError> {
    Ok(Job {
        id: row.try_get(0)?,
        document: row.try_get(1)?,
        stream: row.try_get(2)?,
        timeout_s: uint_opt(row.try_get(3)?, "timeout_s")?,
        canceled: row.try_get(4)?,
        created_at_s: uint(row.try_get(5)?, "created_at_s")?,
    })
}

fn add_row(jobs: &mut Vec<JobSummary>, row: &sqlx::sqlite::SqliteRow) -> Result<(), StoreError> {
    let id: String = row.try_get(0)?;
    if jobs.last().is_none_or(|last| last.id != id) {
        let created_at_s = uint(row.try_get(2)?, "created_at_s")?;
        jobs.push(JobSummary { id, canceled: row.try_get(1)?, created_at_s, counts: Vec::new() });
    }
    let status: Option<String> = row.try_get(3)?;
    if let (Some(status), Some(last)) = (status, jobs.last_mut()) {
        last.counts.push((status, uint(row.try_get(4)?, "count")?));
    }
    Ok(())
}
