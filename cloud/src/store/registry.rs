//! Things with their attributes, and groups with their descriptions, for the AWS control API.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Store, StoreError, events, int, uint};
use crate::model::{AuditNote, Group, Thing};

/// Which things a list has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThingFilter<'a> {
    /// Only those with this attribute.
    pub attribute: Option<&'a str>,
    /// Only those whose attribute has this value.
    pub value: Option<&'a str>,
}

impl Store {
    /// Returns the thing with this name.
    pub async fn thing(&self, name: &str) -> Result<Option<Thing>, StoreError> {
        let row = sqlx::query("SELECT name, attributes, version FROM things WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(thing).transpose()
    }

    /// Returns those of `names` that are not things of the store.
    pub async fn missing_things(&self, names: &[String]) -> Result<Vec<String>, StoreError> {
        let rows =
            sqlx::query("SELECT value FROM json_each($1) WHERE value NOT IN (SELECT name FROM things) ORDER BY key")
                .bind(serde_json::json!(names).to_string())
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Returns things after `after`, sorted by name, at most `limit`.
    pub async fn listed_things(
        &self,
        filter: ThingFilter<'_>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Thing>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, attributes, version FROM things WHERE name > $1
             AND ($2 IS NULL OR EXISTS
              (SELECT 1 FROM json_each(attributes, '$') WHERE key = $2 AND ($3 IS NULL OR value = $3)))
             ORDER BY name LIMIT $4",
        )
        .bind(after)
        .bind(filter.attribute)
        .bind(filter.value)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(thing).collect()
    }

    /// Creates a thing; returns false if it exists, and then changes nothing. `by`: the account or token that does it.
    pub async fn create_thing(&self, created: &Thing, by: &str, now_s: u64) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "INSERT INTO things (name, created_at_s, attributes, version) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(created.name.as_str())
        .bind(int(now_s))
        .bind(json(&created.attributes))
        .bind(int(created.version))
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let note = AuditNote::new("thing", "created").by(by).of_thing(created.name.as_str());
        self.commit_with_note(tx, &note).await?;
        Ok(true)
    }

    /// Replaces the attributes of a thing by those of its next version; `by`: the account or token that does it.
    ///
    /// Errors: `Stale` unless the stored version is the preceding one.
    pub async fn update_thing(&self, next: &Thing, by: &str) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query("UPDATE things SET attributes = $1, version = $2 WHERE name = $3 AND version = $2 - 1")
            .bind(json(&next.attributes))
            .bind(int(next.version))
            .bind(next.name.as_str())
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::Stale);
        }
        let note = AuditNote::new("thing", "attributes changed").by(by).of_thing(next.name.as_str());
        self.commit_with_note(tx, &note).await
    }

    /// Removes a thing with its executions and from its groups; its events stay.
    ///
    /// Errors: nothing was changed.
    pub async fn delete_thing(&self, name: &str, by: &str) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for statement in [
            "DELETE FROM executions WHERE thing = $1",
            "DELETE FROM waiting WHERE thing = $1",
            "DELETE FROM group_members WHERE thing = $1",
            "DELETE FROM things WHERE name = $1",
        ] {
            sqlx::query(statement).bind(name).execute(&mut *tx).await?;
        }
        let note = AuditNote::new("thing", "deleted with its executions").by(by).of_thing(name);
        let seq = events::add(&mut tx, &note).await?;
        tx.commit().await?;
        self.streams_changed();
        self.announce(seq);
        Ok(())
    }

    /// Returns the group with this name.
    pub async fn group(&self, name: &str) -> Result<Option<Group>, StoreError> {
        let row = sqlx::query("SELECT name, description, created_at_s FROM groups WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        let group = |row: AnyRow| {
            let created_at_s = uint(row.try_get(2)?, "created_at_s")?;
            Ok(Group { name: row.try_get(0)?, description: row.try_get(1)?, created_at_s })
        };
        row.map(group).transpose()
    }

    /// Creates a group; returns false if it exists, and then changes nothing. `by`: the account or token that does it.
    pub async fn create_group_with(&self, group: &Group, by: &str) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "INSERT INTO groups (name, description, created_at_s) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(group.name.as_str())
        .bind(group.description.as_deref())
        .bind(int(group.created_at_s))
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.commit_with_note(tx, &AuditNote::new("group", format!("{}: created", group.name)).by(by)).await?;
        Ok(true)
    }

    /// Returns names of groups after `after` that begin with `prefix`, sorted, at most `limit`; only those with `member`, if it
    /// is given.
    pub async fn listed_groups(
        &self,
        prefix: &str,
        member: Option<&str>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT name FROM groups WHERE name > $1 AND substr(name, 1, length($2)) = $2
             AND ($3 IS NULL OR EXISTS (SELECT 1 FROM group_members WHERE group_name = name AND thing = $3))
             ORDER BY name LIMIT $4",
        )
        .bind(after)
        .bind(prefix)
        .bind(member)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Returns members of a group after `after`, sorted, at most `limit`.
    pub async fn listed_members(&self, group: &str, after: &str, limit: i64) -> Result<Vec<String>, StoreError> {
        let rows =
            sqlx::query("SELECT thing FROM group_members WHERE group_name = $1 AND thing > $2 ORDER BY thing LIMIT $3")
                .bind(group)
                .bind(after)
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }
}

fn json(attributes: &BTreeMap<String, String>) -> String {
    serde_json::to_string(attributes).expect("texts")
}

fn thing(row: &AnyRow) -> Result<Thing, StoreError> {
    let attributes: String = row.try_get(1)?;
    Ok(Thing {
        name: row.try_get(0)?,
        attributes: serde_json::from_str(&attributes).map_err(|_| StoreError::Damaged { column: "attributes" })?,
        version: uint(row.try_get(2)?, "version")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stream;
    use crate::testing::on_each_database;

    #[tokio::test]
    async fn each_change_of_a_thing_a_group_and_a_stream_names_who_made_it() {
        on_each_database(async |store| {
            let thing = Thing { name: "lamp".into(), attributes: BTreeMap::new(), version: 1 };
            let (description, role_arn) = (None, String::new());
            let stream = Stream { id: "s".into(), description, role_arn, created_at_s: 1 };
            let (lamp, both) = (["lamp".to_owned()], ["lamp".to_owned(), "door".to_owned()]);
            for _ in ["made", "without an effect"] {
                store.create_thing(&thing, "ann", 1).await.unwrap();
                store.create_group("lights", "ann", 1).await.unwrap();
                store.add_members("lights", &both, "bob", 1).await.unwrap();
                store.create_stream(&stream, &[], "ann").await.unwrap();
            }
            store.update_thing(&Thing { version: 2, ..thing }, "bob").await.unwrap();
            for _ in ["made", "without an effect"] {
                store.remove_members("lights", &lamp, "ann").await.unwrap();
            }
            for _ in ["made", "without an effect"] {
                store.delete_group("lights", "bob").await.unwrap();
                store.delete_stream("s", "bob").await.unwrap();
            }
            let events = store.events_after(0, None).await.unwrap();
            let found: Vec<_> = events.iter().map(|e| (e.kind.as_str(), e.text.as_str(), e.by.as_deref())).collect();
            let expected = [
                ("thing", "created", "ann"),
                ("group", "lights: created", "ann"),
                ("group", "lights: 2 things joined", "bob"),
                ("stream", "s: created", "ann"),
                ("thing", "attributes changed", "bob"),
                ("group", "lights: lamp left", "ann"),
                ("group", "lights: deleted", "bob"),
                ("stream", "s: deleted", "bob"),
            ];
            assert_eq!(found, expected.map(|(kind, text, by)| (kind, text, Some(by))));
        })
        .await;
    }
}
