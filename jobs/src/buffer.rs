//! Bytes written one after another into the caller's buffer. An overflow is kept until `finish`, so that writers need
//! not check each step.

use crate::error::EmitError;

/// A buffer and how much of it is written.
#[derive(Debug)]
pub(crate) struct Buffer<'b> {
    buffer: &'b mut [u8],
    /// Beyond the buffer's length after an overflow.
    len: usize,
}

impl<'b> Buffer<'b> {
    pub(crate) const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Bytes written; meaningless after an overflow.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether everything written so far fits, and `spare` bytes more would.
    pub(crate) const fn fits(&self, spare: usize) -> bool {
        self.len + spare <= self.buffer.len()
    }

    /// The last byte written.
    pub(crate) fn last(&self) -> Option<u8> {
        self.buffer.get(..self.len)?.last().copied()
    }

    /// The text that was written; nothing after an overflow.
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

    /// Lets `write` write to the rest of the buffer; it returns how many bytes it wrote, `None` if they do not fit.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        match self.buffer.get_mut(self.len..).and_then(write) {
            Some(len) => self.len += len,
            None => self.overflow(),
        }
    }

    /// Drops everything beyond the first `len` bytes, an overflow included.
    pub(crate) const fn truncate(&mut self, len: usize) {
        self.len = len;
    }

    const fn overflow(&mut self) {
        self.len = self.buffer.len() + 1;
    }

    /// The error after an overflow.
    pub(crate) const fn too_small(&self) -> EmitError {
        EmitError::BufferTooSmall { have: self.buffer.len() }
    }

    /// Length of what was written.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub(crate) const fn finish(&self) -> Result<usize, EmitError> {
        if self.fits(0) { Ok(self.len) } else { Err(self.too_small()) }
    }
}
