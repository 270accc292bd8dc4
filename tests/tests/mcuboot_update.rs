//! Whole updates through the platform with MCUboot behind it, a model of which swaps or starts in place: received, sealed, tried, confirmed or
//! rolled back, with the power cut at every operation. What is reported is what runs, at that boot and at all later ones.

use std::cell::Cell;

use ota_pal::flash::now;
use ota_pal::mcuboot::{Align, InPlace, Mark, Marks, Mode, Swap, Swapping};
use ota_pal::{
    BootControl, Component, Config, Digest, Foreign, Geometry, ImageState, Layout, Native, NoWatchdog, Platform,
    RecordRegions, Refusal, Region, Signature, SignatureKind, SlotId, Trial, VersionRule,
};
use ota_tests::device::Button;
use ota_tests::dice::Dice;
use ota_tests::image::{BOARD, hardware};
use ota_tests::mcuboot::{Booted, Mcuboot, image};
use ota_tests::nor::{Blow, CHIPS, Chip, Mishap, Nor, Tear, View};
use ota_tests::verifier::{Signer, WorldVerifier};
use sha2::{Digest as _, Sha256};

const WORD: usize = 8;
const SECTOR: usize = 2048;
const SLOT_SECTORS: usize = 6;
const RECORD_SECTORS: usize = 2;
const SECTORS: usize = 2 * SLOT_SECTORS + 3 * RECORD_SECTORS;
const IMAGE_BYTES: usize = 5_001;
const BLOCK_BYTES: usize = 1_024;
const REASON: u16 = 0x0601;
const SWAP: Mode = Mode::Swap(Swap::Scratch);

/// Boots after which an update must have come to an end, cut or not.
const BOOTS_MAX: u32 = 20;

type Flash = View<WORD, SECTOR>;
type Board<B> = Native<Flash, WorldVerifier, Button, NoWatchdog, B>;

/// What the new image does on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Passes,
    Fails,
    /// It hangs before it ever looks at the boot record.
    Hangs,
}

/// How an update was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    Succeeded,
    Failed {
        reason: u16,
    },
    Refused(Refusal),
    /// MCUboot stopped: the device is dead.
    Dead,
}

struct Device {
    nor: Nor,
    mode: Mode,
    /// The slot that MCUboot started, by place.
    started: Cell<usize>,
    slots: [Region; 2],
    old: Vec<u8>,
    new: Vec<u8>,
    behaviour: Behaviour,
}

impl Device {
    fn new(mode: Mode, behaviour: Behaviour, new: Vec<u8>) -> Self {
        let fits = |chip: &Chip| (chip.word_bytes, chip.sector_bytes) == (WORD, SECTOR);
        let nor = Nor::new(CHIPS.into_iter().find(fits).expect("a chip of these units"), SECTORS);
        let slot_bytes = (SLOT_SECTORS * SECTOR) as u32;
        let slots = [Region::new(0, slot_bytes), Region::new(slot_bytes, slot_bytes)];
        let old = image(1, 0, IMAGE_BYTES - 500, &mut Dice::new(1));
        nor.burn(0, &old);
        let device = Self { nor, mode, started: Cell::new(0), slots, old, new, behaviour };
        if mode == Mode::DirectXip {
            // A programmer writes what `imgtool --pad --confirm` makes: without a mark MCUboot starts nothing.
            let marked = now(device.marks().mark(&mut device.flash(), SlotId::A, Mark::Permanent));
            marked.expect("memory never waits").expect("a mark");
        }
        device
    }

    fn flash(&self) -> Flash {
        View(self.nor.clone())
    }

    fn marks(&self) -> Marks {
        let geometry = Geometry::of(&self.flash());
        Marks::new(self.mode, Align::EIGHT, geometry, self.slots).expect("room for trailers")
    }

    fn layout(&self) -> Layout {
        let records = |index: usize| {
            let first = 2 * SLOT_SECTORS + index * RECORD_SECTORS;
            Region::new((first * SECTOR) as u32, (RECORD_SECTORS * SECTOR) as u32)
        };
        let regions = RecordRegions { boot: records(0), journal: records(1), monotonic: records(2) };
        let slots = self.marks().image_regions(SECTOR as u32);
        Layout::new(Geometry::of(&self.flash()), &slots, regions).expect("a layout")
    }

    fn board<B: BootControl>(&self, loader: B) -> Board<B> {
        let layout = self.layout();
        let config = Config {
            layout,
            hardware: hardware(BOARD),
            component: Component::App,
            version_rule: VersionRule::Newer,
            security_counter_min: 0,
            key_epoch: 0,
            trial_attempts: 3,
        };
        Native::new(self.flash(), signer().verifier(), Button, NoWatchdog, config, loader).expect("the layout fits")
    }

    fn runs(&self, image: &[u8]) -> bool {
        self.nor.bytes(self.slots[self.started.get()].offset_bytes(), image.len() as u32) == image
    }

    /// MCUboot's turn; whether it started anything.
    fn reset(&self) -> bool {
        let mcuboot = Mcuboot::<WORD, SECTOR>::new(&self.nor, self.slots);
        match self.mode {
            Mode::Swap(_) => mcuboot.boot() != Booted::Stopped,
            Mode::DirectXip => mcuboot.boot_in_place().inspect(|slot| self.started.set(*slot)).is_some(),
        }
    }

    /// One boot and the program that it starts; `None` when the power goes or the program resets.
    fn boot(&self) -> Option<Report> {
        if !self.reset() {
            return Some(Report::Dead);
        }
        assert!(self.runs(&self.old) || self.runs(&self.new), "a whole image runs");
        if self.runs(&self.new) && self.behaviour == Behaviour::Hangs {
            return None;
        }
        let (marks, layout) = (self.marks(), self.layout());
        if self.mode == Mode::DirectXip {
            let running = if self.started.get() == 0 { SlotId::A } else { SlotId::B };
            let loader = InPlace::<true>::new(marks).expect("in place");
            return now(self.program(&mut self.board(Foreign::in_place(loader, &layout, running))))?;
        }
        let loader = Swapping::<true>::new(marks).expect("it swaps");
        now(self.program(&mut self.board(Foreign::swapping(loader, &layout))))?
    }

    /// A program that is as good as the agent: what to do next is decided by what the platform says.
    async fn program<B: BootControl>(&self, board: &mut Board<B>) -> Option<Report> {
        let digest = Digest(Sha256::digest(&self.new).into());
        let state = board.boot_state().await.expect("it can be read");
        match (state.image_state(), state.trial) {
            (ImageState::OnTrial, _) if self.behaviour == Behaviour::Fails => {
                board.roll_back(REASON).await.expect("it is on trial");
                None
            }
            (ImageState::OnTrial, _) => {
                board.confirm().await.expect("it is on trial");
                Some(Report::Succeeded)
            }
            (ImageState::Confirmed, _) if state.running == SlotId::B => Some(Report::Succeeded),
            (ImageState::Confirmed, Trial::Ended { reason, .. }) => Some(Report::Failed { reason }),
            (ImageState::Confirmed, Trial::Pending { slot, .. }) => {
                let activated = board.activate(slot, &digest, self.new.len() as u32).await;
                activated.err().map(Report::Refused)
            }
            (ImageState::Confirmed, _) => self.update(board).await.err().map(Report::Refused),
            (ImageState::RolledBack, _) => None,
        }
    }

    async fn update<B: BootControl>(&self, board: &mut Board<B>) -> Result<(), Refusal> {
        let image_bytes = self.new.len() as u32;
        let begun = board.begin(image_bytes, 0).await?;
        for (index, block) in self.new.chunks(BLOCK_BYTES).enumerate() {
            board.write((index * BLOCK_BYTES) as u32, block).await?;
            if index == 0 {
                board.check_header().await?;
            }
        }
        let der = signer().sign(&self.new);
        let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
        let digest = board.seal(Some(&signature), "job-7").await?;
        board.activate(begun.slot, &digest, image_bytes).await
    }

    /// Boots until something is reported.
    fn live(&self) -> Report {
        (0..BOOTS_MAX).find_map(|_| self.boot()).expect("an update comes to an end")
    }
}

fn signer() -> Signer {
    Signer::new("release", false)
}

fn good_image() -> Vec<u8> {
    image(2, 0, IMAGE_BYTES, &mut Dice::new(2))
}

/// What a report says is what runs, now and at the boots to come.
fn is_true(device: &Device, report: Report) -> bool {
    let kept = match report {
        Report::Succeeded => &device.new,
        Report::Failed { .. } | Report::Refused(_) => &device.old,
        Report::Dead => return true,
    };
    (0..4).all(|_| {
        let runs = device.runs(kept);
        runs & device.reset()
    })
}

#[test]
fn an_update_is_swapped_in_and_kept_rolled_back_or_given_up() {
    let went_back = Report::Failed { reason: ota_pal::foreign::REASON_LOADER_WENT_BACK };
    for mode in [SWAP, Mode::DirectXip] {
        for (behaviour, expected) in [
            (Behaviour::Passes, Report::Succeeded),
            (Behaviour::Fails, Report::Failed { reason: REASON }),
            (Behaviour::Hangs, went_back),
        ] {
            let device = Device::new(mode, behaviour, good_image());
            let report = device.live();
            assert_eq!(report, expected, "{mode:?} {behaviour:?}");
            assert!(is_true(&device, report), "{mode:?} {behaviour:?}");
        }
    }
}

#[test]
fn an_image_that_mcuboot_would_refuse_or_that_is_too_long_is_refused_by_name() {
    let mut other = good_image();
    other[4_000] ^= 1; // signed as it is, by the job's key; MCUboot's own digest does not hold
    let report = Device::new(SWAP, Behaviour::Passes, other).live();
    let went_back = Report::Failed { reason: ota_pal::foreign::REASON_LOADER_WENT_BACK };
    assert_eq!(report, went_back, "MCUboot erased it");
    let max = 8_192;
    let long = image(2, 0, max + 8, &mut Dice::new(2));
    let refusal = Refusal::ImageTooLarge { got: max as u32 + 8, max: max as u32 };
    assert_eq!(Device::new(SWAP, Behaviour::Passes, long).live(), Report::Refused(refusal));
    let longest = Device::new(SWAP, Behaviour::Passes, image(2, 0, max, &mut Dice::new(2)));
    assert_eq!(longest.live(), Report::Succeeded, "right up to the trailer");
}

/// Cuts an update at every operation; counts what was reported: succeeded, failed, refused, dead, untrue.
fn cut_everywhere(mode: Mode, behaviour: Behaviour, tears: &[Tear]) -> [u32; 5] {
    let mut counts = [0; 5];
    for tear in tears {
        for at in 0.. {
            let device = Device::new(mode, behaviour, good_image());
            device.nor.plan([Mishap { at, blow: Blow::Cut(*tear) }]);
            let report = device.live();
            if device.nor.is_mishap_due() {
                break;
            }
            counts[match report {
                Report::Succeeded => 0,
                Report::Failed { .. } => 1,
                Report::Refused(_) => 2,
                Report::Dead => 3,
            }] += 1;
            if !is_true(&device, report) {
                counts[4] += 1;
            }
        }
    }
    println!("{mode:?} {behaviour:?} {tears:?}: succeeded, failed, refused, dead, untrue {counts:?}");
    counts
}

const STEADY: [Tear; 6] = [Tear::Before, Tear::Head, Tear::Tail, Tear::Bits, Tear::Between, Tear::After];

#[test]
fn a_cut_anywhere_in_an_update_is_reported_as_it_ended() {
    for behaviour in [Behaviour::Passes, Behaviour::Fails, Behaviour::Hangs] {
        let [succeeded, failed, refused, dead, untrue] = cut_everywhere(SWAP, behaviour, &STEADY);
        assert_eq!((refused, dead, untrue), (0, 0, 0), "{behaviour:?}");
        assert!(if behaviour == Behaviour::Passes { succeeded > 100 } else { succeeded == 0 && failed > 100 });
    }
}

/// The limit of the format, in a whole update: only the one flag of a confirmation is beyond it.
#[test]
fn bits_that_are_not_steady_cost_at_most_the_confirmation() {
    let [_, _, refused, dead, untrue] = cut_everywhere(SWAP, Behaviour::Passes, &[Tear::Unstable, Tear::Unreadable]);
    assert_eq!(refused, 0);
    assert!(dead + untrue <= 2, "{dead} {untrue}");
}

/// In place, MCUboot erases at every boot what has no mark yet: a cut before the mark costs the download, and where the
/// record had promised the slot already, the job.
#[test]
fn a_cut_anywhere_in_an_update_in_place_is_reported_as_it_ended() {
    for behaviour in [Behaviour::Passes, Behaviour::Fails, Behaviour::Hangs] {
        let [succeeded, _, refused, dead, untrue] = cut_everywhere(Mode::DirectXip, behaviour, &STEADY);
        assert_eq!((refused, dead, untrue), (0, 0, 0), "{behaviour:?}");
        assert_eq!(succeeded > 0, behaviour == Behaviour::Passes);
    }
}
