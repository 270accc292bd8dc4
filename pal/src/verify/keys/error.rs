//! Why bytes are not a key, or a key cannot be added to a set.

use crate::print::print_by_name;
use crate::verify::signature::SignatureKind;

/// Why bytes do not make a key, or a key does not go into the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// An id over `KEY_ID_BYTES_MAX`. Bytes.
    IdTooLong {
        /// Its length.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// Not the one encoding of a key of any kind; see `Key::new`.
    FormatUnknown {
        /// Bytes handed in.
        len_bytes: usize,
    },
    /// A key of a kind whose feature is off in this build.
    KindNotBuilt {
        /// The kind of its signatures.
        kind: SignatureKind,
    },
    /// Not the encoding of a point on the curve.
    NotOnCurve,
    /// A point for which anybody can sign; flash that was never written holds such ones.
    WeakPoint,
    /// An RSA key, but not of 2048 or 3072 bits with the exponent 65537.
    RsaUnsupported {
        /// Bytes handed in.
        len_bytes: usize,
    },
    /// The set is full.
    TooManyKeys {
        /// Keys it holds.
        max: usize,
    },
    /// The set has a key of this id.
    IdTaken,
}

print_by_name!(KeyError);
