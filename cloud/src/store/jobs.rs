//! Jobs: creation of a job with its executions in one transaction, cancellation, and queries.

use ota_jobs::Status;
use sqlx::Row;

use super::unreached::end_wait;
use super::{PageNumber, Paged, Store, StoreError, Tx, events, flag, int, uint, uint_opt};
use crate::clock::now_ms;
use crate::job_config::JobConfig;
use crate::limits::JOBS_LISTED_MAX;
use crate::model::{AuditNote, Counts, Job};
use crate::release_plan::{Mode, ReleasePlan};

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
    /// The groups whose new members get it, if it is continuous.
    pub groups: &'a [String],
    /// The account or token that creates it.
    pub by: &'a str,
    /// What makes it a release, if it is one.
    pub release: Option<&'a ReleasePlan>,
}

impl NewJobRecord<'_> {
    /// Whether its things get their executions with their next sessions.
    fn is_on_session(&self) -> bool {
        self.release.is_some_and(|plan| plan.mode == Mode::OnSession)
    }
}

/// A job in a list, with the number of executions per status.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSummary {
    /// The job's id.
    pub id: String,
    /// Whether it was cancelled.
    pub canceled: bool,
    /// Whether things that join its groups get it.
    pub continuous: bool,
    /// Whether its rollout is paused.
    pub paused: bool,
    /// Rollout, abort criteria, retries and schedule.
    pub config: JobConfig,
    /// Seconds since 1970.
    pub created_at_s: u64,
    /// Number of executions per status.
    pub counts: Vec<(String, u64)>,
    /// Number of things without an execution.
    pub waiting: u64,
}

impl JobSummary {
    /// Returns how far the job is.
    pub fn counts(&self) -> Counts {
        let count = |(status, count): &(String, u64)| Status::parse(status).map(|status| (status.as_str(), *count));
        Counts { waiting: self.waiting, executions: self.counts.iter().filter_map(count).collect() }
    }
}

impl Store {
    /// Stores a job, its stream and one queued execution per thing, in one transaction. The things of a job with a rollout
    /// wait instead, for [`roll_out`](Self::roll_out).
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
        let job = created.job;
        if job.continuous {
            add_groups(&mut tx, &job.id, created.groups).await?;
        }
        insert_things(&mut tx, created.things, job.created_at_s).await?;
        if let Some(plan) = created.release {
            insert_release(&mut tx, &job.id, plan).await?;
        }
        let (has_waiting, count) = (job.config.has_waiting() || created.is_on_session(), created.things.len());
        let things = if count == 1 { "thing" } else { "things" };
        let waiting = match (has_waiting, created.is_on_session()) {
            (false, _) => "",
            (true, false) => ", to be rolled out",
            (true, true) => ", each with its next session",
        };
        let text = format!("created for {count} {things}{waiting}");
        let note = AuditNote::new("job", text).by(created.by).of_job(&job.id);
        let mut newest = events::add(&mut tx, &note).await?;
        match has_waiting {
            true => {
                insert_waiting(&mut tx, created).await?;
                newest = pass_over_pinned(&mut tx, &job.id).await?.max(newest);
            }
            false => newest = insert_executions(&mut tx, &job.id, created.things, job.created_at_s).await?.max(newest),
        }
        tx.commit().await?;
        self.announce(newest);
        Ok(())
    }

    /// Creates the executions of the next things of a job that wait, at most `max`; returns these things. Those that were pinned
    /// meanwhile wait no longer.
    ///
    /// Errors: nothing was changed.
    pub async fn roll_out(&self, job_id: &str, max: usize, now_s: u64) -> Result<Vec<String>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let passed_over = pass_over_pinned(&mut tx, job_id).await?;
        let rows = sqlx::query("SELECT position, thing FROM waiting WHERE job_id = $1 ORDER BY position LIMIT $2")
            .bind(job_id)
            .bind(int(max as u64))
            .fetch_all(&mut *tx)
            .await?;
        let last: i64 = rows.last().map_or(Ok(-1), |last| last.try_get(0))?;
        let things = rows.iter().map(|row| row.try_get(1)).collect::<Result<Vec<String>, _>>()?;
        let newest = insert_executions(&mut tx, job_id, &things, now_s).await?;
        sqlx::query("DELETE FROM waiting WHERE job_id = $1 AND position <= $2")
            .bind(job_id)
            .bind(last)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.announce(newest.max(passed_over));
        Ok(things)
    }

    /// Gives the things of a job that wait no execution, for the reason in `text`.
    ///
    /// Errors: nothing was changed.
    pub async fn stop_rollout(&self, job_id: &str, text: &str) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        let waiting = end_wait(&mut tx, job_id).await?;
        let text = format!("{text}: {waiting} things get no execution");
        let note = AuditNote::new("job", text).of_job(job_id);
        let seq = events::add(&mut tx, &note).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(())
    }

    /// Returns how far a job is.
    pub async fn counts(&self, job_id: &str) -> Result<Counts, StoreError> {
        let (waiting,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM waiting WHERE job_id = $1").bind(job_id).fetch_one(&self.pool).await?;
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT status, COUNT(*) FROM executions WHERE job_id = $1 GROUP BY status")
                .bind(job_id)
                .fetch_all(&self.pool)
                .await?;
        let count = |(status, count): (String, i64)| {
            let status = Status::parse(&status).ok_or(StoreError::Damaged { column: "status" })?;
            Ok((status.as_str(), uint(count, "count")?))
        };
        let executions = rows.into_iter().map(count).collect::<Result<_, StoreError>>()?;
        Ok(Counts { waiting: uint(waiting, "waiting")?, executions })
    }

    /// Returns the releases, the jobs with a configuration, and those that were paused, that have things or executions left,
    /// or may get some, oldest first.
    pub async fn unfinished_rollouts(&self) -> Result<Vec<Job>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, document, stream, timeout_s, canceled, created_at_s, config, continuous, details, paused FROM jobs
             WHERE canceled = 0 AND (config <> '{}' OR id IN (SELECT job_id FROM releases)
              OR EXISTS (SELECT 1 FROM waiting WHERE job_id = jobs.id)) AND
             (continuous = 1 OR EXISTS (SELECT 1 FROM waiting WHERE job_id = jobs.id) OR
              EXISTS (SELECT 1 FROM executions WHERE job_id = jobs.id AND status IN ('IN_PROGRESS', 'QUEUED')))
             ORDER BY seq",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(job).collect()
    }

    /// Returns the job with this id.
    pub async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let row = sqlx::query(
            "SELECT id, document, stream, timeout_s, canceled, created_at_s, config, continuous, details, paused FROM jobs WHERE id = $1",
        )
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
            "SELECT j.id, j.canceled, j.created_at_s, e.status, e.count,
             (SELECT COUNT(*) FROM waiting w WHERE w.job_id = j.id), j.continuous, j.config, j.paused FROM
             (SELECT * FROM jobs ORDER BY seq DESC LIMIT $1 OFFSET $2) j LEFT JOIN
             (SELECT job_id, status, COUNT(*) AS count FROM executions
              WHERE job_id IN (SELECT id FROM jobs ORDER BY seq DESC LIMIT $1 OFFSET $2) GROUP BY job_id, status) e
             ON e.job_id = j.id ORDER BY j.seq DESC, e.status",
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

    /// Marks a job as cancelled, for the reason in `text`; `by`: the account or token that did it, if not the service. Its things
    /// that wait get no execution; returns their number. Its executions are cancelled by the caller; if `force`, also those in
    /// progress.
    pub async fn mark_canceled(&self, id: &str, force: bool, text: &str, by: Option<&str>) -> Result<u64, StoreError> {
        let mut tx = self.pool.begin().await?;
        let (waiting, seq) = mark_canceled(&mut tx, id, force, text, by).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(waiting)
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
        let job = |row: &sqlx::any::AnyRow| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? == CANCELED_BY_FORCE));
        rows.iter().map(job).collect()
    }
}

/// Returns the number of things that waited, and that of the event.
pub(super) async fn mark_canceled(
    tx: &mut Tx<'_>,
    id: &str,
    force: bool,
    text: &str,
    by: Option<&str>,
) -> Result<(u64, i64), StoreError> {
    sqlx::query("UPDATE jobs SET canceled = $1 WHERE id = $2 AND canceled < $1")
        .bind(if force { CANCELED_BY_FORCE } else { CANCELED })
        .bind(id)
        .execute(&mut **tx)
        .await?;
    let waiting = end_wait(tx, id).await?;
    let note = AuditNote { by: by.map(str::to_owned), ..AuditNote::new("job", text).of_job(id) };
    Ok((waiting, events::add(tx, &note).await?))
}

async fn insert_job(tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO jobs (id, document, stream, timeout_s, canceled, created_at_s, config, continuous, details, named_stream)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(job.id.as_str())
    .bind(job.document.as_str())
    .bind(job.stream.as_deref())
    .bind(job.timeout_s.map(int))
    .bind(i64::from(job.canceled))
    .bind(int(job.created_at_s))
    .bind(serde_json::to_string(&job.config).expect("numbers and texts"))
    .bind(i64::from(job.continuous))
    .bind(serde_json::to_string(&job.details).expect("numbers and texts"))
    .bind(named_stream(job))
    .execute(&mut **tx)
    .await
    .map_err(|error| match &error {
        sqlx::Error::Database(e) if e.is_unique_violation() => StoreError::JobExists { id: job.id.clone() },
        _ => error.into(),
    })?;
    Ok(())
}

/// The stream that a custom document names.
fn named_stream(job: &Job) -> Option<String> {
    let document = job.stream.is_none().then(|| serde_json::from_str::<serde_json::Value>(&job.document).ok())??;
    document["afr_ota"]["streamname"].as_str().map(str::to_owned)
}

/// Makes a new job a release; the one that it takes back is marked.
async fn insert_release(tx: &mut Tx<'_>, job_id: &str, plan: &ReleasePlan) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO releases (job_id, mode, halt, reverts) VALUES ($1, $2, $3, $4)")
        .bind(job_id)
        .bind(plan.mode.as_str())
        .bind(serde_json::to_string(&plan.halt).expect("numbers"))
        .bind(plan.reverts.as_deref())
        .execute(&mut **tx)
        .await?;
    sqlx::query("UPDATE releases SET reverted = 1 WHERE job_id = $1")
        .bind(plan.reverts.as_deref())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

// One statement per table, independent of the number of things: the database splits the JSON array, in its order. `WHERE true`
// ends the list of tables: SQLite would take `ON CONFLICT` for the condition of a join. Pinned things get no execution.

pub(super) async fn insert_things(tx: &mut Tx<'_>, things: &[String], now_s: u64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO things (name, created_at_s) SELECT value, $2 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING",
    )
    .bind(serde_json::json!(things).to_string())
    .bind(int(now_s))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives things that join these groups the job.
pub(super) async fn add_groups(tx: &mut Tx<'_>, job_id: &str, groups: &[String]) -> Result<(), StoreError> {
    for group in groups {
        sqlx::query("INSERT INTO job_groups (group_name, job_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(group.as_str())
            .bind(job_id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn insert_waiting(tx: &mut Tx<'_>, created: &NewJobRecord<'_>) -> Result<(), StoreError> {
    let NewJobRecord { job, things, .. } = created;
    // Those of a release without a rate are due at once.
    let due = created.is_on_session() && !job.config.has_waiting();
    sqlx::query("INSERT INTO waiting (job_id, position, thing, due) SELECT $1, key, value, $3 FROM json_each($2)")
        .bind(job.id.as_str())
        .bind(serde_json::json!(things).to_string())
        .bind(i64::from(due))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Lets further things wait for a job, behind those that wait already.
pub(super) async fn add_waiting(tx: &mut Tx<'_>, job_id: &str, things: &[String]) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO waiting (job_id, position, thing) SELECT $1, key + next, value FROM json_each($2),
         (SELECT COALESCE(MAX(position) + 1, 0) AS next FROM waiting WHERE job_id = $1) AS behind",
    )
    .bind(job_id)
    .bind(serde_json::json!(things).to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes the pinned things of a job that wait, with an event for each; returns the number of the last one, or 0.
pub(super) async fn pass_over_pinned(tx: &mut Tx<'_>, job_id: &str) -> Result<i64, StoreError> {
    let rows = sqlx::query(
        "SELECT w.thing FROM waiting w JOIN things t ON t.name = w.thing AND t.pinned_at_s IS NOT NULL WHERE w.job_id = $1",
    )
    .bind(job_id)
    .fetch_all(&mut **tx)
    .await?;
    let mut newest = 0;
    for row in &rows {
        let thing: String = row.try_get(0)?;
        sqlx::query("DELETE FROM waiting WHERE job_id = $1 AND thing = $2")
            .bind(job_id)
            .bind(&thing)
            .execute(&mut **tx)
            .await?;
        let note = AuditNote::new("execution", "passed over: the thing is pinned").of_job(job_id).of_thing(thing);
        newest = events::add(tx, &note).await?;
    }
    Ok(newest)
}

pub(super) async fn insert_executions(
    tx: &mut Tx<'_>,
    job_id: &str,
    things: &[String],
    now_s: u64,
) -> Result<i64, StoreError> {
    if things.is_empty() {
        return Ok(0);
    }
    let (at_s, list) = (int(now_s), serde_json::json!(things).to_string());
    sqlx::query(
        "INSERT INTO executions (job_id, thing, number, status, queued_at_s, updated_at_s, version)
         SELECT $1, value, 1, 'QUEUED', $2, $2, 1 FROM json_each($3)
         WHERE value NOT IN (SELECT name FROM things WHERE pinned_at_s IS NOT NULL) ORDER BY key",
    )
    .bind(job_id)
    .bind(at_s)
    .bind(&list)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO events (at_ms, kind, job_id, thing, text)
         SELECT $1, 'execution', $2, value,
         CASE WHEN value IN (SELECT name FROM things WHERE pinned_at_s IS NOT NULL)
         THEN 'passed over: the thing is pinned' ELSE 'QUEUED' END FROM json_each($3) ORDER BY key",
    )
    .bind(int(now_ms()))
    .bind(job_id)
    .bind(&list)
    .execute(&mut **tx)
    .await?;
    events::newest(tx).await
}

fn job(row: &sqlx::any::AnyRow) -> Result<Job, StoreError> {
    Ok(Job {
        id: row.try_get(0)?,
        document: row.try_get(1)?,
        stream: row.try_get(2)?,
        timeout_s: uint_opt(row.try_get(3)?, "timeout_s")?,
        canceled: row.try_get::<i64, _>(4)? != 0,
        canceled_by_force: row.try_get::<i64, _>(4)? == CANCELED_BY_FORCE,
        created_at_s: uint(row.try_get(5)?, "created_at_s")?,
        config: config(row.try_get(6)?)?,
        continuous: flag(row, 7)?,
        paused: flag(row, 9)?,
        details: serde_json::from_str(row.try_get(8)?).map_err(|_| StoreError::Damaged { column: "details" })?,
    })
}

fn config(text: &str) -> Result<JobConfig, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Damaged { column: "config" })
}

fn add_row(jobs: &mut Vec<JobSummary>, row: &sqlx::any::AnyRow) -> Result<(), StoreError> {
    let id: String = row.try_get(0)?;
    if jobs.last().is_none_or(|last| last.id != id) {
        let created_at_s = uint(row.try_get(2)?, "created_at_s")?;
        let waiting = uint(row.try_get(5)?, "waiting")?;
        let (canceled, continuous, paused) = (flag(row, 1)?, flag(row, 6)?, flag(row, 8)?);
        let (config, counts) = (config(row.try_get(7)?)?, Vec::new());
        jobs.push(JobSummary { id, canceled, continuous, paused, config, created_at_s, counts, waiting });
    }
    let status: Option<String> = row.try_get(3)?;
    if let (Some(status), Some(last)) = (status, jobs.last_mut()) {
        last.counts.push((status, uint(row.try_get(4)?, "count")?));
    }
    Ok(())
}
