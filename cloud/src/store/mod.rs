//! The store: SQLite through sqlx, a single writer; every change is on disk before it is acknowledged.
//! Opening and errors are here; the tables are in files of their own. No protocol rules.

mod access_keys;
mod accounts;
mod events;
mod executions;
mod groups;
mod health;
mod images;
mod job_changes;
mod job_control;
mod job_list;
mod job_templates;
mod jobs;
mod objects;
mod ota_updates;
mod paged;
mod pins;
mod probe;
mod registry;
mod releases;
mod reports;
mod reverts;
mod streams;
mod things;
mod unreached;

pub use accounts::{Account, HolderKind};
pub use executions::ExecutionChange;
pub use images::Removal;
pub use job_control::Retried;
pub use job_list::{JobFilter, ListedJob};
pub use jobs::{JobSummary, NewJobRecord};
pub use paged::{PageNumber, Paged};
pub use registry::ThingFilter;
pub use releases::ReleaseRecord;
pub use reverts::Reached;

use std::fs::{File, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, SqlitePool, Transaction};
use tokio::sync::watch;

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
const SCHEMA_VERSION: i64 = SCRIPTS.len() as i64;
/// SQLite's page size, set before the first table. Unit: bytes.
const PAGE_BYTES: u64 = 4096;
/// More than the tables and indexes that the scripts make. Unit: pages.
const SCHEMA_PAGES_MAX: u64 = 256;
/// Only the owner can read the database.
const DATABASE_MODE: u32 = 0o600;
/// SQLite's primary result codes, <https://www.sqlite.org/rescode.html>.
mod code {
    pub const BUSY: i64 = 5;
    pub const LOCKED: i64 = 6;
    pub const CORRUPT: i64 = 11;
    /// A full disk or a reached page limit.
    pub const FULL: i64 = 13;
    pub const NOT_A_DATABASE: i64 = 26;
}

/// The durable state of the service.
///
/// # Cancel safety
///
/// If the future of a method is dropped, its change is stored as a whole or not at all. Tasks that wait for events may
/// notice a stored change only with the next one. Methods that only read have no effect.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    /// Number of the newest event.
    newest: watch::Sender<i64>,
    /// How often streams were removed.
    stream_changes: Arc<AtomicU64>,
}

/// Errors of the store.
#[derive(Debug)]
pub enum StoreError {
    /// The disk is full or the database limit is reached; nothing was changed.
    Full,
    /// A job with this id exists already.
    JobExists {
        /// The id.
        id: String,
    },
    /// The execution has changed since it was read; nothing was changed.
    Stale,
    /// The database was written by a newer version of this program.
    SchemaTooNew {
        /// Its version.
        got: i64,
        /// Newest supported version.
        max: i64,
    },
    /// A row contains an invalid value.
    Damaged {
        /// The column.
        column: &'static str,
    },
    /// The file is not a database, or parts of it are overwritten.
    Corrupt {
        /// What SQLite found.
        found: String,
    },
    /// The file is empty although the data directory was in use before.
    Emptied,
    /// Another program has locked the database.
    Locked,
    /// A file that holds a secret was changed.
    NotASecret {
        /// The file.
        path: PathBuf,
    },
    /// Another error of SQLite.
    Database(sqlx::Error),
    /// I/O error of a file in the data directory.
    Io(std::io::Error),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("the disk or the database quota is full"),
            Self::JobExists { id } => write!(f, "job {id} exists already"),
            Self::Stale => f.write_str("the execution has changed since it was read"),
            Self::SchemaTooNew { got, max } => {
                write!(f, "database version {got}, this program supports up to {max}")
            }
            Self::Damaged { column } => write!(f, "damaged database: column {column}"),
            Self::Corrupt { found } => write!(f, "cloud.db is damaged, restore it from a backup: {found}"),
            Self::Emptied => f.write_str(
                "cloud.db is empty, but this directory was in use: restore it from a backup, or remove it to begin without jobs",
            ),
            Self::Locked => f.write_str("another program has locked cloud.db"),
            Self::NotASecret { path } => {
                write!(f, "{} is damaged: restore it, or remove it to get a new secret", path.display())
            }
            Self::Database(error) => write!(f, "database: {error}"),
            Self::Io(error) => write!(f, "file: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|e| e.code());
        let code = code.and_then(|c| c.parse::<i64>().ok());
        // The low byte of an extended result code is the primary one.
        match code.map(|code| code & 0xFF) {
            Some(code::FULL) => Self::Full,
            Some(code::BUSY | code::LOCKED) => Self::Locked,
            Some(code::CORRUPT | code::NOT_A_DATABASE) => Self::Corrupt { found: error.to_string() },
            _ => Self::Database(error),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

impl Store {
    /// Opens `dir/cloud.db`; creates it if missing. Reads the whole database, to find damage before it is used.
    ///
    /// `bytes_max`: limit of the database; beyond it changes fail with [`StoreError::Full`].
    /// Errors: `SchemaTooNew` for a database of a newer version; `Corrupt`, `Locked`, `Database`.
    pub async fn open(dir: &Path, bytes_max: u64) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let pages_max = (bytes_max / PAGE_BYTES).max(1);
        make_private(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .page_size(u32::try_from(PAGE_BYTES).expect("4096 fits"))
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged report must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("max_page_count", pages_max.to_string());
        // One connection: SQLite has a single writer anyway, and reads are short.
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        let store = Self { pool, newest: watch::channel(0).0, stream_changes: Arc::default() };
        store.check().await?;
        store.prepare_schema(pages_max).await?;
        let newest: (Option<i64>,) = sqlx::query_as("SELECT MAX(seq) FROM events").fetch_one(&store.pool).await?;
        store.newest.send_replace(newest.0.unwrap_or(0));
        Ok(store)
    }

    /// Closes the database; acknowledged changes are on disk already.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Returns a number that changes when streams were removed: what was read of them before is outdated then.
    pub fn stream_changes(&self) -> u64 {
        self.stream_changes.load(Ordering::Acquire)
    }

    /// Called after the commit.
    fn streams_changed(&self) {
        self.stream_changes.fetch_add(1, Ordering::Release);
    }

    /// Whether `dir` has a database without content, as the start of a new service leaves it that was interrupted.
    pub fn is_empty(dir: &Path) -> Result<bool, StoreError> {
        match std::fs::metadata(dir.join(FILE)) {
            Ok(file) => Ok(file.len() == 0),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn check(&self) -> Result<(), StoreError> {
        let (found,): (String,) = sqlx::query_as("PRAGMA quick_check(1)").fetch_one(&self.pool).await?;
        if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt { found }) }
    }

    async fn prepare_schema(&self, pages_max: u64) -> Result<(), StoreError> {
        let (got,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&self.pool).await?;
        let known = usize::try_from(got).ok().and_then(|got| SCRIPTS.get(got..));
        let scripts = known.ok_or(StoreError::SchemaTooNew { got, max: SCHEMA_VERSION })?;
        if scripts.is_empty() {
            return Ok(());
        }
        // An upgrade may need more than the limit; SQLite keeps what is there when the limit is set again.
        self.limit_pages(pages_max.saturating_mul(2).saturating_add(SCHEMA_PAGES_MAX)).await?;
        let mut tx = self.pool.begin().await?;
        for script in scripts {
            sqlx::raw_sql(*script).execute(&mut *tx).await?;
        }
        let pragma = AssertSqlSafe(format!("PRAGMA user_version = {SCHEMA_VERSION}"));
        sqlx::raw_sql(pragma).execute(&mut *tx).await?;
        tx.commit().await?;
        self.limit_pages(pages_max).await
    }

    async fn limit_pages(&self, max: u64) -> Result<(), StoreError> {
        let pragma = AssertSqlSafe(format!("PRAGMA max_page_count = {max}"));
        sqlx::raw_sql(pragma).execute(&self.pool).await?;
        Ok(())
    }
}

/// SQLite creates its file readable for all users, and its journals with the same mode; the content is private.
fn make_private(path: &Path) -> std::io::Result<()> {
    File::options().append(true).create(true).mode(DATABASE_MODE).open(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(DATABASE_MODE))
}

type Tx<'c> = Transaction<'c, sqlx::Sqlite>;

/// Integers in SQLite are signed; our values are far below the limit.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn uint(value: i64, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Damaged { column })
}

fn uint_opt(value: Option<i64>, column: &'static str) -> Result<Option<u64>, StoreError> {
    value.map(|v| uint(v, column)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

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
