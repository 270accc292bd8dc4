//! Errors of the store, and what of them the database reports.

use std::path::PathBuf;

/// SQLite's primary result codes, <https://www.sqlite.org/rescode.html>.
mod sqlite {
    pub const BUSY: i64 = 5;
    pub const LOCKED: i64 = 6;
    pub const CORRUPT: i64 = 11;
    /// A full disk or a reached page limit.
    pub const FULL: i64 = 13;
    pub const NOT_A_DATABASE: i64 = 26;
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
            Some(sqlite::FULL) => Self::Full,
            Some(sqlite::BUSY | sqlite::LOCKED) => Self::Locked,
            Some(sqlite::CORRUPT | sqlite::NOT_A_DATABASE) => Self::Corrupt { found: error.to_string() },
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
