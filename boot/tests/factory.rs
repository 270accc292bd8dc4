//! Fallback when the confirmed image is gone, and the factory reset: over a flash file, from reset to reset.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Device, booted, image, sign};
use embedded_storage::nor_flash::NorFlashErrorKind;
use ota_boot::{BootError, BootReason, ResetCause, VerifyLevel};
use ota_pal::{
    BootRecord, BootRecords, Fault, ImageStatus, MonotonicRecords, RollbackCounters, Signature, SignatureKind, SlotId,
    poll_ready,
};

/// Updates from `running` to version 1.0.`patch`, tried and confirmed.
fn updated(device: &Device, running: SlotId, patch: u32) -> SlotId {
    device.update(running, patch);
    let boot = device.boot().unwrap();
    assert_eq!((boot.cause, boot.header.version.patch), (BootReason::Trial, patch));
    poll_ready(device.start(boot.slot).confirm()).unwrap().unwrap();
    boot.slot
}

fn verify_factory(device: &Device, running: SlotId) {
    let der = sign(&image(1));
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
    poll_ready(device.start(running).verify_factory(&signature)).unwrap().unwrap();
}

fn versions(device: &Device) -> Vec<(SlotId, u32)> {
    device.record().images.iter().map(|(slot, image)| (slot, image.version.patch)).collect()
}

#[test]
fn a_device_without_a_record_boots_the_factorys_image_or_slot_a_where_there_is_none() {
    let factory = Device::with_factory("fresh");
    assert_eq!(booted(&factory), (SlotId::FACTORY, 1, BootReason::Confirmed));
    let without = Device::new("fresh-a");
    assert_eq!(booted(&without), (SlotId::A, 1, BootReason::Confirmed));
}

#[test]
fn updates_leave_the_factory_slot_alone() {
    let device = Device::with_factory("alone");
    let mut running = SlotId::FACTORY;
    for patch in 2..8 {
        running = updated(&device, running, patch);
        assert_ne!(running, SlotId::FACTORY);
    }
    let mut flash = device.flash();
    let region = device.layout().slot(SlotId::FACTORY);
    let mut found = vec![0; image(1).len().next_multiple_of(8)];
    poll_ready(ota_pal::Flash::read(&mut flash, region.offset_bytes(), &mut found)).unwrap().unwrap();
    assert_eq!(found[..image(1).len()], image(1));
}

#[test]
fn when_the_confirmed_image_is_gone_the_newest_good_one_runs_and_is_confirmed_then_the_next_then_the_factorys() {
    let device = Device::with_factory("ranked");
    let b = updated(&device, updated(&device, SlotId::FACTORY, 2), 3);
    let c = updated(&device, b, 4);
    for (gone, next, patch) in [(c, b, 3), (b, SlotId::A, 2), (SlotId::A, SlotId::FACTORY, 1)] {
        device.damage(gone, 0);
        assert_eq!(booted(&device), (next, patch, BootReason::FellBack { from: gone }));
        assert_eq!(device.record().confirmed, next);
        assert_eq!(booted(&device), (next, patch, BootReason::Confirmed), "it stays");
    }
    device.damage(SlotId::FACTORY, 0);
    assert_eq!(device.boot(), Err(BootError::NoBootableImage));
}

#[test]
fn a_factory_image_that_another_one_stands_in_for_stays_known() {
    let device = Device::with_factory("known");
    let running = updated(&device, SlotId::FACTORY, 2);
    let known = device.record().images.get(SlotId::FACTORY).copied();
    let record = BootRecord { confirmed: SlotId::FACTORY, ..device.record() };
    poll_ready(BootRecords::new(&device.layout()).store(&mut device.flash(), &record)).unwrap().unwrap();
    device.damage(SlotId::FACTORY, 0);
    assert_eq!(booted(&device), (running, 2, BootReason::FellBack { from: SlotId::FACTORY }));
    assert_eq!((device.record().images.get(SlotId::FACTORY).copied(), known.is_some()), (known, true));
}

#[test]
fn a_factory_image_that_is_known_and_damaged_is_not_the_last_resort() {
    let device = Device::with_factory("last");
    let running = updated(&device, SlotId::FACTORY, 2);
    device.damage(running, 0);
    device.damage(SlotId::FACTORY, 2000);
    assert_eq!(device.boot(), Err(BootError::NoBootableImage), "its header is intact");
    assert_eq!(device.boot(), Err(BootError::NoBootableImage), "at every boot");
}

#[test]
fn an_image_that_is_fallen_back_to_is_hashed_first() {
    let device = Device::with_factory("hashed");
    let b = updated(&device, updated(&device, SlotId::FACTORY, 2), 3);
    device.damage(SlotId::A, 2000);
    device.damage(b, 0);
    assert_eq!(booted(&device), (SlotId::FACTORY, 1, BootReason::FellBack { from: b }));
}

#[test]
fn a_boot_that_looks_at_the_whole_image_sees_one_damaged_byte_in_its_middle() {
    let device = Device::with_factory("whole");
    let running = updated(&device, updated(&device, SlotId::FACTORY, 2), 3);
    device.damage(running, 2000);
    assert_eq!(booted(&device), (running, 3, BootReason::Confirmed), "its header is intact");
    let boot = device.boot_with(VerifyLevel::Whole).unwrap();
    assert_eq!((boot.slot, boot.cause), (SlotId::A, BootReason::FellBack { from: running }));
}

#[test]
fn nothing_below_the_security_counter_is_fallen_back_to() {
    let device = Device::with_factory("counter");
    let running = updated(&device, updated(&device, SlotId::FACTORY, 2), 3);
    let floor = RollbackCounters { security_counter: 1, key_epoch: 0 };
    poll_ready(MonotonicRecords::new(&device.layout()).raise(&mut device.flash(), floor)).unwrap().unwrap();
    device.damage(running, 0);
    assert_eq!(device.boot(), Err(BootError::NoBootableImage));
}

#[test]
fn the_way_back_on_command_boots_the_earlier_image_and_keeps_the_later_one() {
    let device = Device::with_factory("back");
    let b = updated(&device, updated(&device, SlotId::FACTORY, 2), 3);
    assert_eq!(poll_ready(device.start(b).restore_previous()).unwrap(), Ok(SlotId::A));
    assert_eq!(booted(&device), (SlotId::A, 2, BootReason::Confirmed));
    assert_eq!(device.record().images.get(b).unwrap().status, ImageStatus::Confirmed);
}

#[test]
fn a_factory_reset_leaves_nothing_but_the_factorys_image_and_the_monotonic_record() {
    let device = Device::with_factory("reset");
    let running = updated(&device, updated(&device, SlotId::FACTORY, 2), 3);
    verify_factory(&device, running);
    let floor = RollbackCounters { security_counter: 0, key_epoch: 3 };
    poll_ready(MonotonicRecords::new(&device.layout()).raise(&mut device.flash(), floor)).unwrap().unwrap();
    poll_ready(device.start(running).factory_reset()).unwrap().unwrap();
    assert_eq!(booted(&device), (SlotId::FACTORY, 1, BootReason::FactoryReset));
    assert_eq!(versions(&device), [(SlotId::FACTORY, 1)]);
    for slot in [SlotId::A, SlotId::B, SlotId::C] {
        let region = device.layout().slot(slot);
        let mut flash = device.flash();
        let erased = poll_ready(ota_pal::is_erased(&mut flash, region.offset_bytes(), region.len_bytes()));
        assert_eq!(erased, Some(Ok(true)), "slot {slot}");
    }
    assert_eq!(poll_ready(MonotonicRecords::new(&device.layout()).load(&mut device.flash())), Some(Ok(floor)));
    assert_eq!(booted(&device), (SlotId::FACTORY, 1, BootReason::Confirmed));
}

#[test]
fn after_a_factory_reset_the_device_is_updated_as_a_new_one() {
    let device = Device::with_factory("anew");
    let running = updated(&device, updated(&device, SlotId::FACTORY, 2), 3);
    verify_factory(&device, running);
    poll_ready(device.start(running).factory_reset()).unwrap().unwrap();
    assert_eq!(booted(&device), (SlotId::FACTORY, 1, BootReason::FactoryReset));
    assert_eq!(updated(&device, SlotId::FACTORY, 2), SlotId::A);
}

#[test]
fn a_factory_image_that_is_damaged_when_the_order_is_carried_out_costs_no_other_image() {
    for (name, at) in [("damaged-header", 0), ("damaged-body", 2000)] {
        let device = Device::with_factory(name);
        let running = updated(&device, updated(&device, SlotId::FACTORY, 2), 3);
        verify_factory(&device, running);
        poll_ready(device.start(running).factory_reset()).unwrap().unwrap();
        device.damage(SlotId::FACTORY, at);
        assert_eq!(booted(&device), (running, 3, BootReason::FellBack { from: SlotId::FACTORY }), "{name}");
        assert!(!device.record().factory_reset_pending);
        assert_eq!(booted(&device), (running, 3, BootReason::Confirmed), "{name}");
    }
}

#[test]
fn a_verified_image_is_not_booted_before_the_boot_record_names_it() {
    let device = Device::new("verified");
    let mut program = device.start(SlotId::A);
    let bytes = image(2);
    poll_ready(program.begin(bytes.len() as u32, 0)).unwrap().unwrap();
    for (index, block) in bytes.chunks(512).enumerate() {
        poll_ready(program.write(index as u32 * 512, block)).unwrap().unwrap();
    }
    let der = sign(&bytes);
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
    let digest = poll_ready(program.verify(Some(&signature), "job")).unwrap().unwrap();
    assert_eq!(booted(&device), (SlotId::A, 1, BootReason::Confirmed));
    poll_ready(program.activate(SlotId::B, &digest, bytes.len() as u32)).unwrap().unwrap();
    assert_eq!(booted(&device), (SlotId::B, 2, BootReason::Trial));
}

#[test]
fn a_record_that_orders_a_reset_without_a_verified_factory_image_wipes_nothing() {
    let device = Device::with_factory("order");
    let running = updated(&device, SlotId::FACTORY, 2);
    let mut ordered = BootRecord { factory_reset_pending: true, confirmed: SlotId::FACTORY, ..device.record() };
    ordered.images.set(SlotId::FACTORY, None);
    poll_ready(BootRecords::new(&device.layout()).store(&mut device.flash(), &ordered)).unwrap().unwrap();
    assert_eq!(booted(&device), (SlotId::FACTORY, 1, BootReason::Confirmed));
    assert!(device.record().images.get(running).is_some());
}

/// A flash with a sector that error correction refuses to read until it is erased, as after an interrupted erase.
struct Torn {
    flash: common::Nor,
    sector: Option<u32>,
    /// Whether that sector is also worn out and cannot be erased.
    worn: bool,
}

impl ota_pal::Flash for Torn {
    const READ_SIZE: usize = <common::Nor as ota_pal::Flash>::READ_SIZE;
    const WRITE_SIZE: usize = <common::Nor as ota_pal::Flash>::WRITE_SIZE;
    const ERASE_SIZE: usize = <common::Nor as ota_pal::Flash>::ERASE_SIZE;

    fn capacity(&self) -> usize {
        ota_pal::Flash::capacity(&self.flash)
    }
    async fn read(&mut self, at: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        match self.sector {
            Some(sector) if (sector..sector + 1024).contains(&at) => Err(NorFlashErrorKind::Other),
            _ => ota_pal::Flash::read(&mut self.flash, at, out).await,
        }
    }
    async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        ota_pal::Flash::write(&mut self.flash, at, bytes).await
    }
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        if self.worn && self.sector.is_some_and(|sector| (from..to).contains(&sector)) {
            return Err(NorFlashErrorKind::Other);
        }
        self.sector = self.sector.filter(|sector| !(from..to).contains(sector));
        ota_pal::Flash::erase(&mut self.flash, from, to).await
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        ota_pal::Flash::sync(&mut self.flash).await
    }
}

#[test]
fn a_factory_reset_goes_on_at_a_sector_that_cannot_be_read() {
    let device = Device::with_factory("torn");
    let running = updated(&device, updated(&device, SlotId::FACTORY, 2), 3);
    verify_factory(&device, running);
    poll_ready(device.start(running).factory_reset()).unwrap().unwrap();
    let sector = Some(device.layout().slot(SlotId::A).offset_bytes());
    let mut flash = Torn { flash: device.flash(), sector, worn: false };
    let boot = device.boot_on(&mut flash, VerifyLevel::Header).unwrap();
    assert_eq!(boot.unwrap().cause, BootReason::FactoryReset);
    assert_eq!(flash.sector, None, "the sector was erased as well");
}

#[test]
fn a_factory_reset_ends_although_a_sector_is_worn_out_and_the_device_is_updated_then() {
    let device = Device::with_factory("worn");
    let running = updated(&device, updated(&device, SlotId::FACTORY, 2), 3);
    verify_factory(&device, running);
    poll_ready(device.start(running).factory_reset()).unwrap().unwrap();
    let sector = device.layout().slot(SlotId::A).offset_bytes();
    let mut flash = Torn { flash: device.flash(), sector: Some(sector), worn: true };
    let boot = device.boot_on(&mut flash, VerifyLevel::Header).unwrap();
    let in_part = BootReason::FactoryResetInPart(Fault::Erase { offset_bytes: sector });
    assert_eq!(boot.unwrap().cause, in_part);
    assert_eq!(versions(&device), [(SlotId::FACTORY, 1)]);
    let len_bytes = 2 * device.layout().slot(SlotId::A).len_bytes() - 1024; // A's other sectors, and B's
    let erased = poll_ready(ota_pal::is_erased(&mut device.flash(), sector + 1024, len_bytes));
    assert_eq!(erased, Some(Ok(true)), "all other sectors are erased");
    assert_eq!(updated(&device, SlotId::FACTORY, 2), SlotId::A);
}

struct Counting(u32);

impl ota_pal::Watchdog for Counting {
    fn feed(&mut self) {
        self.0 += 1;
    }
}

#[test]
fn the_watchdog_is_fed_at_every_sector_of_a_factory_reset() {
    let device = Device::with_factory("fed");
    let running = updated(&device, SlotId::FACTORY, 2);
    verify_factory(&device, running);
    poll_ready(device.start(running).factory_reset()).unwrap().unwrap();
    let mut watchdog = Counting(0);
    let boot = poll_ready(ota_boot::boot(
        &mut device.flash(),
        &device.layout(),
        &mut watchdog,
        VerifyLevel::Header,
        ResetCause::Other,
    ))
    .unwrap();
    assert_eq!(boot.unwrap().cause, BootReason::FactoryReset);
    let sectors = 3 * device.layout().slot(SlotId::A).len_bytes() / 1024;
    assert!(watchdog.0 > sectors, "{} for {sectors} sectors and the hash of the factory image", watchdog.0);
}

#[test]
fn the_image_of_a_trial_that_ended_is_marked_as_failed() {
    let status = |device: &Device, slot| device.record().images.get(slot).unwrap().status;
    let unconfirmed = Device::with_factory("unconfirmed");
    unconfirmed.update(SlotId::FACTORY, 2);
    for _ in 0..3 {
        assert_eq!(booted(&unconfirmed), (SlotId::A, 2, BootReason::Trial));
        assert_eq!(status(&unconfirmed, SlotId::A), ImageStatus::Verified);
    }
    let damaged = Device::with_factory("damaged");
    damaged.update(SlotId::FACTORY, 2);
    damaged.damage(SlotId::A, 2000);
    for device in [unconfirmed, damaged] {
        assert_eq!(booted(&device), (SlotId::FACTORY, 1, BootReason::TrialEnded));
        assert_eq!(status(&device, SlotId::A), ImageStatus::Failed);
    }
}
