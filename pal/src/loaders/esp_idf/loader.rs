//! ESP-IDF's boot choice in flash: two sectors with one entry each. The caller decides which image is chosen.
//!
//! Only one sector at a time is erased and written, and never the one that the running image depends on:
//!
//! * The sector to overwrite is determined from the *running* slot. After a fallback the active entry is not that of
//!   the running slot.
//! * The state is not covered by the CRC. Everything except the first word is therefore written and read back while the
//!   sequence number is still erased, and the word with the sequence number is written last: an entry cut at any byte
//!   is not valid, because CRC-32 of one word is one to one. A word is written once between erases.
//! * The bytes written depend only on the slot, the state and the *other* sector: an interrupted operation produces the
//!   same bytes when it is repeated.
//! * A sector is always erased before it is written, whatever it reads as.
//!
//! One case cannot be excluded by the format: while a sector is erased, its state can be damaged before its sequence
//! number is. A refused entry may then become valid again and start its slot without a trial; `loader/tests` counts
//! these cases. An update therefore erases the refused entry as late as possible, when its slot holds the new and
//! verified image, and a [`revert`](OtaData::revert) leaves an erased sector and no entry of state `INVALID`. Flash
//! with a word of 32 bytes (flash encryption) writes an entry at once: there, a cut write can also leave a whole
//! sequence number with a torn state.

use super::super::super::flash::{self, Flash};
use super::super::super::loaders::esp_idf::error::OtaDataError;
use super::super::super::loaders::esp_idf::otadata::{
    App, ENTRY_BYTES, Entries, Entry, SEQUENCE_ERASED, Sector, Slots, State,
};
use crate::fault::Fault;
use crate::store::layout::Layout;
use crate::store::region::Region;

/// Length of a sector of the bootloader in bytes; the flash must have the same.
pub const SECTOR_BYTES: u32 = 0x1000;

/// The `otadata` partition of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtaData {
    region: Region,
    slots: Slots,
    factory: bool,
}

impl OtaData {
    /// Creates the partition at `region` of a flash like `F`, for a partition table of `slots` slots, with a `factory`
    /// application or without.
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

    /// Returns the same partition if it does not overlap `layout` and has the same slots.
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

    /// Returns the intact entry that names `slot`, refused or not; of two, the one with the higher sequence number.
    ///
    /// # Cancel safety
    /// Nothing is written, so cancellation has no effect.
    ///
    /// # Errors
    /// See [`entries`](Self::entries).
    pub async fn entry<F: Flash>(&self, flash: &mut F, slot: u8) -> Result<Option<Entry>, OtaDataError> {
        let entries = self.entries(flash).await?;
        Ok(entries.best(|entry| self.names(entry, slot)).map(|sector| *entries.of(sector)))
    }

    /// Returns the entries of both sectors. A sector that cannot be read counts as erased: flash with error correction
    /// refuses to read a partial write.
    ///
    /// # Cancel safety
    /// Nothing is written, so cancellation has no effect.
    ///
    /// # Errors
    /// [`Fault::Read`] if neither sector can be read.
    pub async fn entries<F: Flash>(&self, flash: &mut F) -> Result<Entries, OtaDataError> {
        match (self.read(flash, Sector::First).await, self.read(flash, Sector::Second).await) {
            (Err(fault), Err(_)) => Err(fault.into()),
            (first, second) => Ok(Entries([first.unwrap_or(Entry::ERASED), second.unwrap_or(Entry::ERASED)])),
        }
    }

    /// Returns the application that the bootloader starts at the next boot if its image is valid.
    ///
    /// # Cancel safety
    /// Nothing is written, so cancellation has no effect.
    ///
    /// # Errors
    /// See [`entries`](Self::entries).
    pub async fn start<F: Flash>(&self, flash: &mut F) -> Result<App, OtaDataError> {
        Ok(self.slots.start(&self.entries(flash).await?, self.factory))
    }

    /// Gives the image in `slot` one trial boot at the next reset, while `running` remains the fallback. If the running
    /// slot has no entry any more, its entry is written first. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation the trial may or may not be set; call again.
    ///
    /// # Errors
    /// [`OtaDataError::SlotRuns`], [`OtaDataError::TrialRuns`] and the others that apply; any error of the flash.
    pub async fn try_next<F: Flash>(&self, flash: &mut F, running: App, slot: u8) -> Result<(), OtaDataError> {
        self.choose(flash, running, slot, State::New).await
    }

    /// Makes every boot from now on start the image in `slot`, without a trial. Otherwise the same as
    /// [`try_next`](Self::try_next).
    ///
    /// # Errors
    /// See [`try_next`](Self::try_next).
    pub async fn switch<F: Flash>(&self, flash: &mut F, running: App, slot: u8) -> Result<(), OtaDataError> {
        self.choose(flash, running, slot, State::Valid).await
    }

    /// Erases the entry of an earlier image in `slot` that was refused or never confirmed. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation the entry may remain; call again.
    ///
    /// # Errors
    /// See [`entries`](Self::entries), and any error of the flash.
    pub async fn forget<F: Flash>(&self, flash: &mut F, slot: u8) -> Result<(), OtaDataError> {
        let entries = self.entries(flash).await?;
        let stale = |entry: &Entry| self.names(entry, slot) && (entry.is_passed_over() || entry.state.on_trial());
        for sector in Sector::BOTH.into_iter().filter(|sector| stale(entries.of(*sector))) {
            self.erase(flash, sector).await?;
        }
        Ok(())
    }

    /// Makes `slot` safe to write while `running` is the confirmed application: every boot starts `running`, and no entry
    /// that the bootloader can choose names `slot`. Refused entries remain. Idempotent.
    ///
    /// After a fallback, the active entry names an image that cannot be started. From there the bootloader searches the
    /// slots, and would start a complete image that was not activated.
    ///
    /// # Cancel safety
    /// On cancellation the next boot starts the same application as the last one; call again.
    ///
    /// # Errors
    /// [`OtaDataError::TrialRuns`] if the running image is on trial, and the others that apply; any error of the flash.
    pub async fn vacate<F: Flash>(&self, flash: &mut F, running: App, slot: u8) -> Result<(), OtaDataError> {
        self.check(slot)?;
        let entries = self.entries(flash).await?;
        let is_chosen = self.slots.start(&entries, self.factory) == running;
        match running {
            App::Ota(own) if own == slot => Err(OtaDataError::SlotRuns { slot }),
            App::Ota(own) => {
                if !is_chosen {
                    self.secured(flash, own).await?;
                }
                self.withdraw(flash, own, slot).await
            }
            App::Factory if is_chosen && !entries.0.iter().any(Entry::is_damaged) => Ok(()),
            App::Factory => self.factory(flash).await,
        }
    }

    /// Confirms the image in `slot`, which runs: every boot starts it. Idempotent.
    ///
    /// The entry of a trial is erased and rewritten in place, as the format requires: a power cut in between returns
    /// the device to the old image without a trace in `otadata`.
    ///
    /// # Cancel safety
    /// On cancellation the image may or may not be confirmed; call again.
    ///
    /// # Errors
    /// Any error of the flash, and [`OtaDataError::SequencesUsedUp`].
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
        // If the device fell back to this image, the entry that could not be started is erased, and any remains of it.
        let entries = self.entries(flash).await?;
        match entries.active() == Some(own.other()) || entries.of(own.other()).is_damaged() {
            true => self.erase(flash, own.other()).await,
            false => Ok(()),
        }
    }

    /// Puts the image in `slot`, which runs, on trial if a torn state started it without one: the next boot reverts it
    /// unless it is confirmed. Idempotent.
    ///
    /// # Cancel safety
    /// On cancellation the change may be incomplete; call again.
    ///
    /// # Errors
    /// Any error of the flash.
    pub async fn watch<F: Flash>(&self, flash: &mut F, slot: u8) -> Result<(), OtaDataError> {
        self.check(slot)?;
        let entries = self.entries(flash).await?;
        match self.entry_of(&entries, slot) {
            Some(own) if !entries.of(own).state.on_trial() => self.put(flash, own, slot, State::PendingVerify).await,
            _ => Ok(()),
        }
    }

    /// Revokes the choice of `slot`, which runs: the next boot starts the image of the other entry, or the factory
    /// application. The entry is erased, so that no refused entry can become valid through damage; the reason is stored
    /// elsewhere. Calling again erases again.
    ///
    /// # Cancel safety
    /// On cancellation the choice may or may not be revoked; call again.
    ///
    /// # Errors
    /// [`OtaDataError::NothingToGoBackTo`], or any error of the flash.
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

    /// Revokes every choice: the next boot starts the factory application. Calling again erases again.
    ///
    /// # Cancel safety
    /// On cancellation the next boot starts the factory application or the one active before; call again.
    ///
    /// # Errors
    /// [`OtaDataError::NoFactory`], or any error of the flash.
    pub async fn factory<F: Flash>(&self, flash: &mut F) -> Result<(), OtaDataError> {
        if !self.factory {
            return Err(OtaDataError::NoFactory);
        }
        // The active entry is erased last: the other may name a slot that is partially written by now.
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

    /// Returns the sector with the entry of the running slot. If that slot has no permanent entry, one is written
    /// first: into its own sector, or into one that is not active.
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

    /// Erases the entry beside that of the running slot if it is active, names `slot` or is damaged.
    async fn withdraw<F: Flash>(&self, flash: &mut F, running: u8, slot: u8) -> Result<(), OtaDataError> {
        let entries = self.entries(flash).await?;
        // Without an entry, the running slot is the one that is started by default, and no entry is valid.
        let Some(own) = self.entry_of(&entries, running) else { return Ok(()) };
        let other = entries.of(own.other());
        let is_active = entries.active() == Some(own.other());
        match is_active || other.is_damaged() || (other.is_valid() && self.names(other, slot)) {
            true => self.erase(flash, own.other()).await,
            false => Ok(()),
        }
    }

    /// Returns the sector for a choice of `slot` while the factory application runs. Any earlier choice could not be
    /// started and must not become active again while `slot` waits for its trial, so it is erased.
    async fn cleared<F: Flash>(&self, flash: &mut F, slot: u8, state: State) -> Result<Sector, OtaDataError> {
        let entries = self.entries(flash).await?;
        let [first, second] = entries.0;
        let wanted = self.next(&entries, Sector::First, slot, state)?;
        if second.is_valid() || second.is_damaged() || (first.is_valid() && first != wanted) {
            self.factory(flash).await?;
        }
        Ok(Sector::First)
    }

    /// The entry for `slot` in `sector`, with a higher number than the one in the other sector.
    fn next(&self, entries: &Entries, sector: Sector, slot: u8, state: State) -> Result<Entry, OtaDataError> {
        let other = entries.of(sector.other());
        // A refused entry counts as well: if a torn erase makes it valid again, its number is still lower.
        let above = if other.is_whole() { other.sequence } else { 0 };
        let sequence = self.slots.next_sequence(slot, above).ok_or(OtaDataError::SequencesUsedUp { above })?;
        Ok(Entry::new(sequence, state))
    }

    /// Writes the entry for `slot` unless it is already present.
    async fn put<F: Flash>(&self, flash: &mut F, sector: Sector, slot: u8, state: State) -> Result<(), OtaDataError> {
        let entries = self.entries(flash).await?;
        let entry = self.next(&entries, sector, slot, state)?;
        if *entries.of(sector) == entry {
            return Ok(());
        }
        self.erase(flash, sector).await?;
        self.write(flash, sector, &entry.emit()).await
    }

    /// Writes an entry into an erased sector: the word with the sequence number last, after everything else was read
    /// back.
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

    /// Reads an entry. An entry that is neither valid nor erased is re-read once, to mask a transient bit error.
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
