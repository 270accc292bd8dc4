//! The SPI controller, with the flash as its only device. The controller selects the device for a number of frames, which is set
//! before the first one.

use super::registers::spi;

const ENABLE: u32 = 1;
const MASTER: u32 = 1 << 1;
/// Bits 23..8 are the number of frames.
const FRAMES_SHIFT: u32 = 8;
/// Selects the device until the last frame, not for each one.
const SELECT_ALL_FRAMES: u32 = 1 << 26;
const FRAME_BITS: u32 = 8;
const FIRST_DEVICE: u32 = 1;
const RX_EMPTY: u32 = 1 << 6;
/// The most bytes of one command, with its answer.
pub const TRANSFER_BYTES_MAX: usize = 0xFFFF;

/// Starts the controller.
pub fn start() {
    spi::CONTROL.write(MASTER); // off: the size of a frame is fixed while it is on
    spi::DFSIZE.write(FRAME_BITS);
    spi::SLAVE_SELECT.write(FIRST_DEVICE);
}

/// Sends a command with its data, then receives the answer: [`TRANSFER_BYTES_MAX`] at most.
pub fn transfer(command: &[u8], data: &[u8], answer: &mut [u8]) {
    let frames = (command.len() + data.len() + answer.len()) as u32;
    debug_assert!(frames as usize <= TRANSFER_BYTES_MAX);
    spi::CONTROL.write(MASTER | SELECT_ALL_FRAMES | frames << FRAMES_SHIFT | ENABLE);
    for byte in command.iter().chain(data) {
        exchange(*byte);
    }
    for byte in answer {
        *byte = exchange(0);
    }
    spi::CONTROL.write(MASTER);
}

/// Sends a byte, and returns the one that arrives with it.
fn exchange(byte: u8) -> u8 {
    spi::TX_DATA.write(byte.into());
    while spi::STATUS.read() & RX_EMPTY != 0 {}
    spi::RX_DATA.read() as u8
}
