//! Whole updates through the platform with embassy-boot's own boot loader behind it: blocks in any order, then tried, kept,
//! rolled back or given up. Cuts of its marks and swaps are in `embassy_boot`.

use embassy_boot::{BootLoader, BootLoaderConfig};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use ota_pal::embassy_boot::Partitions;
use ota_pal::foreign::REASON_LOADER_WENT_BACK;
use ota_pal::{
    Component, Config, Flash as _, Floor, Foreign, Geometry, ImageState, Layout, Native, NoWatchdog, Platform,
    RecordRegions, Refusal, Region, Signature, SignatureKind, SlotId, Trial, VersionRule, now,
};
use ota_tests::device::Button;
use ota_tests::dice::Dice;
use ota_tests::image::{BOARD, Behaviour, hardware, header, image};
use ota_tests::nor::{CHIPS, Chip, Nor, View};
use ota_tests::verifier::{Signer, WorldVerifier};

const WORD: usize = 4;
const PAGE: usize = 256;
const ACTIVE_PAGES: u32 = 14;
const STATE_PAGES: u32 = 1;
const RECORD_PAGES: u32 = 6;
const BLOCK_BYTES: usize = 512;
const BOOTS_MAX: usize = 12;

type Flash = View<WORD, PAGE>;
type Board = Native<Flash, WorldVerifier, Button, NoWatchdog, Foreign<Partitions>>;

/// A partition as embassy-boot's boot loader takes it.
struct Part(Flash, Region);

impl ErrorType for Part {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Part {
    const READ_SIZE: usize = WORD;
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        now(self.0.read(self.1.offset_bytes() + offset, bytes)).expect("memory never waits")
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
        now(self.0.erase(first + from, first + to)).expect("memory never waits")
    }
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        now(self.0.write(self.1.offset_bytes() + offset, bytes)).expect("memory never waits")
    }
}

/// Regions one after the other.
fn regions<const N: usize>(pages: [u32; N]) -> [Region; N] {
    let mut first = 0;
    pages.map(|pages| {
        let region = Region::new(first * PAGE as u32, pages * PAGE as u32);
        first += pages;
        region
    })
}

struct Device {
    nor: Nor,
    parts: [Region; 6],
    old: Vec<u8>,
    new: Vec<u8>,
    behaviour: Behaviour,
}

impl Device {
    fn new(behaviour: Behaviour) -> Self {
        let pages = [ACTIVE_PAGES, ACTIVE_PAGES + 1, STATE_PAGES, RECORD_PAGES, RECORD_PAGES, RECORD_PAGES];
        let fits = |chip: &Chip| (chip.word_bytes, chip.sector_bytes) == (WORD, PAGE);
        let chip = CHIPS.into_iter().find(fits).expect("a chip of these units");
        let nor = Nor::new(chip, pages.iter().sum::<u32>() as usize);
        let mut dice = Dice::new(1);
        let [old, new] = [(1, 2_000), (2, 3_001)]
            .map(|(patch, image_bytes)| image(&header(patch, image_bytes, behaviour, Floor::default()), &mut dice));
        nor.burn(0, &old);
        Self { nor, parts: regions(pages), old, new, behaviour }
    }

    fn flash(&self) -> Flash {
        View(self.nor.clone())
    }

    fn board(&self) -> Board {
        let [active, dfu, state, boot, journal, monotonic] = self.parts;
        let geometry = Geometry::of(&self.flash());
        let partitions = Partitions::new(geometry, active, dfu, state).expect("they suit embassy-boot");
        let slots = [partitions.running(), partitions.receiving()];
        let layout = Layout::new(geometry, &slots, RecordRegions { journal, boot, monotonic }).expect("a layout");
        let config = Config {
            layout,
            hardware: hardware(BOARD),
            component: Component::App,
            version_rule: VersionRule::Newer,
            security_counter_min: 0,
            key_epoch: 0,
            trial_attempts: 3,
        };
        let loader = Foreign::swapping(partitions, &layout);
        let verifier = Signer::new("release", false).verifier();
        Native::new(self.flash(), verifier, Button, NoWatchdog, config, loader).expect("the layout fits")
    }

    fn reset(&self) {
        let [active, dfu, state, ..] = self.parts.map(|region| Part(self.flash(), region));
        let mut page = [0; PAGE];
        BootLoader::new(BootLoaderConfig { active, dfu, state }).prepare_boot(&mut page).expect("nothing is cut");
    }

    fn runs(&self, image: &[u8]) -> bool {
        self.nor.bytes(0, image.len() as u32) == image
    }

    /// One boot; `Ok` with the reason of a failure, or none, once the update has come to its end.
    fn boot(&self) -> Option<Option<u16>> {
        self.reset();
        if self.runs(&self.new) && self.behaviour == Behaviour::Hangs {
            return None;
        }
        now(self.program(&mut self.board())).expect("memory never waits")
    }

    async fn program(&self, board: &mut Board) -> Option<Option<u16>> {
        let state = board.boot_state().await.expect("it can be read");
        match (state.image_state(), state.trial) {
            (ImageState::OnTrial, _) if self.behaviour == Behaviour::Fails => {
                board.roll_back(7).await.expect("it is on trial");
                None
            }
            (ImageState::OnTrial, _) => {
                board.confirm().await.expect("it is on trial");
                Some(None)
            }
            (ImageState::Confirmed, Trial::Ended { reason, .. }) => Some(Some(reason)),
            (ImageState::Confirmed, Trial::None) => {
                self.update(board).await.expect("a good image");
                None
            }
            _ => None,
        }
    }

    /// The last block first: embassy-boot's own writer could not do that.
    async fn update(&self, board: &mut Board) -> Result<(), Refusal> {
        let image_bytes = self.new.len() as u32;
        let begun = board.begin(image_bytes, 0).await?;
        for (index, block) in self.new.chunks(BLOCK_BYTES).enumerate().rev() {
            board.write((index * BLOCK_BYTES) as u32, block).await?;
        }
        let der = Signer::new("release", false).sign(&self.new);
        let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
        let digest = board.seal(Some(&signature), "job-7").await?;
        assert_eq!(begun.slot, SlotId::B);
        board.activate(begun.slot, &digest, image_bytes).await
    }
}

#[test]
fn an_update_of_embassy_boot_is_kept_rolled_back_or_given_up() {
    for (behaviour, expected) in
        [(Behaviour::Passes, None), (Behaviour::Fails, Some(7)), (Behaviour::Hangs, Some(REASON_LOADER_WENT_BACK))]
    {
        let device = Device::new(behaviour);
        let reported = (0..BOOTS_MAX).find_map(|_| device.boot()).expect("an update comes to an end");
        assert_eq!(reported, expected, "{behaviour:?}");
        let kept = if reported.is_none() { &device.new } else { &device.old };
        for _ in 0..3 {
            assert!(device.runs(kept), "{behaviour:?}");
            device.reset();
        }
    }
}
