//! Against a real PostgreSQL, if it is installed.

use sqlx::Row;

use super::*;
use crate::limits::DATABASE_BYTES_MAX;
use crate::store::DatabaseUrl;
use crate::testing::postgres::{Database, PASSWORD};
use crate::testing::{TempDir, database};

fn candidate(database: &Database, instance: &str) -> Candidate {
    Candidate::new(database.url().parse().unwrap(), instance)
}

/// A change, which needs the lock.
async fn change(store: &Store) -> Result<(), StoreError> {
    store.create_group("lights", "ann", 1).await
}

/// Tries until the database answers again.
async fn change_again(store: &Store) -> Result<(), StoreError> {
    match change(store).await {
        Err(StoreError::Unavailable { .. }) => change(store).await,
        changed => changed,
    }
}

/// Table, column and type, and the columns of each index, sorted.
async fn schema(store: &Store, query: &'static str) -> Vec<String> {
    let rows = sqlx::query(query).fetch_all(&store.pool).await.unwrap();
    let mut lines: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap()).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn both_databases_have_the_same_tables_columns_and_indexes() {
    let Some(database) = database() else { return };
    let dir = TempDir::new();
    let sqlite = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
    let postgres = candidate(&database, "one").open().await.unwrap().unwrap();
    let columns = schema(
        &sqlite,
        "SELECT m.name || '.' || c.name || ' ' || c.type || CASE WHEN c.\"notnull\" = 1 OR c.pk > 0 THEN ' NOT NULL' ELSE '' END
             || COALESCE(' ' || c.dflt_value, '')
         FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
    )
    .await;
    let expected = schema(
        &postgres,
        "SELECT table_name || '.' || column_name || ' '
             || CASE data_type WHEN 'bigint' THEN 'INTEGER' WHEN 'bytea' THEN 'BLOB' ELSE upper(data_type) END
             || CASE WHEN is_nullable = 'NO' THEN ' NOT NULL' ELSE '' END
             || COALESCE(' ' || replace(column_default, '::text', ''), '')
         FROM information_schema.columns WHERE table_schema = 'public'
         AND table_name NOT IN ('service', 'secrets', 'image_pieces')",
    )
    .await;
    assert_eq!(columns, expected);
    let indexes = schema(
        &sqlite,
        "SELECT m.name || ' ' || m.tbl_name || ' ' || group_concat(c.name) || CASE WHEN m.sql LIKE '% WHERE %' THEN ' WHERE' ELSE '' END
         FROM sqlite_schema m JOIN pragma_index_info(m.name) c WHERE m.type = 'index' AND m.sql IS NOT NULL GROUP BY m.name",
    )
    .await;
    let expected = schema(
        &postgres,
        "SELECT i.relname || ' ' || t.relname || ' ' || string_agg(a.attname, ',' ORDER BY a.attnum)
             || CASE WHEN x.indpred IS NULL THEN '' ELSE ' WHERE' END
         FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
         JOIN pg_namespace n ON n.oid = i.relnamespace JOIN pg_attribute a ON a.attrelid = i.oid
         WHERE n.nspname = 'public' AND NOT x.indisunique GROUP BY i.relname, t.relname, x.indpred",
    )
    .await;
    assert_eq!(indexes, expected);
    let unsorted = "SELECT table_name || '.' || column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'";
    assert_eq!(schema(&postgres, unsorted).await, [""; 0], "sorted by their bytes");
}

#[tokio::test]
async fn a_newer_postgresql_database_is_refused() {
    let Some(database) = database() else { return };
    candidate(&database, "one").open().await.unwrap().unwrap().close().await;
    database.run("UPDATE service SET version = version + 1");
    let refused = candidate(&database, "two").open().await.err();
    let max = SCHEMA_VERSION;
    assert!(
        matches!(refused, Some(StoreError::SchemaTooNew { got, max: found }) if got == max + 1 && found == max),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_login_a_name_and_a_server_that_are_wrong_are_named_without_the_password() {
    let Some(database) = database() else { return };
    let url = database.url();
    for (url, part) in [
        (database.url_with("other"), "password authentication failed"),
        (url.replace("/test", "/none"), "does not exist"),
        (url.replace("?host=", "?host=/none"), "not available: No such file"),
        (format!("postgres://ota:{PASSWORD}@127.0.0.1:1/none"), "not available: Connection refused"),
    ] {
        let url: DatabaseUrl = url.parse().unwrap();
        let refused = Candidate::new(url, "one").open().await.err().unwrap();
        assert!(refused.to_string().contains(part), "{refused}");
        assert!(!format!("{refused} {refused:?}").contains(PASSWORD), "{refused}");
    }
}

#[tokio::test]
async fn one_instance_serves_and_goes_on_after_a_lost_connection() {
    let Some(database) = database() else { return };
    let first = candidate(&database, "first").open().await.unwrap().unwrap();
    change(&first).await.unwrap();
    let mut second = candidate(&database, "second");
    assert!(second.open().await.unwrap().is_none());
    assert_eq!(database.disconnect(), 2);
    change_again(&first).await.unwrap();
    // The standby connects again, too.
    let _ = second.open().await;
    assert!(second.open().await.unwrap().is_none());
}

#[tokio::test]
async fn an_instance_that_was_out_of_touch_while_another_one_served_can_change_nothing() {
    let Some(database) = database() else { return };
    let first = candidate(&database, "first").open().await.unwrap().unwrap();
    database.disconnect();
    // Its pool has not noticed yet.
    let second = candidate(&database, "second").open().await.unwrap().unwrap();
    change(&second).await.unwrap();
    second.close().await;
    let refused = change_again(&first).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    first.wait_until_taken_over().await;
    assert_eq!(database.run("SELECT COUNT(*) FROM groups"), "1");
}

#[tokio::test]
async fn a_text_that_cannot_be_stored_is_named_and_one_that_is_no_json_is_passed_over() {
    let Some(database) = database() else { return };
    let store = candidate(&database, "one").open().await.unwrap().unwrap();
    let refused = store.create_group("a\0b", "ann", 1).await;
    assert!(matches!(refused, Err(StoreError::Unstorable)), "{refused:?}");
    let row = sqlx::query("SELECT json_extract($1, '$.a') IS NULL").bind(r#"{"a":"\u0000"}"#);
    assert!(row.fetch_one(&store.pool).await.unwrap().try_get::<bool, _>(0).unwrap());
}
