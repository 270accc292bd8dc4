//! File delivery over MQTT: a device requests blocks of a file, and each block is one message. In CBOR and in JSON.
//!
//! Source: AWS IoT developer guide, "MQTT-based file delivery".

mod bitmap;
mod check;
mod data;
mod describe;
mod description;
mod get;
mod rejected;

pub use bitmap::Bitmap;
pub use data::Data;
pub use describe::Describe;
pub use description::{Description, Files, StreamFile, StreamFiles};
pub use get::Get;
pub use rejected::Rejected;
