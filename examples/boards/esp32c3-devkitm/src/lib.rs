//! The ESP32-C3-DevKitM-1 of Espressif: an ESP32-C3, a RISC-V, with 4 MiB of flash and Wi-Fi. ESP-IDF's second stage bootloader starts
//! the firmware.
#![no_std]
#![deny(missing_docs)]

mod chip;
mod stack;
mod wifi;

use core::convert::Infallible;

use embassy_futures::select::{Either3, select3};
use embassy_net::StackResources;
use esp_bootloader_esp_idf::{ESP_IDF_COMPATIBLE_VERSION, MMU_PAGE_SIZE, esp_app_desc};
use esp_hal::clock::CpuClock;
use esp_hal::peripherals::WIFI;
use esp_hal::ram;
use esp_hal::timer::timg::TimerGroup;
use esp_radio::wifi::Interface;
use esp_storage::FlashStorage;
use ota_firmware::Board;
use ota_firmware::settings::{self, Settings};
use ota_pal::loaders::esp_idf::{EspIdf, OtaData, Slots};
use ota_pal::loaders::ready::Ready;
use ota_pal::{Blocking, Geometry, Layout, LoaderBridge, RecordRegions};
use static_cell::{ConstStaticCell, StaticCell};

/// The partitions, of `partitions.csv`.
mod partition {
    use ota_pal::Region;

    include!(concat!(env!("OUT_DIR"), "/partitions.rs"));
}

const GEOMETRY: Geometry = Geometry { word_bytes: 4, erase_bytes: 0x1000, capacity_bytes: 4 << 20 };
const RECORDS: RecordRegions =
    RecordRegions { boot: partition::BOOT, journal: partition::JOURNAL, monotonic: partition::MONOTONIC };
const LAYOUT: Layout = match Layout::new(GEOMETRY, &[partition::OTA_0, partition::OTA_1], RECORDS) {
    Ok(layout) => layout,
    Err(_) => panic!("the layout does not suit the flash"),
};
const OTADATA: OtaData = match OtaData::new::<Blocking<FlashStorage<'_>>>(partition::OTADATA, Slots::TWO, false) {
    Ok(otadata) => otadata,
    Err(_) => panic!("otadata does not suit the flash"),
};
/// DHCP, DNS, and the two connections.
const SOCKETS: usize = 4;
/// The heap is for the driver of the radio only. Unit: bytes. The first part is RAM that the bootloader used.
const HEAP_BYTES: [usize; 2] = [64 << 10, 32 << 10];

// Time and date of the build are left out: a build of the same source is the same.
esp_app_desc!(
    ota_firmware::version!(),
    env!("CARGO_PKG_NAME"),
    "-",
    "-",
    ESP_IDF_COMPATIBLE_VERSION,
    MMU_PAGE_SIZE,
    0,
    u16::MAX,
    0
);

/// The firmware. Resets if it cannot run.
pub async fn run() -> ! {
    stack::paint();
    let board = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let watchdog = chip::Feeder::start(board.RTC_TIMER);
    esp_println::logger::init_logger(log::LevelFilter::Info);
    esp_alloc::heap_allocator!(#[ram(reclaimed)] size: HEAP_BYTES[0]);
    esp_alloc::heap_allocator!(size: HEAP_BYTES[1]);
    esp_rtos::start(TimerGroup::new(board.TIMG0).timer0, board.FROM_CPU_INTR0);
    let seed = chip::seed(board.RNG, board.ADC1);
    let Err(why) = operate(board.WIFI, FlashStorage::new(board.FLASH), watchdog, seed).await;
    log::error!("stopped: {why}");
    chip::stop()
}

/// Runs the application over the wireless network. Panics if it is called again.
///
/// # Errors
/// Why it cannot run.
async fn operate(
    radio: WIFI<'static>,
    mut flash: FlashStorage<'static>,
    watchdog: chip::Feeder,
    seed: [u8; 32],
) -> Result<Infallible, &'static str> {
    static LINES: ConstStaticCell<[u8; settings::BYTES_MAX]> = ConstStaticCell::new([0; settings::BYTES_MAX]);
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let running = chip::running_offset_bytes(&mut flash).and_then(|offset_bytes| LAYOUT.slot_at(offset_bytes));
    let running = running.ok_or("not started from a slot")?;
    let mut flash = Blocking(flash);
    let settings = Settings::read(&mut flash, partition::SETTINGS, LINES.take()).ok_or("no settings in the flash")?;
    let radio = wifi::start(radio, &settings)?;

    let [a, b, c, d, e, f, g, h, ..] = seed;
    let port_seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let config = embassy_net::Config::dhcpv4(Default::default());
    let resources = RESOURCES.init(StackResources::new());
    let (stack, mut network) = embassy_net::new(Interface::station(), config, resources, port_seed);

    let loader = EspIdf::new(OTADATA, &LAYOUT).map_err(|_| "the layout does not suit otadata")?;
    let boot = Ready(LoaderBridge::in_place(loader, &LAYOUT, running));
    let board = Board {
        flash,
        reset: chip::Restart,
        watchdog,
        stack,
        layout: LAYOUT,
        settings: partition::SETTINGS,
        running,
        seed,
        deepest_stack_bytes: stack::deepest_bytes,
    };
    // The chip's name is the hardware id of ESP-IDF's images.
    let build = ota_firmware::build!("esp32c3");
    let application = ota_firmware::run_with(board, boot, &build);
    match select3(network.run(), wifi::stay_connected(radio), application).await {
        Either3::Third(Err(why)) => Err(why),
        _ => Err("the application ended"),
    }
}
