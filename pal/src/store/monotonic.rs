//! What is only ever raised: the security counter and the key epoch. A record of its own, which no reset erases, a factory
//! reset included.

use crate::bytes::{put, u32_at};
use crate::fault::Fault;
use crate::store::record_format::RecordSpec;

pub(crate) const PAYLOAD_BYTES: usize = 9;
pub(crate) const RECORDS: RecordSpec = RecordSpec::new(0x4D, PAYLOAD_BYTES);

const FORMAT: u8 = 1;

/// The least that an image, and a key, must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollbackCounters {
    /// No image with a lower security counter is received, or started.
    pub security_counter: u32,
    /// No key that was issued in an earlier epoch is believed.
    pub key_epoch: u32,
}

impl RollbackCounters {
    /// The higher of both, one by one.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            security_counter: self.security_counter.max(other.security_counter),
            key_epoch: self.key_epoch.max(other.key_epoch),
        }
    }
}

/// The bytes of a monotonic record.
pub(crate) fn emit(floor: RollbackCounters) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [FORMAT; PAYLOAD_BYTES];
    put(&mut payload, 1, &floor.security_counter.to_le_bytes());
    put(&mut payload, 5, &floor.key_epoch.to_le_bytes());
    payload
}

/// Reads a monotonic record of `len` bytes.
pub(crate) fn parse(payload: &[u8; PAYLOAD_BYTES], len: usize) -> Result<RollbackCounters, Fault> {
    match len {
        PAYLOAD_BYTES if payload[0] == FORMAT => {
            Ok(RollbackCounters { security_counter: u32_at(payload, 1), key_epoch: u32_at(payload, 5) })
        }
        _ => Err(Fault::MonotonicRecordInvalid { format: payload[0] }),
    }
}
