//! The errors of parsing a key, and of adding one to a set.

use crate::print::print_by_name;
use crate::verify::signature::SignatureKind;

/// Why a key is invalid, or cannot be added to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The id is longer than `KEY_ID_BYTES_MAX`.
    IdTooLong {
        /// Length of the id in bytes.
        got: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// Not the only valid encoding of a key of any kind; see `Key::new`.
    FormatUnknown {
        /// Number of bytes given.
        len_bytes: usize,
    },
    /// The feature for this kind of key is disabled in this build.
    KindNotBuilt {
        /// The kind of signature of the key.
        kind: SignatureKind,
    },
    /// Not the encoding of a point on the curve.
    NotOnCurve,
    /// A point for which anyone can forge signatures; unwritten flash contains such points.
    WeakPoint,
    /// An RSA key that does not have 2048 or 3072 bits and the exponent 65537.
    RsaUnsupported {
        /// Number of bytes given.
        len_bytes: usize,
    },
    /// The set is full.
    TooManyKeys {
        /// Number of keys in the set.
        max: usize,
    },
    /// The set already has a key with this id.
    IdTaken,
}

print_by_name!(KeyError);
