//! The type of a file: which of the files of a document a device takes. AWS passes the number on and leaves its meaning to
//! devices. It only routes: what a device accepts is decided by the file's own header.

/// The type of firmware that runs from any slot. Source: the AWS OTA library, `configOTA_FIRMWARE_UPDATE_FILE_TYPE_ID`.
const FIRMWARE: u32 = 0;
/// The type of firmware linked for slot A; those for B, C and D follow. In hexadecimal they are 0xA to 0xD.
const LINKED_FIRST: u32 = 10;
/// The type of firmware linked for slot D.
const LINKED_LAST: u32 = 13;

/// The meaning of `fileType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// 0, or absent: firmware that runs from any slot.
    Firmware,
    /// 10 to 13: firmware linked for one slot.
    Linked {
        /// The number of the slot: 0 for A, up to 3 for D.
        slot: u8,
    },
    /// Any other number: not firmware.
    Other(u32),
}

impl FileType {
    /// Returns the type of a file with this `fileType`.
    pub fn new(number: Option<u32>) -> Self {
        match number.unwrap_or(FIRMWARE) {
            FIRMWARE => Self::Firmware,
            number @ LINKED_FIRST..=LINKED_LAST => Self::Linked { slot: (number - LINKED_FIRST) as u8 },
            number => Self::Other(number),
        }
    }

    /// The number on the wire.
    pub fn number(self) -> u32 {
        match self {
            Self::Firmware => FIRMWARE,
            Self::Linked { slot } => LINKED_FIRST + u32::from(slot),
            Self::Other(number) => number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_types_never_change() {
        let linked = |slot| FileType::Linked { slot };
        for (number, file_type) in [
            (0, FileType::Firmware),
            (1, FileType::Other(1)),
            (9, FileType::Other(9)),
            (0xA, linked(0)),
            (0xB, linked(1)),
            (0xC, linked(2)),
            (0xD, linked(3)),
            (0xE, FileType::Other(14)),
            (255, FileType::Other(255)),
        ] {
            assert_eq!((FileType::new(Some(number)), file_type.number()), (file_type, number));
        }
        assert_eq!(FileType::new(None), FileType::Firmware);
    }
}
