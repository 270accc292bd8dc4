//! A PostgreSQL database that instances share and one of them uses: opening it, its schema, and which instance serves.
//!
//! The instance that serves holds an advisory lock on the one connection that all its queries go through. A new connection must
//! take the lock again, and find that no other instance has served in between: what this one keeps in memory would be outdated.

use std::sync::Arc;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, Connection};
use tokio::sync::watch;

use super::sqlite::SCHEMA_VERSION;
use super::{DatabaseUrl, Store, StoreError};
use crate::limits::{DATABASE_TIMEOUT, STANDBY_INTERVAL};

/// The tables of [`SCHEMA_VERSION`], from an empty database.
const SCHEMA: &str = include_str!("schema_postgres.sql");
/// Key of the advisory lock: `ota` in ASCII. PostgreSQL has such locks for each database.
const LOCK: i64 = 0x6F_74_61;
/// The server ends a connection, and releases the lock, when its instance is silent for so long; it is ignored on a Unix socket.
const KEEP_ALIVE: &str = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 20000";

/// An instance that does not serve yet.
pub struct Candidate {
    url: DatabaseUrl,
    /// A random name, new with each start.
    instance: Arc<str>,
    connection: Option<AnyConnection>,
}

impl Candidate {
    /// `instance`: a name that no other start of the program has.
    pub fn new(url: DatabaseUrl, instance: &str) -> Self {
        sqlx::any::install_default_drivers();
        Self { url, instance: instance.into(), connection: None }
    }

    /// Opens the database if no other instance serves; `None` while one does.
    ///
    /// Errors: `SchemaTooNew` for a database of a newer version; `Unavailable`, `Database`. The next call connects again.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the next call connects again.
    pub async fn open(&mut self) -> Result<Option<Store>, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.url).await?,
        };
        if !try_lock(&mut connection).await? {
            self.connection = Some(connection);
            return Ok(None);
        }
        prepare_schema(&mut connection).await?;
        sqlx::query("UPDATE service SET holder = $1").bind(&*self.instance).execute(&mut connection).await?;
        // The connection of the store takes the lock. If another instance is quicker, this one is not the holder any more.
        connection.close().await?;
        let (taken_over, seen) = watch::channel(false);
        let pool = pool(Arc::clone(&self.instance), taken_over).connect_with(self.url.options().clone());
        match pool.await {
            Err(_) if *seen.borrow() => Ok(None),
            pool => Ok(Some(Store { taken_over: Some(seen), ..Store::over(pool?).await? })),
        }
    }
}

impl Store {
    /// Returns when another instance serves: this one can change nothing any more. Never returns with SQLite.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn wait_until_taken_over(&self) {
        let Some(taken_over) = &self.taken_over else { return std::future::pending().await };
        while !*taken_over.borrow() {
            tokio::time::sleep(STANDBY_INTERVAL).await;
            // A lost connection is noticed by its use. An error has been reported by those that needed the database.
            let _ = sqlx::query("SELECT 1").execute(&self.pool).await;
        }
    }
}

/// One connection, as with SQLite: who holds it is the single writer.
fn pool(instance: Arc<str>, taken_over: watch::Sender<bool>) -> AnyPoolOptions {
    let pool = AnyPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    pool.acquire_timeout(DATABASE_TIMEOUT).after_connect(move |connection, _| {
        let (instance, taken_over) = (Arc::clone(&instance), taken_over.clone());
        Box::pin(async move { hold(connection, &instance, &taken_over).await })
    })
}

async fn connect(url: &DatabaseUrl) -> Result<AnyConnection, StoreError> {
    let connecting = tokio::time::timeout(DATABASE_TIMEOUT, AnyConnection::connect_with(url.options()));
    let mut connection = connecting.await.map_err(|_| StoreError::unavailable("no answer"))??;
    sqlx::raw_sql(KEEP_ALIVE).execute(&mut connection).await?;
    Ok(connection)
}

/// Makes a new connection the one that all changes go through.
///
/// Errors: it is not. The pool tries again until its timeout.
async fn hold(
    connection: &mut AnyConnection,
    instance: &str,
    taken_over: &watch::Sender<bool>,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(KEEP_ALIVE).execute(&mut *connection).await?;
    let is_locked = try_lock(connection).await?;
    let (holder,): (String,) = sqlx::query_as("SELECT holder FROM service").fetch_one(connection).await?;
    if holder != instance {
        taken_over.send_replace(true);
    }
    // Without the lock, the server has not noticed yet that the connection before is lost.
    if is_locked && holder == instance { Ok(()) } else { Err(sqlx::Error::PoolClosed) }
}

async fn try_lock(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    let query = sqlx::query_as("SELECT pg_try_advisory_lock($1)").bind(LOCK);
    let (is_locked,): (bool,) = query.fetch_one(connection).await?;
    Ok(is_locked)
}

async fn prepare_schema(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let tables = "SELECT COUNT(*) FROM information_schema.tables
        WHERE table_schema = current_schema() AND table_name = 'service'";
    let (tables,): (i64,) = sqlx::query_as(tables).fetch_one(&mut *connection).await?;
    if tables == 0 {
        let mut tx = connection.begin().await?;
        sqlx::raw_sql(SCHEMA).execute(&mut *tx).await?;
        let row = "INSERT INTO service (version, holder) VALUES ($1, '')";
        sqlx::query(row).bind(SCHEMA_VERSION).execute(&mut *tx).await?;
        tx.commit().await?;
    }
    let (got,): (i64,) = sqlx::query_as("SELECT version FROM service").fetch_one(connection).await?;
    match got {
        SCHEMA_VERSION => Ok(()),
        _ => Err(StoreError::SchemaTooNew { got, max: SCHEMA_VERSION }),
    }
}

#[cfg(test)]
mod tests;
