//! Errors of the store, and what of them the database reports.

use std::path::PathBuf;

use sqlx::postgres::PgDatabaseError;

/// SQLite's primary result codes, <https://www.sqlite.org/rescode.html>.
mod sqlite {
    pub const BUSY: i64 = 5;
    pub const LOCKED: i64 = 6;
    pub const CORRUPT: i64 = 11;
    /// A full disk or a reached page limit.
    pub const FULL: i64 = 13;
    pub const NOT_A_DATABASE: i64 = 26;
}

/// PostgreSQL's error codes, <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
mod postgres {
    pub const DISK_FULL: &str = "53100";
    pub const TOO_MANY_CONNECTIONS: &str = "53300";
    /// U+0000, in a text and in JSON.
    pub const UNSTORABLE: [&str; 2] = ["22021", "22P05"];
    /// The classes of a lost connection, and of a server that starts or stops.
    pub const UNAVAILABLE: [&str; 2] = ["08", "57P"];
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
    /// The database cannot be reached, or does not answer.
    Unavailable {
        /// What the attempt ended with.
        why: String,
    },
    /// A text has the character U+0000, which PostgreSQL does not store; nothing was changed.
    Unstorable,
    /// Another error of the database.
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
            Self::Unavailable { why } => write!(f, "the database is not available: {why}"),
            Self::Unstorable => f.write_str("a text has the character U+0000, which the database does not store"),
            Self::Database(error) => write!(f, "database: {error}"),
            Self::Io(error) => write!(f, "file: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    pub(super) fn unavailable(why: impl ToString) -> Self {
        Self::Unavailable { why: why.to_string() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(why) => Self::unavailable(why),
            sqlx::Error::Protocol(why) => Self::unavailable(why),
            sqlx::Error::Tls(why) => Self::unavailable(why),
            sqlx::Error::PoolTimedOut => Self::unavailable("no answer"),
            sqlx::Error::Database(found) => match found.try_downcast_ref::<PgDatabaseError>() {
                Some(found) => of_postgres(found).unwrap_or(Self::Database(error)),
                None => of_sqlite(found.code().as_deref(), &error).unwrap_or(Self::Database(error)),
            },
            _ => Self::Database(error),
        }
    }
}

fn of_postgres(found: &PgDatabaseError) -> Option<StoreError> {
    let (code, text) = (found.code(), found.message());
    match code {
        postgres::DISK_FULL => Some(StoreError::Full),
        postgres::TOO_MANY_CONNECTIONS => Some(StoreError::unavailable(text)),
        _ if postgres::UNSTORABLE.contains(&code) => Some(StoreError::Unstorable),
        _ if postgres::UNAVAILABLE.iter().any(|class| code.starts_with(class)) => Some(StoreError::unavailable(text)),
        _ => None,
    }
}

fn of_sqlite(code: Option<&str>, error: &sqlx::Error) -> Option<StoreError> {
    // The low byte of an extended result code is the primary one.
    match code?.parse::<i64>().ok()? & 0xFF {
        sqlite::FULL => Some(StoreError::Full),
        sqlite::BUSY | sqlite::LOCKED => Some(StoreError::Locked),
        sqlite::CORRUPT | sqlite::NOT_A_DATABASE => Some(StoreError::Corrupt { found: error.to_string() }),
        _ => None,
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
