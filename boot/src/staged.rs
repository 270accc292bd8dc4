//! The staged layout: images wait in slots, and the one that runs is copied to where it runs. Which one that is, is decided
//! as for slots that run in place; here is only what it takes to have it there.

use ota_pal::{Fault, Flash, Header, Layout, Region, SlotId, Watchdog, hash, read_header};

use crate::boot::{Boot, BootError, Cause, Place, Scrutiny, Selector, carry_out};
use crate::copy::{Exact, copy, holds};

/// As [`boot`](crate::boot()), for a device whose slots only keep images: the chosen one is copied to `executing` unless that
/// holds exactly this one already, and runs from there. [`Boot::slot`] is the slot whose image that is.
///
/// `executing` is whole sectors outside the layout, as long as the slots. Images are linked for it, and for no slot
/// ([`Link::Any`](ota_pal::Link::Any)). The watchdog is fed at every sector that is copied.
///
/// * A copy that was cut is made again at the next boot. The boot of a trial is counted after it: a cut costs none.
/// * `executing` has a header only if it holds the whole of a verified image: [`Scrutiny::Header`] goes by that, unless
///   another slot has the same header. One on trial, and what follows one, is always hashed.
/// * The image of a new device is copied into its slot first: without a way back nothing is tried. A slot that lost its
///   image is given it again as long as it runs.
/// * An image that cannot be copied is treated as one that is damaged.
///
/// Dropped: `executing` holds the image that ran, or the one chosen, or no header.
///
/// # Errors
/// [`BootError`] if there is nothing to start.
pub async fn boot_staged<F: Flash, W: Watchdog>(
    flash: &mut F,
    layout: &Layout,
    executing: Region,
    watchdog: &mut W,
    scrutiny: Scrutiny,
) -> Result<Boot, BootError> {
    carry_out(flash, layout, Executing(executing), watchdog, scrutiny).await
}

struct Executing(Region);

impl Place for Executing {
    fn executing(&self) -> Option<Region> {
        Some(self.0)
    }
}

impl<F: Flash, W: Watchdog, P: Place> Selector<'_, F, W, P> {
    /// Has an image on trial where it runs, if the confirmed one could be brought back.
    pub(crate) async fn place_trial(&mut self, slot: SlotId, exact: Exact) -> bool {
        let Some(executing) = self.place.executing() else { return true };
        if holds(self.flash, executing, exact, self.watchdog).await {
            return true;
        }
        self.has_way_back(executing).await && self.copy(slot, executing, exact).await.is_ok()
    }

    /// Has an image that replaces the confirmed one where it runs.
    pub(crate) async fn place(&mut self, slot: SlotId, exact: Exact) -> bool {
        let Some(executing) = self.place.executing() else { return true };
        holds(self.flash, executing, exact, self.watchdog).await || self.copy(slot, executing, exact).await.is_ok()
    }

    /// As [`place`](Self::place), for an image of which only its header is known.
    pub(crate) async fn place_unverified(&mut self, slot: SlotId, header: &Header) -> bool {
        if self.place.executing().is_none() {
            return true;
        }
        match self.exact_of(self.layout.slot(slot), header).await {
            Some(exact) => self.place(slot, exact).await,
            None => false,
        }
    }

    /// Has the confirmed image where it runs, `None` if it is to be had nowhere.
    pub(crate) async fn start_staged(&mut self, executing: Region, cause: Cause, scrutiny: Scrutiny) -> Option<Boot> {
        let slot = self.record.confirmed;
        let waiting = self.runnable(slot).await;
        let calm = cause == Cause::Confirmed && scrutiny == Scrutiny::Header;
        if let Some(header) = waiting.filter(|_| calm)
            && self.runs_by_header(executing, slot, &header).await
        {
            return Some(Boot { slot, header, cause });
        }
        if self.is_new(slot, waiting.as_ref()) {
            return self.adopt(executing, cause).await;
        }
        let exact = self.expected(slot, waiting.as_ref()).await?;
        if holds(self.flash, executing, exact, self.watchdog).await {
            let header = self.runnable_in(executing, slot).await?;
            let cause = match waiting {
                Some(_) => cause,
                None => kept(self.copy_back(executing, slot, exact).await, cause),
            };
            return Some(Boot { slot, header, cause });
        }
        let header = self.intact(slot, exact.digest, exact.image_bytes).await?;
        self.copy(slot, executing, exact).await.ok()?;
        Some(Boot { slot, header, cause })
    }

    /// A device that is new: nobody knows its image but the factory, which put it where it runs.
    async fn adopt(&mut self, executing: Region, cause: Cause) -> Option<Boot> {
        let slot = self.record.confirmed;
        let header = self.runnable_in(executing, slot).await?;
        let exact = self.exact_of(executing, &header).await?;
        let cause = kept(self.copy_back(executing, slot, exact).await, cause);
        Some(Boot { slot, header, cause })
    }

    /// Whether the confirmed image could be copied back once another one runs. A slot that lost it is given it now.
    async fn has_way_back(&mut self, executing: Region) -> bool {
        let slot = self.record.confirmed;
        let waiting = self.runnable(slot).await;
        if self.is_new(slot, waiting.as_ref()) {
            return self.adopt(executing, Cause::Confirmed).await.is_some_and(|boot| boot.cause == Cause::Confirmed);
        }
        let Some(exact) = self.expected(slot, waiting.as_ref()).await else { return false };
        if waiting.is_some() && holds(self.flash, self.layout.slot(slot), exact, self.watchdog).await {
            return true;
        }
        holds(self.flash, executing, exact, self.watchdog).await && self.copy_back(executing, slot, exact).await.is_ok()
    }

    /// Whether the same header stands where images run, and in no other slot: then no digest is needed to tell them apart.
    /// It is read twice, because a header that was cut may read differently each time.
    async fn runs_by_header(&mut self, executing: Region, slot: SlotId, header: &Header) -> bool {
        for _ in 0..2 {
            if read_header(self.flash, executing).await != Ok(Ok(*header)) {
                return false;
            }
        }
        for other in self.layout.next_slots(slot).chain([SlotId::FACTORY]) {
            let region = self.layout.slot(other);
            if other != slot && region.len_bytes() > 0 && read_header(self.flash, region).await == Ok(Ok(*header)) {
                return false;
            }
        }
        true
    }

    /// Whether nothing is known of a slot, and nothing is in it.
    fn is_new(&self, slot: SlotId, waiting: Option<&Header>) -> bool {
        waiting.is_none() && self.record.images.get(slot).is_none()
    }

    /// What the slot must hold: what its row says; without one, what it holds.
    async fn expected(&mut self, slot: SlotId, waiting: Option<&Header>) -> Option<Exact> {
        match (self.record.images.get(slot), waiting) {
            (Some(image), _) => Some(Exact { digest: image.digest, image_bytes: image.image_bytes }),
            (None, Some(header)) => self.exact_of(self.layout.slot(slot), header).await,
            (None, None) => None,
        }
    }

    /// What a region holds: what it reads as twice. `None` if it cannot be read, or reads differently each time.
    async fn exact_of(&mut self, region: Region, header: &Header) -> Option<Exact> {
        let image_bytes = header.image_bytes();
        for _ in 0..2 {
            if let Ok(digest) = hash::digest(self.flash, region, image_bytes, self.watchdog).await {
                let exact = Exact { digest, image_bytes };
                if holds(self.flash, region, exact, self.watchdog).await {
                    return Some(exact);
                }
            }
        }
        None
    }

    async fn copy(&mut self, slot: SlotId, executing: Region, exact: Exact) -> Result<(), Fault> {
        copy(self.flash, self.layout.slot(slot), executing, exact, self.watchdog).await
    }

    async fn copy_back(&mut self, executing: Region, slot: SlotId, exact: Exact) -> Result<(), Fault> {
        copy(self.flash, executing, self.layout.slot(slot), exact, self.watchdog).await
    }
}

/// An image that runs is started, whether its slot could be given it or not.
fn kept(copied: Result<(), Fault>, cause: Cause) -> Cause {
    match copied {
        Ok(()) => cause,
        Err(fault) => Cause::NotStored(fault),
    }
}
