//! The embedded broker: the `mqtt5` crate with our access control.
//! The job service is an ordinary client of this broker.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::config::StorageConfig;
use mqtt5::broker::events::{BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent};
use mqtt5::broker::{BrokerConfig, BrokerShutdownHandle, MqttBroker};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio::task::JoinHandle;

use super::acl::{Acl, Principal, is_allowed, thing_of_client};
use super::transport::SERVICE;
use crate::clock::now_s;
use crate::limits::{CONNECTIONS_MAX, MQTT_PACKET_BYTES_MAX};
use crate::serve::config::ServeError;
use crate::serve::jobs::presence::Presence;
use crate::serve::jobs::sessions::Sessions;
use crate::serve::log::{quote, report_error};

/// How long a session outlives its connection. Source: AWS IoT Core, persistent session default, one hour.
const SESSION_EXPIRY: Duration = Duration::from_secs(3600);
/// AWS IoT Core has no QoS 2.
const QOS_MAX: u8 = 1;
/// Maximum number of retained messages: a report of each device. Further ones are delivered and not kept; the service stores
/// what it received.
const RETAINED_MAX: usize = CONNECTIONS_MAX;

/// A running broker.
pub struct EmbeddedBroker {
    /// Address of its listener.
    pub address: SocketAddr,
    shutdown: BrokerShutdownHandle,
    clients: Arc<dyn Fn() -> usize + Send + Sync>,
    task: JoinHandle<()>,
}

impl EmbeddedBroker {
    /// Starts a broker; it accepts connections when this returns. Each connection of a device begins one of `sessions`, and is noted
    /// in `presence`.
    ///
    /// Errors: `Broker` with the crate's message, for example an address in use.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the broker.
    pub async fn start(
        bind: SocketAddr,
        acl: Arc<Acl>,
        sessions: Sessions,
        presence: Presence,
    ) -> Result<Self, ServeError> {
        let failed = |error: mqtt5::MqttError| ServeError::Broker(error.to_string());
        let broker = MqttBroker::with_config(config(bind, presence)).await.map_err(failed)?;
        let mut broker = broker.with_auth_provider(Arc::new(AuthPolicy { acl, sessions }));
        let address = broker.local_addr().ok_or_else(|| ServeError::Broker("no listener".to_owned()))?;
        let shutdown = broker.shutdown_handle();
        let mut ready = broker.ready_receiver();
        let stats = broker.stats();
        let clients = Arc::new(move || stats.clients_connected.load(Ordering::Relaxed));
        let task = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                report_error(format_args!("the broker stopped: {error}"));
            }
        });
        let started = Self { address, shutdown, clients, task };
        ready.wait_for(|ready| *ready).await.map_err(|_| ServeError::Broker("it did not start".to_owned()))?;
        Ok(started)
    }

    /// Returns what counts the clients that are connected.
    pub fn clients(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let clients = Arc::clone(&self.clients);
        move || clients()
    }

    /// Closes the listener and all connections.
    ///
    /// # Cancel safety
    ///
    /// The broker stops even if the future is dropped.
    pub async fn stop(mut self, timeout: Duration) {
        self.shutdown.shutdown();
        if tokio::time::timeout(timeout, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.shutdown.shutdown();
    }
}

fn config(bind: SocketAddr, presence: Presence) -> BrokerConfig {
    BrokerConfig::default()
        .with_event_handler(Arc::new(Connections(presence)))
        .with_bind_address(bind)
        .with_max_clients(CONNECTIONS_MAX)
        .with_max_packet_size(MQTT_PACKET_BYTES_MAX as usize)
        .with_maximum_qos(QOS_MAX)
        .with_session_expiry(SESSION_EXPIRY)
        .with_max_retained_messages(RETAINED_MAX)
        .with_sys_topics_enabled(false)
        .with_storage(StorageConfig::new().with_persistence(false))
}

/// Notes when connections of things begin and end; the broker passes on each end once.
struct Connections(Presence);

impl BrokerEventHandler for Connections {
    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> BoxFuture<'a, ()> {
        if let Some(thing) = event.user_id.filter(|user| **user != *SERVICE) {
            self.0.connected(&thing, now_s());
        }
        Box::pin(async {})
    }

    fn on_client_disconnect<'a>(&'a self, event: ClientDisconnectEvent) -> BoxFuture<'a, ()> {
        if let Some(thing) = event.user_id.filter(|user| **user != *SERVICE) {
            self.0.disconnected(&thing, now_s());
        }
        Box::pin(async {})
    }
}

/// Adapter from the broker crate's authentication interface to [`Acl`].
struct AuthPolicy {
    acl: Arc<Acl>,
    sessions: Sessions,
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for AuthPolicy {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        address: SocketAddr,
    ) -> BoxFuture<'a, mqtt5::Result<AuthResult>> {
        let password = connect.password.as_deref().unwrap_or_default();
        let who = self.acl.authenticate(address, &connect.client_id, connect.username.as_deref(), password);
        if who.is_none() {
            report_error(refused_connection(&connect.client_id, address));
        }
        Box::pin(async move {
            Ok(match who {
                Some(Principal::Service) => AuthResult::success_with_user(SERVICE),
                Some(Principal::Thing(thing)) => {
                    // Before the device's first request: it asks for what its session gives it.
                    self.sessions.begin(thing.clone()).await;
                    AuthResult::success_with_user(thing)
                }
                None => AuthResult::fail(ReasonCode::NotAuthorized),
            })
        })
    }

    fn authorize_publish<'a>(&'a self, client: &str, user: Option<&'a str>, topic: &'a str) -> BoxFuture<'a, bool> {
        let allowed = allowed(client, user, "publish to", topic);
        Box::pin(async move { allowed })
    }

    fn authorize_subscribe<'a>(&'a self, client: &str, user: Option<&'a str>, filter: &'a str) -> BoxFuture<'a, bool> {
        let allowed = allowed(client, user, "subscribe to", filter);
        Box::pin(async move { allowed })
    }
}

fn allowed(client: &str, user: Option<&str>, what: &str, filter: &str) -> bool {
    let allowed = match user {
        Some(SERVICE) if client == SERVICE => true,
        user => is_allowed(user.unwrap_or(thing_of_client(client)), filter),
    };
    if !allowed {
        report_error(refused_topic(client, what, filter));
    }
    allowed
}

fn refused_connection(client: &str, address: SocketAddr) -> String {
    let client = quote(client.as_bytes());
    format!(
        "the broker refuses the connection of client {client} from {address}: not a valid thing name, or another thing's"
    )
}

/// Formats one bounded line; client id and filter are untrusted.
fn refused_topic(client: &str, what: &str, filter: &str) -> String {
    format!("the broker refuses client {} to {what} {}", quote(client.as_bytes()), quote(filter.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::QUOTE_CHARS_MAX;

    /// A service that cannot start because its HTTP port is in use leaves no broker behind.
    #[tokio::test]
    async fn a_broker_that_is_no_longer_held_frees_its_port() {
        let sessions = Sessions::new(tokio::sync::mpsc::channel(1).0);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let broker =
            EmbeddedBroker::start(any, Arc::new(Acl::new(false)), sessions, Presence::new(true)).await.unwrap();
        let address = broker.address;
        assert!(tokio::net::TcpStream::connect(address).await.is_ok());
        drop(broker);
        let freed = async {
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(10), freed).await.is_ok(), "it still accepts connections");
    }

    #[test]
    fn a_refusal_is_one_bounded_line_that_names_client_and_topic() {
        let line = refused_topic("lamp", "publish to", "$aws/things/door/jobs/get");
        assert_eq!(line, "the broker refuses client lamp to publish to $aws/things/door/jobs/get");
        let line = refused_connection("+\n", SocketAddr::from(([127, 0, 0, 1], 9)));
        assert_eq!(
            line,
            "the broker refuses the connection of client +. from 127.0.0.1:9: not a valid thing name, or another thing's"
        );
        let line = refused_topic("l\n\x1b[31m", "subscribe to", &"x".repeat(60_000));
        assert!(line.len() < 2 * QUOTE_CHARS_MAX && !line.chars().any(char::is_control), "{line}");
    }
}
