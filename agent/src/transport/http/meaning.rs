//! What a response means for the request of a range, by its status and headers: for every HTTP client, not only that of this
//! folder.

use ota_jobs::Reason;

use super::super::Range;

/// What a response means for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning<'h> {
    /// Another head follows.
    Interim,
    /// The file is elsewhere: at this URL, or at this path of the same server.
    Redirect(&'h str),
    /// The body brings the file from the requested byte on.
    Body {
        /// The offset in the file at which the body ends.
        end_bytes: u32,
        /// Whether the body is in the chunked transfer encoding, which some clients decode by themselves.
        is_chunked: bool,
    },
}

/// What a response with this status means for the request of `range`; `header` returns the value of the first header with a name,
/// which is in lower case.
///
/// Errors: the reason of a response that does not bring the missing bytes.
pub fn meaning<'h>(status: u16, header: impl Fn(&str) -> Option<&'h str>, range: Range) -> Result<Meaning<'h>, Reason> {
    let end_bytes = match status {
        101 => return Err(Reason::HttpProtocol),
        100..=199 => return Ok(Meaning::Interim),
        200 if range.from_bytes == 0 => whole_file(header("content-length"), range)?,
        200 => return Err(Reason::HttpRangeIgnored),
        206 => part(header("content-range"), range)?,
        301 | 302 | 303 | 307 | 308 => {
            return header("location").map(Meaning::Redirect).ok_or(Reason::HttpRedirectRefused);
        }
        401 | 403 => return Err(Reason::HttpForbidden),
        404 | 410 => return Err(Reason::HttpNotFound),
        416 => return Err(Reason::HttpRangeNotSatisfiable),
        408 | 429 | 500..=599 => return Err(Reason::HttpServerBusy),
        _ => return Err(Reason::HttpStatus),
    };
    let encoding = |name| header(name).filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
    let is_chunked = match encoding("transfer-encoding") {
        None => false,
        Some(encoding) if encoding.eq_ignore_ascii_case("chunked") => true,
        Some(_) => return Err(Reason::HttpEncoding),
    };
    if encoding("content-encoding").is_some() {
        return Err(Reason::HttpEncoding);
    }
    let length = header("content-length").filter(|_| !is_chunked).map(str::parse::<u32>);
    match length {
        Some(Ok(length)) if length < end_bytes - range.from_bytes => Err(Reason::HttpBodyTooShort),
        Some(Err(_)) => Err(Reason::HttpProtocol),
        Some(Ok(_)) | None => Ok(Meaning::Body { end_bytes, is_chunked }),
    }
}

/// The end of a body that is the whole file.
fn whole_file(content_length: Option<&str>, range: Range) -> Result<u32, Reason> {
    // Without a length the end of the connection is the end of the file.
    if let Some(length) = content_length.and_then(|length| length.parse().ok()) {
        check_total(length, range)?;
    }
    Ok(range.image_bytes)
}

/// The end of a part, `bytes FIRST-LAST/TOTAL` or `bytes FIRST-LAST/*`: the file on the server must have the job's
/// length. A part may be shorter than requested if it brings a block.
fn part(content_range: Option<&str>, range: Range) -> Result<u32, Reason> {
    let (first, last, total) = content_range.and_then(parse).ok_or(Reason::HttpProtocol)?;
    if first != range.from_bytes {
        return Err(Reason::HttpProtocol);
    }
    if let Some(total) = total {
        check_total(total, range)?;
    }
    match last.checked_add(1) {
        None => Err(Reason::ImageLengthMismatch),
        Some(end) if end > range.image_bytes => Err(Reason::ImageLengthMismatch),
        Some(end) if end < range.image_bytes && end < first.saturating_add(range.block_bytes) => {
            Err(Reason::HttpBodyTooShort)
        }
        Some(end) => Ok(end),
    }
}

fn check_total(total: u32, range: Range) -> Result<(), Reason> {
    match total {
        total if total < range.image_bytes => Err(Reason::ImageTooShort),
        total if total > range.image_bytes => Err(Reason::ImageLengthMismatch),
        _ => Ok(()),
    }
}

/// First byte, last byte, and the file's length unless it is `*`.
fn parse(content_range: &str) -> Option<(u32, u32, Option<u32>)> {
    let (unit, rest) = content_range.split_once(' ')?;
    let (span, total) = rest.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (unit.eq_ignore_ascii_case("bytes") && first <= last).then_some((first, last, total))
}
