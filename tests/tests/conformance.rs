//! Every platform of this project passes `ota_pal::platform::conformance`; and a platform that violates a clause is
//! detected.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use embedded_storage::nor_flash::NorFlashErrorKind;
use ota_pal::platform::conformance::{CLAUSES, TestBoard, Violation, check};
use ota_pal::{FileFlash, Flash, Layout, Native, SignatureKind, poll_ready};
use ota_tests::nor::{CHIPS, Chip, Nor, View};
use ota_tests::test_board::{Button, Own, STORE_SLOT_BYTES, staged};
use ota_tests::verifier::SimVerifier;

fn checked(bench: &mut impl TestBoard) -> Vec<Violation> {
    poll_ready(check(bench)).expect("memory never waits")
}

/// The same over a simulated part.
fn on_chip<const WORD: usize, const SECTOR: usize>(chip: Chip) -> Vec<Violation> {
    assert_eq!((chip.word_bytes, chip.sector_bytes), (WORD, SECTOR), "the list of chips changed");
    let sectors = Layout::record_sectors(SECTOR as u32) as usize + 2 * (16_384 / SECTOR).max(1);
    let mut nor = Nor::new(chip, sectors);
    checked(&mut Own::<View<WORD, SECTOR>>::new(move |erased| {
        if erased {
            nor = Nor::new(chip, sectors);
        }
        View(nor.clone())
    }))
}

#[test]
fn the_native_platform_keeps_the_contract_on_every_kind_of_flash() {
    let [plain, bytes, small, doubles, quads, wide, uneven] = CHIPS;
    assert_eq!(on_chip::<4, 4096>(plain), []);
    assert_eq!(on_chip::<1, 4096>(bytes), []);
    assert_eq!(on_chip::<4, 256>(small), []);
    assert_eq!(on_chip::<8, 2048>(doubles), []);
    assert_eq!(on_chip::<16, 8192>(quads), []);
    assert_eq!(on_chip::<32, 131_072>(wide), []);
    assert_eq!(on_chip::<4, 65_536>(uneven), []);
}

#[test]
fn the_native_platform_keeps_the_contract_over_a_file() {
    let folder = std::env::temp_dir().join(format!("ota-conformance-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the flash");
    let path: PathBuf = folder.join("flash");
    let violations = checked(&mut Own::new(move |erased| {
        if erased {
            let _ = std::fs::remove_file(&path); // there may be none yet
        }
        FileFlash::<4, 4096>::open(&path, 256 * 1024).expect("a file can be opened")
    }));
    std::fs::remove_dir_all(&folder).expect("the folder was ours");
    assert_eq!(violations, []);
}

const STORE_SECTORS: usize = 2 * STORE_SLOT_BYTES as usize / 4096;

#[test]
fn the_staged_platform_keeps_the_contract_with_images_in_a_nor_store() {
    let mut store = Nor::new(CHIPS[0], STORE_SECTORS);
    let open = move |erased| {
        if erased {
            store = Nor::new(CHIPS[0], STORE_SECTORS);
        }
        View::<4, 4096>(store.clone())
    };
    assert_eq!(checked(&mut staged(open)), []);
}

#[test]
fn the_staged_platform_keeps_the_contract_with_images_in_a_file_of_the_operating_system() {
    let folder = std::env::temp_dir().join(format!("ota-store-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the store");
    let path: PathBuf = folder.join("images");
    let violations = checked(&mut staged(move |erased| {
        if erased {
            let _ = std::fs::remove_file(&path); // there may be none yet
        }
        FileFlash::<4, 4096>::open(&path, 2 * STORE_SLOT_BYTES).expect("a file can be opened")
    }));
    std::fs::remove_dir_all(&folder).expect("the folder was ours");
    assert_eq!(violations, []);
}

/// A store in battery-backed memory: every byte may be written at any time.
#[derive(Clone)]
struct Ram(Rc<RefCell<Vec<u8>>>);

impl Flash for Ram {
    const READ_SIZE: usize = 1;
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 256;

    fn capacity(&self) -> usize {
        self.0.borrow().len()
    }
    async fn read(&mut self, at: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        out.copy_from_slice(&self.0.borrow()[at as usize..][..out.len()]);
        Ok(())
    }
    async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0.borrow_mut()[at as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.0.borrow_mut()[from as usize..to as usize].fill(0xFF);
        Ok(())
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        Ok(())
    }
}

#[test]
fn the_staged_platform_keeps_the_contract_with_images_in_a_ram_store() {
    let erased_store = || Ram(Rc::new(RefCell::new(vec![0xFF; 2 * STORE_SLOT_BYTES as usize])));
    let mut store = erased_store();
    let open = move |erased| {
        if erased {
            store = erased_store();
        }
        store.clone()
    };
    assert_eq!(checked(&mut staged(open)), []);
}

/// A test board whose devices lose everything at a reset.
struct Forgetful(Own<View<4, 4096>>);

impl TestBoard for Forgetful {
    type Platform = Native<View<4, 4096>, SimVerifier, Button>;

    async fn make(&mut self) {
        self.0.make().await;
    }
    async fn boot(&mut self) -> Self::Platform {
        self.0.make().await;
        self.0.boot().await
    }
    fn image(&self, number: u32) -> Vec<u8> {
        self.0.image(number)
    }
    fn sign(&self, image: &[u8]) -> (SignatureKind, Vec<u8>) {
        self.0.sign(image)
    }
    fn trial_boots(&self) -> u32 {
        self.0.trial_boots()
    }
}

#[test]
fn a_platform_that_loses_its_state_violates_clause_by_clause() {
    let mut nor = Nor::new(CHIPS[0], 20);
    let forgetful = Own::new(move |erased| {
        if erased {
            nor = Nor::new(CHIPS[0], 20);
        }
        View(nor.clone())
    });
    let violated: Vec<_> = checked(&mut Forgetful(forgetful)).iter().map(|violation| violation.clause).collect();
    let must_remember = [5, 7, 8, 9, 10, 11].map(|clause: usize| CLAUSES[clause]);
    assert_eq!(violated, must_remember);
}
