//! CRC-32 as zlib and Ethernet compute it (reflected 0xEDB88320). Bit by bit: a record has some 200 bytes, a table costs 1 KiB.

const POLYNOMIAL_REFLECTED: u32 = 0xEDB8_8320;

/// The CRC-32 of `bytes`.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc32_from(u32::MAX, bytes)
}

/// The same polynomial with another first value of the register: ESP-IDF starts from zero.
pub(crate) fn crc32_from(register: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(register, |register, byte| {
        (0..8).fold(register ^ u32::from(*byte), |register, _| {
            let carry = register & 1 != 0;
            (register >> 1) ^ if carry { POLYNOMIAL_REFLECTED } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        // CRC-32/ISO-HDLC in the RevEng catalogue.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
