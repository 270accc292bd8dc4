//! MCUboot: its image trailer, its image format, and the marks that make it swap, stay or go back.
//!
//! * [`trailer`]: where the words of a trailer lie, what they say, what MCUboot does about them. Pure.
//! * [`marks`]: writes the marks over a [`Flash`](crate::Flash), so that a cut leaves nothing that MCUboot cannot read, but
//!   for error correction's sake: see docs/loaders.md.
//! * [`adapter`]: both behind the doors of [`foreign`](crate::foreign) and of images.
//! * [`image`]: its header; [`tlvs`]: digest, security counter and board.
//!
//! The boot loader itself is not here: MCUboot verifies, swaps and reverts. Erased flash reads 0xFF.

pub mod adapter;
pub mod image;
pub mod marks;
pub mod tlvs;
pub mod trailer;

pub use adapter::{InPlace, McubootImages, Swapping};
pub use image::{ImageError, ImageHeader, read_image_header};
pub use marks::{Mark, Marks, Mode, NextBoot, Standing};
pub use tlvs::{Tlvs, matches_digest, read_tlvs};
pub use trailer::{Align, Flag, Magic, Offsets, Swap, SwapType, Trailer, TrailerError};
