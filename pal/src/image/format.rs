//! An error in an image of a format other than the native one, without naming the formats.

/// Why an image is not valid in its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// The name of the format.
    pub format: &'static str,
    /// The number that the format's own error type gives the error.
    pub code: u16,
}
