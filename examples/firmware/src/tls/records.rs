//! Reads whole records, so that embedded-tls waits only between two of them: its reads lose what they have of a record when they
//! are dropped. Records on which it panics are refused: they need no key, so that anybody between device and server could reset it.

use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};

/// Type, version and length. Source: RFC 8446, 5.1.
pub(super) const HEADER_BYTES: usize = 5;

/// What encryption adds to a record: the type of its content, and the tag. Source: RFC 8446, 5.2.
const ENCRYPTION_BYTES: usize = 1 + 16;
/// Content types. Source: RFC 8446, 5.1.
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// A socket of whole records.
pub(super) struct Records<'b, S> {
    socket: S,
    buffer: &'b mut [u8],
    /// Bytes of the record that arrived.
    arrived: usize,
    /// Bytes of them that were read.
    read: usize,
    /// Whether the ServerHello arrived: what follows is encrypted.
    has_hello: bool,
}

/// Why a record cannot be read.
#[derive(Debug)]
pub(super) enum RecordError<E> {
    /// The record is larger than the buffer.
    TooLarge,
    /// The record is not encrypted where it has to be, or holds nothing.
    Invalid,
    /// The connection ended.
    Socket(E),
}

impl<E: Error> Error for RecordError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLarge => ErrorKind::OutOfMemory,
            Self::Invalid => ErrorKind::InvalidData,
            Self::Socket(error) => error.kind(),
        }
    }
}

impl<E: Error> core::fmt::Display for RecordError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

impl<E: Error> core::error::Error for RecordError<E> {}

impl<'b, S> Records<'b, S> {
    pub(super) fn new(socket: S, buffer: &'b mut [u8]) -> Self {
        Self { socket, buffer, arrived: 0, read: 0, has_hello: false }
    }

    /// Bytes of the record, as far as they are known.
    fn record_bytes(&self) -> usize {
        match self.buffer[..self.arrived] {
            [_, _, _, high, low, ..] => HEADER_BYTES + usize::from(u16::from_be_bytes([high, low])),
            _ => HEADER_BYTES,
        }
    }
}

impl<S> Records<'_, S> {
    /// Checks a record that arrived.
    fn check(&mut self) -> Result<(), ()> {
        let is_valid = match self.buffer[0] {
            HANDSHAKE => !core::mem::replace(&mut self.has_hello, true),
            APPLICATION_DATA => self.arrived >= HEADER_BYTES + ENCRYPTION_BYTES,
            _ => true,
        };
        if is_valid { Ok(()) } else { Err(()) }
    }
}

impl<S: ErrorType> ErrorType for Records<'_, S> {
    type Error = RecordError<S::Error>;
}

impl<S: Read> Read for Records<'_, S> {
    /// # Cancel safety
    /// Cancel-safe if the socket's `read` is.
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        if self.read == self.arrived && self.arrived == self.record_bytes() {
            (self.arrived, self.read) = (0, 0);
        }
        while self.arrived < self.record_bytes() {
            let record_bytes = self.record_bytes();
            let room = self.buffer.get_mut(self.arrived..record_bytes).ok_or(RecordError::TooLarge)?;
            match self.socket.read(room).await.map_err(RecordError::Socket)? {
                0 => return Ok(0),
                more => self.arrived += more,
            }
            if self.arrived == self.record_bytes() {
                self.check().map_err(|()| RecordError::Invalid)?;
            }
        }
        let record = &self.buffer[self.read..self.arrived];
        let len = record.len().min(out.len());
        out[..len].copy_from_slice(&record[..len]);
        self.read += len;
        Ok(len)
    }
}

impl<S: Write> Write for Records<'_, S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.socket.write(bytes).await.map_err(RecordError::Socket)
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.socket.flush().await.map_err(RecordError::Socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    /// Delivers one byte at every other read.
    struct Drip<'s> {
        bytes: &'s [u8],
        ready: bool,
    }

    impl ErrorType for Drip<'_> {
        type Error = ErrorKind;
    }

    impl Read for Drip<'_> {
        async fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
            core::future::poll_fn(|_| {
                self.ready = !self.ready;
                if self.ready { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            let len = self.bytes.len().min(1);
            out[..len].copy_from_slice(&self.bytes[..len]);
            self.bytes = &self.bytes[len..];
            Ok(len)
        }
    }

    const RECORDS: [u8; 13] = [20, 3, 3, 0, 2, 10, 11, 20, 3, 3, 0, 1, 12];

    #[test]
    fn a_read_that_is_dropped_at_every_byte_loses_none() {
        let mut buffer = [0; 8];
        let mut records = Records::new(Drip { bytes: &RECORDS, ready: true }, &mut buffer);
        let (mut read, mut waits) = ([0; 13], 0);
        let mut len = 0;
        while len < RECORDS.len() {
            let poll = pin!(records.read(&mut read[len..])).poll(&mut Context::from_waker(Waker::noop()));
            match poll {
                Poll::Ready(more) => len += more.expect("the socket has no error"),
                Poll::Pending => waits += 1,
            }
        }
        assert_eq!(read, RECORDS);
        assert_eq!(waits, RECORDS.len(), "each byte was waited for");
    }

    /// Whether all of `bytes` can be read.
    fn are_read(bytes: &[u8]) -> bool {
        let (mut buffer, mut out) = ([0; 64], [0; 64]);
        let mut records = Records::new(bytes, &mut buffer);
        let mut len = 0;
        while len < bytes.len() {
            match pin!(records.read(&mut out)).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(more)) => len += more,
                _ => return false,
            }
        }
        true
    }

    #[test]
    fn after_the_server_hello_no_handshake_is_read_that_is_not_encrypted() {
        let hello = [HANDSHAKE, 3, 3, 0, 1, 2];
        assert!(are_read(&hello));
        assert!(!are_read(&[hello, hello].concat()));
    }

    #[test]
    fn an_encrypted_record_has_a_content() {
        let encrypted = |len: u8| [&[APPLICATION_DATA, 3, 3, 0, len][..], &[0; 17][..len.into()]].concat();
        assert!(are_read(&encrypted(17)));
        assert!(!are_read(&encrypted(16)));
    }

    #[test]
    fn a_record_beyond_the_buffer_is_an_error() {
        let mut buffer = [0; 6];
        let mut records = Records::new(&RECORDS[..], &mut buffer);
        let poll = pin!(records.read(&mut [0; 8])).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(poll, Poll::Ready(Err(RecordError::TooLarge))));
    }
}
