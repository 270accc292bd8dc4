//! Whole updates through `Native` under ESP-IDF's bootloader, cut at every operation of agent and bootloader.

use std::vec::Vec;

use super::super::super::flash::{self, Flash};
use super::super::super::loaders::bridge::LoaderBridge;
use super::super::super::loaders::esp_idf::otadata::Entries;
use super::super::super::native::Native;
use super::super::super::testing::{run, sha256};
use super::testing::{Nor, REGION, Tear, image};
use super::*;
use crate::fault::Fault;
use crate::image::accept::VersionRule;
use crate::image::digest::Digest;
use crate::image::hardware::HardwareId;
use crate::image::header::Component;
use crate::image::slot::SlotId;
use crate::platform::BootState;
use crate::platform::config::DeviceConfig;
use crate::platform::hooks::{NoWatchdog, Reset};
use crate::refusal::Refusal;
use crate::store::boot_record::REASON_ATTEMPTS_EXHAUSTED;
use crate::store::boot_record::Trial;
use crate::store::layout::{Geometry, Layout, RecordRegions};
use crate::store::region::Region;
use crate::verify::signature::Signature;
use crate::verify::signature::{SignatureKind, SignatureRefusal, Verifier};

const SECTOR: u32 = 0x1000;
const SECTORS: usize = 12;
const BLOCK: usize = 256;
const REASON: u16 = 0x0777;
/// The most boots and cuts of a scenario; a correct one needs far fewer.
const BOOTS_MAX: usize = 12;

type Flash4 = Nor<4>;
type Device<'a> = Native<&'a mut Flash4, Signed, NoReset, NoWatchdog, LoaderBridge<EspIdf>>;

struct NoReset;

impl Reset for NoReset {
    fn reset(&mut self) {}
}

/// A verifier that accepts the new image's digest as its signature.
struct Signed;

impl Verifier for Signed {
    fn verify(
        &self,
        _: Option<&str>,
        _: SignatureKind,
        digest: &Digest,
        _: &[u8],
        _: u32,
    ) -> Result<(), SignatureRefusal> {
        if *digest == sha256(&new_image()) { Ok(()) } else { Err(SignatureRefusal::UnknownKey) }
    }
}

fn old_image() -> Vec<u8> {
    image(&[256, 64], true, "1.0.0")
}

fn new_image() -> Vec<u8> {
    image(&[256, 260], true, "v1.0.1")
}

fn regions(first: u32, sectors: u32) -> Region {
    Region::new(first * SECTOR, sectors * SECTOR)
}

fn layout(factory: bool) -> Layout {
    let geometry = Geometry { word_bytes: 4, erase_bytes: SECTOR, capacity_bytes: SECTORS as u32 * SECTOR };
    let records = RecordRegions { boot: regions(3, 2), journal: regions(5, 2), monotonic: regions(7, 2) };
    let layout = Layout::new(geometry, &[regions(9, 1), regions(10, 1)], records).unwrap();
    if factory { layout.with_factory(geometry, regions(11, 1)).unwrap() } else { layout }
}

fn otadata(factory: bool) -> OtaData {
    OtaData::new::<Flash4>(REGION, Slots::TWO, factory).unwrap()
}

fn device(flash: &mut Flash4, factory: bool, running: SlotId) -> Device<'_> {
    let layout = layout(factory);
    let config = DeviceConfig {
        layout,
        hardware: HardwareId::new("esp32c3").unwrap(),
        component: Component::App,
        version_rule: VersionRule::Newer,
        security_counter_min: 0,
        key_epoch: 0,
        system_version: crate::Version::default(),
        trial_attempts: 1,
    };
    let loader = EspIdf::new(otadata(factory), &layout).unwrap();
    Native::from_parts(flash, Signed, NoReset, NoWatchdog, config, LoaderBridge::in_place(loader, &layout, running))
        .unwrap()
}

/// Creates a device whose old image is in `running`.
fn flash(held: [Entry; 2], factory: bool, running: SlotId) -> Flash4 {
    let mut flash = Flash4::holding(held).with_sectors(SECTORS);
    flash.put(layout(factory).slot(running).offset_bytes(), &old_image());
    flash
}

/// The bootloader with rollback, as documented: settles pending entries, chooses, marks a new choice as pending, and
/// searches downwards and upwards for an image if the chosen slot has none. `None` if power is cut or nothing can be
/// started.
fn boot(flash: &mut Flash4, factory: bool) -> Option<SlotId> {
    rewrite(flash, State::PendingVerify, State::Aborted, |_, _| true)?;
    let entries = flash.entries();
    let start = Slots::TWO.start(&entries, factory);
    rewrite(flash, State::New, State::PendingVerify, |entries, sector| entries.active() == Some(sector))?;
    let slots = [SlotId::FACTORY, SlotId::A, SlotId::B];
    let first = match start {
        App::Factory => 0,
        App::Ota(slot) => 1 + usize::from(slot),
    };
    let mut order = (0..=first).rev().chain(first + 1..slots.len()).map(|index| slots[index]);
    order.find(|slot| holds(flash, factory, *slot).is_some())
}

fn rewrite(flash: &mut Flash4, from: State, to: State, which: impl Fn(&Entries, Sector) -> bool) -> Option<()> {
    let entries = flash.entries();
    for (index, sector) in Sector::BOTH.into_iter().enumerate() {
        let at = REGION.offset_bytes() + index as u32 * SECTOR;
        let entry = *entries.of(sector);
        if entry.state == from && which(&entries, sector) {
            run(flash::erase_sector(flash, at)).ok()?;
            run(flash.write(at, &Entry { state: to, ..entry }.emit())).ok()?;
        }
    }
    Some(())
}

/// Returns the index of the image that the slot holds completely: 0 for the old one, 1 for the new one.
fn holds(flash: &Flash4, factory: bool, slot: SlotId) -> Option<usize> {
    let region = layout(factory).slot(slot);
    let bytes = &flash.bytes[region.offset_bytes() as usize..][..region.len_bytes() as usize];
    [old_image(), new_image()].iter().position(|image| bytes.starts_with(image))
}

/// The application's verdict on the new image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
    Silent,
}

/// How the run between two resets ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Reset,
    Settled(BootState),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self(std::format!("{refusal:?}"))
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Refusal::Fault(fault).into()
    }
}

#[derive(Debug)]
struct Stop(#[allow(dead_code)] std::string::String);

/// Runs an agent from its boot to its reset.
fn live(flash: &mut Flash4, factory: bool, running: SlotId, verdict: Verdict) -> Result<End, Stop> {
    let mut device = device(flash, factory, running);
    let state = run(device.boot_state())?;
    match state.trial {
        Trial::Started { slot, .. } if slot == running => match verdict {
            Verdict::Good => run(device.confirm())?,
            Verdict::Bad => run(device.roll_back(REASON))?,
            Verdict::Silent => {}
        },
        Trial::Started { .. } | Trial::Pending { .. } => {}
        Trial::Ended { .. } if running != state.confirmed => {} // the rejected image runs once more
        Trial::Ended { .. } => return Ok(End::Settled(state)),
        Trial::None if state.running_image.is_some_and(|image| image.version.patch == 1) => {
            return Ok(End::Settled(state));
        }
        Trial::None | Trial::WithSystem { .. } => update(&mut device)?,
    }
    Ok(End::Reset)
}

fn update(device: &mut Device<'_>) -> Result<(), Stop> {
    let image = new_image();
    let image_bytes = image.len() as u32;
    let begun = run(device.begin(image_bytes, 0))?;
    for (index, block) in image.chunks(BLOCK).enumerate() {
        run(device.write((index * BLOCK) as u32, block))?;
        if index == 0 {
            run(device.check_header())?;
        }
    }
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &[] };
    let digest = run(device.verify(Some(&signature), "job"))?;
    Ok(run(device.activate(begun.slot, &digest, image_bytes))?)
}

/// Runs until the update is settled. Returns the state, and which image runs. Asserts that an ended trial had been
/// offered.
fn settle(flash: &mut Flash4, factory: bool, verdict: Verdict) -> (BootState, usize) {
    let mut offered = false;
    for _ in 0..BOOTS_MAX {
        let entries = flash.entries();
        offered |= entries.active().is_some_and(|active| !entries.of(active).state.stays());
        let Some(running) = boot(flash, factory) else {
            assert!(flash.cut.is_some(), "nothing can be started: {:?}", flash.entries());
            flash.power_on();
            continue;
        };
        let runs = holds(flash, factory, running).expect("the running slot holds an image");
        match live(flash, factory, running, verdict) {
            Ok(End::Settled(state)) => {
                assert!(state.trial == Trial::None || offered, "the trial was never offered: {state:?}");
                return (state, runs);
            }
            Ok(End::Reset) => {}
            Err(stop) => {
                assert!(flash.cut.is_some(), "{stop:?}");
                flash.power_on();
            }
        }
    }
    panic!("not settled in {BOOTS_MAX} boots: {:?}", flash.entries());
}

const OLD: Entry = Entry { sequence: 1, state: State::Valid, crc: 0x4743_989A };
const REFUSED: Entry = Entry { sequence: 2, state: State::Aborted, crc: 0x55F6_3774 };

/// The flash contents, whether there is a factory application, and the running slot.
const STARTS: [([Entry; 2], bool, SlotId); 5] = [
    ([OLD, Entry::ERASED], false, SlotId::A),
    ([OLD, REFUSED], true, SlotId::A),
    ([Entry::ERASED, Entry::ERASED], false, SlotId::A),
    ([Entry::ERASED, Entry::ERASED], true, SlotId::FACTORY),
    ([Entry { state: State::Aborted, ..OLD }, Entry { state: State::Valid, ..REFUSED }], true, SlotId::B),
];

fn is_over(state: &BootState, running: SlotId, reasons: &[u16]) -> bool {
    let ended = matches!(state.trial, Trial::Ended { reason, started: true, .. } if reasons.contains(&reason));
    ended && state.running == running && state.confirmed == running
}

#[test]
fn an_image_is_tried_and_kept_or_given_up_and_both_records_agree() {
    for (held, factory, running) in STARTS {
        let mut good = flash(held, factory, running);
        let (state, runs) = settle(&mut good, factory, Verdict::Good);
        assert_eq!((state.trial, runs, state.confirmed), (Trial::None, 1, state.running), "{held:?}");
        assert_ne!(state.running, running);
        let entry = run(otadata(factory).entry(&mut good, state.running.number())).unwrap().unwrap();
        assert_eq!(entry.state, State::Valid);

        for (verdict, reason) in [(Verdict::Bad, REASON), (Verdict::Silent, REASON_ATTEMPTS_EXHAUSTED)] {
            let mut bad = flash(held, factory, running);
            let (state, runs) = settle(&mut bad, factory, verdict);
            assert!(runs == 0 && is_over(&state, running, &[reason]), "{held:?}: {state:?}");
        }
    }
}

/// Cuts an update at its operation `index`, resumes it, and returns the image that runs.
fn cut_at(start: ([Entry; 2], bool, SlotId), verdict: Verdict, index: usize, tear: Tear) -> usize {
    let (held, factory, running) = start;
    let mut flash = flash(held, factory, running);
    flash.cut = Some((index, tear));
    let (state, runs) = settle(&mut flash, factory, verdict);
    let entries = flash.entries();
    let context = || std::format!("{held:?} {verdict:?} cut {index} {tear:?}: {state:?} {entries:?}");
    if runs == 1 {
        assert!(verdict == Verdict::Good && state.trial == Trial::None, "{}", context());
        assert_eq!(state.confirmed, state.running, "{}", context());
    } else {
        assert!(is_over(&state, running, &[REASON, REASON_ATTEMPTS_EXHAUSTED]), "{}", context());
    }
    flash.power_on();
    // Whatever the cut left, the next update is accepted.
    let mut again = flash.clone();
    if runs == 0 {
        let running = boot(&mut again, factory).expect("the running image can be started");
        update(&mut device(&mut again, factory, running)).expect("an idle device accepts an update");
        assert_eq!(settle(&mut again, factory, Verdict::Good).1, 1, "{}", context());
    }
    runs
}

#[test]
fn a_cut_anywhere_in_an_update_ends_in_one_image_confirmed_and_a_true_word_of_the_other() {
    for start in STARTS {
        for verdict in [Verdict::Good, Verdict::Bad, Verdict::Silent] {
            let mut whole = flash(start.0, start.1, start.2);
            settle(&mut whole, start.1, verdict);
            let mut kept = 0;
            for (index, (_, len)) in whole.ops.iter().enumerate() {
                let edges = [0, 1, 28, *len].map(Tear::Head).into_iter();
                let ends = [1, 4, 8].map(Tear::Tail).into_iter();
                let bits = (0..4).map(|seed| Tear::Bits { seed, done: [4, 128, 250][seed as usize % 3] });
                // Only the state is torn: a refused entry becomes valid again.
                let state = [Tear::Middle(24, 25)].into_iter();
                for tear in edges.chain(ends).chain(bits).chain(state) {
                    kept += cut_at(start, verdict, index, tear);
                }
            }
            let cuts = whole.ops.len() * 12;
            assert!(cuts > 150, "{cuts} cuts of {start:?}");
            // A cut between the first boot of a trial and its verdict ends the trial, and so may a cut in the verdict.
            assert_eq!(kept > cuts / 2, verdict == Verdict::Good, "{kept} of {cuts} end with the new image");
        }
    }
}

#[test]
fn the_way_back_on_command_is_taken_for_good() {
    let mut flash = flash([OLD, REFUSED], false, SlotId::A);
    assert_eq!(settle(&mut flash, false, Verdict::Good).1, 1);
    let running = boot(&mut flash, false).unwrap();
    assert_eq!(running, SlotId::B);
    assert_eq!(run(device(&mut flash, false, running).restore_previous()), Ok(SlotId::A));
    for _ in 0..3 {
        let running = boot(&mut flash, false).unwrap();
        let state = run(device(&mut flash, false, running).boot_state()).unwrap();
        assert_eq!((state.running, state.confirmed, state.trial), (SlotId::A, SlotId::A, Trial::None));
    }
}
