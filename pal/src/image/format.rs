//! An error in an image of a format other than the native one, without naming the formats.

/// Why an image is not valid in its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// The name of the format.
    pub format: &'static str,
    /// The error's number in the format's own error type.
    pub code: u16,
}
