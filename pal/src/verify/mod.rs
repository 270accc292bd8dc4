//! Signatures: who may sign, and whether they did.

pub(crate) mod der;
pub mod keys;
pub mod signature;
