//! A device that embassy-boot starts: the loader is its own crate, and the power can be cut in its swaps.

use embassy_boot::{BootLoader, BootLoaderConfig};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use ota_pal::loaders::embassy_boot::Partitions;
use ota_pal::{Flash as _, Geometry, Layout, LoaderBridge, RecordRegions, Region, RollbackCounters, poll_ready};

use super::{Board, Rig, Turn, board, nor};
use crate::image::{BOARD, Behaviour, hardware, header, image};
use crate::nor::{Nor, View};
use crate::rng::Rng;

const WORD: usize = 4;
const PAGE: usize = 256;
const ACTIVE_PAGES: u32 = 32;
const STATE_PAGES: u32 = 3;
const RECORD_PAGES: u32 = 6;

type Flash = View<WORD, PAGE>;

/// The device.
pub struct Embassy {
    nor: Nor,
    /// Active, DFU and state partition; then boot record, journal and monotonic record.
    parts: [Region; 6],
}

/// A partition as embassy-boot's boot loader takes it.
struct Part(Flash, Region);

impl ErrorType for Part {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Part {
    const READ_SIZE: usize = WORD;
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        done(poll_ready(self.0.read(self.1.offset_bytes() + offset, bytes)))
    }
    fn capacity(&self) -> usize {
        self.1.len_bytes() as usize
    }
}

impl NorFlash for Part {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;
    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let first = self.1.offset_bytes();
        done(poll_ready(self.0.erase(first + from, first + to)))
    }
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        done(poll_ready(self.0.write(self.1.offset_bytes() + offset, bytes)))
    }
}

/// An operation that the power was cut at ends the loader's run.
fn done(ended: Option<Result<(), NorFlashErrorKind>>) -> Result<(), NorFlashErrorKind> {
    ended.unwrap_or(Err(NorFlashErrorKind::Other))
}

impl Embassy {
    fn flash(&self) -> Flash {
        View(self.nor.clone())
    }

    fn partitions(&self) -> Partitions {
        let [active, dfu, state, ..] = self.parts;
        Partitions::new(Geometry::of(&self.flash()), active, dfu, state).expect("they suit embassy-boot")
    }
}

impl Rig for Embassy {
    type Board = Board<Flash, LoaderBridge<Partitions>>;

    fn new() -> Self {
        let pages = [ACTIVE_PAGES, ACTIVE_PAGES + 1, STATE_PAGES, RECORD_PAGES, RECORD_PAGES, RECORD_PAGES];
        let nor = nor(WORD, PAGE, pages.iter().sum::<u32>() as usize);
        let mut first = 0;
        let parts = pages.map(|pages| {
            first += pages;
            Region::new((first - pages) * PAGE as u32, pages * PAGE as u32)
        });
        nor.burn(0, &Self::image(1));
        Self { nor, parts }
    }

    fn nor(&self) -> &Nor {
        &self.nor
    }

    fn reset(&self) -> Turn {
        self.nor.power_on();
        let [active, dfu, state, ..] = self.parts.map(|region| Part(self.flash(), region));
        let mut page = [0; PAGE];
        let prepared = BootLoader::new(BootLoaderConfig { active, dfu, state }).prepare_boot(&mut page);
        if prepared.is_ok() { Turn::Runs } else { Turn::Cut }
    }

    fn board(&self) -> Self::Board {
        let [_, _, _, boot, journal, monotonic] = self.parts;
        let geometry = Geometry::of(&self.flash());
        let partitions = self.partitions();
        let slots = [partitions.running(), partitions.receiving()];
        let layout = Layout::new(geometry, &slots, RecordRegions { journal, boot, monotonic }).expect("a layout");
        board(self.flash(), layout, hardware(BOARD), LoaderBridge::swapping(partitions, &layout))
    }

    fn image(number: u32) -> Vec<u8> {
        let header = header(number, 6_000 + number, Behaviour::Passes, RollbackCounters::default());
        image(&header, &mut Rng::new(u64::from(number)))
    }

    fn boot_record(&self) -> Region {
        self.parts[3]
    }

    fn keep(&self) {
        let kept = poll_ready(self.partitions().mark_booted(&mut self.flash()));
        kept.expect("nothing is cut").expect("the state can be written");
    }

    fn running(&self, len_bytes: usize) -> Vec<u8> {
        self.nor.bytes(0, len_bytes as u32)
    }
}
