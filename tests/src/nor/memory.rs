//! The cells: what operations do to them, and what interrupted operations leave.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use crate::dice::Dice;

use super::{Blow, Chip, Mishap, Tear};

#[derive(Clone)]
pub(super) struct Memory {
    pub(super) chip: Chip,
    pub(super) bytes: Vec<u8>,
    pub(super) mishaps: VecDeque<Mishap>,
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
    dice: Dice,
}

/// What becomes of one operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    Failed,
    /// Done, and called failed.
    Denied,
    Ignored,
    /// The power had gone before.
    Dark,
    Cut(Tear),
}

/// Which bits of an operation are done, for the byte at an address: those that the mask has.
type Mask<'a> = &'a mut dyn FnMut(usize) -> u8;

impl Memory {
    pub(super) fn new(chip: Chip, sectors: usize) -> Self {
        let len = sectors * chip.sector_bytes;
        Self {
            chip,
            bytes: vec![0xFF; len],
            mishaps: VecDeque::new(),
            dark: false,
            takes_words_twice: false,
            operations: 0,
            erases: vec![0; sectors],
            touched: Vec::new(),
            used: vec![false; len / chip.word_bytes],
            unstable: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            worn: 0..0,
            dice: Dice::new(0),
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
            out[address - at] ^= mask & self.dice.roll() as u8;
        }
        match self.mishaps.front_mut() {
            Some(Mishap { at: 0, blow: Blow::Misread }) if !out.is_empty() => {
                self.mishaps.pop_front();
                let bit = self.dice.below(out.len() as u64 * 8) as usize;
                out[bit / 8] ^= 1 << (bit % 8);
            }
            Some(Mishap { at, blow: Blow::Misread }) if *at > 0 => *at -= 1,
            _ => {}
        }
        self.unreadable.range(at..at + out.len()).next().is_none()
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) -> Fate {
        let range = at..at + bytes.len();
        self.is_aligned(&range, self.chip.word_bytes);
        let fate = self.fate();
        if self.begins(fate, &range) {
            let is_used = self.words(&range).contains(&true) && !self.takes_words_twice;
            assert!(!is_used, "the word written at {at} is not erased");
            self.words(&range).fill(true);
            self.change(fate, &range, |offset, byte| byte & !bytes[offset]);
        }
        fate
    }

    pub(super) fn erase(&mut self, range: Range<usize>) -> Fate {
        self.is_aligned(&range, self.chip.sector_bytes);
        let fate = match self.fate() {
            Fate::Done if self.worn.contains(&range.start) => Fate::Failed,
            fate => fate,
        };
        if self.begins(fate, &range) {
            let sector_bytes = self.chip.sector_bytes;
            self.erases[range.start / sector_bytes..range.end / sector_bytes].iter_mut().for_each(|count| *count += 1);
            self.change(fate, &range, |_, byte| !byte);
            // An erase is reliable only if it completed.
            self.words(&range).fill(fate != Fate::Done);
        }
        fate
    }

    /// Flips the bits that `wanted` names for an offset in the range and the byte there, as far as the fate lets it.
    fn change(&mut self, fate: Fate, range: &Range<usize>, wanted: impl Fn(usize, u8) -> u8) {
        let mut dice = self.dice.split();
        let len = range.len();
        // Something is done, and something is not.
        let done = 1 + dice.below(len.saturating_sub(1) as u64) as usize;
        let parts = self.first_parts(range, &mut dice).unwrap_or(done);
        let mut head = |offset| if offset < done { 0xFF } else { 0 };
        let mut tail = |offset| if offset >= len - done { 0xFF } else { 0 };
        let mut between = |offset| if offset < parts { 0xFF } else { 0 };
        let mut bits = |_| dice.roll() as u8;
        let mask: Mask<'_> = match fate {
            Fate::Cut(Tear::Head) => &mut head,
            Fate::Cut(Tear::Tail) => &mut tail,
            Fate::Cut(Tear::Between) => &mut between,
            Fate::Cut(Tear::Bits | Tear::Unstable | Tear::Unreadable) => &mut bits,
            Fate::Done
            | Fate::Failed
            | Fate::Denied
            | Fate::Ignored
            | Fate::Dark
            | Fate::Cut(Tear::Before | Tear::After) => &mut |_| 0xFF,
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
            if fate == Fate::Cut(Tear::Unstable) && flipped != bits {
                self.unstable.insert(address, bits);
            }
            if fate == Fate::Cut(Tear::Unreadable) && flipped != bits {
                self.unreadable.insert(address);
            }
        }
    }

    /// How many bytes of a range the first sectors of the part make up, some but not all of them; `None` where it is one.
    fn first_parts(&self, range: &Range<usize>, dice: &mut Dice) -> Option<usize> {
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
        (!ends.is_empty()).then(|| dice.pick(&ends))
    }

    fn fate(&mut self) -> Fate {
        if self.dark {
            return Fate::Dark;
        }
        self.operations += 1;
        let blow = match self.mishaps.front_mut() {
            None | Some(Mishap { blow: Blow::Misread, .. }) => return Fate::Done,
            Some(Mishap { at, .. }) if *at > 0 => {
                *at -= 1;
                return Fate::Done;
            }
            Some(Mishap { blow, .. }) => *blow,
        };
        self.mishaps.pop_front();
        match blow {
            Blow::Fail => Fate::Failed,
            Blow::Deny => Fate::Denied,
            Blow::Ignore => Fate::Ignored,
            Blow::Misread => Fate::Done,
            Blow::WearOut(from, to) => {
                self.worn = from as usize..to as usize;
                Fate::Done
            }
            Blow::Cut(tear) => {
                self.dark = true;
                Fate::Cut(tear)
            }
        }
    }

    /// Whether the operation reaches the cells; if so, they are touched.
    fn begins(&mut self, fate: Fate, range: &Range<usize>) -> bool {
        let begins = match fate {
            Fate::Done | Fate::Denied => true,
            Fate::Failed | Fate::Ignored | Fate::Dark => false,
            Fate::Cut(tear) => tear != Tear::Before,
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
