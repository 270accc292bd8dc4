//! Tests of a release: what binds app and system, and what ends that.

use super::*;
use crate::image::header::Header;

const RELEASE: u64 = 9;

/// An image of a component of a release, version 1.`minor`.0.
fn of_release(component: usize, minor: u16, release_id: u64, system_min: MajorMinor) -> Vec<u8> {
    let image = image_of(component, minor, system_min);
    let header = Header { release_id, ..Header::parse(&image).unwrap() };
    super::image(&header)
}

fn part_of(component: usize, minor: u16) -> Vec<u8> {
    of_release(component, minor, RELEASE, MajorMinor::default())
}

/// Receives and verifies an image of a release, for the selected component.
fn receive(device: &mut Device<'_>, component: usize, image: &[u8]) -> Result<(SlotId, Digest), Refusal> {
    device.select(Part::OfRelease(COMPONENTS[component]));
    let begun = run(device.begin(image.len() as u32, 0))?;
    run(device.write(0, image))?;
    run(device.check_header())?;
    Ok((begun.slot, verify(device, image)?))
}

fn verify(device: &mut Device<'_>, image: &[u8]) -> Result<Digest, Refusal> {
    with_signature(image, |signature| run(device.verify(Some(signature), "job")))
}

fn with_signature<T>(image: &[u8], run: impl FnOnce(&Signature<'_>) -> T) -> T {
    let der = sign(&signing_key("key"), &sha256(image));
    run(&Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der })
}

/// Whether the image of this part need not be received.
fn is_there(device: &mut Device<'_>, component: usize, image: &[u8]) -> bool {
    device.select(Part::OfRelease(COMPONENTS[component]));
    with_signature(image, |signature| run(device.runs_already(image.len() as u32, signature)).unwrap().is_some())
}

fn waits(flash: &RefCell<Nor>) -> bool {
    matches!(record(flash, APP).trial, Trial::WithSystem { slot: SlotId::B, .. })
}

/// A device on which a release is activated: its app waits, and its system is pending.
fn activated() -> RefCell<Nor> {
    let flash = flash();
    let mut device = started(&flash, [SlotId::A; 2]);
    receive(&mut device, APP, &part_of(APP, 1)).unwrap();
    let system = part_of(SYSTEM, 1);
    let (slot, digest) = receive(&mut device, SYSTEM, &system).unwrap();
    run(device.activate(slot, &digest, system.len() as u32)).unwrap();
    flash
}

/// Counts the first boot of the system's trial, as the selector does.
fn start_trial(flash: &RefCell<Nor>) {
    let Trial::Pending { slot, digest, image_bytes, .. } = record(flash, SYSTEM).trial else { panic!("it is pending") };
    let trial = Trial::Started { slot, digest, image_bytes, attempts_left: 2, power_losses: 0 };
    put_record(flash, SYSTEM, BootRecord { trial, ..record(flash, SYSTEM) });
}

#[test]
fn a_verified_app_waits_and_is_confirmed_with_its_system() {
    let flash = activated();
    assert!(waits(&flash));
    start_trial(&flash);
    let mut device = started(&flash, [SlotId::B; 2]);
    assert_eq!(device.selected, Component::System);
    assert_eq!(run(device.boot_state()).unwrap().image_state(), ImageState::OnTrial);
    assert!(waits(&flash), "not before the system is confirmed");
    run(device.confirm()).unwrap();
    for component in [APP, SYSTEM] {
        let BootRecord { confirmed, trial, images, .. } = record(&flash, component);
        assert_eq!((confirmed, trial), (SlotId::B, Trial::None));
        assert!(images.get(SlotId::B).unwrap().status.was_confirmed());
    }
}

#[test]
fn an_app_that_could_not_be_confirmed_with_its_system_is_at_the_next_boot() {
    let flash = activated();
    start_trial(&flash);
    let digest = record(&flash, SYSTEM).images.get(SlotId::B).unwrap().digest;
    let mut confirmed = record(&flash, SYSTEM);
    (confirmed.confirmed, confirmed.trial) = (SlotId::B, Trial::None);
    confirmed.images.confirm(SlotId::B);
    put_record(&flash, SYSTEM, confirmed);
    let mut device = started(&flash, [SlotId::B; 2]);
    assert_eq!(record(&flash, APP).confirmed, SlotId::B);
    assert_eq!(run(device.boot_state()).unwrap().image_state(), ImageState::Confirmed);
    assert_eq!(record(&flash, SYSTEM).images.get(SlotId::B).unwrap().digest, digest);
}

#[test]
fn the_trial_of_a_system_without_its_app_has_ended_because_that_is_damaged_or_was_not_started() {
    for (is_damaged, code) in [(true, 0x0604), (false, 0x0606)] {
        let flash = activated();
        start_trial(&flash);
        if is_damaged {
            let at = layouts(&flash.borrow())[APP].slot(SlotId::B).offset_bytes() as usize;
            flash.borrow_mut().bytes[at + 500..at + 600].fill(0);
        }
        let mut device = device(&flash, [SlotId::A, SlotId::B]);
        run(device.system.store_journal(&[1])).unwrap(); // as of the job
        run(device.load_journal(&mut [0; 192])).unwrap();
        let state = run(device.boot_state()).unwrap();
        let Trial::Ended { slot: SlotId::B, reason, started: true, .. } = state.trial else { panic!("{state:?}") };
        assert_eq!(reason, code);
        run(device.roll_back(code)).unwrap();
        assert!(matches!(record(&flash, SYSTEM).trial, Trial::Ended { reason, .. } if reason == code));
        assert_eq!(record(&flash, APP).confirmed, SlotId::A);
    }
}

#[test]
fn an_app_that_waits_is_not_erased() {
    let flash = flash();
    let mut device = started(&flash, [SlotId::A; 2]);
    receive(&mut device, APP, &part_of(APP, 1)).unwrap();
    assert_eq!(run(device.erase_images(Version::new(1, 1, 0))), Err(Refusal::TrialRunning));
    let system = part_of(SYSTEM, 1);
    assert!(is_there(&mut device, APP, &part_of(APP, 1)) && receive(&mut device, SYSTEM, &system).is_ok());
}

#[test]
fn the_state_of_a_system_names_the_app_that_runs_of_its_release() {
    let flash = activated();
    start_trial(&flash);
    for (app, expected) in [(SlotId::B, Some(SlotId::B)), (SlotId::A, None)] {
        // that of A is of another release
        let mut device = device(&flash, [app, SlotId::B]);
        let (app, system) = run(device.both_states()).unwrap();
        assert_eq!((app.app_of_release, system.app_of_release), (None, expected));
    }
}

#[test]
fn a_system_of_another_release_or_of_none_is_refused() {
    for (app_release, system_release) in [(RELEASE, RELEASE + 1), (RELEASE, 0)] {
        let flash = flash();
        let mut device = started(&flash, [SlotId::A; 2]);
        receive(&mut device, APP, &of_release(APP, 1, app_release, MajorMinor::default())).unwrap();
        let system = of_release(SYSTEM, 1, system_release, MajorMinor::default());
        let refused = Err(Refusal::ReleaseMismatch { want: app_release, got: system_release });
        assert_eq!(receive(&mut device, SYSTEM, &system), refused);
        assert_eq!(verify(&mut device, &system).map(|_| ()), refused.map(|_| ()), "nor without the early check");
        assert_eq!(record(&flash, SYSTEM).trial, Trial::None);
    }
    let flash = flash();
    let mut device = started(&flash, [SlotId::A; 2]);
    let app = of_release(APP, 1, 0, MajorMinor::default());
    assert_eq!(receive(&mut device, APP, &app), Err(Refusal::ReleaseMismatch { want: 0, got: 0 }));
}

/// That system would start the app in every boot, without a trial.
#[test]
fn an_app_of_the_release_whose_system_runs_already_is_refused() {
    let flash = flash();
    let mut device = started(&flash, [SlotId::A; 2]);
    let running = Header::parse(&plain(SYSTEM, 0)).unwrap().release_id;
    let refused = Err(Refusal::ReleaseMismatch { want: running, got: running });
    assert_eq!(receive(&mut device, APP, &of_release(APP, 1, running, MajorMinor::default())), refused);
    assert!(!waits(&flash));
}

#[test]
fn while_a_release_is_on_trial_its_app_is_neither_rolled_back_nor_reset() {
    let flash = activated();
    for running in [[SlotId::A; 2], [SlotId::B; 2]] {
        let mut device = device(&flash, running);
        assert_eq!(run(device.restore_previous()), Err(Refusal::TrialRunning));
        assert_eq!(run(device.factory_reset()), Err(Refusal::TrialRunning));
        if running[SYSTEM] == SlotId::A {
            start_trial(&flash);
        }
    }
    assert!(waits(&flash));
}

/// The app may require the system that comes with it, which is later than the one that runs.
#[test]
fn the_system_of_a_release_is_new_enough_for_its_app() {
    for (min, system_minor, is_taken) in [(2, 2, true), (2, 3, true), (3, 2, false)] {
        let flash = flash();
        let mut device = started(&flash, [SlotId::A; 2]);
        let min = MajorMinor::new(1, min);
        receive(&mut device, APP, &of_release(APP, 1, RELEASE, min)).unwrap();
        let received = receive(&mut device, SYSTEM, &part_of(SYSTEM, system_minor)).map(|(slot, _)| slot);
        let have = Version::new(1, system_minor, 0);
        assert_eq!(received, if is_taken { Ok(SlotId::B) } else { Err(Refusal::SystemTooOld { have, min }) });
    }
}

#[test]
fn a_part_that_waits_or_runs_need_not_be_received_and_a_system_is_for_an_app_that_waits() {
    let flash = flash();
    let mut device = started(&flash, [SlotId::A; 2]);
    let (app, system) = (part_of(APP, 1), plain(SYSTEM, 0));
    assert!(!is_there(&mut device, APP, &app));
    assert!(is_there(&mut device, SYSTEM, &system), "it runs");
    receive(&mut device, APP, &app).unwrap();
    assert!(is_there(&mut device, APP, &app), "it waits");
    assert!(!is_there(&mut device, APP, &part_of(APP, 2)), "another one waits");
    assert!(!is_there(&mut device, SYSTEM, &system), "its trial starts the app");
    let start = layouts(&flash.borrow())[APP].slot(SlotId::B).offset_bytes() as usize;
    flash.borrow_mut().bytes[start + 700] ^= 1;
    assert!(!is_there(&mut device, APP, &app), "it is damaged");
}

#[test]
fn an_app_stops_waiting_when_it_is_not_for_the_job() {
    type Begin = fn(&mut Device<'_>);
    let reasons: [(&str, Begin); 3] = [
        ("an update of the system alone", |device| {
            device.select(Part::Alone(Component::System));
            run(device.begin(1_000, 0)).unwrap();
        }),
        ("an update of the app alone", |device| {
            device.select(Part::Alone(Component::App));
            run(device.begin(1_000, 0)).unwrap();
        }),
        ("a release whose app runs", |device| assert!(is_there(device, APP, &plain(APP, 0)))),
    ];
    for (name, begin) in reasons {
        let flash = flash();
        let mut device = started(&flash, [SlotId::A; 2]);
        receive(&mut device, APP, &part_of(APP, 1)).unwrap();
        assert!(waits(&flash));
        begin(&mut device);
        assert!(!waits(&flash), "{name}");
    }
    let flash = flash();
    let mut device = started(&flash, [SlotId::A; 2]);
    receive(&mut device, APP, &part_of(APP, 1)).unwrap();
    device.select(Part::OfRelease(Component::System));
    run(device.begin(1_000, 0)).unwrap();
    assert!(waits(&flash), "its own system begins");
}

#[test]
fn an_app_that_waits_is_rolled_back_while_it_runs() {
    let flash = activated();
    start_trial(&flash);
    let mut device = started(&flash, [SlotId::B; 2]);
    run(device.roll_back(0x0601)).unwrap();
    assert!(matches!(record(&flash, SYSTEM).trial, Trial::Ended { slot: SlotId::B, reason: 0x0601, .. }));
    assert!(waits(&flash), "for a system that does not run");
}
