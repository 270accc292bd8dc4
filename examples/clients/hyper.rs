//! `hyper` behind the agent's trait: one connection for each request, made by the same connector as that of MQTT. Which servers may
//! be connected to, and what a response means, is decided by the rules of `ota_agent::transport::http`.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{self, Connection};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ota_agent::transport::http::{AllowedHosts, Meaning, Url, meaning};
use ota_agent::transport::{Activity, Filled, HttpBody, HttpSource, Opened, Range};
use ota_examples::connect::{Network, Stream};
use ota_jobs::Reason;

const REDIRECTS_MAX: u32 = 3;

type Driver<'b> = Connection<TokioIo<Box<dyn Stream + 'b>>, String>;

/// The client: one request at a time.
pub struct Hyper<'b> {
    network: Network,
    activity: &'b Activity,
    hosts: AllowedHosts<'b>,
    url: String,
    /// Redirects since the URL was set.
    redirects: u32,
}

/// A response body, and the connection, which makes progress only while it is polled.
pub struct Body<'b> {
    driver: Driver<'b>,
    activity: &'b Activity,
    incoming: Incoming,
    filled: Vec<u8>,
    /// The offset in the file of the first byte in `filled`.
    offset_bytes: u32,
    /// The offset in the file at which the body ends.
    end_bytes: u32,
    range: Range,
}

impl<'b> Hyper<'b> {
    /// A client for `hosts`. `activity` is for this client alone.
    pub fn new(network: Network, hosts: AllowedHosts<'b>, activity: &'b Activity) -> Self {
        Self { network, activity, hosts, url: String::new(), redirects: 0 }
    }
}

impl<'b> HttpSource for Hyper<'b> {
    type Body<'h>
        = Body<'b>
    where
        Self: 'h;

    fn set_url(&mut self, url: &[u8]) -> Result<(), Reason> {
        self.url = String::from_utf8(url.to_vec()).map_err(|_| Reason::UrlNotAllowed)?;
        self.redirects = 0;
        Ok(())
    }

    async fn open(&mut self, range: Range) -> Result<Opened<Body<'b>>, Reason> {
        let url = Url::parse(&self.url)?;
        if !self.hosts.allow(&url) {
            return Err(Reason::UrlNotAllowed);
        }
        let stream = self.network.open(url.host, url.port, url.tls, self.activity).await;
        let stream = TokioIo::new(stream.map_err(|_| Reason::HttpUnreachable)?);
        let (mut sender, mut driver) = http1::handshake(stream).await.map_err(|error| reason(&error))?;
        let sending = sender.send_request(head(&url, range.from_bytes)?);
        let response = driven(&mut driver, sending).await.map_err(|error| reason(&error))?;
        let header = |name: &str| text(response.headers(), name);
        match meaning(response.status().as_u16(), header, range)? {
            Meaning::Interim => Err(Reason::HttpProtocol), // hyper skips them
            Meaning::Redirect(_) if self.redirects == REDIRECTS_MAX => Err(Reason::HttpRedirectRefused),
            Meaning::Redirect(location) => {
                let base_bytes = Url::base_bytes(&self.url, location)?;
                self.url = format!("{}{location}", &self.url[..base_bytes]);
                self.redirects += 1;
                Ok(Opened::Redirected)
            }
            Meaning::Body { end_bytes, .. } => {
                Ok(Opened::Body(Body::new(driver, self.activity, response, end_bytes, range)))
            }
        }
    }
}

impl HttpBody for Body<'_> {
    async fn fill(&mut self) -> Result<Filled, Reason> {
        if self.end_bytes - self.offset_bytes < self.block_len() as u32 {
            return Ok(Filled::End);
        }
        if self.filled.len() < self.block_len() {
            let bytes = self.frame().await?;
            self.filled.extend_from_slice(&bytes);
        }
        Ok(if self.filled.len() < self.block_len() { Filled::Part } else { Filled::Block })
    }

    fn has_received(&self) -> bool {
        self.activity.take()
    }

    fn block(&self) -> (u32, &[u8]) {
        (self.offset_bytes / self.range.block_bytes, &self.filled[..self.block_len()])
    }

    fn advance(&mut self) -> bool {
        let len = self.block_len();
        self.filled.drain(..len);
        self.offset_bytes += len as u32;
        self.offset_bytes < self.end_bytes
    }
}

impl<'b> Body<'b> {
    fn new(
        driver: Driver<'b>,
        activity: &'b Activity,
        response: Response<Incoming>,
        end_bytes: u32,
        range: Range,
    ) -> Self {
        let incoming = response.into_body();
        Self { driver, activity, incoming, filled: Vec::new(), offset_bytes: range.from_bytes, end_bytes, range }
    }

    fn block_len(&self) -> usize {
        self.range.block_bytes.min(self.range.image_bytes - self.offset_bytes) as usize
    }

    /// Waits for bytes of the body. Cancel-safe: nothing is kept in the future.
    async fn frame(&mut self) -> Result<Bytes, Reason> {
        let Self { driver, incoming, .. } = self;
        let frame = poll_fn(|context| {
            drive(driver, context);
            Pin::new(&mut *incoming).poll_frame(context)
        });
        match frame.await {
            Some(Ok(frame)) => Ok(frame.into_data().unwrap_or_default()), // trailers are ignored
            Some(Err(error)) => Err(body_reason(&error)),
            None => Err(Reason::HttpBodyTooShort),
        }
    }
}

/// Waits for `future`, which the connection must make progress for.
async fn driven<F: Future>(driver: &mut Driver<'_>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        drive(driver, context);
        future.as_mut().poll(context)
    })
    .await
}

/// Lets the connection read and write. Its end and its errors are those of the response or the body.
fn drive(driver: &mut Driver<'_>, context: &mut Context<'_>) {
    let _: Poll<hyper::Result<()>> = driver.poll_without_shutdown(context);
}

fn head(url: &Url<'_>, from_bytes: u32) -> Result<Request<String>, Reason> {
    let target = if url.target.starts_with('?') { format!("/{}", url.target) } else { url.target.to_owned() };
    let request = Request::get(target)
        .header("Host", authority(url))
        .header("Range", format!("bytes={from_bytes}-"))
        .header("Accept-Encoding", "identity") // compression would change the bytes
        .header("Connection", "close");
    request.body(String::new()).map_err(|_| Reason::UrlNotAllowed)
}

fn authority(url: &Url<'_>) -> String {
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.to_owned() };
    // Signatures of URLs are over this header, without the port of the scheme.
    if url.port == Url::default_port(url.tls) { host } else { format!("{host}:{}", url.port) }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The reason of a request without a response.
fn reason(error: &hyper::Error) -> Reason {
    if error.is_parse() { Reason::HttpProtocol } else { Reason::HttpUnreachable }
}

/// The reason of a body that ends with an error.
fn body_reason(error: &hyper::Error) -> Reason {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match source.map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => Reason::HttpBodyTooShort,
        _ if error.is_incomplete_message() => Reason::HttpBodyTooShort,
        _ => reason(error),
    }
}
