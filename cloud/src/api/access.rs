//! Accounts and tokens. The lists are of [`crate::model::Holder`].

use serde::{Deserialize, Serialize};

use crate::role::Role;

/// `PUT /api/accounts/{name}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// What its person may do.
    pub role: Role,
    /// Its password, 8 to 256 bytes.
    pub password: String,
}

/// `PUT /api/tokens/{name}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What its holder may do.
    pub role: Role,
}

/// Response to `PUT /api/tokens/{name}`.
#[derive(Serialize, Deserialize)]
pub struct TokenView {
    /// The token; it is not stored, and no request returns it again.
    pub token: String,
}
