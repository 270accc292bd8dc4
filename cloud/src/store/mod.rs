//! The store: a database through sqlx, a single writer; every change is on disk before it is acknowledged.
//! The handle is here; opening, errors and the tables are in files of their own. No protocol rules.

mod access_keys;
mod accounts;
mod database_url;
mod error;
mod events;
mod executions;
mod groups;
mod health;
mod image_pieces;
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
mod postgres;
mod probe;
mod registry;
mod releases;
mod reports;
mod reverts;
mod sqlite;
mod streams;
mod things;
mod unreached;

pub use accounts::{Account, HolderKind};
pub use database_url::DatabaseUrl;
pub use error::StoreError;
pub use executions::ExecutionChange;
pub use images::Removal;
pub use job_control::Retried;
pub use job_list::{JobFilter, ListedJob};
pub use jobs::{JobSummary, NewJobRecord};
pub use paged::{PageNumber, Paged};
pub use postgres::Candidate;
pub use registry::ThingFilter;
pub use releases::ReleaseRecord;
pub use reverts::Reached;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::any::AnyRow;
use sqlx::{Any, AnyPool, Row, Transaction};
use tokio::sync::watch;

/// The durable state of the service.
///
/// # Cancel safety
///
/// If the future of a method is dropped, its change is stored as a whole or not at all. Tasks that wait for events may
/// notice a stored change only with the next one. Methods that only read have no effect.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    /// Number of the newest event.
    newest: watch::Sender<i64>,
    /// How often streams were removed.
    stream_changes: Arc<AtomicU64>,
    /// Whether another instance serves; only with PostgreSQL.
    taken_over: Option<watch::Receiver<bool>>,
}

impl Store {
    /// Creates the handle of a database with the newest schema.
    async fn over(pool: AnyPool) -> Result<Self, StoreError> {
        let store = Self { pool, newest: watch::channel(0).0, stream_changes: Arc::default(), taken_over: None };
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
}

type Tx<'c> = Transaction<'c, Any>;

/// Integers of the databases are signed; our values are far below the limit.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Truth values are the integers 0 and 1, which both databases compare and store alike.
fn flag(row: &AnyRow, index: usize) -> Result<bool, StoreError> {
    Ok(row.try_get::<i64, _>(index)? != 0)
}

fn uint(value: i64, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Damaged { column })
}

fn uint_opt(value: Option<i64>, column: &'static str) -> Result<Option<u64>, StoreError> {
    value.map(|v| uint(v, column)).transpose()
}
