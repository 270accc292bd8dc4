//! Numbers as text without `core::fmt`, which would take a third of the boot selector.

/// Digits of a number.
pub struct Number {
    digits: [u8; 10],
    start: usize,
}

impl Number {
    /// In decimal digits.
    pub fn decimal(value: u32) -> Self {
        Self::new(value, 10)
    }

    /// In hexadecimal digits.
    pub fn hexadecimal(value: u32) -> Self {
        Self::new(value, 16)
    }

    fn new(mut value: u32, base: u32) -> Self {
        let mut number = Self { digits: [b'0'; 10], start: 10 };
        loop {
            number.start -= 1; // ten digits hold 32 bits in both bases
            number.digits[number.start] = b"0123456789abcdef"[(value % base) as usize];
            value /= base;
            if value == 0 {
                return number;
            }
        }
    }

    /// The digits, in ASCII.
    pub fn bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}
