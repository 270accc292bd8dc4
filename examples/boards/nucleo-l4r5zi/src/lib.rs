//! The NUCLEO-L4R5ZI of ST: an STM32L4R5 with 2 MiB of flash in two banks of 4 KiB pages, and the Ethernet controller W5500 of a module
//! at its SPI.
#![no_std]
#![deny(missing_docs)]

mod flash;

use embassy_executor::Spawner;
use embassy_stm32::exti::{self, ExtiInput};
use embassy_stm32::gpio::{Level, Output, Pull, Speed};
use embassy_stm32::peripherals::{DMA1_CH1, DMA1_CH2, FLASH, IWDG, RNG};
use embassy_stm32::rcc::{Pll, PllMul, PllPreDiv, PllRDiv, PllSource, Sysclk};
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::spi::{self, Spi};
use embassy_stm32::time::Hertz;
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Config, bind_interrupts, dma, interrupt, pac, uid};
use embassy_time::Delay;
use embedded_hal_bus::spi::ExclusiveDevice;
use ota_boot::ResetCause;
use ota_cortex_m::executor;
use ota_pal::{Geometry, RecordRegions, Region, Watchdog};
use support::{Feeder, Place, wiznet};

const PAGE: u32 = 0x1000;
/// Each bank has a slot: interrupts are served while a page of the other one is erased.
const PLACE: Place = Place {
    base: 0x0800_0000,
    layout: support::layout(
        Geometry { word_bytes: 8, erase_bytes: PAGE, capacity_bytes: 2 << 20 },
        RecordRegions {
            boot: Region::new(0x1_0000, 2 * PAGE),
            journal: Region::new(0x1_2000, 2 * PAGE),
            monotonic: Region::new(0x1_4000, 2 * PAGE),
        },
        [Region::new(0x2_0000, 0x8_0000), Region::new(0x10_0000, 0x8_0000)],
        None,
    ),
    settings: Region::new(0x1_6000, PAGE),
};
const _: () = support::check_links(&PLACE, env!("LINKED_SLOT_A"), env!("LINKED_SLOT_B"));
const WATCHDOG_PERIOD_US: u32 = 8_000_000;

bind_interrupts!(struct Interrupts {
    DMA1_CHANNEL1 => dma::InterruptHandler<DMA1_CH1>;
    DMA1_CHANNEL2 => dma::InterruptHandler<DMA1_CH2>;
    EXTI15_10 => exti::InterruptHandler<interrupt::typelevel::EXTI15_10>;
    RNG => rng::InterruptHandler<RNG>;
});

/// Starts the watchdog, or takes over the one that runs.
fn watchdog() -> impl Watchdog {
    // SAFETY: the boot selector and the firmware have one each.
    let mut watchdog = IndependentWatchdog::new(unsafe { IWDG::steal() }, WATCHDOG_PERIOD_US);
    watchdog.unleash();
    Feeder(move || watchdog.pet())
}

/// The boot selector.
pub fn select() -> ! {
    let was_off = pac::RCC.csr().read().borrstf();
    pac::RCC.csr().modify(|flags| flags.set_rmvf(true));
    let cause = if was_off { ResetCause::PowerLoss } else { ResetCause::Other };
    // SAFETY: nothing else uses the flash while this program runs, and it enables no interrupt.
    unsafe { support::select(flash::open(FLASH::steal()), &PLACE, watchdog(), cause) }
}

/// The firmware.
pub fn run() -> ! {
    support::start_console();
    executor::run(|spawner: Spawner| spawner.spawn(firmware().expect("spawned once")))
}

#[embassy_executor::task]
async fn firmware() {
    let board = embassy_stm32::init(clocks());
    let mut seed = [0; 32];
    Rng::new(board.RNG, Interrupts).fill_bytes(&mut seed);

    let mut config = spi::Config::default();
    config.frequency = Hertz(20_000_000);
    let (clock, out, input) = (board.PA5, board.PA7, board.PA6);
    let spi = Spi::new(board.SPI1, clock, out, input, board.DMA1_CH1, board.DMA1_CH2, Interrupts, config);
    let Ok(spi) = ExclusiveDevice::new(spi, Output::new(board.PD14, Level::High, Speed::VeryHigh), Delay);
    let interrupt = ExtiInput::new(board.PF12, board.EXTI12, Pull::Up, Interrupts);
    let reset = Output::new(board.PD15, Level::High, Speed::Low);
    let ethernet = wiznet::start(support::address(&uid::uid()), spi, interrupt, reset).await;

    support::run(ethernet, flash::open(board.FLASH), watchdog(), &PLACE, seed, &ota_firmware::build!("nucleo-l4r5zi"))
        .await
}

/// 80 MHz from the internal oscillator.
fn clocks() -> Config {
    let mut config = Config::default();
    config.rcc.hsi = true;
    config.rcc.pll = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV1,
        mul: PllMul::MUL10,
        divp: None,
        divq: None,
        divr: Some(PllRDiv::DIV2),
    });
    config.rcc.sys = Sysclk::PLL1_R;
    config
}
