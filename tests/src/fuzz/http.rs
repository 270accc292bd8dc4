//! A server's answer to the request of an image, in pieces of any length, and the URL that it came from.

use std::convert::Infallible;

use embedded_io_async::{ErrorType, Read, Write};
use ota_agent::transport::http::{AllowedHosts, HttpClient, Url};
use ota_agent::transport::{Activity, Connector, Filled, HttpBody, HttpSource, Observed, Opened, Range};
use ota_pal::poll_ready;

use super::input::Input;

const URL: &[u8] = b"http://images.example/app?x=1";

/// What a server sends, `piece` bytes at most at once.
struct Answer<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl ErrorType for Answer<'_> {
    type Error = Infallible;
}

impl Read for Answer<'_> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        let len = out.len().min(self.piece).min(self.bytes.len());
        out[..len].copy_from_slice(&self.bytes[..len]);
        self.bytes = &self.bytes[len..];
        Ok(len)
    }
}

impl Write for Answer<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Server<'s>(Option<Answer<'s>>);

impl<'s> Connector for Server<'s> {
    type Stream<'a>
        = Observed<'a, Answer<'s>>
    where
        Self: 'a;
    type Error = ();

    async fn connect<'a>(
        &'a mut self,
        _host: &str,
        _port: u16,
        _tls: bool,
        activity: &'a Activity,
    ) -> Result<Observed<'a, Answer<'s>>, ()> {
        self.0.take().map(|answer| activity.observe(answer)).ok_or(())
    }
}

pub fn http(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (piece, from, blocks) = (1 + usize::from(input.byte()), input.byte(), 1 + input.byte() % 8);
    let image_bytes = 64 * u32::from(blocks) + u32::from(input.byte());
    let range = Range { from_bytes: 64 * u32::from(from % blocks), image_bytes, block_bytes: 64 };
    if let Ok(text) = core::str::from_utf8(input.0) {
        let _ = Url::parse(text).map(|url| assert!(!url.host.is_empty() && !url.target.is_empty()));
    }
    let (mut buffer, activity) = ([0; 512], Activity::default());
    let hosts = AllowedHosts { names: &["images.example"], plain: true };
    let server = Server(Some(Answer { bytes: input.0, piece }));
    let mut client = HttpClient::new(server, hosts, &mut buffer, &activity);
    client.set_url(URL).expect("there is room");
    let Ok(Opened::Body(mut body)) = poll_ready(client.open(range)).expect("memory never waits") else { return };
    let (mut got, mut has_more) = (range.from_bytes, true);
    while has_more {
        match poll_ready(body.fill()).expect("memory never waits") {
            Ok(Filled::Part) => {}
            Ok(Filled::Block) => {
                let (index, block) = body.block();
                assert_eq!(index * 64, got);
                got += block.len() as u32;
                has_more = body.advance();
            }
            Ok(Filled::End) => {
                assert!(got >= range.from_bytes + 64, "a body brings a block at least");
                break;
            }
            Err(_) => break,
        }
    }
    assert!(got <= image_bytes);
}
