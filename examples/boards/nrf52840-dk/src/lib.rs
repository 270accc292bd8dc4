//! The nRF52840-DK of Nordic: an nRF52840 with 1 MiB of flash, and the Ethernet controller W5500 of a module at its SPI.
#![no_std]
#![deny(missing_docs)]

use embassy_executor::Spawner;
use embassy_nrf::gpio::{Input, Level, Output, OutputDrive, Pull};
use embassy_nrf::nvmc::Nvmc;
use embassy_nrf::peripherals::{NVMC, SPI2, WDT};
use embassy_nrf::rng::Rng;
use embassy_nrf::spim::{self, Spim};
use embassy_nrf::{bind_interrupts, pac, wdt};
use embassy_time::Delay;
use embedded_hal_bus::spi::ExclusiveDevice;
use ota_boot::ResetCause;
use ota_cortex_m::executor;
use ota_pal::{Geometry, RecordRegions, Region, Watchdog};
use support::{Feeder, Place, wiznet};

const PAGE: u32 = 0x1000;
const PLACE: Place = Place {
    base: 0,
    layout: support::layout(
        Geometry { word_bytes: 4, erase_bytes: PAGE, capacity_bytes: 1 << 20 },
        RecordRegions {
            boot: Region::new(0x8000, 2 * PAGE),
            journal: Region::new(0xA000, 2 * PAGE),
            monotonic: Region::new(0xC000, 2 * PAGE),
        },
        [Region::new(0x1_0000, 0x7_8000), Region::new(0x8_8000, 0x7_8000)],
        None,
    ),
    settings: Region::new(0xE000, PAGE),
};
const _: () = support::check_links(&PLACE, env!("LINKED_SLOT_A"), env!("LINKED_SLOT_B"));
/// In periods of the clock of 32,768 Hz.
const WATCHDOG_TICKS: u32 = 8 * 32_768;

bind_interrupts!(struct Interrupts {
    SPI2 => spim::InterruptHandler<SPI2>;
});

/// Starts the watchdog, or takes over the one that runs. Panics if that has other settings: then the boot selector is another one.
fn watchdog() -> impl Watchdog {
    let mut config = wdt::Config::default();
    config.timeout_ticks = WATCHDOG_TICKS;
    // SAFETY: the boot selector and the firmware have one each.
    let watchdog = wdt::Watchdog::try_new(unsafe { WDT::steal() }, config);
    let Ok((_, [mut handle])) = watchdog else { panic!("the watchdog runs with other settings") };
    Feeder(move || handle.pet())
}

/// The boot selector.
pub fn select() -> ! {
    let causes = pac::POWER.resetreas().read();
    // Each flag is cleared by writing it as it was read; none is set after the power was off.
    pac::POWER.resetreas().write_value(causes);
    let cause = if causes.0 == 0 { ResetCause::PowerLoss } else { ResetCause::Other };
    // SAFETY: nothing else uses the flash while this program runs, and it enables no interrupt.
    unsafe { support::select(Nvmc::new(NVMC::steal()), &PLACE, watchdog(), cause) }
}

/// The firmware.
pub fn run() -> ! {
    support::start_console();
    executor::run(|spawner: Spawner| spawner.spawn(firmware().expect("spawned once")))
}

#[embassy_executor::task]
async fn firmware() {
    let board = embassy_nrf::init(Default::default());
    let mut seed = [0; 32];
    let mut random = Rng::new_blocking(board.RNG);
    random.set_bias_correction(true);
    random.blocking_fill_bytes(&mut seed);

    let mut config = spim::Config::default();
    // SPIM3, which is faster, may corrupt what it sends (nRF52840, anomaly 198).
    config.frequency = spim::Frequency::M8;
    let spi = Spim::new(board.SPI2, Interrupts, board.P1_15, board.P1_14, board.P1_13, config);
    let Ok(spi) = ExclusiveDevice::new(spi, Output::new(board.P1_12, Level::High, OutputDrive::HighDrive), Delay);
    let interrupt = Input::new(board.P1_10, Pull::Up);
    let reset = Output::new(board.P1_11, Level::High, OutputDrive::Standard);
    let unique = [0, 1].map(|half| pac::FICR.deviceid(half).read().to_le_bytes());
    let ethernet = wiznet::start(support::address(unique.as_flattened()), spi, interrupt, reset).await;

    let flash = Nvmc::new(board.NVMC);
    support::run(ethernet, flash, watchdog(), &PLACE, seed, &ota_firmware::build!("nrf52840-dk")).await
}
