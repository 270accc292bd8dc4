//! Configuration of the service, its validation, and start errors.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::log::Format;
use super::mqtt::transport::BrokerAddress;
use super::tls::{self, TlsError, TlsFiles};
use crate::limits::{DATABASE_BYTES_MAX, URL_LIFETIME_DEFAULT};
use crate::store::{DatabaseUrl, StoreError};

/// Configuration of the service.
#[derive(Clone, Debug)]
pub struct Config {
    /// Data directory; created if missing.
    pub data: PathBuf,
    /// PostgreSQL database to use instead of the one in the data directory, which then has copies only.
    pub database: Option<DatabaseUrl>,
    /// Address of the embedded broker; port 0 selects a free port.
    pub mqtt: SocketAddr,
    /// Address of the image server, the admin requests and the console; port 0 selects a free port.
    pub http: SocketAddr,
    /// Enables mutual TLS for MQTT, and HTTPS.
    pub tls: Option<TlsFiles>,
    /// External broker to use instead of the embedded one.
    pub broker: Option<ExternalBroker>,
    /// Limit each thing to AWS's bytes per second.
    pub aws_limits: bool,
    /// Scheme, host and port of the image server as devices reach it; its own address by default.
    pub public_http: Option<String>,
    /// Format of log lines.
    pub format: Format,
    /// Maximum size of the database. Unit: bytes.
    pub database_bytes_max: u64,
    /// Validity of a signed URL.
    pub url_lifetime: Duration,
}

impl Config {
    /// Configuration for tests and examples: free loopback ports, no TLS, embedded broker, no log.
    pub fn local(data: &Path) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            data: data.to_owned(),
            database: None,
            mqtt: free,
            http: free,
            tls: None,
            broker: None,
            aws_limits: false,
            public_http: None,
            format: Format::Quiet,
            database_bytes_max: DATABASE_BYTES_MAX,
            url_lifetime: URL_LIFETIME_DEFAULT,
        }
    }
}

/// An external broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalBroker {
    /// `mqtt://host:port` or `mqtts://host:port`, with `user:password@` or `user@` if needed.
    pub url: String,
    /// CA certificate of the broker, PEM; required for `mqtts`.
    pub ca: Option<PathBuf>,
    /// Client certificate and key of the service, for mutual TLS.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why the service did not start.
#[derive(Debug)]
pub enum ServeError {
    /// A PEM file cannot be used.
    Tls(TlsError),
    /// The broker is not usable.
    Broker(String),
    /// The address cannot be bound.
    Bind {
        /// The address.
        address: SocketAddr,
        /// Error of the operating system.
        error: std::io::Error,
    },
    /// Invalid combination or value of options.
    Option(String),
    /// The data directory is not usable.
    Data {
        /// Its path.
        dir: PathBuf,
        /// The error.
        error: StoreError,
    },
    /// The PostgreSQL database is not usable.
    Database(StoreError),
    /// Another instance serves: this one was out of touch with the database.
    TakenOver,
    /// Another process uses this data directory.
    InUse {
        /// Its path.
        dir: PathBuf,
    },
}

impl std::fmt::Display for ServeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Broker(why) => write!(f, "broker: {why}"),
            Self::Bind { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::Option(why) => f.write_str(why),
            Self::Data { dir, error } => write!(f, "data directory {}: {error}", dir.display()),
            Self::Database(error) => write!(f, "--database: {error}"),
            Self::TakenOver => f.write_str("another instance serves; started again, this one is its standby"),
            Self::InUse { dir } => write!(f, "data directory {} is in use by another ota-cloud serve", dir.display()),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<TlsError> for ServeError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl ExternalBroker {
    /// Parses the URL and loads the certificates.
    pub(super) fn address(&self) -> Result<BrokerAddress, ServeError> {
        let bad = || ServeError::Option(format!("not mqtt://host:port or mqtts://host:port: {}", self.url));
        let (scheme, rest) = self.url.split_once("://").ok_or_else(bad)?;
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login.split_once(':').unwrap_or((login, ""))), place),
            None => (None, rest),
        };
        if login == Some(("", "")) {
            // The client would connect without a login.
            return Err(ServeError::Option("--broker: no user name before @".to_owned()));
        }
        let (host, port) = place.trim_end_matches('/').rsplit_once(':').ok_or_else(bad)?;
        let tls = match scheme {
            "mqtt" => None,
            "mqtts" => Some(self.tls()?),
            _ => return Err(bad()),
        };
        Ok(BrokerAddress {
            host: host.to_owned(),
            port: port.parse().map_err(|_| bad())?,
            tls,
            login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
            resume: true,
        })
    }

    fn tls(&self) -> Result<Arc<rustls::ClientConfig>, ServeError> {
        let ca = self.ca.as_ref().ok_or_else(|| ServeError::Option("mqtts:// needs --broker-ca".to_owned()))?;
        Ok(tls::client(ca, self.identity.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path())))?)
    }
}

/// Returns the base of signed URLs.
pub(super) fn public_base(config: &Config, http: SocketAddr) -> Result<String, ServeError> {
    if let Some(base) = &config.public_http {
        let base = base.trim_end_matches('/');
        let host = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://")).unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]/".contains(c);
        return match !host.is_empty() && host.chars().all(plain) {
            true => Ok(base.to_owned()),
            false => Err(ServeError::Option(format!("not http://host:port or https://host:port: {base}"))),
        };
    }
    if http.ip().is_unspecified() {
        return Err(ServeError::Option(format!("--http {http} needs --public-http, the address that devices use")));
    }
    Ok(format!("{}://{http}", if config.tls.is_some() { "https" } else { "http" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::mqtt::transport::connect;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    fn broker(login: &str, port: u16) -> ExternalBroker {
        ExternalBroker { url: format!("mqtt://{login}127.0.0.1:{port}"), ca: None, identity: None }
    }

    /// Returns the flags of the CONNECT packet and the packet.
    async fn connect_packet(login: &str) -> (u8, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = broker(login, listener.local_addr().unwrap().port()).address().unwrap();
        let (_publisher, connection) = connect(&address, &[]);
        let run = tokio::spawn(connection.run(|_| {}));
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 2];
        socket.read_exact(&mut bytes).await.unwrap();
        // MQTT 5, section 3.1: so short a packet has its remaining length in one byte.
        bytes.resize(usize::from(bytes[1]), 0);
        socket.read_exact(&mut bytes).await.unwrap();
        run.abort();
        (bytes[7], bytes)
    }

    #[tokio::test]
    async fn the_service_sends_the_login_of_the_url_also_one_without_a_password() {
        for (login, flags, end) in [
            ("", 0, "ota-cloud"),
            ("hub@", 0x80, "\0\x03hub"),
            ("hub:@", 0x80, "\0\x03hub"),
            ("hub:p:w@", 0xC0, "\0\x03hub\0\x03p:w"),
        ] {
            let (got, packet) = connect_packet(login).await;
            assert_eq!(got & 0xC0, flags, "{login}");
            assert!(packet.ends_with(end.as_bytes()), "{login}: {packet:?}");
        }
    }

    #[test]
    fn a_url_with_an_empty_login_is_refused() {
        for login in ["@", ":@"] {
            let refused = broker(login, 1).address().map(|address| address.login);
            assert!(matches!(&refused, Err(ServeError::Option(why)) if why.contains("user name")), "{refused:?}");
        }
    }
}
