//! Inputs of the native layout: image headers, the records in flash, keys and signatures.

use ota_pal::{
    BootRecord, BootRecords, Digest, Geometry, HEADER_BYTES, Header, Key, KeySet, Layout, MonotonicRecords, Region,
    SignatureKind, SlotId, Verifier, Version, poll_ready, read_header,
};

use super::input::Input;
use crate::device::{Board, Device};
use crate::nor::{Nor, PLAIN, PlainView, View};
use crate::verifier::Signer;

/// A part that starts with these bytes; the rest is erased.
pub fn flash(bytes: &[u8]) -> PlainView {
    let nor = Nor::new(PLAIN, 16);
    nor.burn(0, bytes);
    View(nor)
}

pub fn image_header(bytes: &[u8]) {
    let parsed = Header::parse(bytes);
    if let Ok(header) = &parsed {
        assert_eq!(Header::parse(&header.emit()), parsed, "a header that was read is written as it was");
        let _ = (header.image_bytes(), header.link.allows(SlotId::A));
    }
    let read = poll_ready(read_header(&mut flash(bytes), Region::new(0, 16_384))).expect("memory never waits");
    if bytes.len() >= HEADER_BYTES {
        assert_eq!(read.expect("memory can be read"), parsed, "a header reads from flash as it does from memory");
    }
}

/// The three kinds of records, with contents that pass their checksum, and a platform that starts from them.
pub fn records(bytes: &[u8]) {
    let nor = Nor::new(PLAIN, 40);
    let geometry = Geometry::of::<PlainView>(&View(nor.clone()));
    let layout = Layout::divide(geometry, 2, false).expect("slots of whole sectors");
    let mut input = Input(bytes);
    for (region, kind) in [(layout.boot_record(), b'B'), (layout.journal(), b'J'), (layout.monotonic(), b'M')] {
        let (format, sequence) = (input.byte(), input.u32());
        nor.burn(region.offset_bytes(), &record(kind, format, sequence, input.piece()));
    }
    nor.burn(layout.slot(SlotId::A).offset_bytes(), input.0);
    let mut view: PlainView = View(nor.clone());
    let done = "memory never waits";
    let record = poll_ready(BootRecords::new(&layout).load(&mut view)).expect(done);
    let _ = poll_ready(MonotonicRecords::new(&layout).load(&mut view)).expect(done);
    let device = Device {
        nor,
        layout,
        executing: None,
        signer: std::rc::Rc::new(Signer::new("ours", false)),
        thing: "thing".into(),
        version_rule: ota_pal::VersionRule::Newer,
        config: ota_agent::AgentConfig::new("thing").expect("a plain name"),
        component: ota_pal::Component::App,
        system: None,
        booted: Default::default(),
        consent: Default::default(),
    };
    let mut board: Board<PlainView> = device.platform(View(device.nor.clone()), SlotId::A, 0);
    let mut journal = [0; ota_pal::JOURNAL_PAYLOAD_BYTES_MAX];
    let _ = poll_ready(board.load_journal(&mut journal)).expect(done);
    let _ = poll_ready(board.boot_state()).expect(done);
    let _ = poll_ready(board.images()).expect(done);
    let _ = poll_ready(board.erase_images(Version::new(1, 0, 1))).expect(done);
    let _ = poll_ready(board.restore_previous()).expect(done);
    let _ = device.boot();
    if let Ok(record) = record {
        let mut records = BootRecords::new(&device.layout);
        poll_ready(records.store(&mut view, &record)).expect(done).expect("a record that was read can be stored");
        // An unknown row is counted, and removed when the record is rewritten.
        let whole = BootRecord { broken_rows: 0, ..record };
        assert_eq!(poll_ready(records.load(&mut view)).expect(done), Ok(whole));
    }
}

/// A record as in flash: checksum, number, kind, format, length, payload.
fn record(kind: u8, format: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
    // Mostly the current format, so that the contents are parsed.
    let format = if format < 8 { format } else { 1 };
    let len = (payload.len() as u16).to_le_bytes();
    let covered = [&sequence.to_le_bytes()[..], &[kind, format], &len, payload].concat();
    [&crc32(&covered).to_le_bytes()[..], &covered].concat()
}

/// CRC-32 as in IEEE 802.3.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

/// Keys from any bytes, and any bytes as a signature of a good key.
pub fn signatures(bytes: &[u8]) {
    let mut input = Input(bytes);
    let kinds = [SignatureKind::Sha256Ecdsa, SignatureKind::Sha256Ed25519, SignatureKind::Sha256Rsa];
    let kind = kinds[usize::from(input.byte() % 3)];
    let public = input.piece();
    let mut keys = KeySet::<2>::new();
    if let Ok(key) = Key::new("any", public) {
        assert!(key.kind() == SignatureKind::Sha256Ecdsa || public.len() >= 32);
        keys.add(key).expect("the set is empty");
    }
    keys.add(good_key()).expect("the set has two places");
    let verified = keys.verify(Some("good"), kind, &Digest([7; 32]), input.0, 0);
    assert!(verified.is_err() || keys.verify(None, kind, &Digest([7; 32]), input.0, 0).is_ok());
}

fn good_key() -> Key {
    // The point of the private key 1: the generator of P-256.
    const GENERATOR: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
        4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let digit = |at: usize| u8::from_str_radix(&GENERATOR[at..at + 2], 16).expect("hexadecimal");
    let point: Vec<u8> = (0..GENERATOR.len()).step_by(2).map(digit).collect();
    Key::new("good", &point).expect("a point of the curve")
}
