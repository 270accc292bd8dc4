//! The database in the data directory: SQLite. Opening, checking, and bringing its schema to the newest version.

use std::fs::{File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection};

use super::{Store, StoreError};

/// The database in the data directory.
const FILE: &str = "cloud.db";
/// The scripts that make version 1 of the schema from an empty database, and each version from the one before.
const SCRIPTS: [&str; 7] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
];
/// The version that they make.
pub(super) const SCHEMA_VERSION: i64 = SCRIPTS.len() as i64;
/// SQLite's default page size. Unit: bytes.
const PAGE_BYTES: u64 = 4096;
/// More than the tables and indexes that the scripts make. Unit: pages.
const SCHEMA_PAGES_MAX: u64 = 256;
/// Only the owner can read the database.
const DATABASE_MODE: u32 = 0o600;

impl Store {
    /// Opens `dir/cloud.db`; creates it if missing. Reads the whole database, to find damage before it is used.
    ///
    /// `bytes_max`: limit of the database; beyond it changes fail with [`StoreError::Full`].
    /// Errors: `SchemaTooNew` for a database of a newer version; `Corrupt`, `Locked`, `Database`.
    pub async fn open(dir: &Path, bytes_max: u64) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let (path, pages_max) = (dir.join(FILE), (bytes_max / PAGE_BYTES).max(1));
        make_private(&path)?;
        let options: AnyConnectOptions = url(&path).parse()?;
        let mut connection = AnyConnection::connect_with(&options).await?;
        configure(&mut connection, pages_max).await?;
        check(&mut connection).await?;
        prepare_schema(&mut connection, pages_max).await?;
        connection.close().await?;
        Self::over(pool(options, pages_max).await?).await
    }

    /// Whether `dir` has a database.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// Whether `dir` has a database without content, as the start of a new service leaves it that was interrupted.
    pub fn is_empty(dir: &Path) -> Result<bool, StoreError> {
        match std::fs::metadata(dir.join(FILE)) {
            Ok(file) => Ok(file.len() == 0),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// One connection, which stays open: SQLite has a single writer anyway, and reads are short.
async fn pool(options: AnyConnectOptions, pages_max: u64) -> Result<AnyPool, StoreError> {
    let pool = AnyPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = pool.after_connect(move |connection, _| Box::pin(configure(connection, pages_max)));
    Ok(pool.connect_with(options).await?)
}

/// Sets what a connection does not find in the file. sqlx enables foreign keys, and waits for a lock.
async fn configure(connection: &mut AnyConnection, pages_max: u64) -> Result<(), sqlx::Error> {
    // An acknowledged report must survive a power cut.
    sqlx::raw_sql("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").execute(&mut *connection).await?;
    limit_pages(connection, pages_max).await
}

async fn check(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let (found,): (String,) = sqlx::query_as("PRAGMA quick_check(1)").fetch_one(connection).await?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt { found }) }
}

async fn prepare_schema(connection: &mut AnyConnection, pages_max: u64) -> Result<(), StoreError> {
    let (got,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let known = usize::try_from(got).ok().and_then(|got| SCRIPTS.get(got..));
    let scripts = known.ok_or(StoreError::SchemaTooNew { got, max: SCHEMA_VERSION })?;
    if scripts.is_empty() {
        return Ok(());
    }
    // An upgrade may need more than the limit; SQLite keeps what is there when the limit is set again.
    limit_pages(connection, pages_max.saturating_mul(2).saturating_add(SCHEMA_PAGES_MAX)).await?;
    let mut tx = connection.begin().await?;
    for script in scripts {
        sqlx::raw_sql(*script).execute(&mut *tx).await?;
    }
    let pragma = AssertSqlSafe(format!("PRAGMA user_version = {SCHEMA_VERSION}"));
    sqlx::raw_sql(pragma).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(limit_pages(connection, pages_max).await?)
}

async fn limit_pages(connection: &mut AnyConnection, max: u64) -> Result<(), sqlx::Error> {
    let pragma = AssertSqlSafe(format!("PRAGMA max_page_count = {max}"));
    sqlx::raw_sql(pragma).execute(connection).await?;
    Ok(())
}

/// Each byte of the path is escaped: none has a meaning in a URL.
fn url(path: &Path) -> String {
    let escaped: String = path.as_os_str().as_bytes().iter().map(|byte| format!("%{byte:02X}")).collect();
    format!("sqlite:{escaped}?mode=rwc")
}

/// SQLite creates its file readable for all users, and its journals with the same mode; the content is private.
fn make_private(path: &Path) -> std::io::Result<()> {
    File::options().append(true).create(true).mode(DATABASE_MODE).open(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(DATABASE_MODE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
    use std::path::PathBuf;

    /// A database with rows, closed, so that all of them are in the one file.
    async fn filled(dir: &TempDir) -> PathBuf {
        let store = Store::open(dir.path(), 1 << 20).await.unwrap();
        for number in 0..200 {
            let image = crate::model::Image {
                id: format!("{number}"),
                name: "a name of some length".repeat(4),
                size_bytes: 1,
                sha256: String::new(),
                signature: None,
            };
            store.add_image(&image, "ann").await.unwrap();
        }
        store.close().await;
        dir.path().join(FILE)
    }

    /// The columns of all tables, and all indexes.
    async fn objects(store: &Store) -> Vec<(String, String, String)> {
        let all = "SELECT m.name, COALESCE(c.name, ''), COALESCE(c.type, '') FROM sqlite_schema m
            LEFT JOIN pragma_table_info(m.name) c WHERE m.name NOT LIKE 'sqlite_%' ORDER BY 1, 2";
        sqlx::query_as(all).fetch_all(&store.pool).await.unwrap()
    }

    /// Of which early ones lack an index, and of which one may be as large as it may become.
    #[tokio::test]
    async fn a_database_of_version_1_is_brought_to_the_newest() {
        let new = TempDir::new();
        let new = Store::open(new.path(), 1 << 20).await.unwrap();
        for without in ["", "DROP INDEX events_of_execution;"] {
            let dir = TempDir::new();
            let path = dir.path().join(FILE);
            let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).page_size(4096);
            let old = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
            sqlx::raw_sql(include_str!("schema_1.sql")).execute(&old).await.unwrap();
            sqlx::raw_sql(without).execute(&old).await.unwrap();
            let rest = "PRAGMA user_version = 1; INSERT INTO jobs (id, document, created_at_s) VALUES ('one', '{}', 1)";
            sqlx::raw_sql(rest).execute(&old).await.unwrap();
            old.close().await;
            let bytes = std::fs::metadata(&path).unwrap().len();
            let store = Store::open(dir.path(), bytes).await.unwrap();
            assert_eq!(objects(&store).await, objects(&new).await);
            assert_eq!(store.job("one").await.unwrap().unwrap().config, crate::job_config::JobConfig::default());
            assert_eq!(store.counts("one").await.unwrap(), crate::model::Counts::default());
            store.close().await;
            drop(Store::open(dir.path(), bytes).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_damaged_database_is_refused_before_it_is_used() {
        for at in [0, 3 * PAGE_BYTES as usize, 5 * PAGE_BYTES as usize] {
            let dir = TempDir::new();
            let path = filled(&dir).await;
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[at..at + 200].fill(0xA5);
            std::fs::write(&path, bytes).unwrap();
            let opened = Store::open(dir.path(), 1 << 20).await;
            assert!(matches!(&opened, Err(StoreError::Corrupt { .. })), "{at}: {opened:?}");
        }
    }

    #[tokio::test]
    async fn a_locked_database_is_named_so() {
        let dir = TempDir::new();
        let path = filled(&dir).await;
        let options =
            SqliteConnectOptions::new().filename(path).locking_mode(sqlx::sqlite::SqliteLockingMode::Exclusive);
        let other = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&other).await.unwrap();
        let opened = Store::open(dir.path(), 1 << 20).await;
        assert!(matches!(&opened, Err(StoreError::Locked)), "{opened:?}");
    }

    #[tokio::test]
    async fn the_database_is_its_owners_alone_also_one_that_was_not() {
        let dir = TempDir::new();
        std::fs::write(dir.path().join("cloud.db"), b"").unwrap();
        std::fs::set_permissions(dir.path().join("cloud.db"), Permissions::from_mode(0o644)).unwrap();
        let _store = Store::open(dir.path(), 1 << 20).await.unwrap();
        for name in ["cloud.db", "cloud.db-wal", "cloud.db-shm"] {
            let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, DATABASE_MODE, "{name}");
        }
    }
}
