//! The MQTT connection of a device: its client id, its filters, and its first request.

use std::sync::Arc;
use std::time::Duration;

use ota_jobs::Filter;
use ota_jobs::limits::FILTER_BYTES_MAX;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, Filter as Subscription, Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use rumqttc::{TlsConfiguration, Transport};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use super::super::ToolError;
use super::ok;
use super::place::{Place, STEP_TIMEOUT, step};
use crate::limits::MQTT_PACKET_BYTES_MAX;

/// The filters of `ota-agent`.
const FILTERS: [Filter; 6] =
    [Filter::Notify, Filter::NotifyNext, Filter::Describe, Filter::Update, Filter::Data, Filter::StreamRejected];
/// Unit: seconds.
const KEEP_ALIVE_S: u64 = 30;
/// Requests that wait for the connection.
const QUEUE: usize = 8;
/// What a client token of this command is.
const TOKEN: &str = "ota-doctor";
/// A policy that forbids a topic is seen as the end of the connection.
const CLOSED: &str =
    "the broker closes the connection: its policy or access rules forbid it, or another client has the same id";

/// A connected device.
pub struct Device {
    client: AsyncClient,
    events: EventLoop,
    is_encrypted: bool,
}

impl Device {
    /// Connects.
    pub async fn connect(place: &Place, client_id: &str, tls: Option<Arc<ClientConfig>>) -> Result<Self, ToolError> {
        let mut options = MqttOptions::new(client_id, place.host.as_str(), place.port);
        options.set_keep_alive(Duration::from_secs(KEEP_ALIVE_S)).set_clean_start(true);
        options.set_max_packet_size(Some(MQTT_PACKET_BYTES_MAX));
        let is_encrypted = tls.is_some();
        if let Some(tls) = tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
        }
        let (client, events) = AsyncClient::new(options, QUEUE);
        let mut device = Self { client, events, is_encrypted };
        device
            .wait("mqtt", "no answer to CONNECT", |packet| matches!(packet, Packet::ConnAck(_)).then_some(()))
            .await?;
        ok(format_args!("mqtt: connected as {client_id}"));
        Ok(device)
    }

    /// Subscribes to what a device subscribes to.
    pub async fn subscribe(&mut self, thing: &str) -> Result<(), ToolError> {
        let mut out = [0; FILTER_BYTES_MAX];
        let filters = FILTERS.map(|filter| filter.emit(thing, &mut out).expect("the name was checked").to_owned());
        let wanted = filters.iter().map(|filter| Subscription::new(filter.as_str(), QoS::AtLeastOnce));
        let sent = self.client.subscribe_many(wanted.collect::<Vec<_>>()).await;
        sent.map_err(|error| step("subscription", error))?;
        let granted = self
            .wait("subscription", "no answer to SUBSCRIBE", |packet| match packet {
                Packet::SubAck(ack) => Some(ack.return_codes),
                _ => None,
            })
            .await?;
        let is_granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
        match filters.iter().zip(&granted).find(|(_, code)| !is_granted(code)) {
            Some((filter, code)) => Err(step("subscription", format!("{filter} is refused: {code:?}"))),
            None => {
                ok(format_args!("subscription: all {} topic filters are granted", filters.len()));
                Ok(())
            }
        }
    }

    /// Describes the next job, which starts nothing; returns the response.
    pub async fn next_job(&mut self, thing: &str) -> Result<Vec<u8>, ToolError> {
        let topic = format!("$aws/things/{thing}/jobs/$next/get");
        let request = format!(r#"{{"clientToken":"{TOKEN}"}}"#);
        let sent = self.client.publish(&topic, QoS::AtLeastOnce, false, request).await;
        sent.map_err(|error| step("request", error))?;
        let missing = format!("no answer on {topic}/accepted: does a job service use this broker?");
        let (accepted, payload) = self
            .wait("request", &missing, |packet| match packet {
                Packet::Publish(message) if message.topic.starts_with(topic.as_bytes()) => {
                    Some((message.topic.ends_with(b"/accepted"), message.payload.to_vec()))
                }
                _ => None,
            })
            .await?;
        match accepted {
            true => {
                ok("request: the job service answers");
                Ok(payload)
            }
            false => Err(step("request", format!("rejected: {}", String::from_utf8_lossy(&payload)))),
        }
    }

    /// Disconnects; errors are of no interest any more.
    pub async fn disconnect(mut self) {
        let _ = self.client.disconnect().await;
        let until = Instant::now() + STEP_TIMEOUT;
        while let Ok(Ok(_)) = timeout_at(until, self.events.poll()).await {}
    }

    /// Waits for a packet that `read` accepts.
    async fn wait<T>(&mut self, name: &str, missing: &str, read: impl Fn(Packet) -> Option<T>) -> Result<T, ToolError> {
        let until = Instant::now() + STEP_TIMEOUT;
        loop {
            let event = timeout_at(until, self.events.poll()).await;
            let event = event.map_err(|_| step(name, format!("{missing} (after {} s)", STEP_TIMEOUT.as_secs())))?;
            match event.map_err(|error| step(name, refusal(&error, self.is_encrypted)))? {
                Event::Incoming(packet) => match read(packet) {
                    Some(found) => return Ok(found),
                    None => continue,
                },
                Event::Outgoing(_) => {}
            }
        }
    }
}

fn refusal(error: &ConnectionError, is_encrypted: bool) -> String {
    let text = error.to_string();
    match error {
        _ if text.contains("CertificateRequired") => {
            format!("the broker requires a certificate of the device: --cert and --key ({text})")
        }
        ConnectionError::MqttState(StateError::Deserialization(_)) => {
            let tls = if is_encrypted { "" } else { ", or is it one for TLS, with --ca" };
            format!("the answer is not MQTT; is it the port of the broker{tls}? ({text})")
        }
        ConnectionError::ConnectionRefused(code) => match code {
            ConnectReturnCode::ClientIdentifierNotValid => "the client id is refused".to_owned(),
            ConnectReturnCode::NotAuthorized | ConnectReturnCode::BadUserNamePassword => {
                format!("the connection is refused: {code:?}; is the client id allowed for this certificate?")
            }
            other => format!("the connection is refused: {other:?}"),
        },
        ConnectionError::MqttState(StateError::ConnectionAborted) | ConnectionError::Io(_) => {
            format!("{error}: {CLOSED}")
        }
        _ => text,
    }
}
