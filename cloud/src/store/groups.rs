//! Groups of things, their members, and the jobs that go on with new members.

use sqlx::Row;

use super::jobs::{add_waiting, insert_executions, insert_things};
use super::{Store, StoreError, Tx, events, uint};
use crate::model::{AuditNote, Group};

impl Store {
    /// Creates a group unless it exists; `by`: the account or token that does it.
    pub async fn create_group(&self, name: &str, by: &str, now_s: u64) -> Result<(), StoreError> {
        let group = Group { name: name.to_owned(), description: None, created_at_s: now_s };
        self.create_group_with(&group, by).await.map(drop)
    }

    /// Removes a group. Its things and their executions stay. Returns whether it existed; `by`: the account or token that does
    /// it.
    pub async fn delete_group(&self, name: &str, by: &str) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        for statement in
            ["DELETE FROM group_members WHERE group_name = $1", "DELETE FROM job_groups WHERE group_name = $1"]
        {
            sqlx::query(statement).bind(name).execute(&mut *tx).await?;
        }
        let done = sqlx::query("DELETE FROM groups WHERE name = $1").bind(name).execute(&mut *tx).await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.commit_with_note(tx, &note(name, "deleted", by)).await?;
        Ok(true)
    }

    /// Returns all groups, sorted by name, with the number of their members.
    pub async fn groups(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, (SELECT COUNT(*) FROM group_members WHERE group_name = groups.name) FROM groups ORDER BY name",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, uint(row.try_get(1)?, "members")?))).collect()
    }

    /// Returns the members of a group, sorted; `None` if there is no such group.
    pub async fn members(&self, name: &str) -> Result<Option<Vec<String>>, StoreError> {
        let exists = sqlx::query("SELECT 1 FROM groups WHERE name = $1").bind(name).fetch_optional(&self.pool).await?;
        if exists.is_none() {
            return Ok(None);
        }
        let rows = sqlx::query("SELECT thing FROM group_members WHERE group_name = $1 ORDER BY thing")
            .bind(name)
            .fetch_all(&self.pool)
            .await?;
        Ok(Some(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?))
    }

    /// Adds things to a group that exists, and gives those a queued execution of each continuous job of the group that have
    /// none; of a job that is paused or has a schedule, they wait for one. Returns the new executions as thing and job;
    /// `by`: the account or token that does it.
    ///
    /// Errors: nothing was changed.
    pub async fn add_members(
        &self,
        name: &str,
        things: &[String],
        by: &str,
        now_s: u64,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let list = serde_json::json!(things).to_string();
        insert_things(&mut tx, things, now_s).await?;
        let joined = "INSERT INTO group_members (group_name, thing) SELECT $1, value FROM json_each($2)
             WHERE true ON CONFLICT DO NOTHING";
        let joined = sqlx::query(joined).bind(name).bind(&list).execute(&mut *tx).await?.rows_affected();
        let mut newest = match joined {
            0 => 0,
            _ => events::add(&mut tx, &note(name, &change("joined", joined, things), by)).await?,
        };
        let jobs: Vec<(String, i64, Option<String>)> = sqlx::query_as(
            "SELECT j.id, j.paused, json_extract(j.config, '$.schedulingConfig') FROM job_groups g
             JOIN jobs j ON j.id = g.job_id WHERE g.group_name = $1 AND j.canceled = 0 ORDER BY j.seq",
        )
        .bind(name)
        .fetch_all(&mut *tx)
        .await?;
        let mut created = Vec::new();
        for (job, paused, schedule) in jobs {
            let without = without_execution(&mut tx, &job, &list).await?;
            if paused != 0 || schedule.is_some() {
                add_waiting(&mut tx, &job, &without).await?;
                continue;
            }
            newest = insert_executions(&mut tx, &job, &without, now_s).await?.max(newest);
            created.extend(without.into_iter().map(|thing| (thing, job.clone())));
        }
        tx.commit().await?;
        self.announce(newest);
        Ok(created)
    }

    /// Removes things from a group. Their executions stay. Returns whether there is such a group; `by`: the account or token that
    /// does it.
    pub async fn remove_members(&self, name: &str, things: &[String], by: &str) -> Result<bool, StoreError> {
        if self.members(name).await?.is_none() {
            return Ok(false);
        }
        let mut tx = self.pool.begin().await?;
        let left = "DELETE FROM group_members WHERE group_name = $1 AND thing IN (SELECT value FROM json_each($2))";
        let list = serde_json::json!(things).to_string();
        let left = sqlx::query(left).bind(name).bind(list).execute(&mut *tx).await?.rows_affected();
        if left > 0 {
            self.commit_with_note(tx, &note(name, &change("left", left, things), by)).await?;
        }
        Ok(true)
    }
}

fn note(group: &str, text: &str, by: &str) -> AuditNote {
    AuditNote::new("group", format!("{group}: {text}")).by(by)
}

/// `lamp joined`, `7 things joined`.
fn change(what: &str, count: u64, things: &[String]) -> String {
    match (count, things) {
        (1, [thing]) => format!("{thing} {what}"),
        (1, _) => format!("1 thing {what}"),
        _ => format!("{count} things {what}"),
    }
}

/// Those of the things in a JSON array that have no execution of a job and wait for none, each once, without pinned ones.
pub(super) async fn without_execution(tx: &mut Tx<'_>, job_id: &str, list: &str) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(
        "SELECT t.value FROM (SELECT value, MIN(key) AS key FROM json_each($2) GROUP BY value) t
         WHERE NOT EXISTS (SELECT 1 FROM executions e WHERE e.job_id = $1 AND e.thing = t.value)
         AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.job_id = $1 AND w.thing = t.value)
         AND t.value NOT IN (SELECT name FROM things WHERE pinned_at_s IS NOT NULL) ORDER BY t.key",
    )
    .bind(job_id)
    .bind(list)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}
