//! Access keys of the AWS control API, by id. Their secrets are not stored.

use sqlx::Row;

use super::{Store, StoreError, events, int, uint};
use crate::access_key::AccessKey;
use crate::clock::now_s;
use crate::limits::ACCESS_KEYS_MAX;
use crate::model::AuditNote;

impl Store {
    /// Adds an access key. Returns false if there are [`ACCESS_KEYS_MAX`] already.
    pub async fn add_access_key(&self, id: &str, label: &str, by: &str) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "INSERT INTO access_keys (id, label, created_at_s)
             SELECT $1, $2, $3 WHERE (SELECT COUNT(*) FROM access_keys) < $4",
        )
        .bind(id)
        .bind(label)
        .bind(int(now_s()))
        .bind(ACCESS_KEYS_MAX)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let seq = events::add(&mut tx, &AuditNote::new("access key", format!("{id} created: {label}")).by(by)).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(true)
    }

    /// Whether there is an access key with this id.
    pub async fn has_access_key(&self, id: &str) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM access_keys WHERE id = $1").bind(id).fetch_optional(&self.pool).await?;
        Ok(row.is_some())
    }

    /// Returns all access keys, oldest first.
    pub async fn access_keys(&self) -> Result<Vec<AccessKey>, StoreError> {
        let rows = sqlx::query("SELECT id, label, created_at_s FROM access_keys ORDER BY created_at_s, id")
            .fetch_all(&self.pool)
            .await?;
        let key = |row: &sqlx::sqlite::SqliteRow| {
            let created_at_s = uint(row.try_get(2)?, "created_at_s")?;
            Ok(AccessKey { id: row.try_get(0)?, label: row.try_get(1)?, created_at_s })
        };
        rows.iter().map(key).collect()
    }

    /// Deletes an access key; returns whether it existed.
    pub async fn delete_access_key(&self, id: &str, by: &str) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query("DELETE FROM access_keys WHERE id = $1").bind(id).execute(&mut *tx).await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let seq = events::add(&mut tx, &AuditNote::new("access key", format!("{id} deleted")).by(by)).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(true)
    }
}
