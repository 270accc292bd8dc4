//! Firmware without its board: what is the same on every microcontroller.
#![no_std]
#![forbid(unsafe_code)]

pub mod tls;
