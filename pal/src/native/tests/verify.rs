//! What is verified: signature, version, board, counters; and what runs already.

use super::*;

#[test]
fn a_tampered_image_is_not_verified() {
    let mut flash = flash();
    let genuine = image(&new_header());
    let mut tampered = genuine.clone();
    *tampered.last_mut().unwrap() ^= 1;
    let mut device = device(&mut flash, SlotId::A);
    receive(&mut device, &tampered);
    assert_eq!(verify(&mut device, &genuine), Err(Refusal::Signature(SignatureRefusal::SignatureInvalid)));
}

#[test]
fn an_image_without_signature_is_verified_only_where_the_device_says_so() {
    let image = image(&new_header());
    let (mut flash, mut bench) = (flash(), flash());
    let mut device = device(&mut flash, SlotId::A);
    receive(&mut device, &image);
    let missing = Refusal::Signature(SignatureRefusal::SignatureMissing);
    assert_eq!((device.check_kind(None), run(device.verify(None, ""))), (Err(missing), Err(missing)));

    let config = config(&bench);
    let verifier = AcceptUnsigned(KeySet::<1>::new());
    let selector = OwnSelector::new(&config.layout, SlotId::A);
    let mut device = Native::from_parts(&mut bench, verifier, NoReset, NoWatchdog, config, selector).unwrap();
    run(device.begin(image.len() as u32, 0)).unwrap();
    run(device.write(0, &image)).unwrap();
    assert_eq!((device.check_kind(None), run(device.verify(None, ""))), (Ok(()), Ok(sha256(&image))));
}

#[test]
fn an_image_of_a_revoked_key_is_neither_verified_nor_known_to_run() {
    let mut flash = flash();
    let (running, image) = (running_image(), image(&new_header()));
    let mut device = device(&mut flash, SlotId::A);
    run(device.floors.raise(&mut device.flash, RollbackCounters { security_counter: 0, key_epoch: 1 })).unwrap();
    receive(&mut device, &image);
    let revoked = SignatureRefusal::KeyRevoked { epoch: 0, epoch_min: 1 };
    assert_eq!(verify(&mut device, &image), Err(Refusal::Signature(revoked)));
    let der = sign(&signing_key("key"), &sha256(&running));
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
    assert_eq!(run(device.runs_already(running.len() as u32, &signature)), Ok(None));
}

#[test]
fn a_signed_image_that_this_device_does_not_take_is_not_verified() {
    let good = new_header();
    let older = Header { version: Version::new(1, 0, 1), ..good };
    let foreign = Header { hardware: HardwareId::new("other").unwrap(), ..good };
    let linked = Header { link: Link::Only(SlotId::A), ..good };
    let (have, got) = (older.version, older.version);
    for (header, refusal) in [
        (older, Refusal::VersionNotNewer { have, got }),
        (foreign, Refusal::WrongHardware { got: foreign.hardware }),
        (linked, Refusal::WrongSlotLink { slot: SlotId::B }),
    ] {
        let mut flash = flash();
        let image = image(&header);
        let mut device = device(&mut flash, SlotId::A);
        receive(&mut device, &image);
        assert_eq!(run(device.check_header()), Err(refusal));
        assert_eq!(verify(&mut device, &image), Err(refusal));
    }
    let mut flash = flash();
    let mut device = device(&mut flash, SlotId::A);
    receive(&mut device, &[0xFF; 1024]);
    let refusal = Refusal::ImageHeaderInvalid(HeaderError::NotAnImage { magic: [0xFF; 4] });
    assert_eq!(verify(&mut device, &[0xFF; 1024]), Err(refusal));
}

#[test]
fn the_security_counter_never_falls_below_the_running_image_nor_the_configured_one() {
    let running = Header { security_counter: 4, ..header(Version::new(1, 0, 1), 1000) };
    for (configured, have) in [(0, 4), (6, 6)] {
        let mut flash = Nor::new(16);
        let config = DeviceConfig { security_counter_min: configured, ..config(&flash) };
        run(flash.write(config.layout.slot(SlotId::A).offset_bytes(), &image(&running))).unwrap();
        let offered = image(&Header { security_counter: 3, ..new_header() });
        let mut device = device(&mut flash, SlotId::A);
        device.config = config;
        receive(&mut device, &offered);
        assert_eq!(run(device.check_header()), Err(Refusal::SecurityCounterTooLow { have, got: 3 }));
    }
}

#[test]
fn only_the_signed_and_confirmed_image_runs_already() {
    let mut flash = flash();
    let running = running_image();
    let len = running.len() as u32;
    let ask = |flash: &mut Nor, image_bytes, signed: &[u8], running| {
        let der = sign(&signing_key("key"), &sha256(signed));
        let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
        run(device(flash, running).runs_already(image_bytes, &signature)).unwrap()
    };
    assert_eq!(ask(&mut flash, len, &running, SlotId::A), Some(sha256(&running)));
    assert_eq!(ask(&mut flash, len + 1, &running, SlotId::A), None, "another length");
    assert_eq!(ask(&mut flash, len, b"another image", SlotId::A), None, "another image's signature");
    put_record(&mut flash, BootRecord { confirmed: SlotId::B, trial: Trial::None, ..NEW_DEVICE });
    assert_eq!(ask(&mut flash, len, &running, SlotId::A), None, "not confirmed");
}
