//! The bytes of one record: header, payload and CRC. `flash/records` has the positions of records and finds the newest.

use crate::bytes::{put, u16_at, u32_at};
use crate::crc::crc32;
use crate::store::region::WORD_BYTES_MAX;

/// The longest record of any kind: header and payload.
pub(crate) const RECORD_BYTES_MAX: usize = 480;

/// The smallest sector supported.
pub(crate) const SECTOR_BYTES_MIN: u32 = 256;

/// Number of sectors that a region of records needs: one bank keeps the newest record while the other is erased.
pub(crate) const fn sectors_min(erase_bytes: u32) -> u32 {
    2 * (RECORD_BYTES_MAX as u32).div_ceil(erase_bytes)
}

pub(crate) const FORMAT: u8 = 1;

// Offsets in a record; numbers are little endian. The CRC covers everything after it up to the end of the payload.
pub(crate) const AT_SEQUENCE: usize = 4;
pub(crate) const AT_KIND: usize = 8;
pub(crate) const AT_FORMAT: usize = 9;
pub(crate) const AT_PAYLOAD_LEN: usize = 10;
pub(crate) const AT_PAYLOAD: usize = 12;

/// The properties shared by the records of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordSpec {
    /// The kind of record in flash, unlike erased (0xFF) and cleared (0x00) bytes.
    pub(crate) tag: u8,
    pub(crate) payload_bytes_max: usize,
}

impl RecordSpec {
    /// Specifies records of at most `payload_bytes_max`. A payload that does not fit a bank fails to compile in a
    /// `const`.
    pub(crate) const fn new(tag: u8, payload_bytes_max: usize) -> Self {
        let spec = Self { tag, payload_bytes_max };
        assert!(spec.room_bytes() <= RECORD_BYTES_MAX, "a record has at most RECORD_BYTES_MAX bytes");
        spec
    }

    /// The size of one record in bytes: header and payload, rounded up to whole words of every supported flash.
    pub(crate) const fn room_bytes(self) -> usize {
        (AT_PAYLOAD + self.payload_bytes_max).next_multiple_of(WORD_BYTES_MAX)
    }
}

/// Writes the header and padding around the payload; returns the length of the record without the padding.
pub(crate) fn emit(record: &mut [u8; RECORD_BYTES_MAX], spec: RecordSpec, sequence: u32, payload_len: usize) -> usize {
    let end = AT_PAYLOAD + payload_len;
    put(record, AT_SEQUENCE, &sequence.to_le_bytes());
    record[AT_KIND] = spec.tag;
    record[AT_FORMAT] = FORMAT;
    put(record, AT_PAYLOAD_LEN, &(payload_len as u16).to_le_bytes());
    let crc = crc32(&record[AT_SEQUENCE..end]);
    put(record, 0, &crc.to_le_bytes());
    end
}

pub(crate) fn parse(record: &[u8], spec: RecordSpec) -> Option<(u32, &[u8])> {
    if record[AT_KIND] != spec.tag || record[AT_FORMAT] != FORMAT {
        return None;
    }
    let payload_len = usize::from(u16_at(record, AT_PAYLOAD_LEN));
    if payload_len > spec.payload_bytes_max {
        return None;
    }
    let (_, covered) = record[..AT_PAYLOAD + payload_len].split_at(AT_SEQUENCE);
    let intact = u32_at(record, 0) == crc32(covered);
    intact.then(|| (u32_at(record, AT_SEQUENCE), &record[AT_PAYLOAD..AT_PAYLOAD + payload_len]))
}
