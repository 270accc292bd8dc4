//! Images in files of littlefs2: power cuts at every operation of the part under the file system, and of the part where
//! images run, during an import, an update, a copy and a verdict. A sample runs by default, `CUTS=all` all of it.
//!
//! The part is one without error correction: littlefs appends to what a cut left, and verifies afterwards. Words that read
//! differently each time, or not at all, are outside its specification and are not tried.
#![cfg(feature = "littlefs")]

use std::future::pending;

use embedded_storage::nor_flash::NorFlashErrorKind;
use littlefs2::consts::{U1, U256};
use littlefs2::driver::Storage;
use littlefs2::fs::Filesystem;
use littlefs2::io::{Error, Result as FileResult};
use ota_boot::{Boot, BootReason, ResetCause, VerifyLevel, boot_staged};
use ota_pal::TRIAL_ATTEMPTS_DEFAULT;
use ota_pal::platform::conformance::check;
use ota_pal::{
    BootRecord, BootRecords, Component, ConcatFlash, FileSlots, Flash, Geometry, ImageManagement, ImageStatus, Layout,
    Native, NoWatchdog, OwnSelector, RecordRegions, Region, Reset, RollbackCounters, Signature, SignatureKind, SlotId,
    Trial, VersionRule, poll_ready,
};
use ota_tests::image::{BOARD, Behaviour, hardware, header, image};
use ota_tests::nor::{CutEffect, FlashFault, Nor, PLAIN, PlainView, PlannedFault, View};
use ota_tests::rng::Rng;
use ota_tests::test_board::{STORE_SLOT_BYTES, staged};
use ota_tests::verifier::Signer;

const SECTOR: u32 = PLAIN.sector_bytes as u32;
/// Records and the execution region: the front of the part represents the controller's flash.
const RECORDS: u32 = 6 * SECTOR;
const EXECUTING: Region = Region::new(RECORDS, 3 * SECTOR);
const FRONT: u32 = RECORDS + 3 * SECTOR;
/// The rest is the file system's.
const BLOCKS: u32 = 20;
const SLOT: u32 = 3 * SECTOR;
const OLD_BYTES: u32 = 5_000;
const NEW_BYTES: u32 = 6_000;

const EFFECTS: [CutEffect; 6] =
    [CutEffect::Before, CutEffect::Head, CutEffect::Tail, CutEffect::Bits, CutEffect::Between, CutEffect::After];
/// A default run cuts at one operation in this many.
const PART: u32 = 11;
/// More boots than any run that ends has.
const BOOTS_MAX: u32 = 12;

/// The part behind the front, for the file system. A cut is an error here: C code cannot be cancelled halfway.
struct Behind(PlainView);

impl Storage for Behind {
    const READ_SIZE: usize = PLAIN.word_bytes;
    const WRITE_SIZE: usize = PLAIN.word_bytes;
    const BLOCK_SIZE: usize = PLAIN.sector_bytes;
    const BLOCK_COUNT: usize = BLOCKS as usize;
    type CACHE_SIZE = U256;
    type LOOKAHEAD_SIZE = U1;

    fn read(&mut self, at: usize, out: &mut [u8]) -> FileResult<usize> {
        done(poll_ready(self.0.read(FRONT + at as u32, out)), out.len())
    }
    fn write(&mut self, at: usize, bytes: &[u8]) -> FileResult<usize> {
        done(poll_ready(self.0.write(FRONT + at as u32, bytes)), bytes.len())
    }
    fn erase(&mut self, at: usize, len: usize) -> FileResult<usize> {
        let from = FRONT + at as u32;
        done(poll_ready(self.0.erase(from, from + len as u32)), len)
    }
}

fn done(result: Option<Result<(), NorFlashErrorKind>>, len: usize) -> FileResult<usize> {
    result.and_then(Result::ok).map(|()| len).ok_or(Error::IO)
}

/// The front alone.
struct Front(PlainView);

impl Flash for Front {
    const READ_SIZE: usize = PLAIN.word_bytes;
    const WRITE_SIZE: usize = PLAIN.word_bytes;
    const ERASE_SIZE: usize = PLAIN.sector_bytes;

    fn capacity(&self) -> usize {
        FRONT as usize
    }
    async fn read(&mut self, at: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.0.read(at, out).await
    }
    async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0.write(at, bytes).await
    }
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.0.erase(from, to).await
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        Ok(())
    }
}

/// Without power nothing returns, not even an error of the file system.
struct Powered<F>(F, Nor);

impl<F> Powered<F> {
    async fn unless_cut<T>(&self, result: Result<T, NorFlashErrorKind>) -> Result<T, NorFlashErrorKind> {
        if self.1.is_dark() { pending().await } else { result }
    }
}

impl<F: Flash> Flash for Powered<F> {
    const READ_SIZE: usize = F::READ_SIZE;
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
    async fn read(&mut self, at: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let result = self.0.read(at, out).await;
        self.unless_cut(result).await
    }
    async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let result = self.0.write(at, bytes).await;
        self.unless_cut(result).await
    }
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let result = self.0.erase(from, to).await;
        self.unless_cut(result).await
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        let result = self.0.sync().await;
        self.unless_cut(result).await
    }
}

struct Button;

impl Reset for Button {
    fn reset(&mut self) {}
}

/// A device from its production to the verdict on its first update.
struct UpdateRun {
    nor: Nor,
    signer: Signer,
    old: Vec<u8>,
    new: Vec<u8>,
    keeps: bool,
}

fn made(patch: u32, image_bytes: u32) -> Vec<u8> {
    image(&header(patch, image_bytes, Behaviour::Passes, RollbackCounters::default()), &mut Rng::new(patch.into()))
}

fn layout(geometry: Geometry) -> Layout {
    let [boot, journal, monotonic] = [0, 2, 4].map(|sector| Region::new(sector * SECTOR, 2 * SECTOR));
    let slots = [0, 1].map(|slot| Region::new(FRONT + slot * SLOT, SLOT));
    Layout::new(geometry, &slots, RecordRegions { journal, boot, monotonic }).expect("it fits")
}

impl UpdateRun {
    fn new(keeps: bool) -> Self {
        let nor = Nor::new(PLAIN, (FRONT / SECTOR + BLOCKS) as usize);
        nor.takes_words_twice();
        let (old, new) = (made(1, OLD_BYTES), made(2, NEW_BYTES));
        nor.burn(EXECUTING.offset_bytes(), &old);
        Filesystem::format(&mut Behind(View(nor.clone()))).expect("the factory makes the file system");
        Self { nor, signer: Signer::new("ours", false), old, new, keeps }
    }

    /// From one reset to the next: whether the verdict is stored, `None` if the power was cut.
    fn boot(&mut self) -> Option<bool> {
        self.nor.power_on();
        let mut storage = Behind(View(self.nor.clone()));
        let mut allocation = Filesystem::allocate();
        let mounted = Filesystem::mount(&mut allocation, &mut storage);
        let filesystem = match mounted {
            Ok(filesystem) => filesystem,
            Err(_) if self.nor.is_dark() => return None,
            Err(error) => panic!("the file system can always be mounted: {error:?}"),
        };
        let slots = FileSlots::<_, SLOT, { PLAIN.sector_bytes }>::new(&filesystem, 2);
        let joined = ConcatFlash::new(Front(View(self.nor.clone())), slots).expect("the front is whole sectors");
        let mut flash = Powered(joined, self.nor.clone());
        let layout = layout(Geometry::of(&flash));
        let before = poll_ready(BootRecords::new(&layout).load(&mut flash))?.expect("records are whole");
        self.was_counted_in_its_place(&before);
        let boot = poll_ready(boot_staged(
            &mut flash,
            &layout,
            EXECUTING,
            &mut NoWatchdog,
            VerifyLevel::Header,
            ResetCause::Other,
        ))?;
        let boot = boot.expect("there is always an image");
        self.runs_whole(&boot);
        poll_ready(self.verdict(flash, layout, &boot))
    }

    /// A cut in the middle of a copy costs no boot of the trial.
    fn was_counted_in_its_place(&self, before: &BootRecord) {
        let held = self.nor.bytes(EXECUTING.offset_bytes(), NEW_BYTES);
        let counted = matches!(before.trial, Trial::Started { .. });
        assert!(!counted || held == self.new, "a boot was counted before its image was in place");
    }

    fn runs_whole(&self, boot: &Boot) {
        let image = if boot.header.version.patch == 1 { &self.old } else { &self.new };
        let held = self.nor.bytes(EXECUTING.offset_bytes(), image.len() as u32);
        assert!(held == *image, "what runs is exactly what was verified");
    }

    async fn verdict<F: Flash>(&self, mut flash: F, layout: Layout, boot: &Boot) -> bool {
        if boot.cause != BootReason::Trial && boot.slot == SlotId::A {
            let held =
                poll_ready(read(&mut flash, layout.slot(SlotId::A), self.old.len())).expect("reading never waits");
            assert!(held == self.old, "the copy of the confirmed image is whole");
        }
        let config = ota_pal::DeviceConfig {
            layout,
            hardware: hardware(BOARD),
            component: Component::App,
            version_rule: VersionRule::Newer,
            security_counter_min: 0,
            key_epoch: 0,
            system_version: ota_pal::Version::default(),
            trial_attempts: TRIAL_ATTEMPTS_DEFAULT,
        };
        let selector = OwnSelector::new(&layout, boot.slot);
        let mut platform =
            Native::from_parts(flash, self.signer.verifier(), Button, NoWatchdog, config, selector).expect("it fits");
        let state = platform.boot_state().await.expect("records are whole");
        match state.trial {
            Trial::Started { slot, .. } if slot == boot.slot && self.keeps => {
                platform.confirm().await.expect("it is on trial");
            }
            Trial::Started { slot, .. } if slot == boot.slot => {
                platform.roll_back(0x0601).await.expect("it is on trial");
            }
            Trial::Ended { reason: 0x0601, .. } => return boot.slot == SlotId::A,
            Trial::None if state.confirmed == SlotId::B => return boot.slot == SlotId::B,
            _ => self.update(&mut platform).await,
        }
        false
    }

    async fn update(&self, platform: &mut impl ImageManagement) {
        let image_bytes = self.new.len() as u32;
        let verified = platform
            .images()
            .await
            .expect("records are whole")
            .iter()
            .find_map(|(slot, image)| (image.status == ImageStatus::Verified).then_some((slot, image.digest)));
        let (slot, digest) = match verified {
            Some(verified) => verified,
            None => {
                let slot = platform.begin(image_bytes, 0).await.expect("a slot is free").slot;
                for (index, block) in self.new.chunks(1024).enumerate() {
                    platform.write(index as u32 * 1024, block).await.expect("there is room");
                }
                let der = self.signer.sign(&self.new);
                let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
                (slot, platform.verify(Some(&signature), "job").await.expect("it is signed"))
            }
        };
        platform.activate(slot, &digest, image_bytes).await.expect("it is verified");
    }

    /// Runs to the end; returns its number of operations.
    fn run_to_end(&mut self) -> u32 {
        for _ in 0..BOOTS_MAX {
            if self.boot() == Some(true) {
                return self.nor.operations();
            }
        }
        panic!("no verdict after {BOOTS_MAX} boots");
    }
}

async fn read<F: Flash>(flash: &mut F, region: Region, len: usize) -> Vec<u8> {
    let mut held = vec![0; len];
    flash.read(region.offset_bytes(), &mut held).await.expect("it can be read");
    held
}

fn cut_every_operation(keeps: bool) {
    let all = std::env::var("CUTS").is_ok_and(|which| which == "all");
    let operations = UpdateRun::new(keeps).run_to_end();
    let mut cuts = 0;
    for (at, (way, effect)) in (0..operations).flat_map(|at| (0..).zip(EFFECTS).map(move |effect| (at, effect))) {
        if all || (at + way).is_multiple_of(PART) {
            let mut run = UpdateRun::new(keeps);
            run.nor.plan([PlannedFault { at, fault: FlashFault::Cut(effect) }]);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.run_to_end()));
            assert!(result.is_ok(), "cut at {at}: {effect:?}");
            cuts += 1;
        }
    }
    println!("confirmed {keeps}: {operations} operations, cut {cuts} times");
}

#[test]
fn an_update_that_is_kept_survives_a_cut_at_every_operation_below_the_file_system() {
    cut_every_operation(true);
}

#[test]
fn an_update_that_is_rolled_back_survives_a_cut_at_every_operation_below_the_file_system() {
    cut_every_operation(false);
}

#[test]
fn the_staged_platform_keeps_the_contract_with_images_in_files() {
    let mut nor = Nor::new(PLAIN, 0);
    let mut bench = staged(move |erased| {
        if erased {
            nor = Nor::new(PLAIN, (FRONT / SECTOR + BLOCKS) as usize);
            nor.takes_words_twice();
            Filesystem::format(&mut Behind(View(nor.clone()))).expect("the factory makes the file system");
        }
        // A test board never closes what it opens, as a device.
        let storage = Box::leak(Box::new(Behind(View(nor.clone()))));
        let filesystem = Filesystem::mount(Box::leak(Box::new(Filesystem::allocate())), storage);
        let filesystem = Box::leak(Box::new(filesystem.expect("it was formatted")));
        FileSlots::<_, STORE_SLOT_BYTES, { PLAIN.sector_bytes }>::new(filesystem, 2)
    });
    assert_eq!(poll_ready(check(&mut bench)).expect("memory never waits"), []);
}
