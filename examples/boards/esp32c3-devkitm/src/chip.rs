//! What the chip has besides its flash and its radio: the watchdog, the reset, random numbers, and what the bootloader left.

use esp_bootloader_esp_idf::partitions;
use esp_hal::delay::Delay;
use esp_hal::peripherals::{ADC1, RNG, RTC_TIMER};
use esp_hal::rng::{Trng, TrngSource};
use esp_hal::rtc_cntl::{Rtc, RwdtStage};
use esp_hal::system::software_reset;
use esp_hal::time::Duration;
use esp_storage::FlashStorage;
use ota_pal::{Reset, Watchdog};

const WATCHDOG_PERIOD: Duration = Duration::from_secs(8);
/// Longer than the console takes for the last characters, at 115,200 bits a second.
const CONSOLE_MS: u32 = 50;

/// The watchdog of the real-time clock, which resets the chip; the bootloader then ends a trial.
pub struct Feeder(Rtc<'static>);

impl Feeder {
    /// Starts it: esp-hal stops that of the bootloader.
    pub fn start(clock: RTC_TIMER<'static>) -> Self {
        let mut clock = Rtc::new(clock);
        clock.rwdt.set_timeout(RwdtStage::Stage0, WATCHDOG_PERIOD);
        clock.rwdt.enable();
        Self(clock)
    }
}

impl Watchdog for Feeder {
    fn feed(&mut self) {
        self.0.rwdt.feed();
    }
}

/// The reset of the agent's platform.
pub struct Restart;

impl Reset for Restart {
    fn reset(&mut self) {
        software_reset()
    }
}

/// A seed of the hardware's generator, which is fed by the noise of the converter while the radio is off.
pub fn seed(generator: RNG<'_>, converter: ADC1<'_>) -> [u8; 32] {
    let _noise = TrngSource::new(generator, converter);
    let mut seed = [0; 32];
    Trng::try_new().expect("its source is on").read(&mut seed);
    seed
}

/// The offset of the partition that the bootloader mapped to the addresses of this program; `None` if the table has no such partition.
pub fn running_offset_bytes(flash: &mut FlashStorage<'_>) -> Option<u32> {
    let mut table = [0; partitions::PARTITION_TABLE_MAX_LEN];
    let table = partitions::read_partition_table(flash, &mut table).ok()?;
    Some(table.booted_partition().ok()??.offset())
}

/// Resets, once the last line of the console was sent.
pub fn stop() -> ! {
    Delay::new().delay_millis(CONSOLE_MS);
    software_reset()
}

/// A panic resets: the bootloader then ends a trial.
#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    log::error!("{info}");
    stop()
}
