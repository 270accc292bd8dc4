//! All limits of the wire protocol; AWS's own where it documents one.

/// Maximum nesting depth of a JSON message, including the message itself.
pub const DEPTH_MAX: usize = 16;

/// Maximum nesting depth of a CBOR message. The deepest message that AWS documents has 3 levels.
pub const CBOR_DEPTH_MAX: usize = 8;

/// Longest job id. Unit: bytes. Source: AWS IoT API, `JobId`, 1..=64.
pub const JOB_ID_BYTES_MAX: usize = 64;

/// Longest thing name. Unit: bytes. Source: AWS IoT API, `ThingName`, 1..=128.
pub const THING_NAME_BYTES_MAX: usize = 128;

/// Longest stream name. Unit: bytes. Source: AWS IoT API, `StreamId`, 1..=128.
pub const STREAM_NAME_BYTES_MAX: usize = 128;

/// Longest topic that [`Topic`](crate::Topic) reads or writes. Unit: bytes.
///
/// It is the description of a stream, with names of maximum length.
pub const TOPIC_BYTES_MAX: usize =
    "$aws/things/".len() + THING_NAME_BYTES_MAX + "/streams/".len() + STREAM_NAME_BYTES_MAX + "/description/cbor".len();

/// Longest filter that [`Filter`](crate::Filter) writes. Unit: bytes.
pub const FILTER_BYTES_MAX: usize = "$aws/things/".len() + THING_NAME_BYTES_MAX + "/streams/+/rejected/cbor".len();

/// Maximum number of files in a job document.
pub const FILES_MAX: usize = 4;

/// Largest file id. Source: AWS IoT developer guide, "MQTT-based file delivery", 0..=255.
pub const FILE_ID_MAX: u32 = 255;

/// Longest key of a status detail. Unit: bytes. Source: AWS IoT API, `DetailsKey`, 1..=128.
pub const DETAIL_KEY_BYTES_MAX: usize = 128;

/// Longest text in the report of a device. Unit: bytes.
pub const REPORT_TEXT_BYTES_MAX: usize = 128;

/// Longest client token of a stream message. Unit: bytes. Source: AWS IoT developer guide, "MQTT-based file delivery".
pub const STREAM_TOKEN_BYTES_MAX: usize = 64;

/// Smallest block of a stream. Unit: bytes. Source: AWS IoT developer guide, GetStream, `l`.
pub const BLOCK_BYTES_MIN: u32 = 256;

/// Largest block of a stream. Unit: bytes. Source: AWS IoT developer guide, GetStream, `l`.
pub const BLOCK_BYTES_MAX: u32 = 131_072;

/// Largest offset of a stream request. Unit: blocks. Source: AWS IoT developer guide, GetStream, `o`.
pub const BLOCK_OFFSET_MAX: u32 = 98_304;

/// Most blocks of a stream request. Source: AWS IoT developer guide, GetStream, `n`.
pub const BLOCK_COUNT_MAX: u32 = 98_304;

/// Longest bitmap of a stream request. Unit: bytes. Source: AWS IoT developer guide, GetStream, `b`: below 12,288.
pub const BITMAP_BYTES_MAX: usize = 12_287;

/// Largest stream version. Source: AWS IoT API, `StreamVersion`, 0..=65535.
pub const STREAM_VERSION_MAX: u32 = 65_535;

/// Largest file size in a message. Unit: bytes. AWS's own limit is far lower; slots are addressed with 32 bits.
pub const FILE_BYTES_MAX: u32 = u32::MAX;
