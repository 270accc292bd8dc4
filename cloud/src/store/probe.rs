//! What the programs that watch over the service ask: whether the database takes changes, and how many executions it has.

use ota_jobs::Status;

use super::{Store, StoreError, uint};

/// Size of what is written: it needs pages of its own. Unit: bytes.
const BYTES: usize = 8192;

impl Store {
    /// Writes to the database, and removes it again.
    ///
    /// Errors: why nothing can be written now: `Full`, `Locked` and others.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("INSERT INTO probes (content) VALUES ($1)").bind(vec![0; BYTES]).execute(&mut *tx).await?;
        sqlx::query("DELETE FROM probes").execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Returns the number of executions of all jobs per status.
    pub async fn executions_by_status(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT status, COUNT(*) FROM executions GROUP BY status").fetch_all(&self.pool).await?;
        let count = |(status, count): (String, i64)| {
            let status = Status::parse(&status).ok_or(StoreError::Damaged { column: "status" })?;
            Ok((status.as_str(), uint(count, "count")?))
        };
        rows.into_iter().map(count).collect()
    }
}
