//! CRC-32 as in zlib and Ethernet, without a lookup table: a record has about 200 bytes, and a table costs 1 KiB.

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

const CRC_32: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// Returns the CRC-32 of `bytes`.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    CRC_32.checksum(bytes)
}

/// Returns the CRC-32 of `bytes` with an initial register value of zero, as ESP-IDF computes it.
#[cfg(feature = "esp-idf")]
pub(crate) fn crc32_from_zero(bytes: &[u8]) -> u32 {
    let mut digest = CRC_32.digest_with_initial(0);
    digest.update(bytes);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        // Source: CRC-32/ISO-HDLC in the RevEng catalogue.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
