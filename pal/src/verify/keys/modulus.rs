//! Numbers of up to 3072 bits and their 65537th powers modulo an odd one: what RSA needs to open a signature, and no more.
//! All of them are public, so nothing runs in constant time. `crypto-bigint` does the same in 30 KB of code, for its quick
//! multiplication of long numbers; here it is the tests' oracle.

/// Digits of 32 bits.
const DIGITS: usize = 96;
/// Bytes of the longest number.
pub(super) const NUMBER_BYTES_MAX: usize = DIGITS * 4;
/// 65537 = 2^16 + 1: so many squarings, and one multiplication.
const SQUARINGS: usize = 16;

/// A number, the lowest digit first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number([u32; DIGITS]);

impl Number {
    /// What these bytes are, big endian; at most [`NUMBER_BYTES_MAX`] of them.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut number = Self([0; DIGITS]);
        for (index, byte) in bytes.iter().rev().enumerate() {
            number.0[index / 4] |= u32::from(*byte) << (index % 4 * 8);
        }
        number
    }

    fn is_below(&self, other: &Self) -> bool {
        self.0.iter().rev().lt(other.0.iter().rev())
    }

    /// Adds `factor` times `other`; what does not fit is returned.
    fn add_times(&mut self, factor: u32, other: &Self) -> u32 {
        let mut carry = 0;
        for (digit, other) in self.0.iter_mut().zip(other.0) {
            // At most (2^32 - 1) + (2^32 - 1)^2 + (2^32 - 1) = 2^64 - 1.
            carry += u64::from(*digit) + u64::from(factor) * u64::from(other);
            *digit = carry as u32;
            carry >>= 32;
        }
        carry as u32
    }

    /// Takes `other` away, modulo 2^3072.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (digit, other) in self.0.iter_mut().zip(other.0) {
            let (difference, first) = digit.overflowing_sub(other);
            let (difference, second) = difference.overflowing_sub(borrow.into());
            (*digit, borrow) = (difference, first || second);
        }
    }
}

/// A number below its modulus; only [`Modulus::residue`] makes one.
pub(super) struct Residue(Number);

/// An odd number that others are taken modulo of.
#[derive(Clone, Debug)]
pub(super) struct Modulus {
    number: Number,
    /// Times the lowest digit it is -1, modulo 2^32.
    inverse: u32,
}

impl Modulus {
    /// `None` if it is even.
    pub(super) fn new(number: Number) -> Option<Self> {
        let lowest = number.0[0];
        // Newton: each round doubles the bits that are right, beginning with one. 1, 2, 4, 8, 16, 32.
        let inverse = (0..5).fold(1_u32, |x, _| x.wrapping_mul(2_u32.wrapping_sub(lowest.wrapping_mul(x))));
        (lowest & 1 == 1).then_some(Self { number, inverse: inverse.wrapping_neg() })
    }

    /// `None` if the number is not below the modulus.
    pub(super) fn residue(&self, number: Number) -> Option<Residue> {
        number.is_below(&self.number).then_some(Residue(number))
    }

    /// The 65537th power.
    pub(super) fn power_65537(&self, Residue(base): &Residue) -> Number {
        // In Montgomery's form, which is base * R modulo the modulus; R = 2^3072.
        let form = (0..DIGITS * 32).fold(base.clone(), |number, _| self.double(number));
        let power = (0..SQUARINGS).fold(form, |power, _| self.product(&power, &power));
        // One factor in the form and one not: the product is not in it either.
        self.product(&power, base)
    }

    fn double(&self, number: Number) -> Number {
        let mut double = number.clone();
        let carry = double.add_times(1, &number);
        self.reduce(double, carry)
    }

    /// a * b / R modulo the modulus, digit by digit.
    /// Source: Koc, Acar, Kaliski, "Analyzing and Comparing Montgomery Multiplication Algorithms", CIOS.
    fn product(&self, a: &Number, b: &Number) -> Number {
        let mut sum = Number([0; DIGITS]);
        let mut top = 0;
        for digit in a.0 {
            let high = u64::from(top) + u64::from(sum.add_times(digit, b));
            // As often as makes the lowest digit zero, which is then left out.
            let high = high + u64::from(sum.add_times(sum.0[0].wrapping_mul(self.inverse), &self.number));
            sum.0.copy_within(1.., 0);
            sum.0[DIGITS - 1] = high as u32;
            top = (high >> 32) as u32;
        }
        self.reduce(sum, top)
    }

    /// Brings a number, with what stands above its digits, below the modulus; it is below twice that already.
    fn reduce(&self, mut number: Number, top: u32) -> Number {
        if top != 0 || !number.is_below(&self.number) {
            number.subtract(&self.number);
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
    use crypto_bigint::{Odd, U3072};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// The same by somebody else.
    fn oracle(modulus: &[u8], base: &[u8]) -> Number {
        let number = |bytes: &[u8]| {
            let mut padded = [0; NUMBER_BYTES_MAX];
            padded[NUMBER_BYTES_MAX - bytes.len()..].copy_from_slice(bytes);
            U3072::from_be_slice(&padded)
        };
        let params = FixedMontyParams::new_vartime(Odd::new(number(modulus)).unwrap());
        let power = FixedMontyForm::new(&number(base), &params).pow(&U3072::from(65_537_u32));
        Number::read(power.retrieve().to_be_bytes().as_ref())
    }

    fn check(modulus: &[u8], base: &[u8]) {
        let ours = Modulus::new(Number::read(modulus)).unwrap();
        let base_of_ours = ours.residue(Number::read(base)).unwrap();
        assert_eq!(ours.power_65537(&base_of_ours), oracle(modulus, base), "{modulus:02x?} {base:02x?}");
    }

    #[test]
    fn an_even_number_is_no_modulus() {
        assert!(Modulus::new(Number::read(&[2])).is_none() && Modulus::new(Number::read(&[3])).is_some());
    }

    #[test]
    fn only_what_is_below_the_modulus_is_a_residue() {
        let modulus = Modulus::new(Number::read(&[0x80, 0, 0, 0, 1])).unwrap();
        let is_residue = |bytes: &[u8]| modulus.residue(Number::read(bytes)).is_some();
        assert!(is_residue(&[]) && is_residue(&[0x80, 0, 0, 0, 0]) && is_residue(&[0x7F, 0, 0, 0, 2]));
        assert!(!is_residue(&[0x80, 0, 0, 0, 1]) && !is_residue(&[0x81, 0, 0, 0, 0]) && !is_residue(&[0xFF; 384]));
    }

    /// Where every carry there is happens.
    #[test]
    fn numbers_at_the_edges_have_the_oracles_powers() {
        for len in [256, NUMBER_BYTES_MAX] {
            let full = vec![0xFF; len];
            let mut below = full.clone();
            below[len - 1] = 0xFE;
            let mut sparse = vec![0; len];
            (sparse[0], sparse[len - 1]) = (0x80, 1);
            let mut small = sparse.clone();
            small[0] = 0x7F;
            for (modulus, base) in [(&full, &below), (&full, &small), (&full, &sparse), (&sparse, &small)] {
                check(modulus, base);
            }
            check(&sparse, &[0]);
            check(&sparse, &[1]);
            check(&sparse, &[0xFF; 128]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_number_has_the_oracles_power(
            mut modulus in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xFF)], 256..=NUMBER_BYTES_MAX),
            mut base in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xFF)], 0..=NUMBER_BYTES_MAX),
        ) {
            modulus[0] |= 0x80;
            *modulus.last_mut().unwrap() |= 1;
            base.truncate(modulus.len());
            if base.len() == modulus.len() {
                base[0] &= 0x7F;
            }
            let base: Vec<u8> = base;
            check(&modulus, &base);
        }
    }
}
