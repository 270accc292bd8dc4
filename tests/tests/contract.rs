//! Every platform of ours keeps the contract that `ota_pal::contract` puts into clauses; and a platform that breaks one is
//! found out.

use std::path::PathBuf;

use ota_boot::{Scrutiny, boot};
use ota_pal::contract::{Bench, CLAUSES, Violation, check};
use ota_pal::native::TRIAL_ATTEMPTS_DEFAULT;
use ota_pal::{
    Component, FileFlash, Flash, Floor, Geometry, Layout, Native, NoWatchdog, OwnSelector, Reset, SignatureKind,
    SlotId, VersionRule, now,
};
use ota_tests::dice::Dice;
use ota_tests::image::{BOARD, Behaviour, hardware, header, image};
use ota_tests::nor::{CHIPS, Chip, Nor, View};
use ota_tests::verifier::{Signer, WorldVerifier};

struct Button;

impl Reset for Button {
    fn reset(&mut self) {}
}

/// A device with our own boot selector, over any flash that can be opened again and again.
struct Own<F> {
    /// Opens the flash, erased if it is asked for.
    open: Box<dyn FnMut(bool) -> F>,
    layout: Layout,
    signer: Signer,
}

fn numbered(number: u32) -> Vec<u8> {
    let image_bytes = 9_000 + number;
    image(&header(number, image_bytes, Behaviour::Passes, Floor::default()), &mut Dice::new(u64::from(number)))
}

impl<F: Flash + 'static> Own<F> {
    fn new(mut open: impl FnMut(bool) -> F + 'static) -> Self {
        let layout = Layout::split(Geometry::of(&open(true))).expect("room for two slots");
        Self { open: Box::new(open), layout, signer: Signer::new("ours", true) }
    }
}

impl<F: Flash + 'static> Bench for Own<F> {
    type Platform = Native<F, WorldVerifier, Button>;

    async fn make(&mut self) {
        let (mut flash, mut bytes) = ((self.open)(true), numbered(1));
        bytes.resize(bytes.len().next_multiple_of(32), 0xFF);
        let written = flash.write(self.layout.slot(SlotId::A).offset_bytes(), &bytes).await;
        written.expect("an erased slot takes an image");
    }

    async fn boot(&mut self) -> Self::Platform {
        let mut flash = (self.open)(false);
        let booted = boot(&mut flash, &self.layout, &mut NoWatchdog, Scrutiny::Header).await;
        let running = booted.expect("there is an image").slot;
        let config = ota_pal::Config {
            layout: self.layout,
            hardware: hardware(BOARD),
            component: Component::App,
            version_rule: VersionRule::Newer,
            security_counter_min: 0,
            key_epoch: 0,
            trial_attempts: TRIAL_ATTEMPTS_DEFAULT,
        };
        let selector = OwnSelector::new(&self.layout, running);
        Native::new(flash, self.signer.verifier(), Button, NoWatchdog, config, selector).expect("the layout fits")
    }

    fn image(&self, number: u32) -> Vec<u8> {
        numbered(number)
    }

    fn sign(&self, image: &[u8]) -> (SignatureKind, Vec<u8>) {
        (SignatureKind::Sha256Ecdsa, self.signer.sign(image))
    }

    fn trial_boots(&self) -> u32 {
        TRIAL_ATTEMPTS_DEFAULT.into()
    }
}

fn checked(bench: &mut impl Bench) -> Vec<Violation> {
    now(check(bench)).expect("memory never waits")
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
    let folder = std::env::temp_dir().join(format!("ota-contract-{}", std::process::id()));
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

/// A bench whose devices forget everything at a reset.
struct Forgetful(Own<View<4, 4096>>);

impl Bench for Forgetful {
    type Platform = Native<View<4, 4096>, WorldVerifier, Button>;

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
fn a_platform_that_forgets_is_found_out_clause_by_clause() {
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
