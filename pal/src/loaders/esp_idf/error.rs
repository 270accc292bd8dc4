//! The errors of operations on `otadata`, with their numbers in ESP-IDF.

use crate::fault::Fault;
use crate::print::print_by_name;

/// Why an operation on `otadata` failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtaDataError {
    /// A flash operation failed.
    Fault(Fault),
    /// The region is not two whole sectors of 0x1000 bytes, or the sectors of the flash have another size.
    NotTwoSectors {
        /// Start of the region.
        offset_bytes: u32,
        /// Its length.
        len_bytes: u32,
        /// The flash's sector.
        erase_bytes: u32,
    },
    /// The partition overlaps the layout of slots and records.
    Overlap {
        /// Start of the region.
        offset_bytes: u32,
    },
    /// The layout has more slots than the partition table, or only one of them has a factory slot.
    SlotsDiffer {
        /// Slots of the layout.
        got: usize,
        /// Slots of the partition table.
        slots: u8,
    },
    /// The partition table has no such slot.
    NoSuchSlot {
        /// The slot named.
        got: u8,
        /// The number of slots; they are counted from 0.
        slots: u8,
    },
    /// The slot holds the program that is running.
    SlotRuns {
        /// The slot named.
        slot: u8,
    },
    /// The running image is on trial.
    TrialRuns {
        /// Its slot.
        slot: u8,
    },
    /// There is no other entry and no factory application to revert to.
    NothingToGoBackTo {
        /// The running slot.
        slot: u8,
    },
    /// The partition table has no factory application.
    NoFactory,
    /// No sequence number is left above this one.
    SequencesUsedUp {
        /// The number of the other entry.
        above: u32,
    },
}

print_by_name!(OtaDataError);

impl From<Fault> for OtaDataError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl OtaDataError {
    /// Returns the number that ESP-IDF returns in the same case: `esp_err.h`, `esp_ota_ops.h`.
    #[must_use]
    pub const fn esp_err(&self) -> i32 {
        match self {
            Self::Fault(_) => 0x6001,            // ESP_ERR_FLASH_OP_FAIL
            Self::NotTwoSectors { .. } => 0x104, // ESP_ERR_INVALID_SIZE
            Self::Overlap { .. } | Self::SlotsDiffer { .. } | Self::NoSuchSlot { .. } => 0x102, // ESP_ERR_INVALID_ARG
            Self::NoFactory => 0x105,            // ESP_ERR_NOT_FOUND
            Self::SlotRuns { .. } => 0x1501,     // ESP_ERR_OTA_PARTITION_CONFLICT
            Self::SequencesUsedUp { .. } => 0x1502, // ESP_ERR_OTA_SELECT_INFO_INVALID
            Self::NothingToGoBackTo { .. } => 0x1505, // ESP_ERR_OTA_ROLLBACK_FAILED
            Self::TrialRuns { .. } => 0x1506,    // ESP_ERR_OTA_ROLLBACK_INVALID_STATE
        }
    }
}

impl From<OtaDataError> for Fault {
    fn from(error: OtaDataError) -> Self {
        match error {
            OtaDataError::Fault(fault) => fault,
            refused => Self::LoaderRefused { code: refused.esp_err() },
        }
    }
}
