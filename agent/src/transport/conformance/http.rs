//! The clauses of an HTTP client, against a server whose responses they write.

use std::format;
use std::string::String;
use std::vec::Vec;

use embassy_time::{Duration, Timer, with_timeout};
use ota_jobs::Reason;

use super::violation::{QUIET, Seen, Violation, check_in_order, in_time, same};
use crate::transport::{Filled, HttpBody, HttpSource, Opened, Range};

/// Bytes of a block.
pub const BLOCK_BYTES: u32 = 1024;
const IMAGE_BYTES: u32 = 10_000;
/// How soon a future of `fill` is dropped in the clause about that.
const DROPPED_AFTER: Duration = Duration::from_micros(300);
/// How many such futures are dropped before the clause fails.
const DROPS_MAX: u32 = 20_000;

/// The clauses, in the order in which they are checked.
pub const HTTP_CLAUSES: [&str; 11] = [
    "a file is read in blocks from its start to its end",
    "a file is requested from any block, and read from there",
    "a part shorter than requested ends after its last whole block",
    "`fill` may be dropped at any time: nothing is lost or torn",
    "bytes are noted as they arrive",
    "a response without the missing bytes is refused by its reason",
    "a body that ends too early is refused by its reason",
    "a server that is not allowed is refused, and not connected to",
    "a redirect is followed to an allowed server, and to no other",
    "a server that cannot be reached is refused by its reason",
    "after a body was dropped another can be opened",
];

/// Makes a response of the head of a request.
pub type Respond = fn(&str) -> Vec<u8>;

/// A server of one URL, and the client under test.
pub trait TestServer {
    /// The client under test.
    type Http: HttpSource;

    /// Creates a client that may connect to this server and to no other, without TLS, with a buffer for [`BLOCK_BYTES`] and a
    /// head of 512 bytes.
    fn client(&mut self) -> Self::Http;

    /// From now on, each request is responded to with the bytes that `respond` makes of its head, in pieces; then the connection
    /// is closed.
    fn serve(&mut self, respond: Respond);

    /// The server's address with scheme and port, without a path.
    fn origin(&self) -> String;

    /// Connections that clients have made.
    fn connections(&self) -> usize;

    /// The URL of another server, which counts as this one in [`TestServer::connections`], but is not allowed.
    fn other_url(&self) -> String;
}

/// Checks every clause and returns the violations in the order of the clauses.
///
/// # Cancel safety
/// The server is left as it is.
pub async fn check_http<S: TestServer>(bench: &mut S) -> Vec<Violation> {
    check_http_clauses(bench, &HTTP_CLAUSES).await
}

/// As [`check_http`], but checks only these clauses.
///
/// # Cancel safety
/// The server is left as it is.
pub async fn check_http_clauses<S: TestServer>(bench: &mut S, only: &[&str]) -> Vec<Violation> {
    check_in_order!(
        HTTP_CLAUSES,
        only,
        bench,
        from_the_start,
        from_the_middle,
        short_part,
        dropped_fill,
        activity_is_noted,
        refused_responses,
        body_too_short,
        refused_server,
        redirects,
        unreachable,
        dropped_body,
    )
}

async fn from_the_start<S: TestServer>(bench: &mut S) -> Result<(), Seen> {
    bench.serve(file);
    let mut http = bench.client();
    are_blocks(&blocks(&mut http, bench, 0).await?, 0..10)
}

async fn from_the_middle<S: TestServer>(bench: &mut S) -> Result<(), Seen> {
    bench.serve(file);
    let mut http = bench.client();
    for first in [3, 9] {
        are_blocks(&blocks(&mut http, bench, first * BLOCK_BYTES).await?, first..10)?;
    }
    Ok(())
}

async fn short_part<S: TestServer>(bench: &mut S) -> Result<(), Seen> {
    bench.serve(|_| part(1024, 4_000, 10_000, 4_000 - 1024));
    let mut http = bench.client();
    are_blocks(&blocks(&mut http, bench, 1024).await?, 1..3)
}

async fn dropped_fill<S: TestServer>(bench: &mut S) -> Result<(), Seen> {
    bench.serve(file);
    let mut http = bench.client();
    let read = async |mut body: Body<'_, S>| {
        let (mut index, mut drops) = (0, 0);
        loop {
            match with_timeout(DROPPED_AFTER, body.fill()).await {
                Ok(Ok(Filled::Block)) => {
                    are_blocks(&[taken(&body)], index..index + 1)?;
                    index += 1;
                    if !body.advance() {
                        break;
                    }
                }
                Ok(Ok(Filled::Part)) => {}
                Ok(ended) => return Err(Seen(format!("{ended:?}"))),
                Err(_) if drops == DROPS_MAX => return Err(Seen(format!("{index} blocks"))),
                Err(_) => drops += 1,
            }
        }
        same("blocks", index, 10)?;
        same("whether futures were dropped in between", drops > 0, true)
    };
    open(&mut http, bench, 0, read).await?.map_err(refused)
}

async fn activity_is_noted<S: TestServer>(bench: &mut S) -> Result<(), Seen> {
    bench.serve(file);
    let mut http = bench.client();
    let read = async |mut body: Body<'_, S>| {
        same("activity after a head", body.has_received(), true)?;
        same("blocks", blocks_of(&mut body).await?.len(), 10)?;
        same("activity after a body", body.has_received(), true)?;
        Timer::after(QUIET).await;
        body.has_received();
        same("activity without bytes", body.has_received(), false)
    };
    open(&mut http, bench, 0, read).await?.map_err(refused)
}

async fn refused_responses<S: TestServer>(bench: &mut S) -> Result<(), Seen> {
    let mut http = bench.client();
    let cases: [(Reason, Respond); 12] = [
        (Reason::HttpForbidden, |_| response("403 Forbidden", "", 0)),
        (Reason::HttpNotFound, |_| response("404 Not Found", "", 0)),
        (Reason::HttpRangeNotSatisfiable, |_| {
            response("416 Range Not Satisfiable", "Content-Range: bytes */10000\r\n", 0)
        }),
        (Reason::HttpServerBusy, |_| response("503 Service Unavailable", "", 0)),
        (Reason::HttpStatus, |_| response("204 No Content", "", 0)),
        (Reason::HttpRangeIgnored, |_| response("200 OK", "", 10_000)),
        (Reason::HttpProtocol, |_| response("206 Partial Content", "", 8_976)),
        (Reason::HttpProtocol, |_| Vec::from(&b"no HTTP\r\n\r\n"[..])),
        (Reason::HttpBodyTooShort, |_| part(1024, 2_000, 10_000, 976)),
        (Reason::ImageTooShort, |_| part(1024, 9_000, 9_000, 7_976)),
        (Reason::ImageLengthMismatch, |_| part(1024, 20_000, 20_000, 18_976)),
        (Reason::HttpEncoding, |_| {
            let range = "Content-Encoding: gzip\r\nContent-Range: bytes 1024-9999/10000\r\n";
            response("206 Partial Content", range, 8_976)
        }),
    ];
    for (reason, respond) in cases {
        bench.serve(respond);
        same("the reason", refusal(&mut http, bench, 1024).await?, Err(reason))?;
    }
    Ok(())
}

async fn body_too_short<S: TestServer>(bench: &mut S) -> Result<(), Seen> {
    bench.serve(|_| {
        let mut bytes = part(1024, 10_000, 10_000, 8_976);
        bytes.truncate(bytes.len() - 5_000);
        bytes
    });
    let mut http = bench.client();
    let read = async |mut body: Body<'_, S>| {
        let ended = in_time("the body", async {
            loop {
                match body.fill().await {
                    Ok(Filled::Block) => _ = body.advance(),
                    Ok(Filled::Part) => {}
                    ended => return ended,
                }
            }
        });
        same("the end of the body", ended.await?, Err(Reason::HttpBodyTooShort))
    };
    open(&mut http, bench, 1024, read).await?.map_err(refused)
}

async fn refused_server<S: TestServer>(bench: &mut S) -> Result<(), Seen> {
    bench.serve(file);
    let (mut http, connections) = (bench.client(), bench.connections());
    for url in [bench.other_url(), String::from("ftp://a/b")] {
        same(
            "the reason",
            request(&mut http, &url, 0, async |_: Body<'_, S>| Ok(())).await?,
            Err(Reason::UrlNotAllowed),
        )?;
    }
    same("connections", bench.connections(), connections)
}

async fn redirects<S: TestServer>(bench: &mut S) -> Result<(), Seen> {
    bench.serve(|head| match head.starts_with("GET /moved") {
        true => file(head),
        false => response("302 Found", "Location: /moved?a=b\r\n", 0),
    });
    let mut http = bench.client();
    are_blocks(&blocks(&mut http, bench, 0).await?, 0..10)?;
    bench.serve(|head| match head.starts_with("GET /moved?a=b") {
        true => file(head),
        false if head.starts_with("GET /moved") => response("302 Found", "Location: ?a=b\r\n", 0),
        false => response("302 Found", "Location: moved\r\n", 0),
    });
    are_blocks(&blocks(&mut http, bench, 0).await?, 0..10)?;
    bench.serve(|_| response("302 Found", "Location: http://other.example/\r\n", 0));
    same("the reason", refusal(&mut http, bench, 0).await?, Err(Reason::UrlNotAllowed))?;
    bench.serve(|_| response("302 Found", "Location: /again\r\n", 0));
    same("the reason of a circle", refusal(&mut http, bench, 0).await?, Err(Reason::HttpRedirectRefused))
}

async fn unreachable<S: TestServer>(bench: &mut S) -> Result<(), Seen> {
    bench.serve(|_| Vec::new());
    let mut http = bench.client();
    same("the reason", refusal(&mut http, bench, 0).await?, Err(Reason::HttpUnreachable))
}

async fn dropped_body<S: TestServer>(bench: &mut S) -> Result<(), Seen> {
    bench.serve(file);
    let mut http = bench.client();
    refusal(&mut http, bench, 0).await?.map_err(refused)?;
    are_blocks(&blocks(&mut http, bench, 5 * BLOCK_BYTES).await?, 5..10)
}

type Body<'h, S> = <<S as TestServer>::Http as HttpSource>::Body<'h>;

/// Opens the file of the server, and drops its body.
async fn refusal<S: TestServer>(http: &mut S::Http, bench: &S, from_bytes: u32) -> Result<Result<(), Reason>, Seen> {
    open(http, bench, from_bytes, async |_: Body<'_, S>| Ok(())).await
}

/// Opens the file of the server, and returns the result of `read` for its body.
async fn open<S: TestServer>(
    http: &mut S::Http,
    bench: &S,
    from_bytes: u32,
    read: impl AsyncFnOnce(Body<'_, S>) -> Result<(), Seen>,
) -> Result<Result<(), Reason>, Seen> {
    request(http, &format!("{}/file", bench.origin()), from_bytes, read).await
}

async fn request<H: HttpSource>(
    http: &mut H,
    url: &str,
    from_bytes: u32,
    read: impl AsyncFnOnce(H::Body<'_>) -> Result<(), Seen>,
) -> Result<Result<(), Reason>, Seen> {
    if let Err(reason) = http.set_url(url.as_bytes()) {
        return Ok(Err(reason));
    }
    loop {
        let range = Range { from_bytes, image_bytes: IMAGE_BYTES, block_bytes: BLOCK_BYTES };
        match in_time("open", http.open(range)).await? {
            Ok(Opened::Body(body)) => return read(body).await.map(Ok),
            Ok(Opened::Redirected) => {}
            Err(reason) => return Ok(Err(reason)),
        }
    }
}

fn refused(reason: Reason) -> Seen {
    Seen(format!("refused: {reason:?}"))
}

/// Opens the file of the server, and reads its blocks.
async fn blocks<S: TestServer>(http: &mut S::Http, bench: &S, from_bytes: u32) -> Result<Vec<(u32, Vec<u8>)>, Seen> {
    let mut blocks = Vec::new();
    let read = async |mut body: Body<'_, S>| {
        blocks = blocks_of(&mut body).await?;
        Ok(())
    };
    open(http, bench, from_bytes, read).await?.map_err(refused)?;
    Ok(blocks)
}

/// Reads blocks up to the end of the body.
async fn blocks_of<B: HttpBody>(body: &mut B) -> Result<Vec<(u32, Vec<u8>)>, Seen> {
    let mut blocks = Vec::new();
    loop {
        match in_time("the body", body.fill()).await?.map_err(refused)? {
            Filled::Part => {}
            Filled::Block => {
                blocks.push(taken(body));
                if !body.advance() {
                    return Ok(blocks);
                }
            }
            Filled::End => return Ok(blocks),
        }
    }
}

fn taken<B: HttpBody>(body: &B) -> (u32, Vec<u8>) {
    let (index, bytes) = body.block();
    (index, bytes.to_vec())
}

/// Fails the clause unless these are the blocks with these indices.
fn are_blocks(blocks: &[(u32, Vec<u8>)], indices: core::ops::Range<u32>) -> Result<(), Seen> {
    let found: Vec<u32> = blocks.iter().map(|(index, _)| *index).collect();
    same("the list of blocks", found, indices.clone().collect())?;
    same("whether the blocks are whole", blocks == expected(indices), true)
}

fn expected(indices: core::ops::Range<u32>) -> Vec<(u32, Vec<u8>)> {
    let block = |index| {
        let from = index * BLOCK_BYTES;
        (index, bytes(from, IMAGE_BYTES.min(from + BLOCK_BYTES)))
    };
    indices.map(block).collect()
}

/// Bytes of the file.
fn bytes(from: u32, to: u32) -> Vec<u8> {
    (from..to).map(|at| (at % 251) as u8).collect()
}

/// The response to a request of the file, or of its rest.
fn file(head: &str) -> Vec<u8> {
    let lower = head.to_lowercase();
    let from = lower.split_once("\r\nrange: bytes=").and_then(|(_, range)| range.split_once('-'));
    let from = from.and_then(|(from, _)| from.parse().ok()).unwrap_or(IMAGE_BYTES - 1);
    part(from, IMAGE_BYTES, IMAGE_BYTES, IMAGE_BYTES - from)
}

/// A response with the bytes from `from` to `end` of a file of `total` bytes, of which the body has `len`.
fn part(from: u32, end: u32, total: u32, len: u32) -> Vec<u8> {
    let range = format!("Content-Range: bytes {from}-{}/{total}\r\n", end - 1);
    let mut response = response("206 Partial Content", &range, len);
    let body = response.len() - len as usize;
    response[body..].copy_from_slice(&bytes(from, from + len));
    response
}

/// A response with a body of zeros.
fn response(status: &str, headers: &str, len: u32) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {len}\r\nConnection: close\r\n\r\n");
    let mut response = head.into_bytes();
    response.resize(response.len() + len as usize, 0);
    response
}
