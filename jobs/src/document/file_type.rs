//! The type of a file: which of the files of a document a device takes. AWS passes the number on and leaves its meaning to
//! devices. It only routes: what a device accepts is decided by the file's own header.

/// The type of firmware that runs from any slot. Source: the AWS OTA library, `configOTA_FIRMWARE_UPDATE_FILE_TYPE_ID`.
const FIRMWARE: u32 = 0;
/// The type of firmware linked for slot A; those for B, C and D follow. In hexadecimal they are 0xA to 0xD.
const LINKED_FIRST: u32 = 10;
/// The type of firmware linked for slot D.
const LINKED_LAST: u32 = 13;
/// Added to each of these for system firmware. In hexadecimal they are 0x10 and 0x1A to 0x1D.
const SYSTEM: u32 = 16;

/// The meaning of `fileType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// Firmware: of the app, or of a device that has only one kind, or of the system below it.
    Firmware {
        /// Whether it is the system's.
        system: bool,
        /// The number of the slot that it is linked for, 0 for A, up to 3 for D; `None` if it runs from any.
        slot: Option<u8>,
    },
    /// Any other number: not firmware.
    Other(u32),
}

impl FileType {
    /// Returns the type of a file with this `fileType`; an absent one is 0.
    pub fn new(number: Option<u32>) -> Self {
        let number = number.unwrap_or(FIRMWARE);
        let system = number & SYSTEM != 0;
        match number & !SYSTEM {
            FIRMWARE => Self::Firmware { system, slot: None },
            linked @ LINKED_FIRST..=LINKED_LAST => Self::Firmware { system, slot: Some((linked - LINKED_FIRST) as u8) },
            _ => Self::Other(number),
        }
    }

    /// The number on the wire.
    pub fn number(self) -> u32 {
        match self {
            Self::Firmware { system, slot } => {
                slot.map_or(FIRMWARE, |slot| LINKED_FIRST + u32::from(slot)) + if system { SYSTEM } else { 0 }
            }
            Self::Other(number) => number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_types_never_change() {
        let app = |slot| FileType::Firmware { system: false, slot };
        let system = |slot| FileType::Firmware { system: true, slot };
        for (number, file_type) in [
            (0, app(None)),
            (1, FileType::Other(1)),
            (9, FileType::Other(9)),
            (0xA, app(Some(0))),
            (0xB, app(Some(1))),
            (0xC, app(Some(2))),
            (0xD, app(Some(3))),
            (0xE, FileType::Other(14)),
            (0x10, system(None)),
            (0x11, FileType::Other(17)),
            (0x19, FileType::Other(25)),
            (0x1A, system(Some(0))),
            (0x1D, system(Some(3))),
            (0x1E, FileType::Other(30)),
            (0x20, FileType::Other(32)),
            (0x30, FileType::Other(48)),
            (255, FileType::Other(255)),
        ] {
            assert_eq!((FileType::new(Some(number)), file_type.number()), (file_type, number));
        }
        assert_eq!(FileType::new(None), app(None));
    }
}
