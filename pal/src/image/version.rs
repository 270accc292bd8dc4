//! The version of an image: three numbers, compared in order; and its first two.

use crate::print::print_by_name;
use core::fmt;
use core::str::FromStr;

/// `major.minor.patch`; a later release compares greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Compared first.
    pub major: u16,
    /// Compared second.
    pub minor: u16,
    /// Compared last; wide enough for a build number.
    pub patch: u32,
}

/// The error for a text that is not three decimal numbers in range, separated by points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionTextInvalid;

print_by_name!(VersionTextInvalid);

impl Version {
    /// Creates a version from its three numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Returns the first two numbers.
    #[must_use]
    pub const fn major_minor(self) -> MajorMinor {
        MajorMinor::new(self.major, self.minor)
    }
}

/// The first two numbers of a version, as a lower bound; 0.0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MajorMinor {
    /// Compared first.
    pub major: u16,
    /// Compared last.
    pub minor: u16,
}

impl MajorMinor {
    /// Creates it from both numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl FromStr for MajorMinor {
    type Err = VersionTextInvalid;

    /// Parses `major.minor`, digits only.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, minor) = text.split_once('.').ok_or(VersionTextInvalid)?;
        Ok(Self { major: number(Some(major))?, minor: number(Some(minor))? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = VersionTextInvalid;

    /// Parses `major.minor.patch`, digits only: no sign, no space, no suffix.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let version = Self { major: number(parts.next())?, minor: number(parts.next())?, patch: number(parts.next())? };
        match parts.next() {
            None => Ok(version),
            Some(_) => Err(VersionTextInvalid),
        }
    }
}

fn number<N: FromStr>(part: Option<&str>) -> Result<N, VersionTextInvalid> {
    part.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or(VersionTextInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn versions_compare_by_number_and_not_by_text() {
        assert!(Version::new(1, 10, 0) > Version::new(1, 9, 99));
        assert!(Version::new(2, 0, 0) > Version::new(1, 65535, u32::MAX));
    }

    #[test]
    fn a_version_reads_back_what_it_prints() {
        let version = Version::new(65535, 0, 4_294_967_295);
        assert_eq!(version.to_string().parse(), Ok(version));
    }

    #[test]
    fn the_first_two_numbers_are_a_bound_of_their_own() {
        assert_eq!("2.1".parse(), Ok(MajorMinor::new(2, 1)));
        assert!(MajorMinor::new(2, 10) > Version::new(2, 9, 99).major_minor());
        for text in ["", "2", "2.", ".1", "2.1.0", "+2.1", "65536.0"] {
            assert_eq!(text.parse::<MajorMinor>(), Err(VersionTextInvalid), "{text}");
        }
    }

    #[test]
    fn anything_but_three_plain_numbers_is_refused() {
        for text in ["", "1", "1.2", "1.2.3.4", "1.2.", "+1.2.3", "1.2.-3", "1.2.3-rc1", " 1.2.3", "65536.0.0"] {
            assert_eq!(text.parse::<Version>(), Err(VersionTextInvalid), "{text}");
        }
    }
}
