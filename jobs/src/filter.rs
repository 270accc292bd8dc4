//! Topic filters that a device subscribes to.

use core::fmt::{self, Write};

use crate::topic::{PREFIX, join};

/// A topic filter of a device. Together the eight filters match every response and every block in CBOR.
///
/// AWS accepts at most 8 filters in one SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `jobs/notify`
    Notify,
    /// `jobs/notify-next`
    NotifyNext,
    /// `jobs/get/+`
    Get,
    /// `jobs/start-next/+`
    StartNext,
    /// `jobs/+/get/+`
    Describe,
    /// `jobs/+/update/+`
    Update,
    /// `streams/+/data/cbor`
    Data,
    /// `streams/+/rejected/cbor`
    StreamRejected,
}

impl Filter {
    /// All filters.
    pub const ALL: [Filter; 8] = [
        Filter::Notify,
        Filter::NotifyNext,
        Filter::Get,
        Filter::StartNext,
        Filter::Describe,
        Filter::Update,
        Filter::Data,
        Filter::StreamRejected,
    ];

    /// Writes the filter for `thing`, at most [`TOPIC_BYTES_MAX`](crate::limits::TOPIC_BYTES_MAX) bytes.
    ///
    /// Errors: those of `out`.
    pub fn write(self, thing: &str, out: &mut impl Write) -> fmt::Result {
        let below = match self {
            Filter::Notify => "/jobs/notify",
            Filter::NotifyNext => "/jobs/notify-next",
            Filter::Get => "/jobs/get/+",
            Filter::StartNext => "/jobs/start-next/+",
            Filter::Describe => "/jobs/+/get/+",
            Filter::Update => "/jobs/+/update/+",
            Filter::Data => "/streams/+/data/cbor",
            Filter::StreamRejected => "/streams/+/rejected/cbor",
        };
        join(out, &[PREFIX, thing, below])
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_device_needs_eight_filters_and_no_more() {
        let filters: Vec<String> = Filter::ALL
            .iter()
            .map(|filter| {
                let mut out = String::new();
                filter.write("lamp", &mut out).unwrap();
                out.strip_prefix("$aws/things/lamp/").unwrap().to_string()
            })
            .collect();
        assert_eq!(
            filters,
            [
                "jobs/notify",
                "jobs/notify-next",
                "jobs/get/+",
                "jobs/start-next/+",
                "jobs/+/get/+",
                "jobs/+/update/+",
                "streams/+/data/cbor",
                "streams/+/rejected/cbor",
            ]
        );
    }
}
