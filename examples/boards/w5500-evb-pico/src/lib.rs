//! The W5500-EVB-Pico of WIZnet: an RP2040 with 2 MiB of flash, and the Ethernet controller W5500 at its SPI.
#![no_std]
#![deny(missing_docs)]

use embassy_executor::Spawner;
use embassy_rp::bind_interrupts;
use embassy_rp::clocks::RoscRng;
use embassy_rp::dma::InterruptHandler;
use embassy_rp::flash::{self, Flash};
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, FLASH, WATCHDOG};
use embassy_rp::spi::{self, Spi};
use embassy_rp::watchdog::Watchdog;
use embassy_time::{Delay, Duration};
use embedded_hal_bus::spi::ExclusiveDevice;
use ota_boot::ResetCause;
use ota_cortex_m::executor;
use ota_pal::{Geometry, RecordRegions, Region};
use sha2::{Digest, Sha256};
use support::{Feeder, Place, wiznet};

const FLASH_BYTES: usize = 2 << 20;
const PLACE: Place = Place {
    base: 0x1000_0000,
    layout: support::layout(
        Geometry { word_bytes: 1, erase_bytes: 4096, capacity_bytes: FLASH_BYTES as u32 },
        RecordRegions {
            boot: Region::new(0x1_0000, 0x2000),
            journal: Region::new(0x1_2000, 0x2000),
            monotonic: Region::new(0x1_4000, 0x2000),
        },
        [Region::new(0x2_0000, 0xA_0000), Region::new(0xC_0000, 0xA_0000)],
        Some(Region::new(0x16_0000, 0xA_0000)),
    ),
    settings: Region::new(0x1_6000, 0x1000),
};
const _: () = support::check_links(&PLACE, env!("LINKED_SLOT_A"), env!("LINKED_SLOT_B"));
/// The longest that the watchdog of an RP2040 can wait is 8.3 s.
const WATCHDOG_PERIOD: Duration = Duration::from_secs(8);
/// The highest frequency of the reference clock: of the crystal after a reset of the processor, of the ring oscillator otherwise. If it
/// is lower, the watchdog waits longer.
const REFERENCE_MHZ: u8 = 12;
/// In a scratch register of the watchdog while the power is on: a reset of the processor, which resets nothing else here, changes
/// neither it nor the chip's reason of the last reset.
const POWERED: u32 = 0x9CA1_F00D;
/// Bits of the ring oscillator for each bit of the seed: they are neither independent nor even.
const OVERSAMPLING: usize = 16;

bind_interrupts!(struct Interrupts {
    DMA_IRQ_0 => InterruptHandler<DMA_CH0>, InterruptHandler<DMA_CH1>;
});

/// The watchdog, which runs, as its feeder.
fn feeder(mut watchdog: Watchdog) -> impl ota_pal::Watchdog {
    Feeder(move || watchdog.feed(WATCHDOG_PERIOD))
}

/// The boot selector.
pub fn select() -> ! {
    // SAFETY: nothing else uses these peripherals while this program runs.
    let (watchdog, flash) = unsafe { (WATCHDOG::steal(), FLASH::steal()) };
    let mut watchdog = Watchdog::new(watchdog);
    let cause = if watchdog.get_scratch(0) == POWERED { ResetCause::Other } else { ResetCause::PowerLoss };
    watchdog.set_scratch(0, POWERED);
    watchdog.enable_tick_generation(REFERENCE_MHZ);
    watchdog.start(WATCHDOG_PERIOD);
    let flash = Flash::<_, flash::Blocking, FLASH_BYTES>::new_blocking(flash);
    // SAFETY: this program enables no interrupt.
    unsafe { support::select(flash, &PLACE, feeder(watchdog), cause) }
}

/// The firmware.
pub fn run() -> ! {
    support::start_console();
    executor::run(|spawner: Spawner| spawner.spawn(firmware().expect("spawned once")))
}

#[embassy_executor::task]
async fn firmware() {
    let board = embassy_rp::init(Default::default());
    let mut flash = Flash::<_, flash::Blocking, FLASH_BYTES>::new_blocking(board.FLASH);
    let mut unique = [0; 8];
    flash.blocking_unique_id(&mut unique).expect("a command that every such flash answers");

    let mut config = spi::Config::default();
    config.frequency = 50_000_000;
    let (clock, out, input) = (board.PIN_18, board.PIN_19, board.PIN_16);
    let spi = Spi::new(board.SPI0, clock, out, input, board.DMA_CH0, board.DMA_CH1, Interrupts, config);
    let Ok(spi) = ExclusiveDevice::new(spi, Output::new(board.PIN_17, Level::High), Delay);
    let (interrupt, reset) = (Input::new(board.PIN_21, Pull::Up), Output::new(board.PIN_20, Level::High));
    let ethernet = wiznet::start(support::address(&unique), spi, interrupt, reset).await;

    let watchdog = feeder(Watchdog::new(board.WATCHDOG));
    support::run(ethernet, flash, watchdog, &PLACE, seed(), &ota_firmware::build!("w5500-evb-pico")).await
}

/// The hash of many bits of the ring oscillator.
fn seed() -> [u8; 32] {
    let mut bits = [0; 32 * OVERSAMPLING];
    RoscRng.fill_bytes(&mut bits);
    Sha256::digest(bits).into()
}
