//! Access keys of the AWS control API, by id. Their secrets are not stored.

use sqlx::Row;

use super::accounts::role;
use super::{Store, StoreError, events, int, uint};
use crate::access_key::AccessKey;
use crate::clock::now_s;
use crate::limits::ACCESS_KEYS_MAX;
use crate::model::AuditNote;
use crate::role::Role;

impl Store {
    /// Adds an access key. Returns false if there are [`ACCESS_KEYS_MAX`] already.
    pub async fn add_access_key(&self, id: &str, label: &str, role: Role, by: &str) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "INSERT INTO access_keys (id, label, role, created_at_s)
             SELECT $1, $2, $3, $4 WHERE (SELECT COUNT(*) FROM access_keys) < $5",
        )
        .bind(id)
        .bind(label)
        .bind(role.as_str())
        .bind(int(now_s()))
        .bind(ACCESS_KEYS_MAX)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let text = format!("access key {id} added, role {role}: {label}");
        let seq = events::add(&mut tx, &AuditNote::new("access", text).by(by)).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(true)
    }

    /// Returns the role of the access key with this id.
    pub async fn access_key_role(&self, id: &str) -> Result<Option<Role>, StoreError> {
        let row = sqlx::query("SELECT role FROM access_keys WHERE id = $1").bind(id).fetch_optional(&self.pool).await?;
        row.map(|row| role(row.try_get(0)?)).transpose()
    }

    /// Returns all access keys, oldest first.
    pub async fn access_keys(&self) -> Result<Vec<AccessKey>, StoreError> {
        let rows = sqlx::query("SELECT id, label, created_at_s, role FROM access_keys ORDER BY created_at_s, id")
            .fetch_all(&self.pool)
            .await?;
        let key = |row: &sqlx::any::AnyRow| {
            let created_at_s = uint(row.try_get(2)?, "created_at_s")?;
            Ok(AccessKey { id: row.try_get(0)?, label: row.try_get(1)?, role: role(row.try_get(3)?)?, created_at_s })
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
        let seq = events::add(&mut tx, &AuditNote::new("access", format!("access key {id} removed")).by(by)).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(true)
    }
}
