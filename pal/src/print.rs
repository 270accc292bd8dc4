//! `Display` for the errors of this crate.

/// Prints an error as its name and its numbers. Wording for users is left to the caller.
macro_rules! print_by_name {
    ($($error:ty),+) => {$(
        impl core::fmt::Display for $error {
            fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(self, out)
            }
        }
        impl core::error::Error for $error {}
    )+};
}
pub(crate) use print_by_name;
