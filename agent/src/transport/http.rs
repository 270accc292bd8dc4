//! An HTTP/1.1 client: one GET with a Range header, from the frontier to the end of the file, its body read in blocks. Every
//! other response has a reason of its own. No redirects, no chunked bodies, no other method.

use embedded_io_async::{Read, Write};
use ota_jobs::Reason;

use super::decimal::decimal;
use super::{Connector, HttpSource, Range};

/// A response with more headers than these is refused.
const HEADERS_MAX: usize = 32;
/// The longest host name. Source: RFC 1035, 2.3.4.
const HOST_BYTES_MAX: usize = 253;

/// The parts of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url<'u> {
    /// Whether the scheme is `https`.
    pub tls: bool,
    /// The host name.
    pub host: &'u str,
    /// The port; 443 or 80 by default.
    pub port: u16,
    /// Path and query.
    pub target: &'u str,
}

impl<'u> Url<'u> {
    /// Parses an absolute http or https URL.
    ///
    /// Errors: [`Reason::UrlNotAllowed`].
    pub fn parse(url: &'u str) -> Result<Self, Reason> {
        let (tls, rest) = match url.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, url.strip_prefix("http://").ok_or(Reason::UrlNotAllowed)?),
        };
        let (authority, target) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| Reason::UrlNotAllowed)?),
            None => (authority, if tls { 443 } else { 80 }),
        };
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = !host.is_empty() && host.len() <= HOST_BYTES_MAX && !host.contains('@');
        if fits && plain(host) && plain(target) {
            Ok(Self { tls, host, port, target })
        } else {
            Err(Reason::UrlNotAllowed)
        }
    }
}

/// The servers that a job document may name.
#[derive(Clone, Copy, Debug)]
pub struct AllowedHosts<'a> {
    /// Host names; one that starts with a dot matches its subdomains.
    pub names: &'a [&'a str],
    /// Whether http without TLS is allowed: only for a server on the same machine.
    pub plain: bool,
}

impl AllowedHosts<'_> {
    fn allow(&self, url: &Url<'_>) -> bool {
        let named = |name: &&str| match name.strip_prefix('.') {
            Some(parent) => url.host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
            None => url.host == *name,
        };
        (url.tls || self.plain) && self.names.iter().any(named)
    }
}

/// The HTTP client: one GET with a Range header at a time.
pub struct HttpClient<'b, C: Connector> {
    connector: C,
    hosts: AllowedHosts<'b>,
    /// Holds the URL, then the head of the response, then blocks.
    buffer: &'b mut [u8],
    url_len: usize,
    body: Option<Body<C::Stream>>,
}

/// A response body.
struct Body<S> {
    stream: S,
    /// Bytes of the buffer that hold body.
    filled: usize,
    /// The offset in the file of the buffer's first byte.
    offset_bytes: u32,
    range: Range,
}

impl<'b, C: Connector> HttpClient<'b, C> {
    /// A client for `hosts`. `buffer` must hold the longest of URL, response head and block.
    pub fn new(connector: C, hosts: AllowedHosts<'b>, buffer: &'b mut [u8]) -> Self {
        Self { connector, hosts, buffer, url_len: 0, body: None }
    }
}

impl<C: Connector> HttpSource for HttpClient<'_, C> {
    fn set_url(&mut self, url: &[u8]) -> Result<(), Reason> {
        self.buffer.get_mut(..url.len()).ok_or(Reason::DocumentFieldTooLong)?.copy_from_slice(url);
        self.url_len = url.len();
        Ok(())
    }

    async fn open(&mut self, range: Range) -> Result<(), Reason> {
        let url = core::str::from_utf8(&self.buffer[..self.url_len]).map_err(|_| Reason::UrlNotAllowed)?;
        let url = Url::parse(url)?;
        if !self.hosts.allow(&url) {
            return Err(Reason::UrlNotAllowed);
        }
        let connected = self.connector.connect(url.host, url.port, url.tls).await;
        let mut stream = connected.map_err(|_| Reason::HttpUnreachable)?;
        send_request(&mut stream, &url, range.from_bytes).await.map_err(|_| Reason::HttpUnreachable)?;
        let filled = read_head(&mut stream, self.buffer, range).await?;
        self.body = Some(Body { stream, filled, offset_bytes: range.from_bytes, range });
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), Reason> {
        let body = self.body.as_mut().ok_or(Reason::HttpUnreachable)?;
        while body.filled < body.block_len() {
            match body.stream.read(&mut self.buffer[body.filled..]).await {
                Ok(0) => return Err(Reason::HttpBodyTooShort),
                Ok(count) => body.filled += count,
                Err(_) => return Err(Reason::HttpUnreachable),
            }
        }
        Ok(())
    }

    fn block(&self) -> (u32, &[u8]) {
        let Some(body) = &self.body else { return (0, &[]) };
        (body.offset_bytes / body.range.block_bytes, &self.buffer[..body.block_len()])
    }

    fn advance(&mut self) -> bool {
        let Some(body) = &mut self.body else { return false };
        let len = body.block_len();
        self.buffer.copy_within(len..body.filled, 0);
        body.filled -= len;
        body.offset_bytes += len as u32;
        body.offset_bytes < body.range.image_bytes
    }

    fn close(&mut self) {
        self.body = None;
    }
}

impl<S> Body<S> {
    fn block_len(&self) -> usize {
        self.range.block_bytes.min(self.range.image_bytes - self.offset_bytes) as usize
    }
}

async fn send_request<S: Write>(stream: &mut S, url: &Url<'_>, from: u32) -> Result<(), S::Error> {
    let mut digits = [0; 10];
    for part in ["GET ", url.target, " HTTP/1.1\r\nHost: ", url.host] {
        stream.write_all(part.as_bytes()).await?;
    }
    if url.port != if url.tls { 443 } else { 80 } {
        stream.write_all(b":").await?;
        stream.write_all(decimal(url.port.into(), &mut digits).as_bytes()).await?;
    }
    stream.write_all(b"\r\nRange: bytes=").await?;
    stream.write_all(decimal(from, &mut digits).as_bytes()).await?;
    stream.write_all(b"-\r\nConnection: close\r\n\r\n").await?;
    stream.flush().await
}

/// Reads and checks the head, and moves the first bytes of the body to the start of the buffer.
async fn read_head<S: Read>(stream: &mut S, buffer: &mut [u8], range: Range) -> Result<usize, Reason> {
    let mut filled = 0;
    loop {
        let room = buffer.get_mut(filled..).filter(|room| !room.is_empty()).ok_or(Reason::HttpProtocol)?;
        match stream.read(room).await {
            Ok(0) => return Err(Reason::HttpProtocol),
            Ok(count) => filled += count,
            Err(_) => return Err(Reason::HttpUnreachable),
        }
        if let Some(head) = check_head(&buffer[..filled], range)? {
            buffer.copy_within(head..filled, 0);
            return Ok(filled - head);
        }
    }
}

/// The length of the head, once it is complete and announces exactly the missing bytes.
fn check_head(bytes: &[u8], range: Range) -> Result<Option<usize>, Reason> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(|_| Reason::HttpProtocol)? else {
        return Ok(None);
    };
    match response.code {
        Some(206) => {}
        Some(200) => return Err(Reason::HttpRangeIgnored),
        Some(403) => return Err(Reason::HttpForbidden),
        Some(404) => return Err(Reason::HttpNotFound),
        Some(416) => return Err(Reason::HttpRangeNotSatisfiable),
        Some(_) | None => return Err(Reason::HttpStatus),
    }
    let header = |name: &str| {
        let mut named = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        named.next().and_then(|header| core::str::from_utf8(header.value).ok())
    };
    if header("transfer-encoding").is_some() {
        return Err(Reason::HttpProtocol);
    }
    check_range(header("content-range").ok_or(Reason::HttpProtocol)?, range)?;
    let length: u32 = header("content-length").and_then(|text| text.parse().ok()).ok_or(Reason::HttpProtocol)?;
    if length < range.image_bytes - range.from_bytes { Err(Reason::HttpBodyTooShort) } else { Ok(Some(head)) }
}

/// Checks `bytes FROM-TO/TOTAL`: the file on the server must have the job's length.
fn check_range(text: &str, range: Range) -> Result<(), Reason> {
    let rest = text.strip_prefix("bytes ").ok_or(Reason::HttpProtocol)?;
    let (span, total) = rest.split_once('/').ok_or(Reason::HttpProtocol)?;
    let from = span.split_once('-').and_then(|(from, _)| from.parse().ok());
    if from != Some(range.from_bytes) {
        return Err(Reason::HttpProtocol);
    }
    match total.parse::<u32>() {
        Ok(total) if total < range.image_bytes => Err(Reason::ImageTooShort),
        Ok(total) if total > range.image_bytes => Err(Reason::ImageLengthMismatch),
        Ok(_) => Ok(()),
        Err(_) => Err(Reason::HttpProtocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range { from_bytes: 4096, image_bytes: 10_000, block_bytes: 4096 };

    fn head(status: &str, headers: &str) -> Result<Option<usize>, Reason> {
        let mut text = heapless::String::<512>::new();
        for part in ["HTTP/1.1 ", status, "\r\n", headers, "\r\n"] {
            text.push_str(part).expect("the test's head fits");
        }
        check_head(text.as_bytes(), RANGE)
    }

    #[test]
    fn a_url_comes_apart_and_what_is_none_is_refused() {
        let url = Url::parse("https://bucket.s3.amazonaws.com/v2.bin?X-Amz-Expires=60&a=b").expect("a URL");
        assert_eq!((url.tls, url.host, url.port), (true, "bucket.s3.amazonaws.com", 443));
        assert_eq!(url.target, "/v2.bin?X-Amz-Expires=60&a=b");
        assert_eq!(Url::parse("http://localhost:8080").map(|url| (url.port, url.target)), Ok((8080, "/")));
        for bad in [
            "",
            "ftp://a/b",
            "https://",
            "https://a:b/",
            "https://a:70000/",
            "https://u@a/",
            "https://a/\r\nX: y",
            "https://a b/",
        ] {
            assert_eq!(Url::parse(bad), Err(Reason::UrlNotAllowed), "{bad}");
        }
    }

    #[test]
    fn a_job_document_cannot_send_the_device_to_a_server_that_is_not_named() {
        let hosts = AllowedHosts { names: &[".amazonaws.com", "updates.example"], plain: false };
        let allow = |url| hosts.allow(&Url::parse(url).expect("a URL"));
        assert!(allow("https://b.s3.amazonaws.com/x") && allow("https://updates.example/x"));
        for url in ["https://evil.example/x", "https://evilamazonaws.com/x", "http://updates.example/x"] {
            assert!(!allow(url), "{url}");
        }
    }

    #[test]
    fn every_answer_that_is_not_the_missing_bytes_has_its_reason() {
        let good = "Content-Range: bytes 4096-9999/10000\r\nContent-Length: 5904\r\n";
        assert!(matches!(head("206 Partial Content", good), Ok(Some(_))));
        for (status, headers, reason) in [
            ("200 OK", good, Reason::HttpRangeIgnored),
            ("403 Forbidden", "", Reason::HttpForbidden),
            ("404 Not Found", "", Reason::HttpNotFound),
            ("416 Range Not Satisfiable", "", Reason::HttpRangeNotSatisfiable),
            ("302 Found", "Location: https://evil.example/\r\n", Reason::HttpStatus),
            ("206 P", "Content-Length: 5904\r\n", Reason::HttpProtocol),
            ("206 P", "Content-Range: bytes 0-9999/10000\r\nContent-Length: 5904\r\n", Reason::HttpProtocol),
            ("206 P", "Content-Range: bytes 4096-8999/9000\r\nContent-Length: 4904\r\n", Reason::ImageTooShort),
            ("206 P", "Content-Range: bytes 4096-9999/20000\r\nContent-Length: 5904\r\n", Reason::ImageLengthMismatch),
            ("206 P", "Content-Range: bytes 4096-5000/10000\r\nContent-Length: 904\r\n", Reason::HttpBodyTooShort),
            ("206 P", "Content-Range: bytes 4096-9999/10000\r\nTransfer-Encoding: chunked\r\n", Reason::HttpProtocol),
        ] {
            assert_eq!(head(status, headers), Err(reason), "{status} {headers}");
        }
    }
}
