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
        &'a mut self,
        host: &str,
        port: u16,
        tls: bool,
        activity: &'a Activity,
    ) -> Result<Observed<'a, Stream>, ()> {
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

/// The bytes of the blocks of a body, and how it ended.
fn read(mut body: impl HttpBody, range: Range) -> (Vec<u8>, Option<Reason>) {
    let mut bytes = Vec::new();
    loop {
        match now(body.fill()) {
            Ok(Filled::Part) => {}
            Ok(Filled::Block) => {
                let (index, block) = body.block();
                assert_eq!(index * BLOCK_BYTES, range.from_bytes + bytes.len() as u32);
                bytes.extend(block);
                if !body.advance() {
                    return (bytes, None);
                }
            }
            Ok(Filled::End) => return (bytes, None),
            Err(reason) => return (bytes, Some(reason)),
        }
    }
}

fn get(url: &str, range: Range, responses: &[Vec<u8>], piece: usize) -> Received {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let servers = Servers { responses: responses.to_vec(), piece, sent: sent.clone() };
    let (mut buffer, activity) = ([0; 256], Activity::default());
    let mut client = HttpClient::new(servers, ALLOWED, &mut buffer, &activity);
    client.set_url(url.as_bytes()).expect("there is room");
    let mut redirects = 0;
    let (bytes, failure) = loop {
        match now(client.open(range)) {
            Err(reason) => break (Vec::new(), Some(reason)),
            Ok(Opened::Redirected) => redirects += 1,
            Ok(Opened::Body(body)) => break read(body, range),
        }
    };
    assert!(redirects <= 3);
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
fn a_url_that_does_not_fit_is_refused() {
    let servers = Servers { responses: vec![], piece: 1, sent: Rc::default() };
    let (mut buffer, activity) = ([0; 10], Activity::default());
    let mut client = HttpClient::new(servers, ALLOWED, &mut buffer, &activity);
    assert_eq!(client.set_url(b"https://a/1"), Err(Reason::DocumentFieldTooLong));
    assert_eq!(client.set_url(b"https://a/"), Ok(()));
}

/// A TLS stack without a heap has buffers that its stream borrows from connection to connection.
#[test]
fn a_stream_may_borrow_buffers_of_its_connector() {
    struct Lends {
        record: [u8; 64],
        connections: u32,
    }

    struct Lent<'a>(&'a mut [u8]);

    impl ErrorType for Lent<'_> {
        type Error = Infallible;
    }

    impl Read for Lent<'_> {
        async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
            let len = out.len().min(self.0.len());
            let (now, later) = core::mem::take(&mut self.0).split_at_mut(len);
            out[..len].copy_from_slice(now);
            self.0 = later;
            Ok(len)
        }
    }

    impl Write for Lent<'_> {
        async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            Ok(bytes.len())
        }

        async fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    impl Connector for Lends {
        type Stream<'a> = Observed<'a, Lent<'a>>;
        type Error = ();

        async fn connect<'a>(
            &'a mut self,
            _host: &str,
            _port: u16,
            _tls: bool,
            activity: &'a Activity,
        ) -> Result<Self::Stream<'a>, ()> {
            self.connections += 1;
            let text: &[u8] = match self.connections {
                1 => b"HTTP/1.1 302 F\r\nLocation: /2\r\n\r\n",
                _ => b"HTTP/1.1 206 P\r\nContent-Range: bytes 0-0/1\r\n\r\nx",
            };
            self.record[..text.len()].copy_from_slice(text);
            Ok(activity.observe(Lent(&mut self.record[..text.len()])))
        }
    }

    let (mut buffer, activity) = ([0; 256], Activity::default());
    let mut client = HttpClient::new(Lends { record: [0; 64], connections: 0 }, ALLOWED, &mut buffer, &activity);
    let range = Range { from_bytes: 0, image_bytes: 1, block_bytes: BLOCK_BYTES };
    client.set_url(b"https://a/").expect("there is room");
    assert!(matches!(now(client.open(range)), Ok(Opened::Redirected)));
    let Ok(Opened::Body(body)) = now(client.open(range)) else { panic!("there is a body") };
    assert_eq!(read(body, range), (Vec::from(*b"x"), None));
}
