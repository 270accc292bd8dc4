//! The client against servers that are a list of responses.

use super::super::Observed;
use super::*;
use core::convert::Infallible;
use embedded_io_async::ErrorType;
use ota_pal::poll_ready;
use std::cell::RefCell;
use std::format;
use std::rc::Rc;
use std::string::String;
use std::vec;
use std::vec::Vec;

const BLOCK_BYTES: u32 = 16;
const IMAGE_BYTES: u32 = 40;
const WHOLE: Range = Range { from_bytes: 0, image_bytes: IMAGE_BYTES, block_bytes: BLOCK_BYTES };
const ALLOWED: AllowedHosts<'static> = AllowedHosts { names: &["a", "b", "::1"], plain: true };

fn image() -> Vec<u8> {
    (0..IMAGE_BYTES as u8).collect()
}

/// A connection that returns `response` in pieces, then ends.
struct Stream {
    response: Vec<u8>,
    piece: usize,
    sent: Rc<RefCell<Vec<String>>>,
}

impl ErrorType for Stream {
    type Error = Infallible;
}

impl Read for Stream {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        let len = self.piece.min(out.len()).min(self.response.len());
        out[..len].copy_from_slice(&self.response[..len]);
        self.response.drain(..len);
        Ok(len)
    }
}

impl Write for Stream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let text = core::str::from_utf8(bytes).expect("a request is text");
        self.sent.borrow_mut().last_mut().expect("a connection").push_str(text);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Returns the responses, one for each connection.
struct Servers {
    responses: Vec<Vec<u8>>,
    piece: usize,
    sent: Rc<RefCell<Vec<String>>>,
}

impl Connector for Servers {
    type Stream<'a> = Observed<'a, Stream>;
    type Error = ();

    async fn connect<'a>(
        &mut self,
        host: &str,
        port: u16,
        tls: bool,
        activity: &'a Activity,
    ) -> Result<Observed<'a, Stream>, ()>
    where
        Self: 'a,
    {
        self.sent.borrow_mut().push(format!("{host} {port} {tls}\n"));
        if self.responses.is_empty() {
            return Err(());
        }
        let response = self.responses.remove(0);
        Ok(activity.observe(Stream { response, piece: self.piece, sent: self.sent.clone() }))
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    poll_ready(future).expect("memory never waits")
}

fn response(head: &str, body: &[u8]) -> Vec<u8> {
    [head.replace('\n', "\r\n").as_bytes(), b"\r\n\r\n", body].concat()
}

/// What one request received, what was sent for it, and how it ended: `None` for a body that ended.
struct Received {
    bytes: Vec<u8>,
    sent: Vec<String>,
    failure: Option<Reason>,
}

fn get(url: &str, range: Range, responses: &[Vec<u8>], piece: usize) -> Received {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let servers = Servers { responses: responses.to_vec(), piece, sent: sent.clone() };
    let (mut buffer, activity) = ([0; 256], Activity::default());
    let mut client = HttpClient::new(servers, ALLOWED, &mut buffer, &activity);
    let (mut bytes, mut failure) = (Vec::new(), None);
    client.set_url(url.as_bytes()).expect("there is room");
    match now(client.open(range)) {
        Err(reason) => failure = Some(reason),
        Ok(()) => loop {
            match now(client.fill()) {
                Ok(Filled::Part) => {}
                Ok(Filled::Block) => {
                    let (index, block) = client.block();
                    assert_eq!(index * BLOCK_BYTES, range.from_bytes + bytes.len() as u32);
                    bytes.extend(block);
                    if !client.advance() {
                        break;
                    }
                }
                Ok(Filled::End) => break,
                Err(reason) => break failure = Some(reason),
            }
        },
    }
    client.close();
    drop(client);
    Received { bytes, sent: Rc::try_unwrap(sent).expect("the client is gone").into_inner(), failure }
}

#[test]
fn a_request_names_host_range_and_the_plain_encoding() {
    let ok = response("HTTP/1.1 206 P\nContent-Range: bytes 16-39/40", &image()[16..]);
    let from = Range { from_bytes: 16, ..WHOLE };
    for (url, connected, line, host) in [
        ("https://a/image?x=1#y", "a 443 true", "GET /image?x=1 HTTP/1.1", "Host: a"),
        ("HTTP://A:8080?x", "A 8080 false", "GET /?x HTTP/1.1", "Host: A:8080"),
        ("https://[::1]:444", "::1 444 true", "GET / HTTP/1.1", "Host: [::1]:444"),
    ] {
        let Received { bytes, sent, failure } = get(url, from, std::slice::from_ref(&ok), 7);
        assert_eq!((failure, &bytes[..]), (None, &image()[16..]), "{url}");
        let agent = concat!("User-Agent: ota-agent/", env!("CARGO_PKG_VERSION"));
        let headers = [host, "Range: bytes=16-", "Accept-Encoding: identity", agent, "Connection: close"];
        assert_eq!(sent, [format!("{connected}\n{line}\r\n{}\r\n\r\n", headers.join("\r\n"))]);
    }
}

#[test]
fn every_framing_in_pieces_of_any_length_brings_the_same_bytes() {
    let chunks = [b"8\r\n", &image()[..8], b"\r\n20;x=y\r\n", &image()[8..], b"\r\n0\r\nTrailer: z\r\n\r\n"].concat();
    let range = "HTTP/1.1 206 Partial Content\nContent-Range: bytes 0-39/40";
    for response in [
        response(&format!("{range}\nContent-Length: 40"), &image()),
        response("HTTP/1.1 206 P\ncontent-range: bytes 0-39/*", &image()),
        response("HTTP/1.0 200 OK", &image()),
        response(&format!("HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: x\n\n{range}"), &image()),
        response(&format!("{range}\nTransfer-Encoding: chunked"), &chunks),
        response(range, &[&image()[..], b"and more than was announced"].concat()),
    ] {
        for piece in 1..=response.len() {
            let received = get("https://a/", WHOLE, std::slice::from_ref(&response), piece);
            assert_eq!((received.failure, received.bytes), (None, image()), "pieces of {piece}");
        }
    }
}

#[test]
fn a_part_that_is_shorter_than_requested_ends_after_its_whole_blocks() {
    let part = response("HTTP/1.1 206 P\nContent-Range: bytes 0-34/40\nContent-Length: 35", &image()[..35]);
    let received = get("https://a/", WHOLE, &[part], 9);
    assert_eq!((received.failure, &received.bytes[..]), (None, &image()[..32]));
}

#[test]
fn a_body_that_ends_before_it_should_is_too_short_whatever_its_framing() {
    for head in ["Content-Length: 40", "X: y", "Transfer-Encoding: chunked"] {
        let body = if head.contains("chunked") {
            [b"14\r\n", &image()[..20], b"\r\n0\r\n\r\n"].concat()
        } else {
            image()[..20].to_vec()
        };
        let short = response(&format!("HTTP/1.1 206 P\nContent-Range: bytes 0-39/40\n{head}"), &body);
        let received = get("https://a/", WHOLE, &[short], 99);
        assert_eq!((received.failure, &received.bytes[..]), (Some(Reason::HttpBodyTooShort), &image()[..16]), "{head}");
    }
}

#[test]
fn redirects_are_followed_to_allowed_hosts_and_at_most_three() {
    let to = |location: &str| response(&format!("HTTP/1.1 302 Found\nLocation: {location}"), b"");
    let ok = response("HTTP/1.1 206 P\nContent-Range: bytes 0-39/40", &image());
    let three = [to("https://b/1"), to("/2?x"), to("http://[::1]:8080/3"), ok.clone()];
    let received = get("https://a/0", WHOLE, &three, 11);
    assert_eq!((received.failure, received.bytes), (None, image()));
    let lines: Vec<Vec<&str>> = received.sent.iter().map(|sent| sent.lines().take(2).collect()).collect();
    assert_eq!(
        lines,
        [
            ["a 443 true", "GET /0 HTTP/1.1"],
            ["b 443 true", "GET /1 HTTP/1.1"],
            ["b 443 true", "GET /2?x HTTP/1.1"],
            ["::1 8080 false", "GET /3 HTTP/1.1"]
        ]
    );
    let relative = [to("//b/1/2"), to("3?x"), to("?y"), ok.clone()];
    let received = get("https://a/0", WHOLE, &relative, 11);
    assert_eq!((received.failure, received.bytes), (None, image()));
    let lines: Vec<&str> = received.sent.iter().filter_map(|sent| sent.lines().nth(1)).collect();
    assert_eq!(lines, ["GET /0 HTTP/1.1", "GET /1/2 HTTP/1.1", "GET /1/3?x HTTP/1.1", "GET /1/3?y HTTP/1.1"]);
    for (responses, reason, connections) in [
        (vec![to("/1"), to("/2"), to("/3"), to("/4"), ok.clone()], Reason::HttpRedirectRefused, 4),
        (vec![to("https://evil.example/"), ok.clone()], Reason::UrlNotAllowed, 1),
        (vec![to("//evil.example/1"), ok.clone()], Reason::UrlNotAllowed, 1),
        (vec![to(""), ok], Reason::HttpRedirectRefused, 1),
    ] {
        let received = get("https://a/0", WHOLE, &responses, 11);
        assert_eq!((received.failure, received.sent.len()), (Some(reason), connections));
    }
}

#[test]
fn a_server_that_is_silent_garbled_or_verbose_has_its_reason() {
    let verbose = response(&format!("HTTP/1.1 206 P\nX: {}", "y".repeat(300)), b"");
    let bad_chunk = response("HTTP/1.1 206 P\nContent-Range: bytes 0-39/40\nTransfer-Encoding: chunked", b"zz\r\n");
    for (responses, reason) in [
        (vec![], Reason::HttpUnreachable),
        (vec![vec![]], Reason::HttpUnreachable),
        (vec![b"HTTP/1.1 206".to_vec()], Reason::HttpUnreachable),
        (vec![b"SSH-2.0-x\r\n".to_vec()], Reason::HttpProtocol),
        (vec![verbose], Reason::HttpProtocol),
        (vec![bad_chunk], Reason::HttpProtocol),
    ] {
        assert_eq!(get("https://a/", WHOLE, &responses, 13).failure, Some(reason));
    }
}

#[test]
fn a_url_that_does_not_fit_is_refused_and_without_a_body_there_is_no_block() {
    let servers = Servers { responses: vec![], piece: 1, sent: Rc::default() };
    let (mut buffer, activity) = ([0; 10], Activity::default());
    let mut client = HttpClient::new(servers, ALLOWED, &mut buffer, &activity);
    assert_eq!(client.set_url(b"https://a/1"), Err(Reason::DocumentFieldTooLong));
    assert_eq!(client.set_url(b"https://a/"), Ok(()));
    assert_eq!(now(client.fill()), Err(Reason::HttpUnreachable));
    assert_eq!(client.block(), (0, &[][..]));
    assert!(!client.advance());
}

#[test]
fn after_close_the_body_brings_nothing_more() {
    let ok = response("HTTP/1.1 206 P\nContent-Range: bytes 0-39/40", &image());
    let servers = Servers { responses: vec![ok], piece: 256, sent: Rc::default() };
    let (mut buffer, activity) = ([0; 256], Activity::default());
    let mut client = HttpClient::new(servers, ALLOWED, &mut buffer, &activity);
    client.set_url(b"https://a/").expect("there is room");
    assert_eq!(now(client.open(WHOLE)), Ok(()));
    assert_eq!(now(client.fill()), Ok(Filled::Block));
    client.close();
    assert_eq!(now(client.fill()), Err(Reason::HttpUnreachable));
    assert_eq!(client.block(), (0, &[][..]));
}
