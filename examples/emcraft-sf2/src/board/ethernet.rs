//! The driver of embassy-net: the controller EMAC, which reads and writes frames in memory, beside the processor as another thread
//! would. Its interrupt reports received frames. A frame that is sent is waited for before the next one.

use core::cell::Cell;
use core::ptr::from_ref;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Waker};

use critical_section::Mutex;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};

use super::interrupts::{ETHERNET, enable};
use super::registers::emac;

/// The longest frame without its checksum.
const FRAME_BYTES: usize = 1514;
const FRAME_WORDS: usize = FRAME_BYTES.div_ceil(4);
/// Frames that wait to be read; the controller drops the next one.
const RECEIVED_FRAMES: usize = 32;
/// A locally administered address, as QEMU gives its first controller.
const ADDRESS: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

const RX_AND_TX_ON: u32 = 1 << 2 | 1;
const DMA_ON: u32 = 1;
/// Of the status of received frames: decrements their number, and clears the overflow.
const ONE_READ: u32 = 1;
const OVERFLOW: u32 = 1 << 2;
/// Interrupts by received frames, and by the overflow.
const RECEIVED_OR_OVERFLOW: u32 = 1 << 4 | 1 << 6;
/// Of a length: the frame was read, or sent.
const EMPTY: u32 = 1 << 31;
const LEN_MASK: u32 = 0x7FF;

type Frame = [AtomicU32; FRAME_WORDS];

/// A descriptor of the controller: where a frame is, its length, and the descriptor that follows.
#[repr(C)]
struct Descriptor {
    frame: AtomicU32,
    len: AtomicU32,
    next: AtomicU32,
}

impl Descriptor {
    const fn new() -> Self {
        Self { frame: AtomicU32::new(0), len: AtomicU32::new(EMPTY), next: AtomicU32::new(0) }
    }

    fn connect(&self, frame: &'static Frame, next: &'static Self) {
        self.frame.store(address(frame), Ordering::Relaxed);
        self.next.store(address(next), Ordering::Relaxed);
        self.len.store(EMPTY, Ordering::Release);
    }

    fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) & EMPTY != 0
    }
}

static RECEIVED: [Frame; RECEIVED_FRAMES] = [const { [const { AtomicU32::new(0) }; FRAME_WORDS] }; RECEIVED_FRAMES];
static RECEIVE: [Descriptor; RECEIVED_FRAMES] = [const { Descriptor::new() }; RECEIVED_FRAMES];
static SENT: Frame = [const { AtomicU32::new(0) }; FRAME_WORDS];
/// Followed by itself: the controller stops at a descriptor that is empty.
static SEND: Descriptor = Descriptor::new();
static WAKER: Mutex<Cell<Option<Waker>>> = Mutex::new(Cell::new(None));

/// An address for the controller.
fn address<T>(of: &'static T) -> u32 {
    from_ref(of) as u32
}

/// The controller. There is one: [`Ethernet::start`].
pub struct Ethernet {
    /// The descriptor of the frame to be read next.
    next: usize,
    received: [u8; FRAME_WORDS * 4],
}

impl Ethernet {
    /// Starts the controller. To be called once.
    pub fn start() -> Self {
        for (index, (descriptor, frame)) in RECEIVE.iter().zip(&RECEIVED).enumerate() {
            descriptor.connect(frame, &RECEIVE[(index + 1) % RECEIVED_FRAMES]);
        }
        SEND.connect(&SENT, &SEND);
        let [a, b, c, d, e, f] = ADDRESS;
        emac::STATION_ADDRESS1.write(u32::from_be_bytes([a, b, c, d]));
        emac::STATION_ADDRESS2.write(u32::from_be_bytes([e, f, 0, 0]));
        emac::CFG1.write(RX_AND_TX_ON);
        emac::DMA_TX_DESC.write(address(&SEND));
        let ethernet = Self { next: 0, received: [0; _] };
        ethernet.receive_on();
        enable(ETHERNET, on_received);
        ethernet
    }

    /// Receives to the descriptor that is read next.
    fn receive_on(&self) {
        emac::DMA_RX_DESC.write(address(&RECEIVE[self.next]));
        emac::DMA_RX_STATUS.write(OVERFLOW);
        emac::DMA_RX_CTRL.write(DMA_ON);
    }

    /// Copies the next frame, and returns its length.
    fn read(&mut self) -> Option<usize> {
        let descriptor = &RECEIVE[self.next];
        if descriptor.is_empty() {
            return None;
        }
        let len = ((descriptor.len.load(Ordering::Relaxed) & LEN_MASK) as usize).min(FRAME_BYTES);
        let words = RECEIVED[self.next].iter().take(len.div_ceil(4));
        for (bytes, word) in self.received.as_chunks_mut().0.iter_mut().zip(words) {
            *bytes = word.load(Ordering::Relaxed).to_le_bytes();
        }
        descriptor.len.store(EMPTY, Ordering::Release);
        emac::DMA_RX_STATUS.write(ONE_READ);
        self.next = (self.next + 1) % RECEIVED_FRAMES;
        Some(len)
    }
}

/// The interrupt: off until the frames are read.
fn on_received() {
    emac::DMA_IRQ_MASK.write(0);
    if let Some(waker) = critical_section::with(|section| WAKER.borrow(section).take()) {
        waker.wake();
    }
}

impl Driver for Ethernet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sent;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Received<'_>, Sent)> {
        if let Some(len) = self.read() {
            return Some((Received(&mut self.received[..len]), Sent));
        }
        if emac::DMA_RX_CTRL.read() & DMA_ON == 0 {
            self.receive_on(); // after an overflow
        }
        critical_section::with(|section| WAKER.borrow(section).set(Some(context.waker().clone())));
        // Raised at once if a frame arrived in between.
        emac::DMA_IRQ_MASK.write(RECEIVED_OR_OVERFLOW);
        None
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
        capabilities.max_burst_size = Some(RECEIVED_FRAMES);
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

/// A frame to send.
pub struct Sent;

impl TxToken for Sent {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = [0; FRAME_WORDS * 4];
        let result = fill(&mut frame[..len]);
        while !SEND.is_empty() {} // the frame before: at most 0.13 ms at 100 Mbit/s
        for (word, bytes) in SENT.iter().zip(frame.as_chunks().0).take(len.div_ceil(4)) {
            word.store(u32::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        SEND.len.store(len as u32, Ordering::Release);
        emac::DMA_TX_CTRL.write(DMA_ON);
        result
    }
}
