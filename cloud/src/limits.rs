//! All limits of the service.

use std::time::Duration;

/// Largest MQTT packet that is sent or received. Unit: bytes.
///
/// A stream block of 128 KiB in base64, plus topic and properties. AWS allows a payload of 128 KiB.
pub const MQTT_PACKET_BYTES_MAX: u32 = 192 * 1024;

/// Longest topic of a request. Unit: bytes.
///
/// Source: AWS IoT Core, "maximum topic size", 256 bytes of UTF-8. The longest topic of the protocol has 209.
pub const TOPIC_BYTES_MAX: usize = 256;

/// Longest client token. Unit: bytes. Source: AWS IoT API, `ClientToken`, 1..=64.
pub const CLIENT_TOKEN_BYTES_MAX: usize = 64;

/// Maximum file content sent for one stream request. Unit: bytes.
///
/// Source: AWS IoT developer guide, "MQTT-based file delivery", GetStream: at most 128 KB per request.
pub const STREAM_ANSWER_BYTES_MAX: u32 = 128 * 1024;

/// Rate limit of each thing under `--aws-limits`. Unit: bytes per second.
///
/// Source: AWS IoT Core, throughput per connection, 512 KiB/s; the excess is delayed.
pub const AWS_BYTES_PER_SECOND: u64 = 512 * 1024;

/// Maximum number of pending executions in one response or notification.
///
/// Source: AWS IoT job limits: 10 pending executions are listed for jobs without a schedule.
pub const PENDING_LISTED_MAX: usize = 10;

/// Longest status details of one execution; a response with them and the document must fit into a packet. Unit: bytes.
pub const STATUS_DETAILS_BYTES_MAX: usize = 32_768;

/// Longest job document. Unit: bytes. Source: AWS IoT Jobs API, `document` length.
pub const DOCUMENT_BYTES_MAX: usize = 32_768;

/// Maximum number of files in one job and in one stream. Source: AWS IoT CreateStream, 1 to 50 files.
pub const FILES_MAX: usize = 50;

/// Maximum number of things in one job.
pub const THINGS_MAX: usize = 10_000;

/// Largest image. Unit: bytes.
pub const IMAGE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Age from which an image that no job refers to is removed, when the service starts.
pub const UNUSED_IMAGE_AGE: Duration = Duration::from_secs(24 * 3600);

/// Longest name of an image, file path or key. Unit: bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Largest JSON body of an admin request. Unit: bytes.
pub const ADMIN_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Longest signature text of an image (base64). Unit: bytes.
pub const SIGNATURE_TEXT_BYTES_MAX: usize = 1024;

/// Default limit of the database. Unit: bytes.
pub const DATABASE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// How long a query waits for the connection to a PostgreSQL database, which may have to be made again.
pub const DATABASE_TIMEOUT: Duration = Duration::from_secs(3);

/// Interval in which an instance looks whether it is the one that serves.
pub const STANDBY_INTERVAL: Duration = Duration::from_secs(1);

/// Size of the pieces in which an image is stored in a PostgreSQL database. Unit: bytes.
pub const IMAGE_PIECE_BYTES: usize = 256 * 1024;

/// Maximum number of queued job requests; further ones are rejected with `RequestThrottled`.
pub const JOB_REQUESTS_QUEUED_MAX: usize = 1024;

/// Maximum number of things in the notification queue; beyond it all things with pending executions are notified.
pub const NOTIFY_QUEUE_MAX: usize = 65_536;

/// Number of things with pending executions that are read at once.
pub const THINGS_PER_PAGE_MAX: usize = 256;

/// Maximum number of executions changed in one transaction; requests are handled between transactions.
pub const CHANGES_PER_TRANSACTION_MAX: usize = 100;

/// Pause before a notification is retried after the send queue was full.
pub const NOTIFY_RETRY: Duration = Duration::from_millis(10);

/// Maximum number of recorded thing names beside those of connected things; when it is reached, no thing is reported as unseen.
pub const SEEN_THINGS_MAX: usize = 65_536;

/// Maximum number of devices whose reports are stored; reports of further ones are dropped.
pub const REPORTS_MAX: i64 = 65_536;

/// Maximum number of queued reports of devices; further ones are dropped.
pub const REPORTS_QUEUED_MAX: usize = 16_384;

/// Largest report of a device. Unit: bytes.
pub const REPORT_BYTES_MAX: usize = 4096;

/// Silence after which a request begins a session, with an external broker. A device that polls more often has one session.
pub const SESSION_SILENCE: Duration = Duration::from_secs(60);

/// Maximum number of unseen things in a response.
pub const UNSEEN_LISTED_MAX: usize = 10;

/// Maximum number of queued stream requests of one thing; further ones are dropped as on AWS, and the device retries.
pub const STREAM_REQUESTS_QUEUED_MAX: usize = 64;

/// Maximum number of things with a queue of stream requests; requests of further things are dropped.
pub const STREAM_QUEUES_MAX: usize = 4096;

/// Idle time after which the queue of a thing is removed.
pub const STREAM_QUEUE_IDLE: Duration = Duration::from_secs(30);

/// Number of streams whose files are kept open.
pub const STREAMS_CACHED_MAX: usize = 64;

/// Maximum number of queued publishes.
pub const PUBLISHES_QUEUED_MAX: usize = 256;

/// How long a publish waits for room in the queue.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of queued log lines; further ones are dropped and counted.
pub const LOG_LINES_QUEUED_MAX: usize = 16_384;

/// Maximum number of lines about errors in a second; the number of further ones is printed later.
pub const ERROR_LINES_MAX: u64 = 50;

/// Longest text of a log line or event that quotes a device. Unit: characters.
pub const QUOTE_CHARS_MAX: usize = 160;

/// Maximum number of audit events per execution; the oldest are removed.
pub const EVENTS_PER_EXECUTION_MAX: u64 = 200;

/// Maximum number of events in one response.
pub const EVENTS_PER_ANSWER_MAX: i64 = 500;

/// Maximum wait of a request for events.
pub const EVENTS_WAIT_MAX: Duration = Duration::from_secs(30);

/// Number of jobs that `GET /api/jobs` returns, newest first.
pub const JOBS_LISTED_MAX: i64 = 1000;

/// Maximum number of earlier jobs of a thing among which a revert finds the image before.
pub const EARLIER_JOBS_MAX: u64 = 10;

/// Number of releases that `GET /api/releases` returns, newest first.
pub const RELEASES_LISTED_MAX: i64 = 100;

/// Maximum size of the metadata of an object, names and values. Unit: bytes. Source: Amazon S3 user guide, "Working with object
/// metadata".
pub const OBJECT_METADATA_BYTES_MAX: usize = 2048;

/// Maximum number of devices on the page of a release that did not reach them.
pub const UNREACHED_SHOWN_MAX: usize = 100;

/// Maximum number of rows of a list on one page of the console.
pub const PAGE_ROWS_MAX: i64 = 100;

/// Lifetime of a session of the console, from the sign-in.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Maximum number of sessions of the console; a further sign-in ends the oldest one.
pub const SESSIONS_MAX: usize = 512;

/// Maximum number of sessions of one account or token; a further sign-in ends its oldest one.
pub const SESSIONS_PER_NAME_MAX: usize = 16;

/// Length of a token. Unit: random bytes.
pub const TOKEN_BYTES: usize = 32;

/// Length of a new password. Unit: bytes. Source for the minimum: NIST SP 800-63B, section 5.1.1.2.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=256;

/// Maximum number of passwords that are hashed or compared at the same time; each takes 19 MiB.
pub const PASSWORDS_AT_ONCE_MAX: usize = 1;

/// Maximum number of passwords that wait to be compared; further sign-ins are refused at once.
pub const PASSWORDS_QUEUED_MAX: usize = 16;

/// Longest body of a sign-in. Unit: bytes.
pub const SIGN_IN_BODY_BYTES_MAX: usize = 4096;

/// Maximum number of names whose failed sign-ins are counted.
pub const SIGN_IN_NAMES_MAX: usize = 1_000;

/// Maximum number of failed sign-ins with one name within [`SIGN_IN_WINDOW`]; further ones with it are refused.
pub const SIGN_IN_FAILURES_MAX: usize = 10;

/// See [`SIGN_IN_FAILURES_MAX`].
pub const SIGN_IN_WINDOW: Duration = Duration::from_secs(60);

/// Maximum number of live pages of all sessions of the console; further ones are not live.
pub const LIVE_PAGES_MAX: usize = 64;

/// Maximum number of live pages of one session. A browser opens at most six connections to a host for all its tabs.
pub const LIVE_PAGES_PER_SESSION_MAX: usize = 4;

/// Minimum time between two updates of a live page.
pub const LIVE_INTERVAL: Duration = Duration::from_millis(500);

/// Maximum time between two checks of the session of a live page.
pub const LIVE_CHECK: Duration = Duration::from_secs(15);

/// Longest text of a part of an upload form beside the file, and room for the boundaries. Unit: bytes.
pub const UPLOAD_FORM_BYTES_MAX: usize = 64 * 1024;

/// Maximum number of fields of a form.
pub const FORM_FIELDS_MAX: usize = 20_000;

/// Longest text of status details that a page shows. Unit: characters.
pub const DETAILS_CHARS_MAX: usize = 300;

/// Default validity of a signed URL. Source: AWS IoT Jobs API, `expiresInSec` is 60 to 3600.
pub const URL_LIFETIME_DEFAULT: Duration = Duration::from_secs(3600);

/// Chunk size of the image server. Unit: bytes.
pub const HTTP_CHUNK_BYTES: usize = 64 * 1024;

/// Timeout of a TLS handshake.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of connections of one listener, if there are enough file descriptors.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Share of the HTTP listener's connections that one signed URL may use: a quarter. Devices that request the document in the
/// same second have the same URL.
pub const URL_CONNECTIONS_SHARE: usize = 4;

/// When a client may try again that was refused because its URL is in use too often. Unit: seconds.
pub const BUSY_RETRY_S: u64 = 1;

/// How long an HTTP client may receive nothing of a response. A slow link has received a part of what the operating system
/// buffers by then: 50 kB at 320 B/s take 160 s.
pub const HTTP_WRITE_TIMEOUT: Duration = Duration::from_secs(300);

/// How long the body of a request may pause.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout for the head of an HTTP request, also the idle time between two requests.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Minimum time between two log lines about the same shortage.
pub const SHORTAGE_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Pause before a reconnect to the broker.
pub const BROKER_RETRY: Duration = Duration::from_secs(1);

/// How long a start waits for the lock of the data directory, and how often it tries.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// See [`LOCK_TIMEOUT`].
pub const LOCK_RETRY: Duration = Duration::from_millis(50);

/// Timeout of the first subscription.
pub const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a stop waits for running tasks.
pub const STOP_TIMEOUT: Duration = Duration::from_millis(700);

/// What a rollout makes up for after a delay: what was due in this time.
pub const ROLLOUT_DELAY_MAX: Duration = Duration::from_secs(2);

/// Interval of the check for expired timers.
pub const TIMER_TICK: Duration = Duration::from_secs(1);

/// How long after each connection to the broker no timer expires: the reports of an outage arrive first.
pub const EXPIRY_GRACE: Duration = Duration::from_secs(60);

/// How far the wall clock may move against the monotonic clock between two checks; more means that it was set, or that the
/// machine was suspended.
pub const CLOCK_STEP_MAX: Duration = Duration::from_secs(10);

/// Maximum number of targets that a job lists. Source: AWS IoT Jobs, targets of a job.
pub const TARGETS_LISTED_MAX: usize = 100;

/// Longest description, comment or reason. Unit: bytes. Source: AWS IoT API, `description` and `comment`.
pub const DESCRIPTION_BYTES_MAX: usize = 2028;

/// Maximum number of attributes of a thing, and their longest name and value. Unit: bytes. Source: AWS IoT, thing attributes.
pub const ATTRIBUTES_MAX: usize = 50;
/// See [`ATTRIBUTES_MAX`].
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 128;
/// See [`ATTRIBUTES_MAX`].
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 800;

/// Maximum number of access keys.
pub const ACCESS_KEYS_MAX: i64 = 100;

/// How far the time of a signed request may be from the service's, before and after. Source: AWS IAM user guide, "Signing AWS
/// API requests": five minutes at most services, 15 at Amazon S3.
pub const AWS_SKEW_MAX: Duration = Duration::from_secs(15 * 60);

/// Maximum number of headers that a signature names. Hyper takes no request with more headers.
pub const SIGNED_HEADERS_MAX: usize = 100;

/// Longest path with query of a signed request. A key of S3 has at most 1024 bytes, each of them three when it is escaped.
/// Unit: bytes.
pub const AWS_URI_BYTES_MAX: usize = 4096;

/// Valid range of `maxResults` of a list of the AWS control API, which has the last of them by default.
pub const AWS_PAGE_ROWS: std::ops::RangeInclusive<u64> = 1..=250;

/// Minimum time between two probes of the database for its readiness.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Timeout of such a probe.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of maintenance windows of a job.
pub const MAINTENANCE_WINDOWS_MAX: usize = 20;

/// Longest cron expression. Unit: bytes. Source: AWS IoT API, `CronExpression`.
pub const CRON_BYTES_MAX: usize = 256;

/// How far ahead maintenance windows are looked for; a job without one in this time is refused. Unit: days.
pub const WINDOW_AHEAD_DAYS_MAX: i64 = 366;

/// Number of next maintenance windows that the description of a job has. Source: AWS IoT API, `ScheduledJobRollout`.
pub const WINDOWS_LISTED: usize = 7;

/// Valid range of the timers of an execution. Unit: minutes. Source: AWS IoT Jobs, 1 minute to 7 days.
pub const TIMER_MINUTES: std::ops::RangeInclusive<u64> = 1..=10_080;
