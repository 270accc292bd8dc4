//! Formats decimal numbers without `core::fmt`, which would cost two kilobytes.

/// Formats `number` at the end of `digits`.
pub(super) fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &str {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return core::str::from_utf8(&digits[at..]).expect("digits are ASCII");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_the_largest_number_are_written_out() {
        assert_eq!(decimal(0, &mut [0; 10]), "0");
        assert_eq!(decimal(4_294_967_295, &mut [0; 10]), "4294967295");
    }
}
