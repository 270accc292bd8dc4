//! Helpers shared by test modules.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::limits::DATABASE_BYTES_MAX;
use crate::store::{Candidate, Store};

#[path = "../tests/common/postgres.rs"]
pub mod postgres;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A temporary directory of one test; removed when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    /// Creates an empty directory.
    pub fn new() -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ota-cloud-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Runs a test on an empty store in SQLite, and on one in PostgreSQL, if that is installed.
pub async fn on_each_database(test: impl AsyncFn(Store)) {
    let dir = TempDir::new();
    test(Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap()).await;
    let Some(database) = database() else { return };
    test(Candidate::new(database.url().parse().unwrap(), "test").open().await.unwrap().unwrap()).await;
}

/// A database of a real PostgreSQL; without it the test is skipped, which is an error with `CI` set.
pub fn database() -> Option<postgres::Database> {
    let database = postgres::Database::new();
    if database.is_none() {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed");
        println!("skipped: needs PostgreSQL");
    }
    database
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
