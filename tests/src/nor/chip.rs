//! Kinds of flash: units, and the sectors of the part behind them.

/// A kind of flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chip {
    /// Unit of reads and writes.
    pub word_bytes: usize,
    /// Unit of erases, as the driver has it.
    pub sector_bytes: usize,
    /// Sector sizes of the part itself, repeated from its start: the driver of a part with uneven sectors erases several of
    /// them for one of its own.
    pub parts: &'static [usize],
}

impl Chip {
    const fn even(word_bytes: usize, sector_bytes: usize) -> Self {
        Self { word_bytes, sector_bytes, parts: &[] }
    }
}

/// What most tests use: words of 4 bytes, sectors of 4 KiB.
pub const PLAIN: Chip = Chip::even(4, 4096);

/// Every word size from 1 to 32, sectors from 256 bytes to 128 KiB, and uneven ones.
pub const CHIPS: [Chip; 7] = [
    PLAIN,
    Chip::even(1, 4096),
    Chip::even(4, 256),
    Chip::even(8, 2048),
    Chip::even(16, 8192),
    Chip::even(32, 131_072),
    Chip { parts: &[16_384, 16_384, 16_384, 16_384, 65_536], ..Chip::even(4, 65_536) },
];

/// Runs `$body` with `$flash` bound to a view of `$nor` that has its chip's units.
macro_rules! with_view {
    ($nor:expr, $flash:ident => $body:expr) => {{
        let nor: $crate::nor::Nor = $nor.clone();
        let chip = nor.chip();
        with_view!(@units nor, chip, $flash, $body, (4, 4096) (1, 4096) (4, 256) (8, 2048) (16, 8192) (32, 131_072) (4, 65_536))
    }};
    (@units $nor:ident, $chip:ident, $flash:ident, $body:expr, $(($word:literal, $sector:literal))*) => {
        match ($chip.word_bytes, $chip.sector_bytes) {
            $(($word, $sector) => {
                #[allow(unused_mut)]
                let mut $flash = $crate::nor::View::<$word, $sector>($nor);
                $body
            })*
            units => unreachable!("no chip has {units:?}"),
        }
    };
}

pub(crate) use with_view;
