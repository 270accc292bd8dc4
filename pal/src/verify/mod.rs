//! Signature verification: the keys, and the check of a signature.

pub(crate) mod der;
pub mod keys;
pub mod signature;
