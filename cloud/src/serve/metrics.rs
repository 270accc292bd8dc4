//! Numbers about the running service for Prometheus. What the store has is counted when they are read. No label has a value from
//! outside, so their number is bounded.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Media type of the text. Source: OpenMetrics 1.0, "Overall structure".
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the classes of [`Metrics::job_request`]. Unit: seconds.
const SECONDS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// Outcomes of a request: it was carried out; refused, and the sender must change it or try again; or the service failed.
const ACCEPTED: &str = "accepted";
const REJECTED: &str = "rejected";
const FAILED: &str = "failed";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfHttp {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDevice {
    service: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatus {
    status: &'static str,
}

/// Counts clients of a broker.
type Clients = Arc<dyn Fn() -> usize + Send + Sync>;

/// The numbers; clones share them.
#[derive(Clone)]
pub struct Metrics {
    http_requests: Family<OfHttp, Counter>,
    device_responses: Family<OfDevice, Counter>,
    blocks: Counter,
    block_bytes: Counter,
    job_seconds: Histogram,
    http_connections: Gauge,
    mqtt_clients: Option<Clients>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            http_requests: Family::default(),
            device_responses: Family::default(),
            blocks: Counter::default(),
            block_bytes: Counter::default(),
            job_seconds: Histogram::new(SECONDS),
            http_connections: Gauge::default(),
            mqtt_clients: None,
        }
    }
}

impl Metrics {
    /// Shows the number of clients of the embedded broker.
    #[cfg(any(test, feature = "broker"))]
    pub fn with_clients(self, clients: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        Self { mqtt_clients: Some(Arc::new(clients)), ..self }
    }

    /// Counts the response to an HTTP request, by its status code.
    pub fn http_response(&self, status: u16) {
        let outcome = match status {
            0..400 => ACCEPTED,
            400..500 => REJECTED,
            _ => FAILED,
        };
        self.http_requests.get_or_create(&OfHttp { outcome }).inc();
    }

    /// Counts a message that was sent on this topic to a device.
    pub fn message(&self, topic: &str, payload_bytes: usize) {
        if topic.ends_with("/data/cbor") || topic.ends_with("/data/json") {
            self.blocks.inc();
            self.block_bytes.inc_by(payload_bytes as u64);
        }
        if let Some(labels) = answered(topic) {
            self.device_responses.get_or_create(&labels).inc();
        }
    }

    /// Counts a request of a device to the job service, which took this time, nearly all of it in the database.
    pub fn job_request(&self, elapsed: Duration) {
        self.job_seconds.observe(elapsed.as_secs_f64());
    }

    /// Counts an HTTP connection until the result is dropped.
    pub fn http_connection(&self) -> OpenConnection {
        self.http_connections.inc();
        OpenConnection(self.http_connections.clone())
    }

    /// All numbers as text. `executions`: number of executions per status.
    pub fn text(&self, executions: &[(&'static str, u64)]) -> String {
        let mut registry = Registry::with_prefix("ota");
        let requests = "HTTP requests that were answered, with their outcome";
        registry.register("http_requests", requests, self.http_requests.clone());
        let responses = "Responses to requests of devices, with their outcome";
        registry.register("device_responses", responses, self.device_responses.clone());
        registry.register("stream_blocks", "Blocks of files that were sent over MQTT", self.blocks.clone());
        let bytes = "Payloads of these blocks";
        registry.register_with_unit("stream", bytes, Unit::Bytes, self.block_bytes.clone());
        let seconds = "Time in which the job service answered a request of a device, nearly all of it in the database";
        registry.register_with_unit("job_request", seconds, Unit::Seconds, self.job_seconds.clone());
        registry.register("http_connections", "Open HTTP connections", self.http_connections.clone());
        if let Some(clients) = &self.mqtt_clients {
            let count: Gauge = Gauge::default();
            count.set(i64::try_from(clients()).unwrap_or(i64::MAX));
            registry.register("mqtt_clients", "Clients of the embedded broker, with the service itself", count);
        }
        let by_status = Family::<OfStatus, Gauge>::default();
        for (status, count) in executions {
            by_status.get_or_create(&OfStatus { status }).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        registry.register("executions", "Executions of all jobs, by status", by_status);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a text takes all that is written");
        text
    }
}

/// An open connection, which is counted.
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The outcome that a topic shows; `None` for a notification or a block.
fn answered(topic: &str) -> Option<OfDevice> {
    let service = if topic.contains("/streams/") { "streams" } else { "jobs" };
    let ends = |ends: &[&str]| ends.iter().any(|end| topic.ends_with(end));
    let outcome = match topic {
        _ if ends(&["/accepted", "/description/cbor", "/description/json"]) => ACCEPTED,
        _ if ends(&["/rejected", "/rejected/cbor", "/rejected/json"]) => REJECTED,
        _ => return None,
    };
    Some(OfDevice { service, outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_a_line_with_labels_of_few_values() {
        let metrics = Metrics::default().with_clients(|| 7);
        for status in [200, 303, 404, 500] {
            metrics.http_response(status);
        }
        for topic in [
            "$aws/things/lamp/jobs/one/update/accepted",
            "$aws/things/lamp/jobs/one/update/rejected",
            "$aws/things/lamp/jobs/notify-next",
            "$aws/things/lamp/streams/s/data/cbor",
            "$aws/things/lamp/streams/s/description/json",
            "$aws/things/lamp/streams/s/rejected/cbor",
        ] {
            metrics.message(topic, 100);
        }
        metrics.job_request(Duration::from_millis(7));
        let _one = metrics.http_connection();
        drop(metrics.http_connection());
        let text = metrics.text(&[("QUEUED", 3)]);
        for line in [
            r#"ota_http_requests_total{outcome="accepted"} 2"#,
            r#"ota_http_requests_total{outcome="rejected"} 1"#,
            r#"ota_http_requests_total{outcome="failed"} 1"#,
            r#"ota_device_responses_total{service="jobs",outcome="accepted"} 1"#,
            r#"ota_device_responses_total{service="jobs",outcome="rejected"} 1"#,
            r#"ota_device_responses_total{service="streams",outcome="accepted"} 1"#,
            r#"ota_device_responses_total{service="streams",outcome="rejected"} 1"#,
            "ota_stream_blocks_total 1",
            "ota_stream_bytes_total 100",
            r#"ota_job_request_seconds_bucket{le="0.01"} 1"#,
            r#"ota_job_request_seconds_bucket{le="0.005"} 0"#,
            "ota_http_connections 1",
            "ota_mqtt_clients 7",
            r#"ota_executions{status="QUEUED"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(!text.contains("lamp"), "{text}");
    }
}
