//! MCUboot: its image trailer, its image format, and the marks that make it swap, confirm or revert.
//!
//! * [`trailer`]: the offsets and values of a trailer's words, and MCUboot's reaction to them. Pure.
//! * [`marks`]: writes the marks over a [`Flash`](crate::Flash) such that a power cut leaves only trailers that MCUboot
//!   can read, except for effects of error correction: see docs/loaders.md.
//! * [`adapter`]: implementations of [`Loader`](crate::Loader) and of the image format.
//! * [`image`]: the image header; [`tlvs`]: digest, security counter and board.
//!
//! The boot loader itself is not here: MCUboot verifies, swaps and reverts. Erased flash reads 0xFF.

pub mod adapter;
pub mod image;
pub mod marks;
pub mod tlvs;
pub mod trailer;

pub use adapter::{InPlace, McubootImages, Swapping};
pub use image::{ImageError, ImageHeader, read_image_header};
pub use marks::{Mark, Marks, Mode, NextBoot, TrialState};
pub use tlvs::{Tlvs, matches_digest, read_tlvs};
pub use trailer::{Align, Flag, Magic, Offsets, Swap, SwapType, Trailer, TrailerError};
