//! ESP-IDF's choice in flash: two sectors of one entry each. Which image deserves what is decided by the caller.
//!
//! One sector at a time is erased and written, and never the one that the running image's safety hangs on:
//!
//! * The sector to overwrite is found from the *running* slot. After a fallback the active entry is not the running one's.
//! * The state is not covered by the CRC. So everything but the first word is written and read back while the sequence
//!   number is still erased, and the word with the sequence number last: an entry cut at any byte is not valid, because
//!   CRC-32 of one word is one to one. A word is written once between erases.
//! * The bytes written depend on nothing but the slot, the state and the *other* sector: an operation that was cut leaves
//!   the same bytes when it is done again.
//! * A sector that is about to be written is always erased before, whatever it reads as.
//!
//! What the format cannot keep: while a sector is erased, its state can be damaged before its sequence number is. An
//! entry that was refused may then count again, and start its slot without a trial; `loader/tests` counts how often. An
//! update therefore erases the refused entry at the last moment, when its slot holds the new and verified image, and a
//! [`revert`](OtaData::revert) leaves an erased sector and no entry of state `INVALID`. Flash whose word is 32 bytes (flash
//! encryption) takes an entry in one write: there a cut write as well can leave a whole sequence number beside a torn state.

use super::super::super::flash::{self, Flash};
use super::super::super::loaders::esp_idf::error::OtaDataError;
use super::super::super::loaders::esp_idf::otadata::{
    App, ENTRY_BYTES, Entries, Entry, SEQUENCE_ERASED, Sector, Slots, State,
};
use crate::fault::Fault;
use crate::store::layout::Layout;
use crate::store::region::Region;

/// Length of a sector: the bootloader's, and so the flash's.
pub const SECTOR_BYTES: u32 = 0x1000;

/// The `otadata` partition of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtaData {
    region: Region,
    slots: Slots,
    factory: bool,
}

impl OtaData {
    /// The partition at `region` of a flash like `F`, for a table of `slots` slots, and a `factory` application or none.
    ///
    /// # Errors
    /// [`OtaDataError::NotTwoSectors`].
    pub const fn new<F: Flash>(region: Region, slots: Slots, factory: bool) -> Result<Self, OtaDataError> {
        let (offset_bytes, len_bytes, erase_bytes) = (region.offset_bytes(), region.len_bytes(), F::ERASE_SIZE as u32);
        let fits = offset_bytes.is_multiple_of(SECTOR_BYTES) && offset_bytes.checked_add(len_bytes).is_some();
        if fits && len_bytes == 2 * SECTOR_BYTES && erase_bytes == SECTOR_BYTES {
            Ok(Self { region, slots, factory })
        } else {
            Err(OtaDataError::NotTwoSectors { offset_bytes, len_bytes, erase_bytes })
        }
    }

    /// The same partition, if it lies beside `layout` and has its slots.
    ///
    /// # Errors
    /// [`OtaDataError::Overlap`], [`OtaDataError::SlotsDiffer`].
    pub fn beside(self, layout: &Layout) -> Result<Self, OtaDataError> {
        let (got, slots) = (layout.slot_count(), self.slots.count());
        if !layout.is_clear_of(self.region) {
            return Err(OtaDataError::Overlap { offset_bytes: self.region.offset_bytes() });
        }
        if got > usize::from(slots) || layout.factory().is_some() != self.factory {
            return Err(OtaDataError::SlotsDiffer { got, slots });
        }
        Ok(self)
    }

    /// The entry that names `slot`, whole but perhaps refused; the one with the higher sequence number. Dropped: nothing
    /// happened.
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    pub async fn entry<F: Flash>(&self, flash: &mut F, slot: u8) -> Result<Option<Entry>, OtaDataError> {
        let entries = self.entries(flash).await?;
        Ok(entries.best(|entry| self.names(entry, slot)).map(|sector| *entries.of(sector)))
    }

    /// What both sectors hold. One that cannot be read is taken as erased: flash with error correction refuses to read what
    /// a cut left half written. Dropped: nothing happened.
    ///
    /// # Errors
    /// [`Fault::Read`] if neither can be read.
    pub async fn entries<F: Flash>(&self, flash: &mut F) -> Result<Entries, OtaDataError> {
        match (self.read(flash, Sector::First).await, self.read(flash, Sector::Second).await) {
            (Err(fault), Err(_)) => Err(fault.into()),
            (first, second) => Ok(Entries([first.unwrap_or(Entry::ERASED), second.unwrap_or(Entry::ERASED)])),
        }
    }

    /// What the bootloader starts at the next boot, if that image is good. Dropped: nothing happened.
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    pub async fn start<F: Flash>(&self, flash: &mut F) -> Result<App, OtaDataError> {
        Ok(self.slots.start(&self.entries(flash).await?, self.factory))
    }

    /// Gives the image in `slot` its one trial boot at the next reset, while `running` stays what is started without it.
    /// If the running slot has no entry any more, it gets one first. Calling again changes nothing. Dropped: the trial is
    /// on or it is not; call again.
    ///
    /// # Errors
    /// [`OtaDataError::SlotRuns`], [`OtaDataError::TrialRuns`] and the others that say what is wrong; the flash's own.
    pub async fn try_next<F: Flash>(&self, flash: &mut F, running: App, slot: u8) -> Result<(), OtaDataError> {
        self.choose(flash, running, slot, State::New).await
    }

    /// Has every boot from now on start the image in `slot`, without a trial. Otherwise as [`try_next`](Self::try_next).
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub async fn switch<F: Flash>(&self, flash: &mut F, running: App, slot: u8) -> Result<(), OtaDataError> {
        self.choose(flash, running, slot, State::Valid).await
    }

    /// Erases what says that an earlier image in `slot` was refused or never spoke. Calling again changes nothing. Dropped:
    /// call again.
    ///
    /// # Errors
    /// As [`entries`](Self::entries), and the flash's own.
    pub async fn forget<F: Flash>(&self, flash: &mut F, slot: u8) -> Result<(), OtaDataError> {
        let entries = self.entries(flash).await?;
        let stale = |entry: &Entry| self.names(entry, slot) && (entry.is_passed_over() || entry.state.on_trial());
        for sector in Sector::BOTH.into_iter().filter(|sector| stale(entries.of(*sector))) {
            self.erase(flash, sector).await?;
        }
        Ok(())
    }

    /// Makes the image in `slot`, which runs, the one that every boot starts. Calling again changes nothing. Dropped: it
    /// is or it is not; call again.
    ///
    /// A trial's entry is erased and written in place, as the format wants it: a cut between sends the device back to the
    /// old image, and nothing in `otadata` tells.
    ///
    /// # Errors
    /// The flash's own, and [`OtaDataError::SequencesUsedUp`].
    pub async fn keep<F: Flash>(&self, flash: &mut F, slot: u8) -> Result<(), OtaDataError> {
        self.check(slot)?;
        let entries = self.entries(flash).await?;
        let own = match self.entry_of(&entries, slot) {
            Some(own) if entries.of(own).state.on_trial() => {
                self.put(flash, own, slot, State::Valid).await?;
                own
            }
            _ => self.secured(flash, slot).await?,
        };
        // If the device fell back to this image, the choice it could not start goes, and what a cut leaves of it.
        let entries = self.entries(flash).await?;
        match entries.active() == Some(own.other()) || entries.of(own.other()).is_damaged() {
            true => self.erase(flash, own.other()).await,
            false => Ok(()),
        }
    }

    /// Puts the image in `slot`, which runs, on trial where a torn state started it without one: the next boot goes back
    /// unless it is kept. Calling again changes nothing. Dropped: call again.
    ///
    /// # Errors
    /// The flash's own.
    pub async fn watch<F: Flash>(&self, flash: &mut F, slot: u8) -> Result<(), OtaDataError> {
        self.check(slot)?;
        let entries = self.entries(flash).await?;
        match self.entry_of(&entries, slot) {
            Some(own) if !entries.of(own).state.on_trial() => self.put(flash, own, slot, State::PendingVerify).await,
            _ => Ok(()),
        }
    }

    /// Takes the choice back from `slot`, which runs: the next boot starts the image of the other entry, or the factory's.
    /// The entry goes, so that nothing refused is left to be damaged into a choice; the reason is kept elsewhere. Calling
    /// again erases again. Dropped: taken back or not; call again.
    ///
    /// # Errors
    /// [`OtaDataError::NothingToGoBackTo`], or the flash's own.
    pub async fn revert<F: Flash>(&self, flash: &mut F, slot: u8) -> Result<(), OtaDataError> {
        self.check(slot)?;
        let entries = self.entries(flash).await?;
        let back = |entry: &Entry| entry.is_valid() && !entry.state.on_trial() && !self.names(entry, slot);
        match entries.best(back) {
            Some(back) => self.erase(flash, back.other()).await,
            None if self.factory => self.factory(flash).await,
            None => Err(OtaDataError::NothingToGoBackTo { slot }),
        }
    }

    /// Takes every choice back: the next boot starts the factory application. Calling again erases again. Dropped: the
    /// factory's or what was active before; call again.
    ///
    /// # Errors
    /// [`OtaDataError::NoFactory`], or the flash's own.
    pub async fn factory<F: Flash>(&self, flash: &mut F) -> Result<(), OtaDataError> {
        if !self.factory {
            return Err(OtaDataError::NoFactory);
        }
        // The active one last: the other may name a slot that is half written by now.
        let active = self.entries(flash).await?.active().unwrap_or(Sector::First);
        self.erase(flash, active.other()).await?;
        self.erase(flash, active).await
    }

    const fn check(&self, slot: u8) -> Result<(), OtaDataError> {
        let slots = self.slots.count();
        if slot < slots { Ok(()) } else { Err(OtaDataError::NoSuchSlot { got: slot, slots }) }
    }

    async fn choose<F: Flash>(&self, flash: &mut F, running: App, slot: u8, state: State) -> Result<(), OtaDataError> {
        self.check(slot)?;
        let sector = match running {
            App::Ota(own) if own == slot => return Err(OtaDataError::SlotRuns { slot }),
            App::Ota(own) => self.secured(flash, own).await?.other(),
            App::Factory => self.cleared(flash, slot, state).await?,
        };
        self.put(flash, sector, slot, state).await
    }

    fn names(&self, entry: &Entry, slot: u8) -> bool {
        entry.is_whole() && self.slots.slot_of(entry.sequence) == slot
    }

    /// The sector whose entry starts `slot`.
    fn entry_of(&self, entries: &Entries, slot: u8) -> Option<Sector> {
        entries.best(|entry| entry.is_valid() && self.names(entry, slot))
    }

    /// The sector with the running slot's entry. If there is none that stays, it is written first: into its own sector,
    /// or where nothing is active.
    async fn secured<F: Flash>(&self, flash: &mut F, running: u8) -> Result<Sector, OtaDataError> {
        self.check(running)?;
        let entries = self.entries(flash).await?;
        let sector = match self.entry_of(&entries, running) {
            Some(own) if entries.of(own).state.stays() => return Ok(own),
            Some(own) if entries.of(own).state.on_trial() => return Err(OtaDataError::TrialRuns { slot: running }),
            Some(own) => own,
            None => entries.active().map_or(Sector::First, Sector::other),
        };
        self.put(flash, sector, running, State::Valid).await?;
        Ok(sector)
    }

    /// The sector for a choice of `slot` while the factory application runs: any earlier choice could not be started, and
    /// must not come back while `slot` waits for its trial.
    async fn cleared<F: Flash>(&self, flash: &mut F, slot: u8, state: State) -> Result<Sector, OtaDataError> {
        let entries = self.entries(flash).await?;
        let [first, second] = entries.0;
        let wanted = self.next(&entries, Sector::First, slot, state)?;
        if second.is_valid() || second.is_damaged() || (first.is_valid() && first != wanted) {
            self.factory(flash).await?;
        }
        Ok(Sector::First)
    }

    /// The entry for `slot` in `sector`, above the one in the other sector.
    fn next(&self, entries: &Entries, sector: Sector, slot: u8, state: State) -> Result<Entry, OtaDataError> {
        let other = entries.of(sector.other());
        // A refused entry is counted too: should a torn erase make it a choice again, it stays below.
        let above = if other.is_whole() { other.sequence } else { 0 };
        let sequence = self.slots.next_sequence(slot, above).ok_or(OtaDataError::SequencesUsedUp { above })?;
        Ok(Entry::new(sequence, state))
    }

    /// Writes the entry for `slot`, unless it is there.
    async fn put<F: Flash>(&self, flash: &mut F, sector: Sector, slot: u8, state: State) -> Result<(), OtaDataError> {
        let entries = self.entries(flash).await?;
        let entry = self.next(&entries, sector, slot, state)?;
        if *entries.of(sector) == entry {
            return Ok(());
        }
        self.erase(flash, sector).await?;
        self.write(flash, sector, &entry.emit()).await
    }

    /// Writes an entry into an erased sector: the word with the sequence number last, everything else read back before.
    async fn write<F: Flash>(
        &self,
        flash: &mut F,
        sector: Sector,
        bytes: &[u8; ENTRY_BYTES],
    ) -> Result<(), OtaDataError> {
        let (at, first_bytes) = (self.at(sector), flash::word_bytes::<F>().max(4));
        let (first, rest) = bytes.split_at(first_bytes as usize);
        if !rest.is_empty() {
            flash::write(flash, at + first_bytes, rest).await?;
            flash::sync(flash).await?;
        }
        flash::write(flash, at, first).await?;
        Ok(flash::sync(flash).await?)
    }

    async fn erase<F: Flash>(&self, flash: &mut F, sector: Sector) -> Result<(), OtaDataError> {
        flash::sync(flash).await?; // the image before its choice
        flash::erase_sector(flash, self.at(sector)).await?;
        Ok(flash::sync(flash).await?)
    }

    /// Reads an entry. One that is neither valid nor erased is read once more: a bit misread must not cost a choice.
    async fn read<F: Flash>(&self, flash: &mut F, sector: Sector) -> Result<Entry, Fault> {
        let mut bytes = [0; ENTRY_BYTES];
        flash::read(flash, self.at(sector), &mut bytes).await?;
        let entry = Entry::parse(&bytes);
        if !entry.is_valid() && entry.sequence != SEQUENCE_ERASED {
            flash::read(flash, self.at(sector), &mut bytes).await?;
        }
        Ok(Entry::parse(&bytes))
    }

    const fn at(&self, sector: Sector) -> u32 {
        match sector {
            Sector::First => self.region.at(0),
            Sector::Second => self.region.at(SECTOR_BYTES),
        }
    }
}

#[cfg(test)]
mod tests;
