//! Serializes a message of `ota-jobs` into a buffer that grows as needed.

use bytes::Bytes;
use ota_jobs::EmitError;

use crate::limits::MQTT_PACKET_BYTES_MAX;

/// Initial buffer size; it doubles until the message fits. Unit: bytes.
const BUFFER_BYTES: usize = 4096;

/// Serializes a message; it may be as long as one packet.
///
/// Errors: `BufferTooSmall` if the message does not fit into a packet.
pub fn emit_to_bytes(emit: impl Fn(&mut [u8]) -> Result<usize, EmitError>) -> Result<Bytes, EmitError> {
    let packet_bytes = MQTT_PACKET_BYTES_MAX as usize;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match emit(&mut buffer) {
            Ok(len) => {
                buffer.truncate(len);
                return Ok(Bytes::from(buffer));
            }
            Err(EmitError::BufferTooSmall { .. }) if buffer.len() < packet_bytes => {
                buffer = vec![0; packet_bytes.min(buffer.len() * 2)];
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_into_no_packet_is_not_written() {
        let emit = |len: usize| {
            move |out: &mut [u8]| match out.get(..len) {
                Some(_) => Ok(len),
                None => Err(EmitError::BufferTooSmall { have: out.len() }),
            }
        };
        let max = MQTT_PACKET_BYTES_MAX as usize;
        assert_eq!(emit_to_bytes(emit(max)).unwrap().len(), max);
        assert!(emit_to_bytes(emit(max + 1)).is_err());
    }
}
