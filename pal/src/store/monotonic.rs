//! The counters that only increase: security counter and key epoch. They have a record of their own, which no reset
//! erases, not even a factory reset.

use crate::bytes::{put, u32_at};
use crate::fault::Fault;
use crate::store::record_format::RecordSpec;

pub(crate) const PAYLOAD_BYTES: usize = 9;
pub(crate) const RECORDS: RecordSpec = RecordSpec::new(0x4D, PAYLOAD_BYTES);

const FORMAT: u8 = 1;

/// The lowest accepted counters of an image and of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollbackCounters {
    /// Images with a lower security counter are neither received nor started.
    pub security_counter: u32,
    /// Keys issued in an earlier epoch are revoked.
    pub key_epoch: u32,
}

impl RollbackCounters {
    /// Returns the higher value of each counter.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            security_counter: self.security_counter.max(other.security_counter),
            key_epoch: self.key_epoch.max(other.key_epoch),
        }
    }
}

/// Returns the bytes of a monotonic record.
pub(crate) fn emit(floor: RollbackCounters) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [FORMAT; PAYLOAD_BYTES];
    put(&mut payload, 1, &floor.security_counter.to_le_bytes());
    put(&mut payload, 5, &floor.key_epoch.to_le_bytes());
    payload
}

/// Parses a monotonic record of `len` bytes.
pub(crate) fn parse(payload: &[u8; PAYLOAD_BYTES], len: usize) -> Result<RollbackCounters, Fault> {
    match len {
        PAYLOAD_BYTES if payload[0] == FORMAT => {
            Ok(RollbackCounters { security_counter: u32_at(payload, 1), key_epoch: u32_at(payload, 5) })
        }
        _ => Err(Fault::MonotonicRecordInvalid { format: payload[0] }),
    }
}
