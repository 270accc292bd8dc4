//! Things, by name.

use sqlx::Row;

use super::{PageNumber, Paged, Store, StoreError};

impl Store {
    /// Returns a page of the names of things that contain `part`, sorted; an empty part is in each name.
    pub async fn things_page(&self, part: &str, page: PageNumber) -> Result<Paged<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT name FROM things WHERE instr(lower(name), lower($1)) > 0 ORDER BY name LIMIT $2 OFFSET $3",
        )
        .bind(part)
        .bind(PageNumber::limit())
        .bind(page.offset())
        .fetch_all(&self.pool)
        .await?;
        let names = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Ok(Paged::new(names))
    }

    /// Whether the store has this thing: it has a job, is in a group, or was pinned.
    pub async fn has_thing(&self, name: &str) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM things WHERE name = $1").bind(name).fetch_optional(&self.pool).await?;
        Ok(row.is_some())
    }

    /// Returns the first page of those of `names` that the store does not have and that contain `part`, sorted.
    pub async fn things_without_job(&self, names: &[String], part: &str) -> Result<Paged<String>, StoreError> {
        let part = part.to_ascii_lowercase();
        let mut missing = self.missing_things(names).await?;
        missing.retain(|name| name.to_ascii_lowercase().contains(&part));
        missing.sort_unstable();
        Ok(Paged::new(missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_each_database;

    #[tokio::test]
    async fn a_part_of_a_name_is_found_in_either_case_and_a_wildcard_is_a_character() {
        on_each_database(async |store| {
            let names = ["a_b", "axb", "Lamp-10%", "lamp-2"].map(str::to_owned);
            for part in ["", "a_b", "AMP", "%", "\\", "lamp-2"] {
                let expected: Vec<&String> =
                    names.iter().filter(|name| name.to_lowercase().contains(&part.to_lowercase())).collect();
                let without = store.things_without_job(&names, part).await.unwrap().rows;
                assert_eq!(without.len(), expected.len(), "{part}");
            }
            store.create_group("all", "ann", 1).await.unwrap();
            store.add_members("all", &names, "ann", 1).await.unwrap();
            let page = async |part: &str| store.things_page(part, PageNumber::FIRST).await.unwrap().rows;
            assert_eq!(page("").await, ["Lamp-10%", "a_b", "axb", "lamp-2"], "by their bytes");
            assert_eq!(page("a_b").await, ["a_b"]);
            assert_eq!(page("%").await, ["Lamp-10%"]);
            assert_eq!(page("AMP").await, ["Lamp-10%", "lamp-2"]);
            assert_eq!(store.things_without_job(&names, "").await.unwrap().rows, [""; 0]);
        })
        .await;
    }
}
