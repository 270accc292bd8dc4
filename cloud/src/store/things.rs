//! Things, by name.

use sqlx::Row;

use super::{PageNumber, Paged, Store, StoreError};

impl Store {
    /// Returns a page of the names of things that contain `part`, sorted; an empty part is in each name.
    pub async fn things_page(&self, part: &str, page: PageNumber) -> Result<Paged<String>, StoreError> {
        let rows =
            sqlx::query("SELECT name FROM things WHERE name LIKE $1 ESCAPE '\\' ORDER BY name LIMIT $2 OFFSET $3")
                .bind(containing(part))
                .bind(PageNumber::limit())
                .bind(page.offset())
                .fetch_all(&self.pool)
                .await?;
        Ok(Paged::new(names(&rows)?))
    }

    /// Whether the store has this thing: it has a job, is in a group, or was pinned.
    pub async fn has_thing(&self, name: &str) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM things WHERE name = $1").bind(name).fetch_optional(&self.pool).await?;
        Ok(row.is_some())
    }

    /// Returns the first page of those of `names` that the store does not have and that contain `part`, sorted.
    pub async fn things_without_job(&self, names: &[String], part: &str) -> Result<Paged<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT value FROM json_each($1) WHERE value NOT IN (SELECT name FROM things)
             AND value LIKE $2 ESCAPE '\\' ORDER BY value LIMIT $3",
        )
        .bind(serde_json::json!(names).to_string())
        .bind(containing(part))
        .bind(PageNumber::limit())
        .fetch_all(&self.pool)
        .await?;
        Ok(Paged::new(self::names(&rows)?))
    }
}

fn names(rows: &[sqlx::sqlite::SqliteRow]) -> Result<Vec<String>, StoreError> {
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// The pattern of `LIKE` for texts that contain `part`, whose own wildcards are escaped.
fn containing(part: &str) -> String {
    let mut pattern = String::from("%");
    for char in part.chars() {
        if matches!(char, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_in_a_name_is_a_character() {
        assert_eq!(containing("a_b%\\"), "%a\\_b\\%\\\\%");
    }
}
