//! An HTTP/1.1 client: one GET with a Range header, from the frontier to the end of the file, its body read in blocks. Follows
//! redirects to allowed hosts. Every response without the missing bytes has a reason. No other method, no compression.

mod chunked;
mod head;
mod meaning;
mod url;

use embedded_io_async::{Read, Write};
use ota_jobs::Reason;

use super::decimal::decimal;
use super::{Activity, Connector, Filled, HttpBody, HttpSource, Opened, Range};
use chunked::Chunked;
use head::Head;

pub use meaning::{Meaning, meaning};
pub use url::{AllowedHosts, Url};

/// How many redirects of one URL are followed.
const REDIRECTS_MAX: u32 = 3;
/// The end of a request: no compression, which would change the bytes, and one response for each connection.
const REQUEST_END: &str = concat!(
    "-\r\nAccept-Encoding: identity\r\nUser-Agent: ota-agent/",
    env!("CARGO_PKG_VERSION"),
    "\r\nConnection: close\r\n\r\n"
);

/// The HTTP client: one GET with a Range header at a time.
pub struct HttpClient<'b, C: Connector + 'b> {
    connector: C,
    activity: &'b Activity,
    hosts: AllowedHosts<'b>,
    /// Holds the URL and behind it the head of the response, then blocks.
    buffer: &'b mut [u8],
    url_len: usize,
    /// Redirects since the URL was set.
    redirects: u32,
}

/// A response body.
pub struct Body<'h, S> {
    stream: S,
    activity: &'h Activity,
    /// Holds body from its start.
    buffer: &'h mut [u8],
    /// `None` if the bytes are the body as they are.
    chunked: Option<Chunked>,
    /// Bytes of the buffer that do.
    filled: usize,
    /// The offset in the file of the buffer's first byte.
    offset_bytes: u32,
    /// The offset in the file at which the body ends.
    end_bytes: u32,
    range: Range,
}

/// What [`read_head`] found behind the URL.
enum Response {
    /// The bytes of the redirect's URL.
    Redirect(core::ops::Range<usize>),
    /// A body, whose first bytes are in the buffer from `start` to `filled`.
    Body { start: usize, filled: usize, end_bytes: u32, is_chunked: bool },
}

impl<'b, C: Connector + 'b> HttpClient<'b, C> {
    /// A client for `hosts`. `buffer` must hold a block, and the URL together with the head of the response. `activity` is for
    /// this client alone, which passes it to the connector.
    pub fn new(connector: C, hosts: AllowedHosts<'b>, buffer: &'b mut [u8], activity: &'b Activity) -> Self {
        Self { connector, activity, hosts, buffer, url_len: 0, redirects: 0 }
    }

    /// Replaces the URL in `buffer` by the one at `location` behind it, and returns its length.
    fn redirect(buffer: &mut [u8], url_len: usize, location: core::ops::Range<usize>) -> Result<usize, Reason> {
        let (start, len) = (url_len + location.start, location.len());
        let text = |range| core::str::from_utf8(&buffer[range]).map_err(|_| Reason::HttpRedirectRefused);
        let kept = Url::base_bytes(text(0..url_len)?, text(start..start + len)?)?;
        buffer.copy_within(start..start + len, kept);
        Ok(kept + len)
    }
}

impl<'b, C: Connector + 'b> HttpSource for HttpClient<'b, C> {
    type Body<'h>
        = Body<'h, C::Stream<'h>>
    where
        Self: 'h;

    fn set_url(&mut self, url: &[u8]) -> Result<(), Reason> {
        self.buffer.get_mut(..url.len()).ok_or(Reason::DocumentFieldTooLong)?.copy_from_slice(url);
        (self.url_len, self.redirects) = (url.len(), 0);
        Ok(())
    }

    async fn open<'h>(&'h mut self, range: Range) -> Result<Opened<Self::Body<'h>>, Reason> {
        let (url, rest) = self.buffer.split_at_mut(self.url_len);
        let url = core::str::from_utf8(url).map_err(|_| Reason::UrlNotAllowed)?;
        let url = Url::parse(url)?;
        if !self.hosts.allow(&url) {
            return Err(Reason::UrlNotAllowed);
        }
        let connected = self.connector.connect(url.host, url.port, url.tls, self.activity).await;
        let mut stream = connected.map_err(|_| Reason::HttpUnreachable)?;
        send_request(&mut stream, &url, range.from_bytes).await.map_err(|_| Reason::HttpUnreachable)?;
        match read_head(&mut stream, rest, range).await? {
            Response::Redirect(_) if self.redirects == REDIRECTS_MAX => Err(Reason::HttpRedirectRefused),
            Response::Redirect(location) => {
                self.redirects += 1;
                self.url_len = Self::redirect(self.buffer, self.url_len, location)?;
                Ok(Opened::Redirected)
            }
            Response::Body { start, filled, end_bytes, is_chunked } => {
                let mut chunked = is_chunked.then_some(Chunked::START);
                let (activity, buffer) = (self.activity, &mut *self.buffer);
                buffer.copy_within(self.url_len + start..self.url_len + filled, 0);
                let filled = decode(&mut chunked, &mut buffer[..filled - start])?;
                let offset_bytes = range.from_bytes;
                Ok(Opened::Body(Body { stream, activity, buffer, chunked, filled, offset_bytes, end_bytes, range }))
            }
        }
    }
}

impl<S: Read> HttpBody for Body<'_, S> {
    async fn fill(&mut self) -> Result<Filled, Reason> {
        if self.end_bytes - self.offset_bytes < self.block_len() as u32 {
            return Ok(Filled::End);
        }
        if self.filled < self.block_len() {
            let room = &mut self.buffer[self.filled..];
            match self.stream.read(room).await {
                Ok(0) => return Err(Reason::HttpBodyTooShort),
                Ok(count) => self.filled += decode(&mut self.chunked, &mut room[..count])?,
                Err(_) => return Err(Reason::HttpUnreachable),
            }
        }
        Ok(if self.filled < self.block_len() { Filled::Part } else { Filled::Block })
    }

    fn has_received(&self) -> bool {
        self.activity.take()
    }

    fn block(&self) -> (u32, &[u8]) {
        (self.offset_bytes / self.range.block_bytes, &self.buffer[..self.block_len()])
    }

    fn advance(&mut self) -> bool {
        let len = self.block_len();
        self.buffer.copy_within(len..self.filled, 0);
        self.filled -= len;
        self.offset_bytes += len as u32;
        self.offset_bytes < self.end_bytes
    }
}

impl<S> Body<'_, S> {
    fn block_len(&self) -> usize {
        self.range.block_bytes.min(self.range.image_bytes - self.offset_bytes) as usize
    }
}

/// Decodes received bytes in place and returns how many are body.
fn decode(chunked: &mut Option<Chunked>, bytes: &mut [u8]) -> Result<usize, Reason> {
    match chunked {
        Some(chunked) => chunked.decode(bytes),
        None => Ok(bytes.len()),
    }
}

async fn send_request<S: Write>(stream: &mut S, url: &Url<'_>, from: u32) -> Result<(), S::Error> {
    let (mut port_digits, mut from_digits) = ([0; 10], [0; 10]);
    let (open, close) = if url.host.contains(':') { ("[", "]") } else { ("", "") };
    let (colon, port) = match url.port {
        port if port == Url::default_port(url.tls) => ("", ""),
        port => (":", decimal(port.into(), &mut port_digits)),
    };
    let parts = [
        if url.target.starts_with('?') { "GET /" } else { "GET " },
        url.target,
        " HTTP/1.1\r\nHost: ",
        open,
        url.host,
        close,
        colon,
        port,
        "\r\nRange: bytes=",
        decimal(from, &mut from_digits),
        REQUEST_END,
    ];
    for part in parts {
        stream.write_all(part.as_bytes()).await?;
    }
    stream.flush().await
}

/// Reads heads into `buffer` until one is final.
async fn read_head<S: Read>(stream: &mut S, buffer: &mut [u8], range: Range) -> Result<Response, Reason> {
    let (mut start, mut filled) = (0, 0);
    loop {
        let room = buffer.get_mut(filled..).filter(|room| !room.is_empty()).ok_or(Reason::HttpProtocol)?;
        match stream.read(room).await {
            Ok(0) | Err(_) => return Err(Reason::HttpUnreachable),
            Ok(count) => filled += count,
        }
        while let Some((head, len)) = Head::parse(&buffer[start..filled])? {
            match head.meaning(range)? {
                Meaning::Interim => start += len,
                Meaning::Redirect(location) => {
                    // The location is a part of the buffer.
                    let at = location.as_ptr() as usize - buffer.as_ptr() as usize;
                    return Ok(Response::Redirect(at..at + location.len()));
                }
                Meaning::Body { end_bytes, is_chunked } => {
                    return Ok(Response::Body { start: start + len, filled, end_bytes, is_chunked });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
