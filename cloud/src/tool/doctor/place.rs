//! The connection below MQTT: name, port, TLS. Each step is made apart from the others, so that its failure has a name.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::ToolError;
use super::ok;

/// Longest time of one step.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Host and port of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Place {
    /// Parses `HOST:PORT`; an IPv6 address is in brackets.
    pub fn parse(endpoint: &str) -> Result<Self, ToolError> {
        let wrong = || ToolError::new(format!("--endpoint {endpoint}: HOST:PORT is wanted, such as 127.0.0.1:1883"));
        let (host, port) = endpoint.rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        if host.is_empty() || bracketed.is_none() && host.contains([':', '/', '@']) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| wrong())? })
    }

    /// Resolves the name.
    pub async fn resolve(&self) -> Result<(), ToolError> {
        let Self { host, port } = self;
        let found = timeout(STEP_TIMEOUT, lookup_host((host.as_str(), *port))).await;
        let found = found.map_err(|_| late("name", format!("no name server answered about {host}")))?;
        let mut found = found.map_err(|error| step("name", format!("{host} does not resolve: {error}")))?;
        let first = found.next().ok_or_else(|| step("name", format!("{host} has no address")))?;
        ok(format_args!("name: {host} is {}", first.ip()));
        Ok(())
    }

    /// Opens a TCP connection and closes it.
    pub async fn connect(&self) -> Result<(), ToolError> {
        self.open().await.map(|_| ok(format_args!("tcp: port {} is open", self.port)))
    }

    /// Makes a TLS handshake and closes the connection.
    pub async fn encrypt(&self, tls: &Arc<ClientConfig>) -> Result<(), ToolError> {
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|_| step("tls", format!("{} is no name of a certificate", self.host)))?;
        let stream = self.open().await?;
        let secured = timeout(STEP_TIMEOUT, TlsConnector::from(Arc::clone(tls)).connect(name, stream)).await;
        let secured =
            secured.map_err(|_| late("tls", "the server does not answer the handshake; is it a TLS port?"))?;
        secured.map_err(|error| {
            step("tls", format!("{error}; the CA must be the broker's, and the name in its certificate {}", self.host))
        })?;
        ok(format_args!("tls: the certificate of {} is valid", self.host));
        Ok(())
    }

    async fn open(&self) -> Result<TcpStream, ToolError> {
        let Self { host, port } = self;
        let opened = timeout(STEP_TIMEOUT, TcpStream::connect((host.as_str(), *port))).await;
        let opened = opened
            .map_err(|_| late("tcp", format!("port {port} of {host} does not answer; a firewall may drop it")))?;
        opened.map_err(|error| step("tcp", format!("port {port} of {host}: {error}")))
    }
}

/// The failure of a step.
pub fn step(name: &str, why: impl std::fmt::Display) -> ToolError {
    ToolError::new(format!("{name}: {why}"))
}

fn late(name: &str, why: impl std::fmt::Display) -> ToolError {
    step(name, format!("{why} (after {} s)", STEP_TIMEOUT.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for (endpoint, host, port) in [("a.example:8883", "a.example", 8883), ("[::1]:1883", "::1", 1883)] {
            assert_eq!(Place::parse(endpoint).unwrap(), Place { host: host.into(), port });
        }
        for wrong in ["a.example", ":1883", "mqtts://a:1", "::1:1883", "a:70000", "user@a:1", "[::1]"] {
            assert!(Place::parse(wrong).unwrap_err().to_string().contains("HOST:PORT"), "{wrong}");
        }
    }
}
