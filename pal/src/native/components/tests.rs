//! Tests of two components over one flash. Cuts and reports are in the tests of the simulation.

use super::super::super::flash::Flash;
use super::super::super::flash::boot_records::BootRecords;
use super::super::super::testing::{header, image, public_key, run, sha256, sign, signing_key};
use super::super::tests::{self as single, NEW_DEVICE, NoReset, Nor, SECTOR, config, trial_started};
use super::*;
use crate::image::header::Header;
use crate::image::version::MajorMinor;
use crate::platform::config::DeviceConfig;
use crate::store::boot_record::{BootRecord, Trial};
use crate::store::layout::{Geometry, Layout, LayoutError};
use crate::store::region::Region;
use crate::verify::keys::KeySet;
use core::cell::RefCell;
use std::vec::Vec;

type Device<'a> = Components<&'a RefCell<Nor>, KeySet<1>, NoReset>;

const APP: usize = 0;
const SYSTEM: usize = 1;
const COMPONENTS: [Component; 2] = [Component::App, Component::System];
const PART_BYTES: u32 = 16 * SECTOR as u32;

fn layouts(flash: &Nor) -> [Layout; 2] {
    [0, PART_BYTES].map(|at| Layout::divide_part(Geometry::of(flash), Region::new(at, PART_BYTES), 2, false).unwrap())
}

/// An image of a component, version 1.`minor`.0.
fn image_of(component: usize, minor: u16, system_min: MajorMinor) -> Vec<u8> {
    let header = header(Version::new(1, minor, 0), 1_000 + u32::from(minor));
    image(&Header { component: COMPONENTS[component], system_min, ..header })
}

fn plain(component: usize, minor: u16) -> Vec<u8> {
    image_of(component, minor, MajorMinor::default())
}

/// A flash with version 1.0.0 of both components in their slots A.
fn flash() -> RefCell<Nor> {
    let mut flash = Nor::new(32);
    for (component, layout) in layouts(&flash).iter().enumerate() {
        let mut first = plain(component, 0);
        first.resize(first.len().next_multiple_of(4), 0xFF);
        run(flash.write(layout.slot(SlotId::A).offset_bytes(), &first)).unwrap();
    }
    RefCell::new(flash)
}

/// The device after a boot from these slots of app and system.
fn device(flash: &RefCell<Nor>, running: [SlotId; 2]) -> Device<'_> {
    let layouts = layouts(&flash.borrow());
    let [app, system] = [APP, SYSTEM].map(|component| {
        let mut keys = KeySet::new();
        keys.add(public_key("key", &signing_key("key"))).unwrap();
        let config = DeviceConfig { layout: layouts[component], ..config(&flash.borrow()) };
        Native::new(flash, keys, NoReset, config, running[component]).unwrap()
    });
    Components::new(app, system).unwrap()
}

/// The device after its agent has read the journal.
fn started(flash: &RefCell<Nor>, running: [SlotId; 2]) -> Device<'_> {
    let mut device = device(flash, running);
    assert_eq!(run(device.load_journal(&mut [0; 192])), Ok(0));
    device
}

/// Receives, verifies and activates an image of the selected component.
fn update(device: &mut Device<'_>, image: &[u8]) -> Result<(), Refusal> {
    let begun = run(device.begin(image.len() as u32, 0))?;
    run(device.write(0, image))?;
    run(device.check_header())?;
    let der = sign(&signing_key("key"), &sha256(image));
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
    let digest = run(device.verify(Some(&signature), "job"))?;
    run(device.activate(begun.slot, &digest, image.len() as u32))
}

fn part(flash: &RefCell<Nor>, component: usize) -> Vec<u8> {
    let start = component * PART_BYTES as usize;
    flash.borrow().bytes[start..start + PART_BYTES as usize].to_vec()
}

fn record(flash: &RefCell<Nor>, component: usize) -> BootRecord {
    let layouts = layouts(&flash.borrow());
    run(BootRecords::new(&layouts[component]).load(&mut &*flash)).unwrap()
}

fn put_record(flash: &RefCell<Nor>, component: usize, record: BootRecord) {
    let layouts = layouts(&flash.borrow());
    run(BootRecords::new(&layouts[component]).store(&mut &*flash, &record)).unwrap();
}

#[test]
fn an_update_of_one_component_changes_no_byte_of_the_other() {
    for (updated, other) in [(APP, SYSTEM), (SYSTEM, APP)] {
        let flash = flash();
        let kept = part(&flash, other);
        let mut device = started(&flash, [SlotId::A; 2]);
        device.select(Part::Alone(COMPONENTS[updated]));
        update(&mut device, &plain(updated, 1)).unwrap();
        let Trial::Pending { slot: SlotId::B, digest, image_bytes, .. } = record(&flash, updated).trial else {
            panic!("a trial is pending")
        };
        // As the selector does.
        let trial = Trial::Started { slot: SlotId::B, digest, image_bytes, attempts_left: 2, power_losses: 0 };
        put_record(&flash, updated, BootRecord { trial, ..record(&flash, updated) });
        let mut running = [SlotId::A; 2];
        running[updated] = SlotId::B;
        let mut device = started(&flash, running);
        assert_eq!(run(device.boot_state()).unwrap().image_state(), ImageState::OnTrial);
        run(device.confirm()).unwrap();
        assert_eq!(record(&flash, updated).confirmed, SlotId::B);
        assert_eq!(part(&flash, other), kept);
    }
}

#[test]
fn an_image_of_the_other_component_is_refused() {
    for (selected, sent) in [(APP, SYSTEM), (SYSTEM, APP)] {
        let flash = flash();
        let mut device = started(&flash, [SlotId::A; 2]);
        device.select(Part::Alone(COMPONENTS[selected]));
        let refused = Err(Refusal::WrongComponent { got: COMPONENTS[sent] });
        assert_eq!(update(&mut device, &plain(sent, 1)), refused);
    }
}

#[test]
fn an_app_that_requires_a_later_system_is_refused() {
    let flash = flash();
    let mut device = started(&flash, [SlotId::A; 2]);
    let have = Version::new(1, 0, 0);
    for min in [MajorMinor::new(1, 1), MajorMinor::new(2, 0)] {
        let refused = Err(Refusal::SystemTooOld { have, min });
        assert_eq!(update(&mut device, &image_of(APP, 1, min)), refused);
    }
    assert_eq!(update(&mut device, &image_of(APP, 1, MajorMinor::new(1, 0))), Ok(()));
}

#[test]
fn no_update_begins_while_the_other_component_is_on_trial() {
    for (updated, other) in [(APP, SYSTEM), (SYSTEM, APP)] {
        for trial in
            [trial_started().trial, Trial::Ended { slot: SlotId::B, digest: Digest([1; 32]), reason: 1, started: true }]
        {
            let flash = flash();
            put_record(&flash, other, BootRecord { trial, ..NEW_DEVICE });
            let mut device = started(&flash, [SlotId::A; 2]);
            device.select(Part::Alone(COMPONENTS[updated]));
            let has_ended = matches!(trial, Trial::Ended { .. });
            let begun = run(device.begin(1_000, 0)).map(|begun| begun.slot);
            assert_eq!(begun, if has_ended { Ok(SlotId::B) } else { Err(Refusal::TrialRunning) });
        }
    }
}

#[test]
fn after_a_reset_the_component_of_the_job_in_the_journal_is_selected() {
    let flash = flash();
    let mut out = [0; 16];
    for selected in [SYSTEM, APP, SYSTEM, SYSTEM, APP] {
        let mut device = device(&flash, [SlotId::A; 2]);
        run(device.load_journal(&mut out)).unwrap();
        device.select(Part::Alone(COMPONENTS[selected]));
        run(device.store_journal(&[selected as u8; 7])).unwrap();
        run(device.store_journal(&[selected as u8; 9])).unwrap();
        let mut again = self::device(&flash, [SlotId::A; 2]);
        assert_eq!(run(again.load_journal(&mut out)), Ok(9));
        assert_eq!((out[0], again.selected), (selected as u8, COMPONENTS[selected]));
    }
    let mut device = device(&flash, [SlotId::A; 2]);
    run(device.load_journal(&mut out)).unwrap();
    run(device.store_journal(&[])).unwrap();
    assert_eq!(started(&flash, [SlotId::A; 2]).selected, Component::App);
}

#[test]
fn without_a_job_the_component_on_trial_is_selected() {
    let trial = trial_started();
    for (on_trial, selected) in
        [([false, false], APP), ([true, false], APP), ([false, true], SYSTEM), ([true; 2], SYSTEM)]
    {
        let flash = flash();
        for component in [APP, SYSTEM] {
            let record = if on_trial[component] { trial } else { BootRecord { confirmed: SlotId::B, ..NEW_DEVICE } };
            put_record(&flash, component, record);
        }
        assert_eq!(started(&flash, [SlotId::B; 2]).selected, COMPONENTS[selected], "{on_trial:?}");
    }
}

#[test]
fn each_component_has_its_slots_and_a_single_one_those_of_the_app() {
    let flash = flash();
    let mut device = device(&flash, [SlotId::A, SlotId::B]);
    assert_eq!(device.slots(Component::App), None, "they were not read yet");
    run(device.boot_state()).unwrap();
    let slots = |running, free| Some(Slots { running, free });
    assert_eq!(device.slots(Component::App), slots(SlotId::A, SlotId::B));
    assert_eq!(device.slots(Component::System), slots(SlotId::B, SlotId::A));
    assert_eq!(device.slots(Component::Data), None);
    for (component, of_system) in [(Component::App, None), (Component::System, slots(SlotId::A, SlotId::B))] {
        let mut flash = single::flash();
        let mut device = single::device(&mut flash, SlotId::A);
        device.config.component = component;
        run(device.boot_state()).unwrap();
        assert_eq!(device.slots(Component::System), of_system);
        assert_eq!(device.slots(Component::App), slots(SlotId::A, SlotId::B));
    }
}

#[test]
fn what_either_component_reports_is_in_the_state_and_commands_concern_the_app() {
    let flash = flash();
    put_record(&flash, SYSTEM, trial_started());
    let mut device = started(&flash, [SlotId::A; 2]);
    device.system.config.key_epoch = 1;
    flash.borrow_mut().unerasable = 16..32;
    assert!(matches!(run(device.boot_state()).map(|state| state.floor), Ok(Err(Fault::Erase { .. }))));
    assert_eq!(run(device.images()), Ok(record(&flash, APP).images));
    assert_eq!(run(device.restore_previous()), Err(Refusal::NoPreviousImage), "the app may be restored");
}

#[test]
fn components_that_share_a_sector_are_refused() {
    let flash = flash();
    let whole = Layout::split(Geometry::of(&*flash.borrow())).unwrap();
    let [app, _] = layouts(&flash.borrow());
    let native = |layout| {
        let config = DeviceConfig { layout, ..config(&flash.borrow()) };
        Native::new(&flash, KeySet::<1>::new(), NoReset, config, SlotId::A).unwrap()
    };
    let refused = Components::new(native(app), native(whole)).err();
    assert!(matches!(refused, Some(ConfigError::Layout(LayoutError::Overlap { .. }))), "{refused:?}");
}

mod release;
