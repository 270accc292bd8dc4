//! The things that a job did not reach before it was cancelled, or ended.

use super::{Store, StoreError, Tx, uint};

/// Things that waited for an execution to the end, and those whose execution was cancelled before it began. None is both.
macro_rules! unreached {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM (SELECT thing FROM unreached WHERE job_id = $1 UNION ALL SELECT thing FROM executions
              WHERE job_id = $1 AND status = 'CANCELED' AND started_at_s IS NULL AND number = 1) AS missed",
            $rest
        )
    };
}

impl Store {
    /// Returns the things that a job did not reach, sorted: without an execution, or with one that was cancelled before it began.
    pub async fn unreached(&self, job_id: &str) -> Result<Vec<String>, StoreError> {
        let things = sqlx::query_as(unreached!("thing", " ORDER BY thing"));
        let rows: Vec<(String,)> = things.bind(job_id).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(thing,)| thing).collect())
    }

    /// Returns the number of these things.
    pub async fn unreached_count(&self, job_id: &str) -> Result<u64, StoreError> {
        let (count,): (i64,) = sqlx::query_as(unreached!("COUNT(*)", "")).bind(job_id).fetch_one(&self.pool).await?;
        uint(count, "count")
    }
}

/// Ends the wait of all things of a job: they get no execution, and are not reached. Returns their number.
pub(super) async fn end_wait(tx: &mut Tx<'_>, job_id: &str) -> Result<u64, StoreError> {
    let keep = "INSERT INTO unreached (job_id, thing) SELECT job_id, thing FROM waiting WHERE job_id = $1 ON CONFLICT DO NOTHING";
    sqlx::query(keep).bind(job_id).execute(&mut **tx).await?;
    let done = sqlx::query("DELETE FROM waiting WHERE job_id = $1").bind(job_id).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}
