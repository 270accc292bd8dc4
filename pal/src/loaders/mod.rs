//! Foreign boot loaders: the bridge between the boot record and their state, and one adapter per loader, each behind a
//! feature of its own.

#[cfg(any(feature = "esp-idf", feature = "mcuboot"))]
mod agreed;
pub mod bridge;
#[cfg(feature = "embassy-boot")]
pub mod embassy_boot;
#[cfg(feature = "esp-idf")]
pub mod esp_idf;
#[cfg(feature = "mcuboot")]
pub mod mcuboot;
pub mod ready;
