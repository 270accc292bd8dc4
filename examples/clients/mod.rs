//! Adapters of other MQTT and HTTP clients than those in `ota-agent`, to copy. `examples/tests/clients.rs` runs all of them through
//! `ota_agent::transport::conformance`, and updates a device over each.

pub mod hyper;
pub mod rumqttc;
pub mod rust_mqtt;
