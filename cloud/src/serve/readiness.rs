//! Whether the service can work: the database takes writes, and the broker is connected.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::limits::{PROBE_INTERVAL, PROBE_TIMEOUT};
use crate::store::Store;

/// The state of a part that works.
const OK: &str = "ok";

/// Probes the parts that the service needs.
pub struct Readiness {
    store: Store,
    subscribed: watch::Receiver<bool>,
    /// The last probe of the database.
    probed: Mutex<Option<(Instant, String)>>,
}

/// The state of each part: `ok`, or what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// The database.
    pub database: String,
    /// The connection to the broker.
    pub broker: String,
}

impl Ready {
    /// The state of an instance that waits for another one to end.
    pub fn standby() -> Self {
        Self { database: "standby".to_owned(), broker: "not connected".to_owned() }
    }

    /// Whether all parts work.
    pub fn is_ok(&self) -> bool {
        self.database == OK && self.broker == OK
    }
}

impl Readiness {
    /// `subscribed`: whether the broker is connected.
    pub fn new(store: Store, subscribed: watch::Receiver<bool>) -> Self {
        Self { store, subscribed, probed: Mutex::new(None) }
    }

    /// Probes all parts. Within [`PROBE_INTERVAL`] the database is probed once: anybody may ask.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn probe(&self) -> Ready {
        let broker = if *self.subscribed.borrow() { OK } else { "not connected" };
        Ready { database: self.database().await, broker: broker.to_owned() }
    }

    async fn database(&self) -> String {
        let mut probed = self.probed.lock().await;
        if let Some((_, found)) = probed.as_ref().filter(|(at, _)| at.elapsed() < PROBE_INTERVAL) {
            return found.clone();
        }
        let found = self.write(PROBE_TIMEOUT).await;
        *probed = Some((Instant::now(), found.clone()));
        found
    }

    async fn write(&self, timeout: Duration) -> String {
        match tokio::time::timeout(timeout, self.store.probe()).await {
            Ok(Ok(())) => OK.to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no write within {timeout:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DATABASE_BYTES_MAX;
    use crate::testing::TempDir;

    #[tokio::test]
    async fn a_service_is_ready_while_it_can_write_and_is_connected() {
        let dir = TempDir::new();
        let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
        let (connected, subscribed) = watch::channel(false);
        let readiness = Readiness::new(store.clone(), subscribed.clone());
        assert_eq!(readiness.probe().await, Ready { database: OK.into(), broker: "not connected".into() });
        connected.send_replace(true);
        assert!(readiness.probe().await.is_ok());
        store.close().await;
        assert!(readiness.probe().await.is_ok(), "within the interval it is not probed again");
        let probed = Readiness::new(store, subscribed.clone()).probe().await;
        assert!(!probed.is_ok() && probed.broker == OK, "{probed:?}");

        let dir = TempDir::new();
        Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap().close().await;
        let bytes = std::fs::metadata(dir.path().join("cloud.db")).unwrap().len();
        let full = Store::open(dir.path(), bytes).await.unwrap();
        let probed = Readiness::new(full, subscribed).probe().await;
        assert_eq!(probed.database, "the disk or the database quota is full");
    }
}
