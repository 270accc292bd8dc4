//! Carries a boot decision out: reads the record, hashes a slot on trial, stores the count, looks for an image that can run.

use ota_pal::{BootRecord, BootRecords, Digest, Fault, Flash, Header, Layout, SlotId, Watchdog, digest, read_header};

use crate::select::{Decision, select};

/// The slot to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The slot.
    pub slot: SlotId,
    /// The header of the image in it.
    pub header: Header,
    /// Why this one.
    pub cause: Cause,
}

/// Why a slot was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is confirmed, and no trial is on.
    Confirmed,
    /// It is on trial, and this boot was counted.
    Trial,
    /// It is confirmed, and a trial of the other slot was ended at this boot; the boot record says why.
    TrialEnded,
    /// It is confirmed, and there is a trial whose count could not be stored: an uncounted trial could go on for ever.
    TrialNotStored(Fault),
}

/// Why nothing can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// Flash cannot be read, or the boot record is not understood.
    Fault(Fault),
    /// The confirmed slot does not start with the header of an image that runs there, and nobody verified the other one.
    NoBootableImage,
}

impl From<Fault> for BootError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Chooses the slot to start, and stores what this boot changes before it returns. The watchdog is fed while a slot on
/// trial is hashed.
///
/// Dropped: a trial boot may have been counted.
///
/// # Errors
/// [`BootError`] if there is nothing to start.
pub async fn boot<F: Flash, W: Watchdog>(flash: &mut F, layout: &Layout, watchdog: &mut W) -> Result<Boot, BootError> {
    let mut records = BootRecords::new(layout);
    let record = records.load(flash).await?;
    let cause = match select(&record) {
        Decision::Confirmed => Cause::Confirmed,
        Decision::GiveUp(ended) => end_trial(flash, &mut records, &ended).await,
        Decision::Try { slot, digest, image_bytes, counted, corrupt } => {
            match intact(flash, layout, slot, (digest, image_bytes), watchdog).await {
                None => end_trial(flash, &mut records, &corrupt).await,
                Some(header) => match records.store(flash, &counted).await {
                    Ok(()) => return Ok(Boot { slot, header, cause: Cause::Trial }),
                    Err(fault) => Cause::TrialNotStored(fault),
                },
            }
        }
    };
    start_confirmed(flash, layout, record.confirmed, cause).await
}

async fn end_trial<F: Flash>(flash: &mut F, records: &mut BootRecords, ended: &BootRecord) -> Cause {
    match records.store(flash, ended).await {
        Ok(()) => Cause::TrialEnded,
        Err(fault) => Cause::TrialNotStored(fault),
    }
}

/// The header of the image on trial, if the slot holds exactly that image. A slot that cannot be read holds nothing.
async fn intact<F: Flash, W: Watchdog>(
    flash: &mut F,
    layout: &Layout,
    slot: SlotId,
    (expected, image_bytes): (Digest, u32),
    watchdog: &mut W,
) -> Option<Header> {
    let found = digest::digest(flash, layout.slot(slot), image_bytes, watchdog).await.ok()?;
    let header = runnable(flash, layout, slot).await?;
    (found == expected).then_some(header)
}

async fn start_confirmed<F: Flash>(
    flash: &mut F,
    layout: &Layout,
    confirmed: SlotId,
    cause: Cause,
) -> Result<Boot, BootError> {
    let header = runnable(flash, layout, confirmed).await.ok_or(BootError::NoBootableImage)?;
    Ok(Boot { slot: confirmed, header, cause })
}

/// The header of the image in a slot, if there is one that is linked for it and fits.
async fn runnable<F: Flash>(flash: &mut F, layout: &Layout, slot: SlotId) -> Option<Header> {
    let region = layout.slot(slot);
    let header = read_header(flash, region).await.ok()?.ok()?;
    (header.link.allows(slot) && header.image_bytes() <= region.len_bytes()).then_some(header)
}
