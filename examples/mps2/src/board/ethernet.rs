//! The driver of embassy-net: the controller LAN9118, whose FIFOs are read and written word by word. Its interrupt reports received
//! frames; sending is complete at once.

use core::cell::Cell;
use core::task::{Context, Waker};

use critical_section::Mutex;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};

use super::interrupts::{ETHERNET, enable};
use super::registers::lan9118 as lan;

/// The longest frame without its checksum.
const FRAME_BYTES: usize = 1514;
/// Room for it in whole words.
const BUFFER_BYTES: usize = FRAME_BYTES.next_multiple_of(4);
const CHECKSUM_BYTES: usize = 4;
/// Frames for the receive FIFO of 10,560 bytes: the controller drops those that it has no room for.
const RECEIVE_BURST: usize = 6;
/// A locally administered address, as QEMU gives its first controller.
const ADDRESS: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

const SOFT_RESET: u32 = 1;
/// 5 KiB for frames to send, and the bit that must be one.
const FIFO_SIZES: u32 = 5 << 16 | 1 << 20;
const IRQ_ENABLE: u32 = 1 << 8 | 1 << 4 | 1;
const RECEIVED: u32 = 1 << 3;
const TX_ON: u32 = 1 << 1;
const MAC_CR: u32 = 1;
const MAC_ADDRH: u32 = 2;
const MAC_ADDRL: u32 = 3;
const MAC_BUSY: u32 = 1 << 31;
const MAC_ON: u32 = 1 << 20 | 1 << 3 | 1 << 2;
const FIRST_AND_LAST_SEGMENT: u32 = 1 << 13 | 1 << 12;

static WAKER: Mutex<Cell<Option<Waker>>> = Mutex::new(Cell::new(None));

/// The controller. There is one: [`Ethernet::start`].
pub struct Ethernet {
    received: [u8; BUFFER_BYTES],
}

impl Ethernet {
    /// Starts the controller. To be called once.
    pub fn start() -> Self {
        lan::HW_CFG.write(SOFT_RESET);
        while lan::HW_CFG.read() & SOFT_RESET != 0 {}
        lan::HW_CFG.write(FIFO_SIZES);
        let [a, b, c, d, e, f] = ADDRESS;
        mac(MAC_ADDRL, u32::from_le_bytes([a, b, c, d]));
        mac(MAC_ADDRH, u32::from_le_bytes([e, f, 0, 0]));
        mac(MAC_CR, MAC_ON);
        lan::TX_CFG.write(TX_ON);
        lan::FIFO_INT.write(0); // one frame is enough for an interrupt
        lan::INT_STS.write(u32::MAX);
        lan::IRQ_CFG.write(IRQ_ENABLE);
        enable(ETHERNET, on_received);
        Self { received: [0; BUFFER_BYTES] }
    }
}

/// Sets a register of the MAC.
fn mac(register: u32, value: u32) {
    lan::MAC_CSR_DATA.write(value);
    lan::MAC_CSR_CMD.write(MAC_BUSY | register);
    while lan::MAC_CSR_CMD.read() & MAC_BUSY != 0 {}
}

/// The interrupt: off until the frames are read.
fn on_received() {
    lan::INT_EN.write(0);
    if let Some(waker) = critical_section::with(|section| WAKER.borrow(section).take()) {
        waker.wake();
    }
}

impl Driver for Ethernet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sent;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Received<'_>, Sent)> {
        // Before it is known whether there is a frame: one that arrives from here on raises the interrupt.
        lan::INT_STS.write(RECEIVED);
        if lan::RX_FIFO_INF.read() >> 16 & 0xFF == 0 {
            critical_section::with(|section| WAKER.borrow(section).set(Some(context.waker().clone())));
            lan::INT_EN.write(RECEIVED);
            return None;
        }
        let len = (lan::RX_STATUS.read() >> 16 & 0x3FFF) as usize;
        let mut room = self.received.as_chunks_mut().0.iter_mut();
        for _ in 0..len.div_ceil(4) {
            let word = lan::RX_DATA.read();
            if let Some(bytes) = room.next() {
                *bytes = word.to_le_bytes();
            }
        }
        let len = len.saturating_sub(CHECKSUM_BYTES).min(FRAME_BYTES);
        Some((Received(&mut self.received[..len]), Sent))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Sent> {
        Some(Sent)
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up // a cable that is cut is noticed by the silence
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_BYTES;
        capabilities.max_burst_size = Some(RECEIVE_BURST);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(ADDRESS)
    }
}

/// A received frame.
pub struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// A frame to send: the controller has always room, because it sends at once.
pub struct Sent;

impl TxToken for Sent {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = [0; BUFFER_BYTES];
        let result = fill(&mut frame[..len]);
        lan::TX_DATA.write(FIRST_AND_LAST_SEGMENT | len as u32);
        lan::TX_DATA.write(len as u32);
        for word in &frame.as_chunks().0[..len.div_ceil(4)] {
            lan::TX_DATA.write(u32::from_le_bytes(*word));
        }
        // Reports of earlier frames, or their FIFO overflows.
        while lan::TX_FIFO_INF.read() >> 16 & 0xFF != 0 {
            lan::TX_STATUS.read();
        }
        result
    }
}
