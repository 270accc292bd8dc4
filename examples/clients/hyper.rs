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
use ota_agent::transport::{Activity, Filled, HttpSource, Range};
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
    body: Option<Body<'b>>,
}

/// A response body, and the connection, which makes progress only while it is polled.
struct Body<'b> {
    driver: Driver<'b>,
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
        Self { network, activity, hosts, url: String::new(), body: None }
    }

    /// Sends one request; returns the URL of a redirect.
    async fn request(&mut self, range: Range) -> Result<Option<String>, Reason> {
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
            Meaning::Redirect(location) => {
                let base_bytes = Url::base_bytes(&self.url, location)?;
                Ok(Some(format!("{}{location}", &self.url[..base_bytes])))
            }
            Meaning::Body { end_bytes, .. } => {
                self.body = Some(Body::new(driver, response, end_bytes, range));
                Ok(None)
            }
        }
    }
}

impl HttpSource for Hyper<'_> {
    fn set_url(&mut self, url: &[u8]) -> Result<(), Reason> {
        self.url = String::from_utf8(url.to_vec()).map_err(|_| Reason::UrlNotAllowed)?;
        Ok(())
    }

    async fn open(&mut self, range: Range) -> Result<(), Reason> {
        for _ in 0..=REDIRECTS_MAX {
            match self.request(range).await? {
                Some(url) => self.url = url,
                None => return Ok(()),
            }
        }
        Err(Reason::HttpRedirectRefused)
    }

    async fn fill(&mut self) -> Result<Filled, Reason> {
        let body = self.body.as_mut().ok_or(Reason::HttpUnreachable)?;
        if body.end_bytes - body.offset_bytes < body.block_len() as u32 {
            return Ok(Filled::End);
        }
        if body.filled.len() < body.block_len() {
            let bytes = body.frame().await?;
            body.filled.extend_from_slice(&bytes);
        }
        Ok(if body.filled.len() < body.block_len() { Filled::Part } else { Filled::Block })
    }

    fn has_received(&self) -> bool {
        self.activity.take()
    }

    fn block(&self) -> (u32, &[u8]) {
        let Some(body) = &self.body else { return (0, &[]) };
        (body.offset_bytes / body.range.block_bytes, &body.filled[..body.block_len()])
    }

    fn advance(&mut self) -> bool {
        let Some(body) = &mut self.body else { return false };
        let len = body.block_len();
        body.filled.drain(..len);
        body.offset_bytes += len as u32;
        body.offset_bytes < body.end_bytes
    }

    fn close(&mut self) {
        self.body = None;
    }
}

impl<'b> Body<'b> {
    fn new(driver: Driver<'b>, response: Response<Incoming>, end_bytes: u32, range: Range) -> Self {
        let incoming = response.into_body();
        Self { driver, incoming, filled: Vec::new(), offset_bytes: range.from_bytes, end_bytes, range }
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
