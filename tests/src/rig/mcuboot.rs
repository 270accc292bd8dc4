//! A device that MCUboot starts: swapping the images, or in place. The loader itself is never cut.

use std::cell::Cell;

use ota_pal::loaders::mcuboot::{Align, InPlace, Mark, Marks, Mode, Swap, Swapping};
use ota_pal::{BootControl, Geometry, Layout, LoaderBridge, RecordRegions, Region, SlotId, poll_ready};

use super::{Board, Rig, Turn, board, nor};
use crate::image::{BOARD, hardware};
use crate::mcuboot::{Booted, Mcuboot, image};
use crate::nor::{Nor, View};
use crate::rng::Rng;

const WORD: usize = 8;
const SECTOR: usize = 2_048;
const SLOT_SECTORS: usize = 6;
const RECORD_SECTORS: usize = 2;
const FACTORY_SECTOR: usize = 2 * SLOT_SECTORS + 3 * RECORD_SECTORS;
const SECTORS: usize = FACTORY_SECTOR + SLOT_SECTORS;

type Flash = View<WORD, SECTOR>;

/// Flash, slots and marks; the slot that was started.
struct Device {
    nor: Nor,
    slots: [Region; 2],
    mode: Mode,
    started: Cell<usize>,
    /// Whether the layout has a factory slot.
    factory: bool,
}

/// A device whose images are swapped.
pub struct McubootSwap(Device);

/// A device whose images run in place, the highest version of those that have a mark.
pub struct McubootInPlace(Device);

impl Device {
    fn new(mode: Mode) -> Self {
        let slot_bytes = (SLOT_SECTORS * SECTOR) as u32;
        let slots = [Region::new(0, slot_bytes), Region::new(slot_bytes, slot_bytes)];
        let nor = nor(WORD, SECTOR, SECTORS);
        nor.burn(0, &numbered(1));
        Self { nor, slots, mode, started: Cell::new(0), factory: false }
    }

    /// The same with image 1 in a factory slot.
    fn with_factory(self) -> Self {
        self.nor.burn((FACTORY_SECTOR * SECTOR) as u32, &numbered(1));
        Self { factory: true, ..self }
    }

    fn flash(&self) -> Flash {
        View(self.nor.clone())
    }

    fn marks(&self) -> Marks {
        Marks::new(self.mode, Align::EIGHT, Geometry::of(&self.flash()), self.slots).expect("room for trailers")
    }

    fn layout(&self) -> Layout {
        let records = |index: usize| {
            let first = 2 * SLOT_SECTORS + index * RECORD_SECTORS;
            Region::new((first * SECTOR) as u32, (RECORD_SECTORS * SECTOR) as u32)
        };
        let regions = RecordRegions { boot: records(0), journal: records(1), monotonic: records(2) };
        let slots = self.marks().image_regions(SECTOR as u32);
        let geometry = Geometry::of(&self.flash());
        let layout = Layout::new(geometry, &slots, regions).expect("a layout");
        let factory = Region::new((FACTORY_SECTOR * SECTOR) as u32, (SLOT_SECTORS * SECTOR) as u32);
        match self.factory {
            true => layout.with_factory(geometry, factory).expect("room for the factory's"),
            false => layout,
        }
    }

    fn mcuboot(&self) -> Mcuboot<WORD, SECTOR> {
        Mcuboot::new(&self.nor, self.slots)
    }

    fn board<B: BootControl>(&self, loader: B) -> Board<Flash, B> {
        board(self.flash(), self.layout(), hardware(BOARD), loader)
    }

    fn started(&self) -> SlotId {
        if self.started.get() == 0 { SlotId::A } else { SlotId::B }
    }

    fn keep(&self) {
        let kept = poll_ready(self.marks().confirm(&mut self.flash(), self.started()));
        kept.expect("nothing is cut").expect("the flag can be written");
    }

    fn running(&self, len_bytes: usize) -> Vec<u8> {
        self.nor.bytes(self.slots[self.started.get()].offset_bytes(), len_bytes as u32)
    }
}

fn numbered(number: u32) -> Vec<u8> {
    image(number as u16, 0, 6_000 + number as usize, &mut Rng::new(u64::from(number)))
}

impl McubootSwap {
    /// A device whose layout has a factory slot.
    pub fn with_factory() -> Self {
        Self(Self::new().0.with_factory())
    }
}

impl McubootInPlace {
    /// A device whose layout has a factory slot.
    pub fn with_factory() -> Self {
        Self(Self::new().0.with_factory())
    }
}

impl Rig for McubootSwap {
    type Board = Board<Flash, LoaderBridge<Swapping<true>>>;

    fn new() -> Self {
        Self(Device::new(Mode::Swap(Swap::Scratch)))
    }

    fn nor(&self) -> &Nor {
        &self.0.nor
    }

    fn reset(&self) -> Turn {
        if self.0.mcuboot().boot() == Booted::Stopped { Turn::Dead } else { Turn::Runs }
    }

    fn board(&self) -> Self::Board {
        let loader = Swapping::new(self.0.marks()).expect("it swaps");
        self.0.board(LoaderBridge::swapping(loader, &self.0.layout()))
    }

    fn image(number: u32) -> Vec<u8> {
        numbered(number)
    }

    fn boot_record(&self) -> Region {
        self.0.layout().boot_record()
    }

    fn keep(&self) {
        self.0.keep();
    }

    fn running(&self, len_bytes: usize) -> Vec<u8> {
        self.0.running(len_bytes)
    }
}

impl Rig for McubootInPlace {
    type Board = Board<Flash, LoaderBridge<InPlace<true>>>;

    fn new() -> Self {
        let device = Device::new(Mode::DirectXip);
        // A programmer writes what `imgtool --pad --confirm` makes: without a mark MCUboot starts nothing.
        let marked = poll_ready(device.marks().mark(&mut device.flash(), SlotId::A, Mark::Permanent));
        marked.expect("memory never waits").expect("a mark");
        Self(device)
    }

    fn nor(&self) -> &Nor {
        &self.0.nor
    }

    fn reset(&self) -> Turn {
        match self.0.mcuboot().boot_in_place() {
            None => Turn::Dead,
            Some(slot) => {
                self.0.started.set(slot);
                Turn::Runs
            }
        }
    }

    fn board(&self) -> Self::Board {
        let loader = InPlace::new(self.0.marks()).expect("in place");
        self.0.board(LoaderBridge::in_place(loader, &self.0.layout(), self.0.started()))
    }

    fn image(number: u32) -> Vec<u8> {
        numbered(number)
    }

    fn boot_record(&self) -> Region {
        self.0.layout().boot_record()
    }

    fn keep(&self) {
        self.0.keep();
    }

    fn running(&self, len_bytes: usize) -> Vec<u8> {
        self.0.running(len_bytes)
    }
}
