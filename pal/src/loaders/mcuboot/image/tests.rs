//! Images assembled byte by byte, and random bytes. Images made by `imgtool` are read in the tests crate.

use super::super::super::super::testing::{Ram, run, sha256};
use super::super::tlvs::*;
use super::*;
use crate::image::hardware::HardwareId;
use crate::platform::hooks::NoWatchdog;
use proptest::prelude::*;
use std::vec::Vec;

type Nor = Ram<4, 8, 4096>;

const HEADER_LEN: u16 = 64;
const BODY: [u8; 300] = [0x5A; 300];

/// An area of TLVs.
fn area(magic: u16, tlvs: &[(u16, &[u8])]) -> Vec<u8> {
    let mut entries = Vec::new();
    for (kind, value) in tlvs {
        entries.extend(kind.to_le_bytes());
        entries.extend((value.len() as u16).to_le_bytes());
        entries.extend_from_slice(value);
    }
    let len = entries.len() as u16 + 4;
    [&magic.to_le_bytes()[..], &len.to_le_bytes(), &entries].concat()
}

fn header(protected_len: usize) -> Vec<u8> {
    let mut bytes = IMAGE_MAGIC.to_le_bytes().to_vec();
    bytes.extend(0x0800_0000_u32.to_le_bytes());
    bytes.extend(HEADER_LEN.to_le_bytes());
    bytes.extend((protected_len as u16).to_le_bytes());
    bytes.extend((BODY.len() as u32).to_le_bytes());
    bytes.extend(0x20_u32.to_le_bytes());
    bytes.extend([1, 2, 3, 0, 4, 0, 0, 0]);
    bytes.resize(usize::from(HEADER_LEN), 0);
    bytes
}

/// An image with these protected TLVs, its digest, and these unprotected TLVs.
pub(crate) fn image(protected: &[(u16, &[u8])], open: &[(u16, &[u8])]) -> Vec<u8> {
    let protected = if protected.is_empty() { Vec::new() } else { area(PROTECTED_AREA_MAGIC, protected) };
    let mut bytes = [header(protected.len()), BODY.to_vec(), protected].concat();
    let digest = sha256(&bytes);
    let tlvs: Vec<(u16, &[u8])> = [(TLV_SHA256, &digest.0[..])].into_iter().chain(open.iter().copied()).collect();
    bytes.extend(area(AREA_MAGIC, &tlvs));
    bytes
}

pub(crate) fn slot(image: &[u8]) -> (Nor, Region) {
    let mut bytes = std::vec![0xFF; 2 * 4096];
    bytes[4096..4096 + image.len()].copy_from_slice(image);
    (Nor::holding(bytes), Region::new(4096, 4096))
}

fn tlvs(image: &[u8]) -> Result<Tlvs, ImageError> {
    let (mut flash, region) = slot(image);
    let header = run(read_image_header(&mut flash, region)).unwrap()?;
    run(read_tlvs(&mut flash, region, &header)).unwrap()
}

pub(crate) const COUNTER: (u16, &[u8]) = (TLV_SECURITY_COUNTER, &[7, 0, 0, 0]);
pub(crate) const BOARD: (u16, &[u8]) = (TLV_HARDWARE_ID, b"nrf52840dk");

#[test]
fn an_image_says_its_version_its_length_its_digest_its_counter_and_its_board() {
    let image = image(&[COUNTER, (0x0040, &[0; 12]), BOARD], &[(0x0001, &[9; 32])]);
    let (mut flash, region) = slot(&image);
    let header = run(read_image_header(&mut flash, region)).unwrap().unwrap();
    assert_eq!((header.version, header.build, header.load_address), (Version::new(1, 2, 3), 4, 0x0800_0000));
    assert_eq!((header.body_offset_bytes(), header.body_bytes()), (64, 300));
    let found = run(read_tlvs(&mut flash, region, &header)).unwrap().unwrap();
    let hardware = Some(HardwareId::new("nrf52840dk").unwrap());
    let digest = sha256(&image[..header.hashed_bytes() as usize]);
    let image_bytes = image.len() as u32;
    assert_eq!(found, Tlvs { image_bytes, digest, security_counter: Some(7), hardware });
    assert_eq!(run(matches_digest(&mut flash, region, &header, &found, &mut NoWatchdog)), Ok(true));
    flash.bytes[4096 + 100] ^= 1;
    assert_eq!(run(matches_digest(&mut flash, region, &header, &found, &mut NoWatchdog)), Ok(false));
}

#[test]
fn what_is_not_protected_is_not_believed() {
    let found = tlvs(&image(&[(0x0040, &[0; 12])], &[COUNTER, BOARD])).unwrap();
    assert_eq!((found.security_counter, found.hardware), (None, None));
    let plain = tlvs(&image(&[], &[])).unwrap();
    assert_eq!((plain.security_counter, plain.hardware), (None, None));
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let whole = image(&[], &[]);
    let patched = |at: usize, bytes: &[u8]| {
        let mut image = whole.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        tlvs(&image).unwrap_err()
    };
    assert_eq!(ImageHeader::parse(&whole[..31]), Err(ImageError::TooShort { got: 31 }));
    assert_eq!(patched(0, &[0xFF; 4]), ImageError::NotAnImage { magic: u32::MAX });
    assert_eq!(patched(AT_HEADER_LEN, &[31, 0]), ImageError::SizesInvalid { header_bytes: 31, body_bytes: 300 });
    assert_eq!(patched(AT_BODY_LEN, &[0; 4]), ImageError::SizesInvalid { header_bytes: 64, body_bytes: 0 });
    let body_bytes = u32::MAX - 63;
    assert_eq!(
        patched(AT_BODY_LEN, &body_bytes.to_le_bytes()),
        ImageError::SizesInvalid { header_bytes: 64, body_bytes }
    );
    for flag in [0x04, 0x08, 0x10] {
        assert_eq!(patched(AT_FLAGS, &[flag]), ImageError::FlagsUnsupported { got: u32::from(flag) });
    }
    for flag in [0x02, 0x04, 0x08] {
        assert_eq!(patched(AT_FLAGS + 1, &[flag]), ImageError::FlagsUnsupported { got: u32::from(flag) << 8 });
    }
    assert_eq!(patched(364, &[0x08]), ImageError::NoTlvArea { offset_bytes: 364, magic: PROTECTED_AREA_MAGIC });
    assert_eq!(patched(366, &[0xFF, 0xFF]), ImageError::OutOfRange { end_bytes: 364 + 0xFFFF, limit_bytes: 4096 });
    assert_eq!(patched(370, &[33, 0]), ImageError::OutOfRange { end_bytes: 405, limit_bytes: 404 });
    assert_eq!(patched(368, &[0x11]), ImageError::DigestMissing);
    assert_eq!(patched(AT_PROTECTED_LEN, &[4, 0]), ImageError::NoTlvArea { offset_bytes: 364, magic: AREA_MAGIC });
    let pushed_out = ImageError::OutOfRange { end_bytes: 5065, limit_bytes: 4096 };
    assert_eq!(patched(AT_BODY_LEN, &5000_u32.to_le_bytes()), pushed_out);
}

#[test]
fn tlvs_that_contradict_are_refused_by_name() {
    let short = (TLV_SECURITY_COUNTER, &[7, 0, 0][..]);
    assert_eq!(tlvs(&image(&[short], &[])), Err(ImageError::TlvLengthWrong { kind: TLV_SECURITY_COUNTER, got: 3 }));
    let twice = tlvs(&image(&[COUNTER, COUNTER], &[]));
    assert_eq!(twice, Err(ImageError::TlvRepeated { kind: TLV_SECURITY_COUNTER }));
    assert_eq!(tlvs(&image(&[], &[(TLV_SHA256, &[0; 32])])), Err(ImageError::TlvRepeated { kind: TLV_SHA256 }));
    for text in [&b""[..], b"with space", b"seventeen letters"] {
        assert_eq!(tlvs(&image(&[(TLV_HARDWARE_ID, text)], &[])), Err(ImageError::HardwareIdInvalid));
    }
    let many = std::vec![(0x00A1, &[][..]); TLVS_MAX as usize];
    assert!(tlvs(&image(&many, &[])).is_ok());
    let too_many = std::vec![(0x00A1, &[][..]); TLVS_MAX as usize + 1];
    assert_eq!(tlvs(&image(&too_many, &[])), Err(ImageError::TooManyTlvs));
    let mut longer = image(&[COUNTER], &[]);
    longer[366] += 4;
    assert_eq!(tlvs(&longer), Err(ImageError::ProtectedLengthMismatch { header: 12, area: 16 }));
}

#[test]
fn a_board_may_have_all_sixteen_letters_of_a_name() {
    let found = tlvs(&image(&[(TLV_HARDWARE_ID, b"sixteen--letters")], &[])).unwrap();
    assert_eq!(found.hardware, Some(HardwareId::new("sixteen--letters").unwrap()));
}

#[test]
fn nothing_is_read_beyond_a_slot_at_the_end_of_the_flash() {
    const SLOT_BYTES: usize = 384;
    // The slot ends two bytes behind the board's name, in a window of the name and in one of the next area.
    let bytes = [std::vec![0xFF; 2 * 4096 - SLOT_BYTES], image(&[BOARD], &[])[..SLOT_BYTES].to_vec()].concat();
    let (mut flash, region) = (Nor::holding(bytes), Region::new(2 * 4096 - SLOT_BYTES as u32, SLOT_BYTES as u32));
    let header = run(read_image_header(&mut flash, region)).unwrap().unwrap();
    let cut_off = ImageError::OutOfRange { end_bytes: 386, limit_bytes: 384 };
    assert_eq!(run(read_tlvs(&mut flash, region, &header)), Ok(Err(cut_off)));
}

proptest! {
    #[test]
    fn any_bytes_read_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = tlvs(&bytes);
    }

    #[test]
    fn an_image_with_damaged_bytes_reads_or_is_refused(
        damage in proptest::collection::vec((0_usize..430, any::<u8>()), 1..8),
        lengths in any::<(u16, u16, u32)>(),
        patch_lengths: bool,
    ) {
        let mut bytes = image(&[COUNTER, BOARD], &[(1, &[3; 20])]);
        for (at, byte) in damage {
            if (4..16).contains(&at) || at >= 360 {
                bytes[at] = byte;
            }
        }
        if patch_lengths {
            bytes[8..10].copy_from_slice(&lengths.0.to_le_bytes());
            bytes[10..12].copy_from_slice(&lengths.1.to_le_bytes());
            bytes[12..16].copy_from_slice(&(lengths.2 % 9000).to_le_bytes());
        }
        if let Ok(found) = tlvs(&bytes) {
            prop_assert!(found.image_bytes <= 4096);
        }
    }
}

#[test]
fn a_header_of_its_least_length_is_accepted() {
    let mut shortest = image(&[], &[]);
    shortest[AT_HEADER_LEN..AT_HEADER_LEN + 2].copy_from_slice(&[32, 0]);
    assert_eq!(ImageHeader::parse(&shortest).map(|header| header.body_offset_bytes()), Ok(32));
}

#[test]
fn the_number_of_an_error_never_changes() {
    let errors = [
        ImageError::TooShort { got: 0 },
        ImageError::NotAnImage { magic: 0 },
        ImageError::SizesInvalid { header_bytes: 0, body_bytes: 0 },
        ImageError::FlagsUnsupported { got: 0 },
    ];
    let later = [
        ImageError::DigestMissing,
        ImageError::DigestWrong,
        ImageError::HardwareIdMissing,
        ImageError::HardwareIdInvalid,
    ];
    for (error, code) in errors.into_iter().zip(1..).chain(later.into_iter().zip(11..)) {
        assert_eq!(FormatError::from(error), FormatError { format: "MCUboot", code });
    }
}
