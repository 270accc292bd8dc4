//! Client of the admin requests: token, TLS, and error messages.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::de::DeserializeOwned;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::{ToolError, print_note};
use crate::api::ErrorBody;
use crate::limits::EVENTS_WAIT_MAX;

/// Timeout of a request without a body; a request for events waits for most of it.
const REQUEST_TIMEOUT: Duration = EVENTS_WAIT_MAX.saturating_add(Duration::from_secs(10));
/// Timeout of an upload.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a service that has answered is tried again when it does not any more: time for a restart.
const RESTART_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before each further attempt.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Maximum size of a response. Unit: bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Address of the service and credentials.
#[derive(Debug, Args)]
pub struct Server {
    /// HTTP address of the service, as in its ready line
    #[arg(long, global = true, env = "OTA_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// File `token` in the data directory of the service
    #[arg(long, global = true, env = "OTA_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// CA certificate of the service, PEM; required for https
    #[arg(long, global = true, env = "OTA_CA")]
    ca: Option<PathBuf>,
}

/// A configured client.
pub struct Client {
    agent: Agent,
    base: String,
    bearer: String,
    /// Whether the service has answered.
    answered: Cell<bool>,
}

impl Server {
    /// Reads the token and the CA certificate.
    pub fn client(&self) -> Result<Client, ToolError> {
        let path = self.token_file.as_ref();
        let path = path.ok_or_else(|| ToolError::new("--token-file or OTA_TOKEN_FILE is required"))?;
        let token = token(path)?;
        let http = self.server.starts_with("http://") || self.server.starts_with("https://");
        if !http {
            return Err(ToolError::new(format!(
                "--server {}: the URL must start with http:// or https://",
                self.server
            )));
        }
        let mut config = Agent::config_builder().http_status_as_error(false);
        if self.server.starts_with("https://") {
            config = config.tls_config(self.tls()?);
        }
        let base = self.server.trim_end_matches('/').to_owned();
        Ok(Client {
            agent: config.build().new_agent(),
            base,
            bearer: format!("Bearer {token}"),
            answered: Cell::new(false),
        })
    }

    fn tls(&self) -> Result<TlsConfig, ToolError> {
        let path = self.ca.as_ref().ok_or_else(|| ToolError::new("https requires --ca or OTA_CA"))?;
        let pem = super::read(path)?;
        let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            return Err(ToolError::file(path, &"no certificate in it"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(certificates)))
            .unversioned_rustls_crypto_provider(provider)
            .build())
    }
}

/// A token is hexadecimal. Anything else is a wrong file, whose content must not be sent to a server.
fn token(path: &Path) -> Result<String, ToolError> {
    let text = std::fs::read_to_string(path).map_err(|error| ToolError::file(path, &error))?;
    let token = text.trim();
    match !token.is_empty() && token.bytes().all(|c| c.is_ascii_hexdigit()) {
        true => Ok(token.to_owned()),
        false => Err(ToolError::file(path, &"not a token: use the file `token` in the data directory of the service")),
    }
}

impl Client {
    /// Sends a `GET` request. If the service has answered before, the request is sent again, for a minute, until it does: what
    /// follows a job to its end outlives a restart of the service.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ToolError> {
        let begun = Instant::now();
        let mut is_noted = false;
        loop {
            let request = self.agent.get(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
            let request = request.config().timeout_global(Some(REQUEST_TIMEOUT)).build();
            let error = match self.received(request.call()) {
                Ok((status, body)) => return parse(&success(status, body)?),
                Err(error) => error,
            };
            if !self.answered.get() || begun.elapsed() >= RESTART_TIMEOUT {
                return Err(error);
            }
            if !std::mem::replace(&mut is_noted, true) {
                print_note(format_args!("{error}: trying again"));
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    /// Sends a `PUT` request with a JSON body.
    pub fn put<T: DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> Result<T, ToolError> {
        parse(&self.put_accepted(path, body)?)
    }

    /// Sends a `PUT` request with a JSON body; the response has none.
    pub fn set(&self, path: &str, body: &impl serde::Serialize) -> Result<(), ToolError> {
        self.put_accepted(path, body).map(drop)
    }

    fn put_accepted(&self, path: &str, body: &impl serde::Serialize) -> Result<Vec<u8>, ToolError> {
        let body = json(body)?;
        let request = self.agent.put(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        let request = request.header("Content-Type", "application/json");
        let request = request.config().timeout_global(Some(REQUEST_TIMEOUT)).build();
        self.accepted(request.send(&body[..]))
    }

    /// Sends a `PUT` request without a body; the response has none.
    pub fn put_empty(&self, path: &str) -> Result<(), ToolError> {
        let request = self.agent.put(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        let request = request.config().timeout_global(Some(REQUEST_TIMEOUT)).build();
        self.accepted(request.send_empty()).map(drop)
    }

    /// Sends a `PUT` request with the bytes of a file and an optional header. The bytes are sent once the service has accepted the
    /// head of the request: a refusal is read also if they do not fit the socket.
    pub fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        bytes: &[u8],
        extra: Option<(&str, &str)>,
    ) -> Result<T, ToolError> {
        let mut request = self.agent.put(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        request = request.header("Expect", "100-continue");
        if let Some((name, value)) = extra {
            request = request.header(name, value);
        }
        let request = request.config().timeout_global(Some(UPLOAD_TIMEOUT)).build();
        parse(&self.accepted(request.send(bytes))?)
    }

    /// Sends a `POST` request with a JSON body.
    pub fn post_json<T: DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> Result<T, ToolError> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        let request = request.config().timeout_global(Some(REQUEST_TIMEOUT)).build();
        parse(&self.accepted(request.header("Content-Type", "application/json").send(&json(body)?[..]))?)
    }

    /// Sends a `POST` request with a JSON body; the response has none.
    pub fn send(&self, path: &str, body: &impl serde::Serialize) -> Result<(), ToolError> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        let request = request.config().timeout_global(Some(REQUEST_TIMEOUT)).build();
        self.accepted(request.header("Content-Type", "application/json").send(&json(body)?[..])).map(drop)
    }

    /// Sends a `POST` request with a JSON body.
    pub fn create<T: DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> Result<T, ToolError> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        let request = request.config().timeout_global(Some(REQUEST_TIMEOUT)).build();
        parse(&self.accepted(request.header("Content-Type", "application/json").send(&json(body)?[..]))?)
    }

    /// Sends a `DELETE` request, with a JSON body or without; the response has none.
    pub fn delete(&self, path: &str, body: Option<&impl serde::Serialize>) -> Result<(), ToolError> {
        let request = self.agent.delete(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        let request = request.config().timeout_global(Some(REQUEST_TIMEOUT)).build();
        let sent = match body {
            Some(body) => request.force_send_body().header("Content-Type", "application/json").send(&json(body)?[..]),
            None => request.call(),
        };
        self.accepted(sent).map(drop)
    }

    /// Sends a `POST` request without a body.
    pub fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ToolError> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        let request = request.config().timeout_global(Some(REQUEST_TIMEOUT)).build();
        parse(&self.accepted(request.send_empty())?)
    }

    /// Sends a `POST` request without a body; the response has none.
    pub fn post_empty(&self, path: &str) -> Result<(), ToolError> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", &self.bearer);
        let request = request.config().timeout_global(Some(REQUEST_TIMEOUT)).build();
        self.accepted(request.send_empty()).map(drop)
    }

    fn accepted(&self, sent: Result<Response<Body>, ureq::Error>) -> Result<Vec<u8>, ToolError> {
        let (status, body) = self.received(sent)?;
        success(status, body)
    }

    /// Status and body of a response.
    ///
    /// Errors: the service did not answer.
    fn received(&self, sent: Result<Response<Body>, ureq::Error>) -> Result<(StatusCode, Vec<u8>), ToolError> {
        let mut response = sent.map_err(|error| ToolError::new(format!("{}: {error}", self.base)))?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| ToolError::new(format!("{}: {error}", self.base)))?;
        self.answered.set(true);
        Ok((response.status(), body))
    }
}

/// Returns the body of a response.
///
/// Errors: the service refused the request.
fn success(status: StatusCode, body: Vec<u8>) -> Result<Vec<u8>, ToolError> {
    if status.is_success() {
        return Ok(body);
    }
    let failure = serde_json::from_slice::<ErrorBody>(&body).map(|failure| failure.error);
    let text = failure.unwrap_or_else(|_| String::from_utf8_lossy(&body).trim().to_owned());
    let text = if text.is_empty() { "the service has no such page" } else { &text };
    Err(ToolError::new(format!("{status}: {text}")))
}

fn json(body: &impl serde::Serialize) -> Result<Vec<u8>, ToolError> {
    serde_json::to_vec(body).map_err(|error| ToolError::new(error.to_string()))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ToolError> {
    serde_json::from_slice(body).map_err(|error| ToolError::new(format!("invalid response: {error}")))
}

/// Escapes everything but letters, digits and `-_.~` in a path segment (RFC 3986, section 2.3).
pub fn escape(text: &str) -> String {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.~".contains(&c);
    let escaped = |c: u8| if plain(c) { char::from(c).to_string() } else { format!("%{c:02X}") };
    text.bytes().map(escaped).collect()
}
