//! Whole updates, rollbacks and factory resets through the platform under a model of ESP-IDF's bootloader, which starts the
//! image that otadata selects: with the power cut once at every flash operation of program and bootloader, with every
//! effect. An image always boots, it was verified, the record is true in the end, and the next update works. Limits of the
//! format itself are counted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ota_pal::REASON_ATTEMPTS_EXHAUSTED;
use ota_pal::{ImageState, Refusal, Trial, poll_ready};
use ota_tests::esp_bootloader::{ABORTED, Entry, INVALID, NEW, PENDING_VERIFY, Start as Started, Table, VALID};
use ota_tests::nor::{CutEffect, FlashFault, PlannedFault};
use ota_tests::rig::esp::Esp;
use ota_tests::rig::{Rig, Turn, booted, receive, signature, signer, update, update_and_keep};

/// The image that a scenario installs, and the one after it.
const IMAGE: u32 = 5;
const LATER: u32 = 6;
const REASON: u16 = 0x0601;
/// Boots within which a scenario must end, cut or not.
const BOOTS_MAX: usize = 16;
/// Boots after the end, in which nothing may change.
const BOOTS_AFTER: usize = 3;

/// A scenario on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scenario {
    /// An update whose image passes its test.
    Good,
    /// One whose image fails it, and rolls back.
    Fails,
    /// One whose image loads its state, and is reset before it confirms or rolls back.
    Silent,
    /// One whose image is reset before it loads its state.
    Hangs,
    /// One whose image is signed but that the bootloader does not start.
    Refused,
    /// A rollback on command.
    Back,
    /// The same, to an image that the bootloader no longer starts.
    BackRefused,
    /// A factory reset.
    Reset,
}

/// The history of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// It runs its preinstalled image from the first slot.
    Nothing,
    /// It runs its factory image, and otadata is erased.
    Factory,
    /// An update from the factory image.
    FactoryUpdate,
    /// An update that was confirmed: both slots hold an image.
    Update,
    /// The same, and one more that was rolled back: its slot is there, its entry is not.
    Failure,
    /// The same, and one more that neither confirmed nor rolled back: its entry remains, in state ABORTED.
    Silence,
}

const CASES: [(Scenario, &[Before]); 8] = [
    (Scenario::Good, &[Before::Nothing, Before::Factory, Before::Update, Before::Failure, Before::Silence]),
    (Scenario::Fails, &[Before::Nothing, Before::Factory, Before::Failure]),
    (Scenario::Silent, &[Before::Nothing, Before::Factory, Before::Failure]),
    (Scenario::Hangs, &[Before::Nothing, Before::Factory, Before::Failure]),
    (Scenario::Refused, &[Before::Nothing, Before::Factory, Before::Failure]),
    (Scenario::Back, &[Before::Update]),
    (Scenario::BackRefused, &[Before::Update]),
    (Scenario::Reset, &[Before::FactoryUpdate]),
];

/// The end of a scenario, as reported by the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Succeeded,
    Failed {
        reason: u16,
    },
    Refused(Refusal),
    /// The image on trial was started without rollback protection, and hangs: only reprogramming helps.
    Hung,
}

/// A device in a scenario.
struct Device {
    esp: Esp,
    scenario: Scenario,
    /// Images that were verified or preinstalled.
    verified: Cell<[bool; 8]>,
    /// Whether the program requested the image that runs.
    kept: Cell<bool>,
    /// Whether the program has started the command, a rollback or a factory reset.
    started: Cell<bool>,
    /// Whether the platform reported that the command succeeded.
    done: Cell<bool>,
    /// Whether the target image of the rollback was corrupted.
    corrupted: Cell<bool>,
}

fn made(before: Before) -> Esp {
    let factory = matches!(before, Before::Factory | Before::FactoryUpdate);
    let esp = Esp::with(Table { slots: 2, factory });
    if !matches!(before, Before::Nothing | Before::Factory) {
        update_and_keep(&esp, 2).expect("a good update");
    }
    if matches!(before, Before::Failure | Before::Silence) {
        poll_ready(update(&mut booted(&esp), &Esp::image(3))).expect("nothing is cut").expect("a good image");
    }
    if before == Before::Silence {
        let _ = [booted(&esp), booted(&esp)].map(|mut board| poll_ready(board.boot_state()));
        assert!([0, 1].iter().any(|sector| Entry::of(&esp.otadata(), *sector).state() == ABORTED));
    }
    if before == Before::Failure {
        poll_ready(booted(&esp).roll_back(REASON)).expect("nothing is cut").expect("it is on trial");
    }
    if before == Before::FactoryUpdate {
        let der = signer().sign(&Esp::image(1));
        poll_ready(booted(&esp).verify_factory(&signature(&der)))
            .expect("nothing is cut")
            .expect("the factory's image");
    }
    esp
}

/// The image that a scenario installs. A refused one ends with a wrong digest.
fn brought(scenario: Scenario) -> Vec<u8> {
    let mut image = Esp::image(IMAGE);
    if scenario == Scenario::Refused {
        *image.last_mut().expect("an image has bytes") ^= 1;
    }
    image
}

impl Device {
    fn new(scenario: Scenario, before: Before, esp: Esp) -> Self {
        let mut verified = [false; 8];
        verified[1] = true;
        verified[2] = !matches!(before, Before::Nothing | Before::Factory);
        let [kept, started, done, corrupted] = [const { Cell::new(false) }; 4];
        Self { esp, scenario, verified: Cell::new(verified), kept, started, done, corrupted }
    }

    /// The number of the image that runs.
    fn number(&self) -> u32 {
        let runs = (1..=LATER).find(|number| self.esp.runs(*number));
        let number = runs.expect("a whole image runs");
        assert!(self.verified.get()[number as usize], "image {number} runs and was not verified");
        number
    }

    /// One boot, and the program that it starts. `None` if the power is cut or the program resets.
    fn boot(&self) -> Option<End> {
        match self.esp.reset() {
            Turn::Dead => panic!("nothing boots"),
            Turn::Cut => return None,
            Turn::Runs => {}
        }
        if self.number() == IMAGE && self.scenario == Scenario::Hangs {
            return None;
        }
        let ended = poll_ready(self.program(&mut self.esp.board()));
        if self.scenario == Scenario::BackRefused && self.started.get() && !self.corrupted.replace(true) {
            self.esp.corrupt(&Esp::image(1));
        }
        ended?
    }

    async fn program(&self, board: &mut <Esp as Rig>::Board) -> Option<End> {
        let state = board.boot_state().await.expect("it can be read");
        match (state.image_state(), self.scenario) {
            (ImageState::RolledBack, _) => None,
            (ImageState::OnTrial, Scenario::Fails) => {
                board.roll_back(REASON).await.expect("it is on trial");
                None
            }
            (ImageState::OnTrial, Scenario::Silent) => None,
            (ImageState::OnTrial, _) => {
                self.kept.set(true);
                board.confirm().await.expect("it is on trial");
                Some(End::Succeeded)
            }
            (ImageState::Confirmed, Scenario::Back | Scenario::BackRefused) => self.back(board, state.trial).await,
            (ImageState::Confirmed, Scenario::Reset) => self.factory_reset(board).await,
            (ImageState::Confirmed, _) => self.update(board, state.trial).await,
        }
    }

    async fn update(&self, board: &mut <Esp as Rig>::Board, trial: Trial) -> Option<End> {
        if self.number() == IMAGE {
            return Some(End::Succeeded);
        }
        match trial {
            Trial::Ended { reason, .. } if self.verified.get()[IMAGE as usize] => Some(End::Failed { reason }),
            Trial::Pending { slot, digest, image_bytes, .. } => {
                board.activate(slot, &digest, image_bytes).await.err().map(End::Refused)
            }
            _ => self.receive(board).await.err().map(End::Refused),
        }
    }

    async fn receive(&self, board: &mut <Esp as Rig>::Board) -> Result<(), Refusal> {
        let image = brought(self.scenario);
        let (slot, digest) = receive(board, &image).await?;
        let mut verified = self.verified.get();
        verified[IMAGE as usize] = true;
        self.verified.set(verified);
        board.activate(slot, &digest, image.len() as u32).await
    }

    async fn back(&self, board: &mut <Esp as Rig>::Board, trial: Trial) -> Option<End> {
        match (self.number(), trial) {
            (1, _) => Some(End::Succeeded),
            (_, Trial::Ended { reason, .. }) => Some(End::Failed { reason }),
            (_, Trial::None) if !self.started.get() => {
                self.started.set(true);
                board.restore_previous().await.expect("image 1 is whole");
                self.done.set(true);
                None
            }
            (_, Trial::None) => {
                assert!(!self.done.get(), "the way back is forgotten");
                board.restore_previous().await.err().map(End::Refused)
            }
            (_, Trial::WithSystem { .. } | Trial::Pending { .. } | Trial::Started { .. }) => None,
        }
    }

    async fn factory_reset(&self, board: &mut <Esp as Rig>::Board) -> Option<End> {
        if self.esp.started().is_factory() {
            return Some(End::Succeeded);
        }
        assert!(!self.done.get(), "the factory reset is forgotten");
        board.factory_reset().await.expect("the factory's image is whole");
        self.done.set(true);
        None
    }
}

/// The result of a case.
struct CaseResult {
    end: End,
    /// Writes and erases from the beginning to the end.
    operations: u32,
    /// Whether the fault occurred.
    was_cut: bool,
    /// Whether the new image ever started without a trial before it was confirmed.
    unwatched: bool,
}

/// Runs a scenario on a copy of a device, with or without a cut, and one more good update.
fn run_case(scenario: Scenario, before: Before, esp: &Esp, cuts: &[(u32, CutEffect)]) -> CaseResult {
    let device = Device::new(scenario, before, esp.copy());
    device.esp.nor().plan(cuts.iter().map(|(at, effect)| PlannedFault { at: *at, fault: FlashFault::Cut(*effect) }));
    run_to_end(&device)
}

/// Boots until the scenario ends.
fn run_to_end(device: &Device) -> CaseResult {
    let first = device.esp.nor().operations();
    let mut unwatched = false;
    let mut end = None;
    for _ in 0..BOOTS_MAX {
        let boots = device.esp.starts.borrow().len();
        let was_kept = device.kept.get();
        end = device.boot();
        let started = device.esp.starts.borrow().get(boots).copied();
        let by_entry = |state: Option<u32>| !was_kept && state != Some(PENDING_VERIFY);
        let is_new = device.esp.runs(IMAGE) && !matches!(started, None | Some((Started::Nothing, _)));
        unwatched |= is_new && device.scenario <= Scenario::Hangs && started.is_some_and(|(_, state)| by_entry(state));
        if end.is_some() {
            break;
        }
    }
    let was_cut = !device.esp.nor().is_fault_due();
    device.esp.nor().plan([]);
    let operations = device.esp.nor().operations() - first;
    let hung = device.scenario == Scenario::Hangs && unwatched;
    let end = end.unwrap_or_else(|| {
        assert!(hung, "no end after {BOOTS_MAX} boots: {:?}", device.esp.starts.borrow());
        End::Hung
    });
    if end != End::Hung {
        is_true(device, end);
        assert_eq!(update_and_keep(&device.esp, LATER), Ok(()));
    }
    CaseResult { end, operations, was_cut, unwatched }
}

/// Asserts that the reported image runs, and still does at later boots.
fn is_true(device: &Device, end: End) {
    for _ in 0..BOOTS_AFTER {
        let is_old = matches!(end, End::Failed { .. } | End::Refused(_));
        match device.scenario {
            Scenario::Back | Scenario::BackRefused => assert_eq!(device.number() == 2, is_old, "{end:?}"),
            Scenario::Reset => assert!(device.esp.started().is_factory()),
            _ => assert_eq!(device.number() != IMAGE, is_old, "{end:?}"),
        }
        let state = poll_ready(booted(&device.esp).boot_state()).expect("nothing is cut").expect("it can be read");
        assert_eq!((state.image_state(), state.confirmed), (ImageState::Confirmed, state.running), "{end:?}");
        assert!(matches!(state.trial, Trial::None | Trial::Ended { .. }), "{:?}", state.trial);
    }
}

const WENT_BACK: End = End::Failed { reason: REASON_ATTEMPTS_EXHAUSTED };

/// The allowed ends of a scenario with a cut; the first of them is the one without.
fn ends(scenario: Scenario) -> &'static [End] {
    match scenario {
        // A trial has one boot: a cut in it ends it.
        Scenario::Good => &[End::Succeeded, WENT_BACK],
        Scenario::Fails => &[End::Failed { reason: REASON }, WENT_BACK],
        Scenario::Hangs => &[WENT_BACK, End::Hung],
        Scenario::Silent | Scenario::Refused => &[WENT_BACK],
        // Corrupted before the record named it.
        Scenario::BackRefused => &[WENT_BACK, End::Refused(Refusal::NoPreviousImage)],
        Scenario::Back | Scenario::Reset => &[End::Succeeded],
    }
}

/// Counters of a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    cases: u32,
    /// Ends that differ from that without a cut.
    otherwise: u32,
    unwatched: u32,
    hung: u32,
}

impl Counts {
    fn add(&mut self, scenario: Scenario, result: &CaseResult) {
        self.cases += 1;
        self.otherwise += u32::from(result.end != ends(scenario)[0]);
        self.unwatched += u32::from(result.unwatched);
        self.hung += u32::from(result.end == End::Hung);
    }

    fn print(&self, what: &str) {
        let Self { cases, otherwise, unwatched, hung } = self;
        println!("{what}: {cases} cases, {otherwise} end otherwise, {unwatched} start unwatched, {hung} hang for ever");
    }
}

/// Runs a case and counts it; if it panics, prints the case.
fn count(counts: &mut Counts, case: &str, scenario: Scenario, run_case: impl FnOnce() -> CaseResult) -> CaseResult {
    let result = catch_unwind(AssertUnwindSafe(run_case)).unwrap_or_else(|_| panic!("{case}"));
    assert!(ends(scenario).contains(&result.end), "{case}: {:?}", result.end);
    counts.add(scenario, &result);
    result
}

fn cases() -> impl Iterator<Item = (Scenario, Before)> {
    CASES.into_iter().flat_map(|(scenario, befores)| befores.iter().map(move |before| (scenario, *before)))
}

#[test]
fn every_scenario_ends_as_expected_without_a_cut() {
    for (scenario, before) in cases() {
        let result = run_case(scenario, before, &made(before), &[]);
        assert_eq!(result.end, ends(scenario)[0], "{scenario:?} {before:?}");
        assert!(!result.unwatched, "{scenario:?} {before:?}");
    }
}

/// A device whose bootloader could not start image 3 and fell back to image 2; otadata still names the slot of image 3.
fn fallen_back() -> Esp {
    let esp = Esp::new();
    for number in [2, 3] {
        update_and_keep(&esp, number).expect("a good update");
    }
    esp.corrupt(&Esp::image(3));
    for _ in 0..BOOTS_AFTER {
        poll_ready(booted(&esp).boot_state()).expect("nothing is cut").expect("it can be read");
    }
    assert!(esp.runs(2) && Entry::of(&esp.otadata(), 0).is_valid());
    esp
}

/// A device that runs its factory image 1, because there is no image in the slot that otadata names.
fn with_an_empty_choice() -> Esp {
    let esp = Esp::with(Table { slots: 2, factory: true });
    esp.put([None, Some(Entry::new(2, VALID))]);
    esp
}

/// Writes a complete image that is never verified.
async fn write_only(board: &mut <Esp as Rig>::Board, image: &[u8]) -> Result<(), Refusal> {
    board.begin(image.len() as u32, 0).await?;
    Ok(board.write(0, image).await?)
}

#[test]
fn a_complete_image_in_a_slot_that_otadata_names_is_not_started_before_it_is_activated() {
    let written = |esp: &Esp| {
        poll_ready(write_only(&mut booted(esp), &Esp::image(IMAGE))).expect("nothing is cut").expect("a good image");
    };
    let mut cuts = 0;
    for (made, number) in [(fallen_back(), 2), (with_an_empty_choice(), 1)] {
        let runs = |esp: &Esp, case: &str| {
            for _ in 0..BOOTS_AFTER {
                let state = poll_ready(booted(esp).boot_state()).expect("nothing is cut").expect("it can be read");
                assert!(esp.runs(number) && state.image_state() == ImageState::Confirmed, "{case}");
            }
        };
        let esp = made.copy();
        written(&esp);
        runs(&esp, "not cut");
        for effect in CutEffect::ALL {
            for at in 0.. {
                let esp = made.copy();
                let mut board = booted(&esp);
                esp.nor().plan([PlannedFault { at, fault: FlashFault::Cut(effect) }]);
                let was_cut = poll_ready(board.begin(Esp::image(IMAGE).len() as u32, 0)).is_none();
                esp.nor().plan([]);
                if !was_cut {
                    break;
                }
                cuts += 1;
                let case = format!("{number} {at} {effect:?}");
                runs(&esp, &case);
                written(&esp);
                runs(&esp, &case);
                assert_eq!(update_and_keep(&esp, LATER), Ok(()), "{case}");
            }
        }
    }
    println!("{cuts} cuts before the first block");
    assert!(cuts > 30, "{cuts}");
}

/// The bootloader checks only the digest in the image itself.
#[test]
fn an_image_that_was_refused_is_not_started_in_place_of_a_damaged_one() {
    for (signed, starts) in [(IMAGE, Turn::Runs), (LATER, Turn::Dead)] {
        let esp = Esp::new();
        let der = signer().sign(&Esp::image(signed));
        let mut board = booted(&esp);
        poll_ready(write_only(&mut board, &Esp::image(IMAGE))).expect("nothing is cut").expect("a whole image");
        let verified = poll_ready(board.verify(Some(&signature(&der)), "job")).expect("nothing is cut");
        assert_eq!(verified.is_ok(), starts == Turn::Runs);
        esp.corrupt(&Esp::image(1));
        assert_eq!(esp.reset(), starts, "signed: {signed}");
    }
}

/// Operations of a trial: the bootloader marks it as started, the program records that it has seen it and that it confirms
/// it, and the entry is rewritten. A cut in one of them ends the trial, which has no second boot.
const TRIAL_OPERATIONS: u32 = 6;

/// Operations of a verdict that is stored before the entry is erased: a cut before it loses the reason.
const VERDICT_OPERATIONS: u32 = 3;

#[test]
fn a_cut_at_any_operation_of_program_or_bootloader_ends_in_a_true_report_and_the_next_update_works() {
    let mut all: BTreeMap<Scenario, Counts> = BTreeMap::new();
    for (scenario, before) in cases() {
        let counts = all.entry(scenario).or_default();
        let esp = made(before);
        let operations = run_case(scenario, before, &esp, &[]).operations;
        for (at, effect) in (0..operations).flat_map(|at| CutEffect::ALL.map(|effect| (at, effect))) {
            let case = format!("{scenario:?} {before:?} {at}:{effect:?}");
            let result = count(counts, &case, scenario, || run_case(scenario, before, &esp, &[(at, effect)]));
            assert!(result.was_cut, "{case}");
        }
    }
    for (scenario, counts) in &all {
        counts.print(&format!("one cut, {scenario:?}"));
        let devices = CASES.iter().find(|(of, _)| of == scenario).map_or(0, |(_, befores)| befores.len() as u32);
        let ways = CutEffect::ALL.len() as u32;
        let otherwise_max = match scenario {
            Scenario::Good => devices * ways * TRIAL_OPERATIONS,
            Scenario::Fails => devices * ways * VERDICT_OPERATIONS,
            // Cut while the record is stored: the image is corrupted before it is named.
            Scenario::BackRefused => 2 * ways,
            Scenario::Silent | Scenario::Hangs | Scenario::Refused | Scenario::Back | Scenario::Reset => 0,
        };
        assert!(counts.otherwise <= otherwise_max, "{scenario:?}: {counts:?}, at most {otherwise_max}");
        assert_eq!((counts.unwatched, counts.hung), (0, 0), "{scenario:?}");
    }
    let cases: u32 = all.values().map(|counts| counts.cases).sum();
    println!("one cut: {cases} cases in all");
    assert!(cases > 2_500, "{cases}");
}

/// One pair of cuts in this many is run; a prime, so that all effects occur.
const PART_OF_TWO: u32 = 499;

#[test]
fn a_second_cut_while_the_device_recovers_ends_in_a_true_report_too() {
    let mut counts = Counts::default();
    let mut turn = 0;
    for (scenario, before) in cases() {
        let esp = made(before);
        let operations = run_case(scenario, before, &esp, &[]).operations;
        let cuts = || (0..operations).flat_map(|at| CutEffect::ALL.map(|effect| (at, effect)));
        for (first, second) in cuts().flat_map(|first| cuts().map(move |second| (first, second))) {
            turn += 1;
            if turn % PART_OF_TWO != 0 {
                continue;
            }
            let case = format!("{scenario:?} {before:?} {first:?} {second:?}");
            let result = catch_unwind(AssertUnwindSafe(|| run_case(scenario, before, &esp, &[first, second])));
            let result = result.unwrap_or_else(|_| panic!("{case}"));
            // A rollback that was cut twice is abandoned.
            let given_up = scenario == Scenario::Back && result.end == WENT_BACK;
            assert!(ends(scenario).contains(&result.end) || given_up, "{case}: {:?}", result.end);
            counts.add(scenario, &result);
        }
    }
    counts.print("two cuts");
    assert!(counts.cases > 800, "{counts:?}");
    assert_eq!(counts.hung, 0);
}

/// All states of the new image's entry that a cut during the bootloader's update can leave: with the bits that an erase has
/// set so far, or those that a write has cleared.
fn torn_states() -> impl Iterator<Item = u32> {
    (0..=0xFF).chain(0xFFFF_FF00..=u32::MAX)
}

/// The CRC covers the sequence number alone, so an image with a torn state is started without rollback protection. A program
/// that loads its record puts itself on trial again; one that hangs before that cannot be recovered.
#[test]
fn what_a_state_torn_in_the_bootloaders_hands_costs_is_counted() {
    let mut all = [Counts::default(); 4];
    for (counts, scenario) in all.iter_mut().zip([Scenario::Good, Scenario::Fails, Scenario::Silent, Scenario::Hangs]) {
        let esp = made(Before::Nothing);
        for state in torn_states() {
            let case = format!("{scenario:?} {state:#x}");
            count(counts, &case, scenario, || {
                let device = Device::new(scenario, Before::Nothing, esp.copy());
                assert_eq!(device.boot(), None);
                let otadata = device.esp.otadata();
                let [first, second] = [0, 1].map(|sector| Entry::of(&otadata, sector));
                assert_eq!((second.seq(), second.state()), (2, NEW), "the new image waits");
                device.esp.put([Some(first), Some(second.with_state(state))]);
                run_to_end(&device)
            });
        }
        counts.print(&format!("torn state, {scenario:?}"));
    }
    let passed_over = torn_states().filter(|state| [PENDING_VERIFY, INVALID, ABORTED].contains(state)).count() as u32;
    let watched = passed_over + 1;
    let [good, fails, silent, hangs] = all;
    assert_eq!(good.otherwise, passed_over, "never started, and given up");
    assert_eq!((fails.otherwise, silent.otherwise), (passed_over, 0));
    assert_eq!([good, fails, silent, hangs].map(|counts| counts.unwatched), [good.cases - watched; 4]);
    assert_eq!([good, fails, silent, hangs].map(|counts| counts.hung), [0, 0, 0, hangs.cases - watched]);
}
