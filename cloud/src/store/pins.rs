//! Pinned things: they keep the version that they have, because new jobs pass them over.

use sqlx::Row;

use super::jobs::insert_things;
use super::{Store, StoreError, events, int};
use crate::model::AuditNote;

impl Store {
    /// Pins a thing, or releases it; `by`: the account or token that does it.
    pub async fn pin(&self, thing: &str, pinned: bool, by: &str, now_s: u64) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        insert_things(&mut tx, &[thing.to_owned()], now_s).await?;
        let done = sqlx::query(
            "UPDATE things SET pinned_at_s = $2 WHERE name = $1 AND (pinned_at_s IS NULL) = ($2 IS NOT NULL)",
        )
        .bind(thing)
        .bind(pinned.then(|| int(now_s)))
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(());
        }
        let text = if pinned { "pinned" } else { "unpinned" };
        let seq = events::add(&mut tx, &AuditNote::new("thing", text).by(by).of_thing(thing)).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(())
    }

    /// Returns those of `things` that are pinned, sorted.
    pub async fn pinned_of(&self, things: &[String]) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT name FROM things WHERE pinned_at_s IS NOT NULL AND name IN (SELECT value FROM json_each($1)) ORDER BY name",
        )
        .bind(serde_json::json!(things).to_string())
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Returns all pinned things, sorted.
    pub async fn pinned(&self) -> Result<Vec<String>, StoreError> {
        let all = "SELECT name FROM things WHERE pinned_at_s IS NOT NULL ORDER BY name";
        let rows = sqlx::query(all).fetch_all(&self.pool).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }
}
