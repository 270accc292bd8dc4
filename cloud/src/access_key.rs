//! Access keys of the AWS control API, as they are stored, and in the JSON of the admin requests.

use serde::{Deserialize, Serialize};

use crate::role::Role;

/// An access key of the AWS control API, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Its id, 20 characters.
    pub id: String,
    /// What it is for, as its creator wrote.
    pub label: String,
    /// What its holder may do.
    pub role: Role,
    /// Seconds since 1970.
    pub created_at_s: u64,
}

/// `POST /api/access-keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccessKey {
    /// What it is for, at most `NAME_BYTES_MAX` bytes.
    #[serde(default)]
    pub label: String,
    /// What its holder may do; by default that of an operator.
    #[serde(default = "operator")]
    pub role: Role,
}

fn operator() -> Role {
    Role::Operator
}

/// Response to `POST /api/access-keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedAccessKey {
    /// Its id.
    pub id: String,
    /// Its secret, which is shown only here.
    pub secret: String,
}

/// `GET /api/access-keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKeyList {
    /// Oldest first.
    pub access_keys: Vec<AccessKey>,
}
