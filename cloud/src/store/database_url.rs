//! Where a PostgreSQL database is, and the login to it. The password is shown nowhere.

use std::str::FromStr;

use sqlx::any::AnyConnectOptions;

/// The schemes that PostgreSQL's own programs take.
const SCHEMES: [&str; 2] = ["postgres", "postgresql"];

/// `postgres://user:password@host:port/name`; only parsing makes one.
///
/// Source: PostgreSQL, "Connection URIs". Parts that are missing are those of the variables `PGUSER`, `PGPASSWORD`, `PGHOST` and
/// so on; `?host=/directory` is a Unix socket.
#[derive(Clone)]
pub struct DatabaseUrl(AnyConnectOptions);

impl DatabaseUrl {
    pub(super) fn options(&self) -> &AnyConnectOptions {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    /// Errors: the reason, without the text.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<AnyConnectOptions>() {
            Ok(options) if SCHEMES.contains(&options.database_url.scheme()) => Ok(Self(options)),
            _ => Err("not postgres://user@host/database".to_owned()),
        }
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = &self.0.database_url;
        write!(f, "postgres://{}{}", url.host_str().unwrap_or_default(), url.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_database_is_in_no_debug_text() {
        let url: DatabaseUrl = "postgres://ota:pass-word@host:5432/ota?password=pass-word".parse().unwrap();
        assert_eq!(format!("{url:?}"), "postgres://host/ota");
        for bad in
            ["ota:pass-word@host/ota", "mysql://ota:pass-word@host/ota", "postgres://ota:pass-word@host:port/ota"]
        {
            let refusal = bad.parse::<DatabaseUrl>().unwrap_err();
            assert!(!refusal.contains("pass-word"), "{refusal}");
        }
    }
}
