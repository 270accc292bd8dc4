//! The `Range` header of RFC 9110, section 14. A single byte range is supported; other forms are ignored.

/// The requested part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeRequest {
    /// The whole file: status 200.
    Whole,
    /// This part: status 206.
    Part {
        /// First byte.
        first: u64,
        /// Last byte, at least `first`, inside the file.
        last: u64,
    },
    /// No byte of the file: status 416.
    Unsatisfiable,
}

/// Parses the header's value for a file of `size_bytes`.
pub fn parse(value: Option<&str>, size_bytes: u64) -> RangeRequest {
    let Some(spec) = value.and_then(|value| value.trim().strip_prefix("bytes=")) else { return RangeRequest::Whole };
    let Some((first, last)) = spec.split_once('-') else { return RangeRequest::Whole };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => part(first, last, size_bytes),
        (Some(first), None) if last.trim().is_empty() => part(first, u64::MAX, size_bytes),
        (None, Some(count)) if first.trim().is_empty() => suffix(count, size_bytes),
        _ => RangeRequest::Whole,
    }
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    // `parse` alone would accept a sign.
    text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn part(first: u64, last: u64, size_bytes: u64) -> RangeRequest {
    if first >= size_bytes {
        return RangeRequest::Unsatisfiable;
    }
    RangeRequest::Part { first, last: last.min(size_bytes - 1) }
}

fn suffix(count: u64, size_bytes: u64) -> RangeRequest {
    match count.min(size_bytes) {
        0 => RangeRequest::Unsatisfiable,
        count => RangeRequest::Part { first: size_bytes - count, last: size_bytes - 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parsed_as_in_the_rfc() {
        let part = |first, last| RangeRequest::Part { first, last };
        for (value, expected) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=0-499", part(0, 499)),
            ("bytes=500-999", part(500, 999)),
            ("bytes=500-5000", part(500, 999)),
            ("bytes=999-", part(999, 999)),
            ("bytes=-1", part(999, 999)),
            ("bytes=-5000", part(0, 999)),
            ("bytes=1000-", RangeRequest::Unsatisfiable),
            ("bytes=1000-2000", RangeRequest::Unsatisfiable),
            ("bytes=-0", RangeRequest::Unsatisfiable),
            ("bytes=9-3", RangeRequest::Whole),
            ("bytes=0-1,5-6", RangeRequest::Whole),
            ("bytes=-", RangeRequest::Whole),
            ("bytes=+1-2", RangeRequest::Whole),
            ("bytes=1-x", RangeRequest::Whole),
            ("bytes=99999999999999999999-", RangeRequest::Whole),
            ("lines=0-1", RangeRequest::Whole),
            ("", RangeRequest::Whole),
        ] {
            assert_eq!(parse(Some(value), 1000), expected, "{value}");
        }
        assert_eq!(parse(None, 1000), RangeRequest::Whole);
        assert_eq!(parse(Some("bytes=0-"), 0), RangeRequest::Unsatisfiable);
    }
}
