//! Topic filters that a device subscribes to.

use crate::error::EmitError;
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

    /// Writes the filter for `thing` and returns it: at most [`FILTER_BYTES_MAX`](crate::limits::FILTER_BYTES_MAX) bytes.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit<'o>(self, thing: &str, out: &'o mut [u8]) -> Result<&'o str, EmitError> {
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
    use crate::limits::{FILTER_BYTES_MAX, THING_NAME_BYTES_MAX};

    #[test]
    fn a_device_needs_eight_filters_and_no_more() {
        let filters: Vec<String> = Filter::ALL
            .iter()
            .map(|filter| {
                let mut out = [0; FILTER_BYTES_MAX];
                let filter = filter.emit("lamp", &mut out).unwrap();
                filter.strip_prefix("$aws/things/lamp/").unwrap().to_string()
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

    #[test]
    fn the_longest_filter_of_the_longest_name_fits_exactly() {
        let thing = "t".repeat(THING_NAME_BYTES_MAX);
        let longest = Filter::ALL.map(|filter| filter.emit(&thing, &mut [0; FILTER_BYTES_MAX]).unwrap().len());
        assert_eq!(longest.into_iter().max(), Some(FILTER_BYTES_MAX));
        assert!(Filter::StreamRejected.emit(&thing, &mut [0; FILTER_BYTES_MAX - 1]).is_err());
    }
}
