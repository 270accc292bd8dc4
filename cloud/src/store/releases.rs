//! Releases: the jobs that are one, the things that get theirs with their next session, and halts.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::jobs::{insert_executions, mark_canceled, pass_over_pinned};
use super::{PageNumber, Paged, Store, StoreError, flag};
use crate::limits::RELEASES_LISTED_MAX;
use crate::release_plan::{Mode, ReleasePlan};

/// A release.
#[derive(Clone, Debug, PartialEq)]
pub struct ReleaseRecord {
    /// Id of the release and of its job.
    pub id: String,
    /// Mode, halt rule, and what it reverts.
    pub plan: ReleasePlan,
    /// Why it was halted.
    pub halted: Option<String>,
    /// Whether another release took it back, also if that was deleted since.
    pub is_reverted: bool,
}

/// Columns of a release, in the order that [`release`] reads them.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT job_id, mode, halt, halted, reverts, reverted FROM releases ", $rest)
    };
}

impl Store {
    /// Returns the release with this id; `None` also for a job that is no release.
    pub async fn release(&self, id: &str) -> Result<Option<ReleaseRecord>, StoreError> {
        let row = sqlx::query(select!("WHERE job_id = $1")).bind(id).fetch_optional(&self.pool).await?;
        row.as_ref().map(release).transpose()
    }

    /// Returns the newest releases, newest first, at most [`RELEASES_LISTED_MAX`].
    pub async fn releases(&self) -> Result<Vec<ReleaseRecord>, StoreError> {
        let rows =
            sqlx::query(select!("ORDER BY seq DESC LIMIT $1")).bind(RELEASES_LISTED_MAX).fetch_all(&self.pool).await?;
        rows.iter().map(release).collect()
    }

    /// Returns a page of the releases, newest first.
    pub async fn releases_page(&self, page: PageNumber) -> Result<Paged<ReleaseRecord>, StoreError> {
        let rows = sqlx::query(select!("ORDER BY seq DESC LIMIT $1 OFFSET $2"))
            .bind(PageNumber::limit())
            .bind(page.offset())
            .fetch_all(&self.pool)
            .await?;
        Ok(Paged::new(rows.iter().map(release).collect::<Result<_, _>>()?))
    }

    /// Marks a release as halted for the reason in `text`, unless it has one, and its job as cancelled; `by`: the account or token that did it, if
    /// not the service. Its things that wait get no execution; returns their number. Its executions are cancelled by the caller.
    pub async fn mark_halted(&self, id: &str, text: &str, by: Option<&str>) -> Result<u64, StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("UPDATE releases SET halted = COALESCE(halted, $2) WHERE job_id = $1")
            .bind(id)
            .bind(text)
            .execute(&mut *tx)
            .await?;
        let (waiting, seq) = mark_canceled(&mut tx, id, false, &format!("halted: {text}"), by).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(waiting)
    }

    /// Lets the things of a job that wait get it with their next sessions. Those that were pinned meanwhile wait no longer.
    pub async fn make_due(&self, job_id: &str) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        let passed_over = pass_over_pinned(&mut tx, job_id).await?;
        sqlx::query("UPDATE waiting SET due = 1 WHERE job_id = $1 AND due = 0").bind(job_id).execute(&mut *tx).await?;
        tx.commit().await?;
        self.announce(passed_over);
        Ok(())
    }

    /// Returns the jobs that a thing may get with this session, oldest first: none if it reported that it is not available.
    pub async fn due_jobs(&self, thing: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.due(thing).await?.into_iter().map(|(job_id, _)| job_id).collect())
    }

    /// With each job, whether the thing is pinned.
    async fn due(&self, thing: &str) -> Result<Vec<(String, bool)>, StoreError> {
        let due = sqlx::query(
            "SELECT w.job_id, (SELECT COUNT(*) FROM things WHERE name = $1 AND pinned_at_s IS NOT NULL)
             FROM waiting w JOIN jobs j ON j.id = w.job_id WHERE w.thing = $1 AND w.due = 1
             AND NOT EXISTS (SELECT 1 FROM reports WHERE thing = $1 AND available = 0) ORDER BY j.seq",
        );
        let rows = due.bind(thing).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, flag(row, 1)?))).collect()
    }

    /// Creates the executions of those of `jobs` that a thing may get with this session; returns their jobs, oldest first. A thing
    /// that was pinned meanwhile gets none, and waits no longer.
    ///
    /// Errors: nothing was changed.
    pub async fn begin_session(&self, thing: &str, jobs: &[String], now_s: u64) -> Result<Vec<String>, StoreError> {
        let mut due = self.due(thing).await?;
        due.retain(|(job_id, _)| jobs.contains(job_id));
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let (mut tx, mut newest) = (self.pool.begin().await?, 0);
        for (job_id, _) in &due {
            newest = insert_executions(&mut tx, job_id, &[thing.to_owned()], now_s).await?;
            let end = "DELETE FROM waiting WHERE job_id = $1 AND thing = $2";
            sqlx::query(end).bind(job_id).bind(thing).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        self.announce(newest);
        Ok(due.into_iter().filter(|(_, is_pinned)| !is_pinned).map(|(job_id, _)| job_id).collect())
    }
}

fn release(row: &AnyRow) -> Result<ReleaseRecord, StoreError> {
    let mode = Mode::parse(row.try_get(1)?).ok_or(StoreError::Damaged { column: "mode" })?;
    let halt = serde_json::from_str(row.try_get(2)?).map_err(|_| StoreError::Damaged { column: "halt" })?;
    Ok(ReleaseRecord {
        id: row.try_get(0)?,
        plan: ReleasePlan { mode, halt, reverts: row.try_get(4)? },
        halted: row.try_get(3)?,
        is_reverted: flag(row, 5)?,
    })
}
