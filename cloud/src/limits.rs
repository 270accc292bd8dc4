//! Every bound of the service, in one place.

use std::time::Duration;

/// Largest MQTT packet that the service takes or sends. Unit: bytes.
///
/// A stream block of 128 KiB in base64, and room for topic and properties. AWS itself takes 128 KiB of payload.
pub const MQTT_PACKET_BYTES_MAX: u32 = 192 * 1024;

/// Longest topic of a request; a longer one could not be answered below it. Unit: bytes.
///
/// Source: AWS IoT Core, "maximum topic size", 256 bytes of UTF-8. The longest of ours has 209.
pub const TOPIC_BYTES_MAX: usize = 256;

/// Longest client token that is sent back. Unit: bytes. Source: AWS IoT API, `ClientToken`, 1..=64.
pub const CLIENT_TOKEN_BYTES_MAX: usize = 64;

/// Largest answer to one stream request. Unit: bytes of file content.
///
/// Source: AWS IoT developer guide, "MQTT-based file delivery", GetStream: at most 128 KB a request.
pub const STREAM_ANSWER_BYTES_MAX: u32 = 128 * 1024;

/// What one thing may be sent each second under `--aws-limits`. Unit: bytes a second.
///
/// Source: AWS IoT Core, throughput per connection, 512 KiB/s; the excess is delayed.
pub const AWS_BYTES_PER_SECOND: u64 = 512 * 1024;

/// Pending executions that one answer or notification lists.
///
/// Source: AWS IoT job limits: 10 pending executions are listed for jobs without a schedule.
pub const PENDING_LISTED_MAX: usize = 10;

/// Largest details of one execution, so that an answer with them and the document fits a packet. Unit: bytes.
pub const STATUS_DETAILS_BYTES_MAX: usize = 32_768;

/// Largest job document. Unit: bytes. Source: AWS IoT Jobs API, `document` length.
pub const DOCUMENT_BYTES_MAX: usize = 32_768;

/// Files of one job; also of one stream. Source: AWS IoT CreateStream, 1 to 50 files.
pub const FILES_MAX: usize = 50;

/// Things that one job may be created for.
pub const THINGS_MAX: usize = 10_000;

/// Largest image that may be uploaded. Unit: bytes.
pub const IMAGE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Longest name of an uploaded image, file path or key. Unit: bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Largest JSON body of an admin request. Unit: bytes.
pub const ADMIN_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Longest signature text of an image (base64). Unit: bytes.
pub const SIGNATURE_TEXT_BYTES_MAX: usize = 1024;

/// How large the database may grow unless told otherwise. Unit: bytes.
pub const DATABASE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Job requests that wait for the store; more are answered `RequestThrottled`.
pub const JOB_REQUESTS_QUEUED_MAX: usize = 1024;

/// Things of one order that wait to be told; beyond that all things with work are gone through instead.
pub const NOTIFY_QUEUE_MAX: usize = 65_536;

/// Things with work that are read from the store at once, to be told again.
pub const THINGS_PER_PAGE_MAX: usize = 256;

/// Executions that one transaction changes; requests of devices are answered between two of them.
pub const CHANGES_PER_TRANSACTION_MAX: usize = 100;

/// Pause before a notification is tried again that the connection had no room for.
pub const NOTIFY_RETRY: Duration = Duration::from_millis(10);

/// Names of things that were heard of since the start; when it is full, nobody is missed any more.
pub const SEEN_THINGS_MAX: usize = 65_536;

/// Names in a note about things that were never heard of.
pub const UNSEEN_LISTED_MAX: usize = 10;

/// Stream requests of one thing that wait; more are not answered, as AWS does, and the device asks again.
pub const STREAM_REQUESTS_QUEUED_MAX: usize = 64;

/// Things whose stream requests are served at the same time; more wait for a free lane unanswered.
pub const STREAM_QUEUES_MAX: usize = 4096;

/// A thing that asks for no block for so long gives its lane back.
pub const STREAM_QUEUE_IDLE: Duration = Duration::from_secs(30);

/// Streams whose open files are kept.
pub const STREAMS_CACHED_MAX: usize = 64;

/// Publishes that wait for the broker connection.
pub const PUBLISHES_QUEUED_MAX: usize = 256;

/// How long a publish waits for a broker that is away before it is given up.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Log lines that wait for a slow reader of stdout; more are dropped and counted.
pub const LOG_LINES_QUEUED_MAX: usize = 16_384;

/// Longest text of a log line or event that quotes a device. Unit: characters.
pub const QUOTE_CHARS_MAX: usize = 160;

/// Newest events of one execution that the audit keeps: one thing cannot fill the database for the others.
pub const EVENTS_PER_EXECUTION_MAX: u64 = 200;

/// Events that one answer of the event feed carries.
pub const EVENTS_PER_ANSWER_MAX: i64 = 500;

/// Longest wait of the event feed for something new.
pub const EVENTS_WAIT_MAX: Duration = Duration::from_secs(30);

/// Jobs that `GET /api/jobs` lists, newest first.
pub const JOBS_LISTED_MAX: i64 = 1000;

/// Default life of a signed URL. Source: AWS IoT Jobs API, `expiresInSec` is 60 to 3600.
pub const URL_LIFETIME_DEFAULT: Duration = Duration::from_secs(3600);

/// What the HTTP server reads from an image at once. Unit: bytes.
pub const HTTP_CHUNK_BYTES: usize = 64 * 1024;

/// How long a TLS handshake may take.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that one listener holds at the same time, if the system grants the files for them.
pub const CONNECTIONS_MAX: usize = 10_000;

/// How long a client may take to send the head of an HTTP request, the wait between two requests included.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause between two log lines about the same shortage.
pub const SHORTAGE_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Pause before the service tries a lost broker again.
pub const BROKER_RETRY: Duration = Duration::from_secs(1);

/// How long the first subscription may take before the start is given up.
pub const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a stop waits for work in flight.
pub const STOP_TIMEOUT: Duration = Duration::from_millis(700);

/// How often executions are looked through for a timer that ran out.
pub const TIMER_TICK: Duration = Duration::from_secs(1);

/// Range of every timer of an execution. Unit: minutes. Source: AWS IoT Jobs, 1 minute to 7 days.
pub const TIMER_MINUTES: std::ops::RangeInclusive<u64> = 1..=10_080;
