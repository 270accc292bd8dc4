//! How the errors of this crate print.

/// Errors print as their name and their numbers; prose belongs to whoever shows them to a person.
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
