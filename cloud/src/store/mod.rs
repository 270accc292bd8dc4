//! The store: SQLite through sqlx, a single writer; every change is on disk before it is acknowledged.
//! Opening and errors are here; the tables are in files of their own. No protocol rules.

mod events;
mod executions;
mod images;
mod jobs;
mod paged;
mod things;

pub use jobs::{JobSummary, NewJobRecord};
pub use paged::{PageNumber, Paged};

use std::fs::{File, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlitePool, Transaction};
use tokio::sync::watch;

/// Version of `schema.sql`.
const SCHEMA_VERSION: i64 = 1;
/// SQLite's page size, set before the first table. Unit: bytes.
const PAGE_BYTES: u64 = 4096;
/// Only the owner can read the database.
const DATABASE_MODE: u32 = 0o600;
/// SQLite's primary result code for a full disk or a reached page limit.
const SQLITE_FULL: i64 = 13;

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
        match code {
            // The low byte of an extended result code is the primary one.
            Some(code) if code & 0xFF == SQLITE_FULL => Self::Full,
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
    /// Opens `dir/cloud.db`; creates it if missing.
    ///
    /// `bytes_max`: limit of the database; beyond it changes fail with [`StoreError::Full`].
    /// Errors: `SchemaTooNew` for a database of a newer version; `Database`.
    pub async fn open(dir: &Path, bytes_max: u64) -> Result<Self, StoreError> {
        let path = dir.join("cloud.db");
        make_private(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .page_size(u32::try_from(PAGE_BYTES).expect("4096 fits"))
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged report must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("max_page_count", (bytes_max / PAGE_BYTES).max(1).to_string());
        // One connection: SQLite has a single writer anyway, and reads are short.
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        let store = Self { pool, newest: watch::channel(0).0 };
        store.prepare_schema().await?;
        let newest: (Option<i64>,) = sqlx::query_as("SELECT MAX(seq) FROM events").fetch_one(&store.pool).await?;
        store.newest.send_replace(newest.0.unwrap_or(0));
        Ok(store)
    }

    /// Closes the database; acknowledged changes are on disk already.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn prepare_schema(&self) -> Result<(), StoreError> {
        let (got,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&self.pool).await?;
        match got {
            SCHEMA_VERSION => self.add_index().await,
            0 => {
                let mut tx = self.pool.begin().await?;
                sqlx::raw_sql(include_str!("schema.sql")).execute(&mut *tx).await?;
                sqlx::raw_sql("PRAGMA user_version = 1").execute(&mut *tx).await?;
                Ok(tx.commit().await?)
            }
            got => Err(StoreError::SchemaTooNew { got, max: SCHEMA_VERSION }),
        }
    }
}

impl Store {
    /// Adds an index that early versions of the schema lack. It only affects speed, so a full database opens without it.
    async fn add_index(&self) -> Result<(), StoreError> {
        let index = "CREATE INDEX IF NOT EXISTS events_of_execution ON events (job_id, thing)";
        match sqlx::raw_sql(index).execute(&self.pool).await.map_err(StoreError::from) {
            Ok(_) | Err(StoreError::Full) => Ok(()),
            Err(error) => Err(error),
        }
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
