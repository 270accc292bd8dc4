//! A device that ESP-IDF's bootloader starts: slots and otadata in one NOR flash, the bootloader's steps carried out on it,
//! so that the power can be cut in them too; and images that it verifies as it does, by checksum and digest.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

use ota_pal::loaders::esp_idf::{EspIdf, OtaData, Slots};
use ota_pal::{
    Flash, Geometry, HardwareId, Layout, Loader as _, LoaderBridge, RecordRegions, Region, SlotId, poll_ready,
};
use sha2::{Digest as _, Sha256};

use super::{Board, Rig, Turn, board, nor};
use crate::esp_bootloader::{self, Entry, Start, Step, Table, VALID};
use crate::nor::{Nor, PlainView};
use crate::rng::Rng;

const SECTOR_BYTES: u32 = 4_096;
const SLOT_SECTORS: u32 = 2;
const OTADATA: Region = Region::new(SECTOR_BYTES, 2 * SECTOR_BYTES);
const FIRST_SLOT: u32 = 9;
/// The digest of the running image is behind its last segment. Source: esp_app_format.h.
const DIGEST_BYTES: usize = 32;
const CHECKSUM_SEED: u8 = 0xEF;

/// The device. The factory partition, if any, contains image 1; otherwise the first slot does.
pub struct Esp {
    nor: Nor,
    table: Table,
    started: Cell<SlotId>,
    /// What the bootloader started, boot by boot, and the state of the entry by which it did.
    pub starts: RefCell<Vec<(Start, Option<u32>)>>,
}

impl Esp {
    /// The device of this partition table.
    pub fn with(table: Table) -> Self {
        let sectors = FIRST_SLOT + (table.slots + 1) * SLOT_SECTORS;
        let nor = nor(4, SECTOR_BYTES as usize, sectors as usize);
        let first = if table.factory { SlotId::FACTORY } else { SlotId::A };
        let device = Self { nor, table, started: Cell::new(first), starts: RefCell::default() };
        device.nor.burn(device.layout().slot(first).offset_bytes(), &image(1));
        if !table.factory {
            device.nor.burn(OTADATA.offset_bytes(), &Entry::new(1, VALID).0);
        }
        device
    }

    /// A copy of the device, with the same history of boots.
    pub fn copy(&self) -> Self {
        Self { nor: self.nor.copy(), table: self.table, started: self.started.clone(), starts: RefCell::default() }
    }

    /// The layout.
    pub fn layout(&self) -> Layout {
        let region = |first: u32, sectors: u32| Region::new(first * SECTOR_BYTES, sectors * SECTOR_BYTES);
        let slot = |index: u32| region(FIRST_SLOT + index * SLOT_SECTORS, SLOT_SECTORS);
        let geometry = Geometry::of(&self.view());
        let records = RecordRegions { boot: region(3, 2), journal: region(5, 2), monotonic: region(7, 2) };
        let slots: Vec<Region> = (0..self.table.slots).map(slot).collect();
        let layout = Layout::new(geometry, &slots, records).expect("a layout");
        match self.table.factory {
            true => layout.with_factory(geometry, slot(self.table.slots)).expect("room for the factory's"),
            false => layout,
        }
    }

    /// The slot that was started.
    pub fn started(&self) -> SlotId {
        self.started.get()
    }

    /// The contents of otadata as the bootloader reads them: the part has no error correction.
    pub fn otadata(&self) -> Vec<u8> {
        let mut bytes = vec![0; OTADATA.len_bytes() as usize];
        let read = poll_ready(self.view().read(OTADATA.offset_bytes(), &mut bytes)).expect("reading never waits");
        if read.is_err() {
            bytes = self.nor.bytes(OTADATA.offset_bytes(), OTADATA.len_bytes());
        }
        bytes
    }

    /// Writes these entries to otadata, as another program would have left them.
    pub fn put(&self, entries: [Option<Entry>; 2]) {
        for (sector, entry) in entries.into_iter().enumerate() {
            let at = OTADATA.offset_bytes() + sector as u32 * SECTOR_BYTES;
            self.nor.burn(at, &entry.map_or([0xFF; esp_bootloader::ENTRY_BYTES], |entry| entry.0));
        }
    }

    fn view(&self) -> PlainView {
        crate::nor::View(self.nor.clone())
    }

    fn loader(&self) -> EspIdf {
        let slots = Slots::new(self.table.slots as u8).expect("a few");
        let otadata = OtaData::new::<PlainView>(OTADATA, slots, self.table.factory).expect("two sectors");
        EspIdf::new(otadata, &self.layout()).expect("beside the slots")
    }

    fn verifies(&self, partition: Start) -> bool {
        let slot = match partition {
            Start::Factory => SlotId::FACTORY,
            Start::Ota(slot) => SlotId::from_number(slot as u8).expect("a slot of the table"),
            Start::Nothing => return false,
        };
        let region = self.layout().slot(slot);
        is_image(&self.nor.bytes(region.offset_bytes(), region.len_bytes()))
    }

    /// Carries out a step of the bootloader on the flash and on its copy of it; returns whether the power is still on.
    fn does(&self, otadata: &mut [u8], step: Step) -> bool {
        let at = |sector: usize| OTADATA.offset_bytes() + sector as u32 * SECTOR_BYTES;
        let done = match step {
            Step::Erase { sector } => poll_ready(self.view().erase(at(sector), at(sector) + SECTOR_BYTES)),
            Step::Write { sector, entry } => poll_ready(self.view().write(at(sector), &entry.0)),
        };
        done == Some(Ok(())) && esp_bootloader::whole(otadata, step)
    }
}

impl Rig for Esp {
    type Board = Board<PlainView, LoaderBridge<EspIdf>>;

    fn new() -> Self {
        Self::with(Table { slots: 2, factory: false })
    }

    fn nor(&self) -> &Nor {
        &self.nor
    }

    fn reset(&self) -> Turn {
        self.nor.power_on();
        let mut otadata = self.otadata();
        let verifies = |partition| self.verifies(partition);
        let does = |otadata: &mut [u8], step| self.does(otadata, step);
        let started = match esp_bootloader::boot(self.table, &mut otadata, verifies, does) {
            None => return Turn::Cut,
            Some(started) => started,
        };
        let entries = [0, 1].map(|sector| Entry::of(&otadata, sector));
        let state = esp_bootloader::active(&entries).map(|sector| entries[sector].state());
        self.starts.borrow_mut().push((started, state));
        match started {
            Start::Nothing => return Turn::Dead,
            Start::Factory => self.started.set(SlotId::FACTORY),
            Start::Ota(slot) => self.started.set(SlotId::from_number(slot as u8).expect("a slot of the table")),
        }
        Turn::Runs
    }

    fn board(&self) -> Self::Board {
        let (layout, chip) = (self.layout(), HardwareId::new("esp32c3").expect("a name"));
        board(self.view(), layout, chip, LoaderBridge::in_place(self.loader(), &layout, self.started.get()))
    }

    fn image(number: u32) -> Vec<u8> {
        image(number)
    }

    fn boot_record(&self) -> Region {
        self.layout().boot_record()
    }

    fn keep(&self) {
        let kept = poll_ready(self.loader().keep(&mut self.view(), self.started.get()));
        kept.expect("nothing is cut").expect("the entry can be written");
    }

    fn running(&self, len_bytes: usize) -> Vec<u8> {
        self.nor.bytes(self.layout().slot(self.started.get()).offset_bytes(), len_bytes as u32)
    }
}

/// An application image for the ESP32-C3: an application descriptor and noise, and a second segment. Source:
/// esp_app_format.h, esp_app_desc.h. There are eight of them.
pub fn image(number: u32) -> Vec<u8> {
    static MADE: [OnceLock<Vec<u8>>; 8] = [const { OnceLock::new() }; 8];
    MADE[number as usize].get_or_init(|| made(number)).clone()
}

fn made(number: u32) -> Vec<u8> {
    let mut rng = Rng::new(u64::from(number));
    let mut data = vec![0; 256];
    data[..4].copy_from_slice(&0xABCD_5432_u32.to_le_bytes());
    let version = format!("1.0.{number}");
    data[16..16 + version.len()].copy_from_slice(version.as_bytes());
    data[48..54].copy_from_slice(b"blinky");
    data.extend(rng.bytes(4_800 + 16 * number as usize));
    let mut bytes = vec![0xE9, 2];
    bytes.resize(24, 0);
    bytes[12] = 5; // ESP32-C3
    bytes[23] = 1; // a digest is appended
    let mut checksum = CHECKSUM_SEED;
    for (address, segment) in [(0x3C00_0020_u32, data), (0x4038_0000, rng.bytes(100))] {
        bytes.extend(address.to_le_bytes());
        bytes.extend((segment.len() as u32).to_le_bytes());
        checksum = segment.iter().fold(checksum, |sum, byte| sum ^ byte);
        bytes.extend(segment);
    }
    bytes.resize((bytes.len() + 1).next_multiple_of(16) - 1, 0);
    bytes.push(checksum);
    bytes.extend(Sha256::digest(&bytes));
    bytes
}

/// Whether a partition holds an image that the bootloader starts: its segments, their checksum and the digest. Source:
/// esp_image_format.c.
pub fn is_image(partition: &[u8]) -> bool {
    let walk = || {
        let mut at = 24;
        let mut checksum = CHECKSUM_SEED;
        for _ in 0..*partition.get(1)? {
            let len = u32::from_le_bytes(partition.get(at + 4..at + 8)?.try_into().ok()?) as usize;
            let segment = partition.get(at + 8..)?.get(..len)?;
            checksum = segment.iter().fold(checksum, |sum, byte| sum ^ byte);
            at += 8 + len;
        }
        let end = (at + 1).next_multiple_of(16);
        let digest = partition.get(end..end + DIGEST_BYTES)?;
        let is_whole = partition[end - 1] == checksum && digest == Sha256::digest(&partition[..end]).as_slice();
        (partition[0] == 0xE9 && is_whole).then_some(())
    };
    walk().is_some()
}
