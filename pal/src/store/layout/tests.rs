//! Which layouts fit a flash, and what is where in them.

use super::*;

const GEOMETRY: Geometry = Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: 64 * 1024 };

const fn records(journal: Region, boot: Region) -> RecordRegions {
    RecordRegions { journal, boot, monotonic: Region::new(0xE000, 0x2000) }
}

fn layout(slots: [Region; 2], journal: Region, boot: Region) -> Result<Layout, LayoutError> {
    Layout::new(GEOMETRY, &slots, records(journal, boot))
}

#[test]
fn every_byte_of_a_slot_is_that_slots_and_no_other_byte_is() {
    let geometry = Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: 1 << 20 };
    let layout = Layout::divide(geometry, 3, true).unwrap();
    for slot in [SlotId::A, SlotId::B, SlotId::FACTORY] {
        let region = layout.slot(slot);
        let (first, end) = (region.offset_bytes(), region.offset_bytes() + region.len_bytes());
        assert_eq!((layout.slot_at(first), layout.slot_at(end - 1)), (Some(slot), Some(slot)));
    }
    assert_eq!(layout.slot_at(layout.slot(SlotId::A).offset_bytes() - 1), None);
    assert_eq!(layout.slot_at(u32::MAX), None);
}

#[test]
fn a_split_flash_gives_two_equal_slots_that_end_inside() {
    const LAYOUT: Layout = match Layout::split(GEOMETRY) {
        Ok(layout) => layout,
        Err(_) => panic!("the layout is checked in a const"),
    };
    assert_eq!(LAYOUT.slot(SlotId::A), Region::new(0x6000, 0x5000));
    assert_eq!(LAYOUT.slot(SlotId::B), Region::new(0xB000, 0x5000));
    assert_eq!(LAYOUT.slot(SlotId::C).len_bytes(), 0);
    assert_eq!(LAYOUT.boot_record(), Region::new(0, 0x2000));
    assert_eq!(LAYOUT.journal(), Region::new(0x2000, 0x2000));
    assert_eq!(LAYOUT.monotonic(), Region::new(0x4000, 0x2000));
    assert_eq!(LAYOUT.factory(), None);
}

#[test]
fn a_flash_is_divided_into_slots_and_one_for_the_factory() {
    let layout = Layout::divide(GEOMETRY, 3, true).unwrap();
    let slots = [SlotId::A, SlotId::B, SlotId::C, SlotId::FACTORY].map(|slot| layout.slot(slot));
    let at = |index: u32| Region::new(0x6000 + index * 0x2000, 0x2000);
    assert_eq!(slots, [at(0), at(1), at(2), at(3)]);
    assert_eq!((layout.slot_count(), layout.factory()), (3, Some(at(3))));
}

#[test]
fn a_part_of_a_flash_is_divided_apart_from_the_rest() {
    let geometry = Geometry { capacity_bytes: 128 * 1024, ..GEOMETRY };
    let part = |at, len_bytes| Layout::divide_part(geometry, Region::new(at, len_bytes), 2, false);
    let (first, second) = (part(0, 0x1_0000).unwrap(), part(0x1_0000, 0x1_0000).unwrap());
    assert_eq!(first, Layout { geometry, ..Layout::split(GEOMETRY).unwrap() });
    assert_eq!(second.boot_record(), Region::new(0x1_0000, 0x2000));
    assert_eq!(second.monotonic(), Region::new(0x1_4000, 0x2000));
    assert_eq!(second.slot(SlotId::B), Region::new(0x1_B000, 0x5000));
    assert_eq!(first.check_apart(&second), Ok(()));
    let overlap = Err(LayoutError::Overlap { first_offset_bytes: 0x1_B000, second_offset_bytes: 0x1_E000 });
    assert_eq!(second.check_apart(&part(0x1_8000, 0x8000).unwrap()), overlap);
    for (at, len_bytes) in [(0x1_0000, 0x1_1000), (0x2_1000, 0x1000), (0x1_0000, u32::MAX)] {
        assert!(matches!(part(at, len_bytes), Err(LayoutError::OutOfRange { .. })), "{at:#x}");
    }
}

#[test]
fn fewer_than_two_slots_are_refused_and_more_than_four() {
    let regions = records(Region::new(0, 0x2000), Region::new(0x2000, 0x2000));
    let slots = [Region::new(0x4000, 0x1000); 5];
    for got in [0, 1, 5] {
        assert_eq!(Layout::new(GEOMETRY, &slots[..got], regions), Err(LayoutError::SlotCount { got }));
        assert_eq!(Layout::divide(GEOMETRY, got, true), Err(LayoutError::SlotCount { got }));
    }
}

#[test]
fn the_next_slots_are_those_behind_the_running_one_and_then_those_before_it() {
    let next = |slots: usize, from: SlotId| {
        let layout = Layout::divide(GEOMETRY, slots, true).unwrap();
        layout.next_slots(from).collect::<std::vec::Vec<_>>()
    };
    let (a, b, c) = (SlotId::A, SlotId::B, SlotId::C);
    assert_eq!(next(2, a), [b]);
    assert_eq!(next(2, b), [a]);
    assert_eq!(next(3, a), [b, c]);
    assert_eq!(next(3, b), [c, a]);
    assert_eq!(next(3, c), [a, b]);
    assert_eq!(next(3, SlotId::FACTORY), [a, b, c]);
}

#[test]
fn records_need_more_sectors_where_a_sector_is_smaller_than_a_record() {
    let small = Geometry { word_bytes: 4, erase_bytes: 256, capacity_bytes: 64 * 1024 };
    let layout = Layout::split(small).unwrap();
    assert_eq!(layout.boot_record().len_bytes(), 2 * 2 * 256);
}

#[test]
fn regions_that_share_a_sector_are_refused() {
    let slots = [Region::new(0x4000, 0x2000), Region::new(0x5000, 0x2000)];
    let refused = layout(slots, Region::new(0, 0x2000), Region::new(0x2000, 0x2000));
    assert_eq!(refused, Err(LayoutError::Overlap { first_offset_bytes: 0x4000, second_offset_bytes: 0x5000 }));
}

#[test]
fn a_region_beyond_the_flash_is_refused_even_when_its_end_wraps() {
    for region in [Region::new(0xF000, 0x2000), Region::new(0xFFFF_F000, 0x2000)] {
        let refused =
            layout([Region::new(0, 0x1000), region], Region::new(0x2000, 0x2000), Region::new(0x4000, 0x2000));
        assert!(matches!(refused, Err(LayoutError::OutOfRange { .. })), "{refused:?}");
    }
}

#[test]
fn records_need_two_sectors_and_slots_one() {
    let slots = [Region::new(0x4000, 0x1000), Region::new(0x5000, 0x1000)];
    let one_sector = layout(slots, Region::new(0, 0x1000), Region::new(0x2000, 0x2000));
    assert_eq!(one_sector, Err(LayoutError::TooFewSectors { offset_bytes: 0, got: 1, min: 2 }));
    let no_slot = layout([Region::new(0x4000, 0), slots[1]], Region::new(0, 0x2000), Region::new(0x2000, 0x2000));
    assert_eq!(no_slot, Err(LayoutError::TooFewSectors { offset_bytes: 0x4000, got: 0, min: 1 }));
}

#[test]
fn a_ragged_region_and_an_odd_geometry_are_refused() {
    let ragged = layout(
        [Region::new(0x4000, 0x1000), Region::new(0x5000, 0x0800)],
        Region::new(0, 0x2000),
        Region::new(0x2000, 0x2000),
    );
    assert!(matches!(ragged, Err(LayoutError::NotSectorAligned { len_bytes: 0x0800, .. })));
    for (word_bytes, erase_bytes) in [(3, 4096), (64, 4096), (4, 128), (4, 1000), (0, 4096), (4, 0)] {
        let odd = Geometry { word_bytes, erase_bytes, capacity_bytes: 1 << 20 };
        assert_eq!(Layout::split(odd), Err(LayoutError::GeometryUnsupported { word_bytes, erase_bytes }));
    }
}

#[test]
fn a_flash_of_other_units_or_of_less_than_the_layout_is_refused() {
    let layout = Layout::split(GEOMETRY).unwrap();
    assert_eq!(layout.check(GEOMETRY), Ok(()));
    assert_eq!(layout.check(Geometry { capacity_bytes: 1 << 20, ..GEOMETRY }), Ok(()));
    for (word_bytes, erase_bytes) in [(8, 4096), (4, 8192), (4, 2048), (4, 0)] {
        let other = Geometry { word_bytes, erase_bytes, ..GEOMETRY };
        assert_eq!(layout.check(other), Err(LayoutError::GeometryUnsupported { word_bytes, erase_bytes }));
    }
    let (len_bytes, capacity_bytes) = (GEOMETRY.capacity_bytes, GEOMETRY.capacity_bytes - 4096);
    let refused = layout.check(Geometry { capacity_bytes, ..GEOMETRY });
    assert_eq!(refused, Err(LayoutError::OutOfRange { offset_bytes: 0, len_bytes, capacity_bytes }));
}

#[test]
fn a_region_beside_a_layout_is_whole_sectors_of_the_flash_and_shares_none_of_them() {
    let layout = Layout::split(GEOMETRY).unwrap();
    let larger = Geometry { capacity_bytes: GEOMETRY.capacity_bytes + 4 * 4096, ..GEOMETRY };
    let beside = |sectors, at| layout.check_beside(larger, Region::new(GEOMETRY.capacity_bytes + at, sectors));
    assert_eq!(beside(4 * 4096, 0), Ok(()));
    assert!(matches!(beside(5 * 4096, 0), Err(LayoutError::OutOfRange { .. })));
    assert!(matches!(beside(0, 0), Err(LayoutError::TooFewSectors { .. })));
    assert!(matches!(beside(4096, 2048), Err(LayoutError::NotSectorAligned { .. })));
    let slot = layout.slot(SlotId::B);
    let overlap = LayoutError::Overlap { first_offset_bytes: slot.offset_bytes(), second_offset_bytes: slot.at(4096) };
    assert_eq!(layout.check_beside(larger, Region::new(slot.at(4096), 4096)), Err(overlap));
}

#[test]
fn a_flash_too_small_for_two_slots_is_refused() {
    let small = Geometry { capacity_bytes: 7 * 4096, ..GEOMETRY };
    assert!(matches!(Layout::split(small), Err(LayoutError::TooFewSectors { got: 0, min: 1, .. })));
}

#[test]
fn every_region_of_four_slots_a_factory_and_the_records_is_taken_and_what_lies_behind_is_free() {
    let layout = Layout::divide(GEOMETRY, 4, true).unwrap();
    let slots = [SlotId::A, SlotId::B, SlotId::C, SlotId::D, SlotId::FACTORY].map(|slot| layout.slot(slot));
    let records = [layout.journal(), layout.boot_record(), layout.monotonic()];
    assert_eq!(slots, [0, 1, 2, 3, 4].map(|index| Region::new(0x6000 + index * 0x2000, 0x2000)));
    for region in slots.iter().chain(&records) {
        assert!(!layout.is_clear_of(*region), "{region:?}");
        assert!(!layout.is_clear_of(Region::new(region.offset_bytes() + region.len_bytes() - 1, 1)), "{region:?}");
    }
    assert!(layout.is_clear_of(Region::new(GEOMETRY.capacity_bytes, 0x1000)));
    assert_eq!(layout.next_slots(SlotId::C).collect::<std::vec::Vec<_>>(), [SlotId::D, SlotId::A, SlotId::B]);
    for (index, region) in slots.iter().enumerate() {
        let mut moved = [slots[0], slots[1], slots[2], slots[3]];
        moved[(index + 1) % 4] = *region;
        let with_all = Layout::new(GEOMETRY, &moved, layout.records).and_then(|it| it.with_factory(GEOMETRY, slots[4]));
        assert!(matches!(with_all, Err(LayoutError::Overlap { .. })), "{region:?} twice");
    }
}
