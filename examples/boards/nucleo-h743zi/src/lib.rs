//! The NUCLEO-H743ZI2 of ST: an STM32H743 with 2 MiB of flash in two banks of 128 KiB sectors, and Ethernet.
#![no_std]
#![deny(missing_docs)]

mod flash;

use embassy_executor::Spawner;
use embassy_stm32::eth::{self, Ethernet, PacketQueue};
use embassy_stm32::peripherals::{FLASH, IWDG1, RNG};
use embassy_stm32::rcc::{AHBPrescaler, APBPrescaler, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale};
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Config, bind_interrupts, pac, uid};
use ota_boot::ResetCause;
use ota_cortex_m::executor;
use ota_pal::{Geometry, RecordRegions, Region, Watchdog};
use static_cell::StaticCell;
use support::{Feeder, Place};

const SECTOR: u32 = 0x2_0000;
/// Each bank has a slot: interrupts are served while a sector of the other one is erased. Tasks are not, for up to four seconds: the
/// driver waits.
const PLACE: Place = Place {
    base: 0x0800_0000,
    layout: support::layout(
        Geometry { word_bytes: 32, erase_bytes: SECTOR, capacity_bytes: 16 * SECTOR },
        RecordRegions {
            boot: Region::new(SECTOR, 2 * SECTOR),
            journal: Region::new(8 * SECTOR, 2 * SECTOR),
            monotonic: Region::new(10 * SECTOR, 2 * SECTOR),
        },
        [Region::new(4 * SECTOR, 4 * SECTOR), Region::new(12 * SECTOR, 4 * SECTOR)],
        None,
    ),
    settings: Region::new(3 * SECTOR, SECTOR),
};
const _: () = support::check_links(&PLACE, env!("LINKED_SLOT_A"), env!("LINKED_SLOT_B"));
/// Longer than the erase of a sector takes, in which nothing feeds.
const WATCHDOG_PERIOD_US: u32 = 10_000_000;
/// Frames that wait in each direction.
const FRAMES: usize = 4;

bind_interrupts!(struct Interrupts {
    ETH => eth::InterruptHandler;
    RNG => rng::InterruptHandler<RNG>;
});

/// Starts the watchdog, or takes over the one that runs.
fn watchdog() -> impl Watchdog {
    // SAFETY: the boot selector and the firmware have one each.
    let mut watchdog = IndependentWatchdog::new(unsafe { IWDG1::steal() }, WATCHDOG_PERIOD_US);
    watchdog.unleash();
    Feeder(move || watchdog.pet())
}

/// The boot selector.
pub fn select() -> ! {
    let was_off = pac::RCC.rsr().read().porrstf();
    pac::RCC.rsr().modify(|flags| flags.set_rmvf(true));
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
    static QUEUE: StaticCell<PacketQueue<FRAMES, FRAMES>> = StaticCell::new();
    let board = embassy_stm32::init(clocks());
    let mut seed = [0; 32];
    Rng::new(board.RNG, Interrupts).fill_bytes(&mut seed);
    let ethernet = Ethernet::new(
        QUEUE.init(PacketQueue::new()),
        board.ETH,
        Interrupts,
        board.PA1,
        board.PA7,
        board.PC4,
        board.PC5,
        board.PG13,
        board.PB13,
        board.PG11,
        support::address(&uid::uid()),
        board.ETH_SMA,
        board.PA2,
        board.PC1,
    );
    let network = (ethernet, core::future::pending::<()>());
    let build = ota_firmware::build!("nucleo-h743zi");
    support::run(network, flash::open(board.FLASH), watchdog(), &PLACE, seed, &build).await
}

/// 400 MHz from the internal oscillator.
fn clocks() -> Config {
    let mut config = Config::default();
    let rcc = &mut config.rcc;
    rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL50,
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    rcc.sys = Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV2;
    (rcc.apb1_pre, rcc.apb2_pre) = (APBPrescaler::DIV2, APBPrescaler::DIV2);
    (rcc.apb3_pre, rcc.apb4_pre) = (APBPrescaler::DIV2, APBPrescaler::DIV2);
    rcc.voltage_scale = VoltageScale::Scale1;
    config
}
