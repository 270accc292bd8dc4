//! Access keys of the AWS control API, as they are stored, and in the JSON of the admin requests.

use serde::{Deserialize, Serialize};

/// An access key of the AWS control API, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Its id, 20 characters.
    pub id: String,
    /// What it is for, as its creator wrote.
    pub label: String,
    /// Seconds since 1970.
    pub created_at_s: u64,
}

/// `POST /api/access-keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccessKey {
    /// What it is for, at most `NAME_BYTES_MAX` bytes.
    #[serde(default)]
    pub label: String,
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
