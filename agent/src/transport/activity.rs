//! Whether bytes arrive on a connection, as noted below TLS, and waits that only a silence ends. How long it may be is decided by
//! the pump.

use core::cell::Cell;
use core::pin::Pin;

use embassy_time::{Duration, TimeoutError, with_timeout};
use embedded_io_async::{ErrorType, Read, Write};

/// How often arriving bytes prolong a wait.
const PROLONGED_MAX: u32 = 5;

/// Whether bytes arrived on a connection: a large message takes long on a slow link, and is no silence.
#[derive(Debug, Default)]
pub struct Activity(Cell<bool>);

impl Activity {
    /// Bytes arrived.
    pub fn note(&self) {
        self.0.set(true);
    }

    /// Whether any arrived since the last call.
    pub fn take(&self) -> bool {
        self.0.take()
    }

    /// Notes the bytes that `socket` receives.
    pub fn observe<S>(&self, socket: S) -> Observed<'_, S> {
        Observed { socket, activity: self }
    }

    /// Waits until `future` ends, or until no byte arrived for `limit`; six times as long at most.
    ///
    /// # Cancel safety
    /// That of `future`.
    pub fn until_silent<F: Future>(
        &self,
        limit: Duration,
        mut future: Pin<&mut F>,
    ) -> impl Future<Output = Result<F::Output, TimeoutError>> {
        let mut prolonged = 0;
        // Not an async fn, which would hold its arguments twice.
        async move {
            loop {
                self.take();
                let ended = with_timeout(limit, future.as_mut()).await;
                if ended.is_ok() || !self.take() || prolonged == PROLONGED_MAX {
                    return ended;
                }
                prolonged += 1;
            }
        }
    }
}

/// A socket whose received bytes are noted; [`Activity::observe`] makes it.
#[derive(Debug)]
pub struct Observed<'a, S> {
    socket: S,
    activity: &'a Activity,
}

impl<S: ErrorType> ErrorType for Observed<'_, S> {
    type Error = S::Error;
}

impl<S: Read> Read for Observed<'_, S> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, S::Error> {
        let len = self.socket.read(out).await?;
        self.activity.note();
        Ok(len)
    }
}

impl<S: Write> Write for Observed<'_, S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, S::Error> {
        self.socket.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), S::Error> {
        self.socket.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_pal::poll_ready;

    #[test]
    fn received_bytes_are_noted_and_sent_ones_are_not() {
        let (activity, mut bytes, mut room) = (Activity::default(), &b"ab"[..], [0; 4]);
        let mut out = activity.observe(&mut room[..]);
        assert_eq!(poll_ready(out.write(b"c")), Some(Ok(1)));
        assert_eq!(poll_ready(out.flush()), Some(Ok(())));
        assert!(!activity.take());
        let mut observed = activity.observe(&mut bytes);
        assert_eq!(poll_ready(observed.read(&mut [0])), Some(Ok(1)));
        assert!(activity.take() && !activity.take());
    }
}
