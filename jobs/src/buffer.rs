//! An append-only writer over the caller's buffer. An overflow is recorded and reported by `finish`, so that callers do
//! not check every write.

use crate::error::EmitError;

/// A byte buffer and the number of bytes written to it.
#[derive(Debug)]
pub(crate) struct Buffer<'b> {
    buffer: &'b mut [u8],
    /// Greater than the buffer's length after an overflow.
    len: usize,
}

impl<'b> Buffer<'b> {
    pub(crate) const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Number of bytes written; unspecified after an overflow.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has overflowed and `spare` more bytes fit.
    pub(crate) const fn fits(&self, spare: usize) -> bool {
        self.len + spare <= self.buffer.len()
    }

    /// The last byte written.
    pub(crate) fn last(&self) -> Option<u8> {
        self.buffer.get(..self.len)?.last().copied()
    }

    /// The text written; empty after an overflow.
    pub(crate) fn into_text(self) -> &'b str {
        let written = self.buffer.get(..self.len).unwrap_or_default();
        core::str::from_utf8(written).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.len..self.len + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.overflow(),
        }
    }

    pub(crate) fn push_char(&mut self, char: char) {
        self.push(char.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// Calls `write` with the rest of the buffer. It returns the number of bytes written, or `None` if they do not fit.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        match self.buffer.get_mut(self.len..).and_then(write) {
            Some(len) => self.len += len,
            None => self.overflow(),
        }
    }

    /// Discards all but the first `len` bytes and clears an overflow.
    pub(crate) const fn truncate(&mut self, len: usize) {
        self.len = len;
    }

    const fn overflow(&mut self) {
        self.len = self.buffer.len() + 1;
    }

    /// The error to return after an overflow.
    pub(crate) const fn too_small(&self) -> EmitError {
        EmitError::BufferTooSmall { have: self.buffer.len() }
    }

    /// Returns the number of bytes written.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub(crate) const fn finish(&self) -> Result<usize, EmitError> {
        if self.fits(0) { Ok(self.len) } else { Err(self.too_small()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_may_be_filled_to_its_last_byte() {
        let mut bytes = [0; 4];
        let mut buffer = Buffer::new(&mut bytes);
        buffer.push(b"ab");
        assert!(buffer.fits(2) && !buffer.fits(3));
        buffer.push_char('\u{e9}');
        assert_eq!((buffer.len(), buffer.last(), buffer.finish()), (4, Some(0xA9), Ok(4)));
        assert!(buffer.fits(0) && !buffer.fits(1));
        assert_eq!(buffer.into_text(), "ab\u{e9}");
    }

    #[test]
    fn an_overflow_is_kept_until_it_is_cleared() {
        let mut bytes = [0; 3];
        let mut buffer = Buffer::new(&mut bytes);
        buffer.push(b"ab");
        buffer.push(b"cd");
        buffer.push(b"");
        let too_small = EmitError::BufferTooSmall { have: 3 };
        assert_eq!((buffer.finish(), buffer.too_small(), buffer.last()), (Err(too_small), too_small, None));
        assert!(!buffer.fits(0));
        buffer.truncate(2);
        assert_eq!(buffer.finish(), Ok(2));
        buffer.push_with(|_| None);
        assert_eq!(buffer.finish(), Err(too_small));
        buffer.push_with(|_| Some(0));
        assert_eq!(buffer.finish(), Err(too_small));
        assert_eq!(buffer.into_text(), "");
    }

    #[test]
    fn the_rest_of_the_buffer_can_be_written_by_others() {
        let mut bytes = [0; 3];
        let mut buffer = Buffer::new(&mut bytes);
        buffer.push(b"a");
        buffer.push_with(|rest| {
            rest.copy_from_slice(b"bc");
            Some(1)
        });
        assert_eq!(buffer.into_text(), "ab");
    }
}
