//! Boot loaders other than ours: the bridge between our boot record and their state, and one adapter for each loader, behind
//! a feature of its own.

pub mod bridge;
#[cfg(feature = "embassy-boot")]
pub mod embassy_boot;
#[cfg(feature = "esp-idf")]
pub mod esp_idf;
#[cfg(feature = "mcuboot")]
pub mod mcuboot;
