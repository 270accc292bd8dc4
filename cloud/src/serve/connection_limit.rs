//! Limits the connections of a listener: at most `CONNECTIONS_MAX`, and at most a share of the process's file descriptors.
//! Further connections wait in the backlog of the operating system; a shortage is logged at most once per interval.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::log::report_error;
use crate::limits::{CONNECTIONS_MAX, SHORTAGE_LOG_INTERVAL};

/// Assumed soft limit of open files if the operating system does not provide it.
const FILES_DEFAULT: usize = 1024;
/// Each listener may use a quarter: a connection may need a second file, and there are other files.
const FILES_SHARE: usize = 4;
/// Pause before the next accept after an error.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// A listener with a limited number of connections.
pub struct LimitedListener {
    listener: TcpListener,
    name: &'static str,
    max: usize,
    permits: Arc<Semaphore>,
    reported_at: Option<Instant>,
}

impl LimitedListener {
    /// Wraps a listener; `name` is used in log lines.
    pub fn new(listener: TcpListener, name: &'static str) -> Self {
        Self::with(listener, name, connections_max())
    }

    fn with(listener: TcpListener, name: &'static str, max: usize) -> Self {
        Self { listener, name, max, permits: Arc::new(Semaphore::new(max)), reported_at: None }
    }

    /// Accepts the next connection. Dropping the permit makes room for another.
    ///
    /// # Cancel safety
    ///
    /// No accepted connection is lost if the future is dropped.
    pub async fn accept(&mut self) -> (TcpStream, OwnedSemaphorePermit) {
        if self.permits.available_permits() == 0 {
            let max = self.max;
            self.report(format_args!("all {max} connections are in use, further ones wait"));
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((socket, _)) => return (socket, permit),
                // No free file descriptor, or the peer has disconnected: keep accepting.
                Err(error) => {
                    self.report(format_args!("cannot accept a connection: {error}"));
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn report(&mut self, text: std::fmt::Arguments<'_>) {
        if self.reported_at.is_none_or(|at| at.elapsed() >= SHORTAGE_LOG_INTERVAL) {
            self.reported_at = Some(Instant::now());
            report_error(format_args!("{}: {text}", self.name));
        }
    }
}

/// Returns the limit of the connections of a listener.
pub fn connections_max() -> usize {
    CONNECTIONS_MAX.min(files_max() / FILES_SHARE)
}

/// Returns the limit of open files of this process. Source: proc_pid_limits(5).
fn files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    soft_files_max(&limits).unwrap_or(FILES_DEFAULT)
}

fn soft_files_max(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_files_is_read() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(soft_files_max(limits), Some(1024));
        assert_eq!(soft_files_max("Max open files unlimited unlimited files"), Some(usize::MAX));
        assert_eq!(soft_files_max("nothing"), None);
        assert!(files_max() > 0);
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_waits_for_a_permit() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = LimitedListener::with(listener, "test", 1);
        let _clients = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let (_socket, permit) = listener.accept().await;
        assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err());
        assert!(listener.reported_at.is_some(), "it was reported_at");
        drop(permit);
        assert!(tokio::time::timeout(Duration::from_secs(5), listener.accept()).await.is_ok());
    }
}
