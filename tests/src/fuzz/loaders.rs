//! The formats of other boot loaders, in a slot and in their own sectors.

use ota_pal::loaders::esp_idf;
use ota_pal::loaders::mcuboot::{Align, ImageHeader, Trailer, read_image_header, read_tlvs};
use ota_pal::{Region, poll_ready};

use super::input::Input;
use super::pal::flash;

const SLOT: Region = Region::new(0, 8_192);
const DONE: &str = "memory never waits";

pub fn esp_image(bytes: &[u8]) {
    let parsed = esp_idf::Image::parse(bytes);
    let mut flash = flash(bytes);
    let read = poll_ready(esp_idf::Descriptor::read(&mut flash, SLOT)).expect(DONE);
    let _ = read.expect("memory can be read");
    let image = poll_ready(esp_idf::Image::read(&mut flash, SLOT)).expect(DONE).expect("memory can be read");
    if parsed.is_ok() {
        assert_eq!(image, parsed, "an image reads from flash as it does from memory");
    }
    if let Ok(image) = image {
        assert!(image.image_bytes <= SLOT.len_bytes());
    }
}

pub fn esp_otadata(bytes: &[u8]) {
    let mut input = Input(bytes);
    let slots = esp_idf::Slots::new(1 + input.byte() % 16).expect("1 to 16 slots");
    let (factory, slot) = (input.byte() % 2 == 1, input.byte() % slots.count());
    let nor = crate::nor::Nor::new(crate::nor::PLAIN, 16);
    for sector in 0..2 {
        let mut entry = [0xFF; 32];
        let piece = input.take(32);
        entry[..piece.len()].copy_from_slice(piece);
        let parsed = esp_idf::Entry::parse(&entry);
        let _ = (parsed.is_valid(), parsed.is_damaged(), parsed.is_passed_over());
        // Half of the inputs have a valid checksum.
        if input.byte().is_multiple_of(2) {
            let sequence = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            entry[28..].copy_from_slice(&esp_idf::otadata::sequence_crc(sequence).to_le_bytes());
        }
        nor.burn(sector * 4_096, &entry);
    }
    let mut flash: crate::nor::PlainView = crate::nor::View(nor);
    let otadata = esp_idf::OtaData::new::<crate::nor::PlainView>(Region::new(0, 8_192), slots, factory)
        .expect("two whole sectors");
    let running = poll_ready(otadata.start(&mut flash)).expect(DONE);
    let _ = poll_ready(otadata.entry(&mut flash, slot)).expect(DONE);
    let _ = match input.byte() % 7 {
        0 => poll_ready(otadata.watch(&mut flash, slot)),
        1 => poll_ready(otadata.keep(&mut flash, slot)),
        2 => poll_ready(otadata.revert(&mut flash, slot)),
        3 => poll_ready(otadata.forget(&mut flash, slot)),
        4 => poll_ready(otadata.factory(&mut flash)),
        5 => running.as_ref().ok().and_then(|app| poll_ready(otadata.try_next(&mut flash, *app, slot))),
        _ => running.as_ref().ok().and_then(|app| poll_ready(otadata.switch(&mut flash, *app, slot))),
    };
    let _ = poll_ready(otadata.start(&mut flash)).expect(DONE);
}

pub fn mcuboot(bytes: &[u8]) {
    let mut input = Input(bytes);
    let align = [8, 16, 32][usize::from(input.byte() % 3)];
    let align = Align::new(align).expect("an alignment of MCUboot");
    let _ = Trailer::parse(input.0, align);
    let mut flash = flash(input.0);
    let read = poll_ready(read_image_header(&mut flash, SLOT)).expect(DONE).expect("memory can be read");
    if let Ok(header) = read {
        assert!(ImageHeader::parse(input.0).is_ok() || input.0.len() < 64);
        let _ = (header.body_offset_bytes(), header.body_bytes(), header.hashed_bytes());
        if let Ok(tlvs) = poll_ready(read_tlvs(&mut flash, SLOT, &header)).expect(DONE).expect("memory can be read") {
            assert!(tlvs.image_bytes <= SLOT.len_bytes());
        }
    }
}
