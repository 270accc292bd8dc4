//! The cells: what operations do to them, and what interrupted operations leave.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use crate::rng::Rng;

use super::{Chip, CutEffect, FlashFault, PlannedFault};

#[derive(Clone)]
pub(super) struct Memory {
    pub(super) chip: Chip,
    pub(super) bytes: Vec<u8>,
    pub(super) planned_faults: VecDeque<PlannedFault>,
    pub(super) dark: bool,
    pub(super) takes_words_twice: bool,
    pub(super) operations: u32,
    pub(super) erases: Vec<u32>,
    pub(super) touched: Vec<Range<u32>>,
    /// Words that must not be written before their sector is erased.
    used: Vec<bool>,
    /// Bits that read differently each time, by address.
    unstable: BTreeMap<usize, u8>,
    /// Bytes that refuse to be read.
    unreadable: BTreeSet<usize>,
    /// No sector in it can be erased.
    worn: Range<usize>,
    rng: Rng,
}

/// The result of one operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Failed,
    /// Done, and reported as failed.
    Denied,
    Ignored,
    /// The power was already off.
    Dark,
    Cut(CutEffect),
}

/// Which bits of an operation are done, for the byte at an address: those that the mask has.
type Mask<'a> = &'a mut dyn FnMut(usize) -> u8;

impl Memory {
    pub(super) fn new(chip: Chip, sectors: usize) -> Self {
        let len = sectors * chip.sector_bytes;
        Self {
            chip,
            bytes: vec![0xFF; len],
            planned_faults: VecDeque::new(),
            dark: false,
            takes_words_twice: false,
            operations: 0,
            erases: vec![0; sectors],
            touched: Vec::new(),
            used: vec![false; len / chip.word_bytes],
            unstable: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            worn: 0..0,
            rng: Rng::new(0),
        }
    }

    pub(super) fn burn(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.words(&(at..at + bytes.len())).fill(true);
    }

    /// Whether it can be read.
    pub(super) fn read(&mut self, at: usize, out: &mut [u8]) -> bool {
        self.is_aligned(&(at..at + out.len()), self.chip.word_bytes);
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
        for (address, mask) in self.unstable.range(at..at + out.len()) {
            out[address - at] ^= mask & self.rng.next_u64() as u8;
        }
        match self.planned_faults.front_mut() {
            Some(PlannedFault { at: 0, fault: FlashFault::Misread }) if !out.is_empty() => {
                self.planned_faults.pop_front();
                let bit = self.rng.below(out.len() as u64 * 8) as usize;
                out[bit / 8] ^= 1 << (bit % 8);
            }
            Some(PlannedFault { at, fault: FlashFault::Misread }) if *at > 0 => *at -= 1,
            _ => {}
        }
        self.unreadable.range(at..at + out.len()).next().is_none()
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) -> Outcome {
        let range = at..at + bytes.len();
        self.is_aligned(&range, self.chip.word_bytes);
        let outcome = self.outcome();
        if self.begins(outcome, &range) {
            let is_used = self.words(&range).contains(&true) && !self.takes_words_twice;
            assert!(!is_used, "the word written at {at} is not erased");
            self.words(&range).fill(true);
            self.change(outcome, &range, |offset, byte| byte & !bytes[offset]);
        }
        outcome
    }

    pub(super) fn erase(&mut self, range: Range<usize>) -> Outcome {
        self.is_aligned(&range, self.chip.sector_bytes);
        let outcome = match self.outcome() {
            Outcome::Done if self.worn.contains(&range.start) => Outcome::Failed,
            outcome => outcome,
        };
        if self.begins(outcome, &range) {
            let sector_bytes = self.chip.sector_bytes;
            self.erases[range.start / sector_bytes..range.end / sector_bytes].iter_mut().for_each(|count| *count += 1);
            self.change(outcome, &range, |_, byte| !byte);
            // An erase is reliable only if it completed.
            self.words(&range).fill(outcome != Outcome::Done);
        }
        outcome
    }

    /// Flips the bits that `wanted` names for an offset in the range and the byte there, as far as the outcome lets it.
    fn change(&mut self, outcome: Outcome, range: &Range<usize>, wanted: impl Fn(usize, u8) -> u8) {
        let mut rng = self.rng.split();
        if outcome == Outcome::Done && self.unstable.is_empty() && self.unreadable.is_empty() {
            let bytes = self.bytes[range.clone()].iter_mut().enumerate();
            return bytes.for_each(|(offset, byte)| *byte ^= wanted(offset, *byte)); // almost always
        }
        let len = range.len();
        // At least one bit is changed, and at least one is not.
        let done = 1 + rng.below(len.saturating_sub(1) as u64) as usize;
        let parts = self.first_parts(range, &mut rng).unwrap_or(done);
        let mut head = |offset| if offset < done { 0xFF } else { 0 };
        let mut tail = |offset| if offset >= len - done { 0xFF } else { 0 };
        let mut between = |offset| if offset < parts { 0xFF } else { 0 };
        let mut bits = |_| rng.next_u64() as u8;
        let mask: Mask<'_> = match outcome {
            Outcome::Cut(CutEffect::Head) => &mut head,
            Outcome::Cut(CutEffect::Tail) => &mut tail,
            Outcome::Cut(CutEffect::Between) => &mut between,
            Outcome::Cut(CutEffect::Bits | CutEffect::Unstable | CutEffect::Unreadable) => &mut bits,
            Outcome::Done
            | Outcome::Failed
            | Outcome::Denied
            | Outcome::Ignored
            | Outcome::Dark
            | Outcome::Cut(CutEffect::Before | CutEffect::After) => &mut |_| 0xFF,
        };
        for offset in 0..len {
            let address = range.start + offset;
            let bits = wanted(offset, self.bytes[address]);
            if !self.unstable.is_empty() {
                self.unstable.remove(&address);
            }
            if !self.unreadable.is_empty() {
                self.unreadable.remove(&address);
            }
            let flipped = bits & mask(offset);
            self.bytes[address] ^= flipped;
            if outcome == Outcome::Cut(CutEffect::Unstable) && flipped != bits {
                self.unstable.insert(address, bits);
            }
            if outcome == Outcome::Cut(CutEffect::Unreadable) && flipped != bits {
                self.unreadable.insert(address);
            }
        }
    }

    /// Bytes of the first sectors of the part within a range, some but not all of them; `None` if the range is a single
    /// sector.
    fn first_parts(&self, range: &Range<usize>, rng: &mut Rng) -> Option<usize> {
        let mut ends = Vec::new();
        let mut end = 0;
        for part in self.chip.parts.iter().cycle() {
            end += part;
            if end >= range.end {
                break;
            }
            if end > range.start {
                ends.push(end - range.start);
            }
        }
        (!ends.is_empty()).then(|| rng.pick(&ends))
    }

    fn outcome(&mut self) -> Outcome {
        if self.dark {
            return Outcome::Dark;
        }
        self.operations += 1;
        let fault = match self.planned_faults.front_mut() {
            None | Some(PlannedFault { fault: FlashFault::Misread, .. }) => return Outcome::Done,
            Some(PlannedFault { at, .. }) if *at > 0 => {
                *at -= 1;
                return Outcome::Done;
            }
            Some(PlannedFault { fault, .. }) => *fault,
        };
        self.planned_faults.pop_front();
        match fault {
            FlashFault::Fail => Outcome::Failed,
            FlashFault::Deny => Outcome::Denied,
            FlashFault::Ignore => Outcome::Ignored,
            FlashFault::Misread => Outcome::Done,
            FlashFault::WearOut(from, to) => {
                self.worn = from as usize..to as usize;
                Outcome::Done
            }
            FlashFault::Cut(effect) => {
                self.dark = true;
                Outcome::Cut(effect)
            }
        }
    }

    /// Whether the operation reaches the cells; if so, they are touched.
    fn begins(&mut self, outcome: Outcome, range: &Range<usize>) -> bool {
        let begins = match outcome {
            Outcome::Done | Outcome::Denied => true,
            Outcome::Failed | Outcome::Ignored | Outcome::Dark => false,
            Outcome::Cut(effect) => effect != CutEffect::Before,
        };
        if begins {
            self.touched.push(range.start as u32..range.end as u32);
        }
        begins
    }

    fn words(&mut self, range: &Range<usize>) -> &mut [bool] {
        let word_bytes = self.chip.word_bytes;
        &mut self.used[range.start / word_bytes..range.end.div_ceil(word_bytes)]
    }

    fn is_aligned(&self, range: &Range<usize>, unit: usize) {
        let aligned = range.start.is_multiple_of(unit) && range.end.is_multiple_of(unit);
        assert!(aligned && range.end <= self.bytes.len(), "{range:?} is outside, or not in units of {unit}");
    }
}
