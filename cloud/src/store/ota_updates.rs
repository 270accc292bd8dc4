//! OTA updates of the AWS control API: each is a job, and the JSON of the request that created it.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Store, StoreError, int, uint};
use crate::model::OtaUpdate;

impl Store {
    /// Stores an OTA update whose job is created afterwards; returns false if there is one with this id, and then changes nothing.
    /// One whose job was never created is replaced.
    pub async fn add_ota_update(&self, update: &OtaUpdate) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO ota_updates (id, job_id, request, created_at_s) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET job_id = $2, request = $3, created_at_s = $4
             WHERE ota_updates.job_id NOT IN (SELECT id FROM jobs)",
        )
        .bind(update.id.as_str())
        .bind(update.job_id.as_str())
        .bind(update.request.as_str())
        .bind(int(update.created_at_s))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Returns the OTA update with this id.
    pub async fn ota_update(&self, id: &str) -> Result<Option<OtaUpdate>, StoreError> {
        let row = sqlx::query("SELECT id, job_id, request, created_at_s FROM ota_updates WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(update).transpose()
    }

    /// Returns OTA updates after `after`, sorted by id, at most `limit`.
    pub async fn listed_ota_updates(&self, after: &str, limit: i64) -> Result<Vec<OtaUpdate>, StoreError> {
        let rows =
            sqlx::query("SELECT id, job_id, request, created_at_s FROM ota_updates WHERE id > $1 ORDER BY id LIMIT $2")
                .bind(after)
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(update).collect()
    }

    /// Removes an OTA update; its job stays.
    pub async fn delete_ota_update(&self, id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM ota_updates WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }
}

fn update(row: &AnyRow) -> Result<OtaUpdate, StoreError> {
    Ok(OtaUpdate {
        id: row.try_get(0)?,
        job_id: row.try_get(1)?,
        request: row.try_get(2)?,
        created_at_s: uint(row.try_get(3)?, "created_at_s")?,
    })
}
