//! Changes of jobs that exist: settings, further targets, deletion.

use sqlx::Row;

use super::groups::without_execution;
use super::jobs::{add_groups, add_waiting, insert_executions, insert_things};
use super::{Store, StoreError, events, int};
use crate::model::{AuditNote, Execution, Job};

impl Store {
    /// Replaces settings and details of a job; `text` is what the audit has about it, and `by` who did it.
    pub async fn save_job(&self, job: &Job, text: &str, by: &str) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("UPDATE jobs SET timeout_s = $1, config = $2, details = $3 WHERE id = $4")
            .bind(job.timeout_s.map(int))
            .bind(serde_json::to_string(&job.config).expect("numbers and texts"))
            .bind(serde_json::to_string(&job.details).expect("numbers and texts"))
            .bind(job.id.as_str())
            .execute(&mut *tx)
            .await?;
        let seq = events::add(&mut tx, &note(&job.id, text, by)).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(())
    }

    /// Removes a job with its stream and executions; its events stay. Returns the things with a pending execution of it.
    ///
    /// Errors: nothing was changed.
    pub async fn delete_job(&self, job: &Job, by: &str) -> Result<Vec<String>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let rows =
            sqlx::query("SELECT thing FROM executions WHERE job_id = $1 AND status IN ('IN_PROGRESS', 'QUEUED')")
                .bind(job.id.as_str())
                .fetch_all(&mut *tx)
                .await?;
        for statement in [
            "DELETE FROM executions WHERE job_id = $1",
            "DELETE FROM waiting WHERE job_id = $1",
            "DELETE FROM job_groups WHERE job_id = $1",
            // Another job may be created under this id: no release takes that back.
            "UPDATE releases SET reverts = NULL WHERE reverts = $1",
            "DELETE FROM stream_files WHERE stream = (SELECT stream FROM jobs WHERE id = $1)",
            "DELETE FROM jobs WHERE id = $1",
        ] {
            sqlx::query(statement).bind(job.id.as_str()).execute(&mut *tx).await?;
        }
        let seq = events::add(&mut tx, &note(&job.id, "deleted with its executions", by)).await?;
        tx.commit().await?;
        self.streams_changed();
        self.announce(seq);
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Gives a continuous job further groups, and those of `things` that have none an execution; returns these. Of a job
    /// that is paused or has a schedule they wait for one, and none is returned. The details of the job are replaced.
    ///
    /// Errors: nothing was changed.
    pub async fn associate(
        &self,
        job: &Job,
        (things, groups): (&[String], &[String]),
        by: &str,
        now_s: u64,
    ) -> Result<Vec<String>, StoreError> {
        let mut tx = self.pool.begin().await?;
        insert_things(&mut tx, things, now_s).await?;
        add_groups(&mut tx, &job.id, groups).await?;
        sqlx::query("UPDATE jobs SET details = $1 WHERE id = $2")
            .bind(serde_json::to_string(&job.details).expect("numbers and texts"))
            .bind(job.id.as_str())
            .execute(&mut *tx)
            .await?;
        let mut created = without_execution(&mut tx, &job.id, &serde_json::json!(things).to_string()).await?;
        let text = format!("associated with {} further things", created.len());
        if job.paused || job.config.schedule.is_some() {
            add_waiting(&mut tx, &job.id, &std::mem::take(&mut created)).await?;
        }
        let newest = insert_executions(&mut tx, &job.id, &created, now_s).await?;
        let seq = events::add(&mut tx, &note(&job.id, &text, by)).await?;
        tx.commit().await?;
        self.announce(newest.max(seq));
        Ok(created)
    }

    /// Removes one execution; its events stay.
    ///
    /// Errors: `Stale` unless the stored version is this one; nothing was changed then.
    pub async fn delete_execution(&self, execution: &Execution, by: &str) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query("DELETE FROM executions WHERE seq = $1 AND version = $2")
            .bind(execution.seq)
            .bind(int(execution.version))
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::Stale);
        }
        let note = AuditNote::new("execution", "deleted").by(by);
        let note = note.of_job(execution.job_id.as_str()).of_thing(execution.thing.as_str());
        let seq = events::add(&mut tx, &note).await?;
        tx.commit().await?;
        self.streams_changed();
        self.announce(seq);
        Ok(())
    }
}

fn note(job_id: &str, text: &str, by: &str) -> AuditNote {
    AuditNote::new("job", text).by(by).of_job(job_id)
}
