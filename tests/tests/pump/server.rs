//! An HTTP server in this process.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use embassy_time::{Duration, Instant as Clock, Timer};
use embedded_io_async::{ErrorType, Read, Write};
use ota_agent::transport::{Activity, Connector, Observed};

/// Requests as they arrived: host, port, whether TLS was asked for, and the head.
pub type Requests = Rc<RefCell<Vec<(String, u16, bool, String)>>>;

/// A server of one file, which answers every request in pieces of `piece` bytes.
pub struct Server {
    pub file: Rc<[u8]>,
    pub piece: usize,
    pub requests: Requests,
    /// Bytes of the body after which a connection ends, once.
    pub cut_at: Option<usize>,
    /// How long the first record of the body takes, in so many parts.
    pub record: Option<(Duration, u32)>,
}

pub struct Answer<'a> {
    pub activity: &'a Activity,
    pub file: Rc<[u8]>,
    pub piece: usize,
    pub requests: Requests,
    pub cut_at: Option<usize>,
    pub bytes: Option<VecDeque<u8>>,
    pub record: Option<(Duration, u32)>,
    /// When the record began, once the head was read, and how many of its parts arrived.
    pub begun: Option<(Clock, u32)>,
}

impl Connector for Server {
    type Stream<'a> = Observed<'a, Answer<'a>>;
    type Error = &'static str;

    async fn connect<'a>(
        &'a mut self,
        host: &str,
        port: u16,
        tls: bool,
        activity: &'a Activity,
    ) -> Result<Observed<'a, Answer<'a>>, &'static str> {
        self.requests.borrow_mut().push((host.into(), port, tls, String::new()));
        let (file, requests, cut_at) = (self.file.clone(), self.requests.clone(), self.cut_at.take());
        let (piece, record) = (self.piece, self.record.take());
        Ok(activity.observe(Answer { activity, file, piece, requests, cut_at, bytes: None, record, begun: None }))
    }
}

impl Answer<'_> {
    /// The response to the last request.
    fn respond(&self) -> VecDeque<u8> {
        let request = self.requests.borrow().last().expect("a connection").3.clone();
        assert!(request.ends_with("\r\n\r\n"), "{request}");
        let range = request.split_once("\r\nRange: bytes=").expect("a range").1;
        let from: usize = range.split_once('-').expect("an open range").0.parse().expect("a number");
        let total = self.file.len();
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}\r\nContent-Length: {}\r\n\r\n",
            total - 1,
            total - from
        );
        let end = self.cut_at.map_or(total, |len| total.min(from + len));
        [head.as_bytes(), &self.file[from..end]].concat().into()
    }
}

impl ErrorType for Answer<'_> {
    type Error = Infallible;
}

impl Read for Answer<'_> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        if self.bytes.is_none() {
            self.bytes = Some(self.respond());
        }
        if let (Some((begun, part)), Some((record, parts))) = (&mut self.begun, self.record) {
            while *part < parts {
                Timer::at(*begun + record * (*part + 1) / parts).await;
                *part += 1;
                self.activity.note();
            }
        } else {
            self.begun = Some((Clock::now(), 0));
        }
        let bytes = self.bytes.as_mut().expect("a response");
        let len = out.len().min(self.piece).min(bytes.len());
        out.iter_mut().zip(bytes.drain(..len)).for_each(|(place, byte)| *place = byte);
        Ok(len)
    }
}

impl Write for Answer<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let text = std::str::from_utf8(bytes).expect("a request is ASCII");
        self.requests.borrow_mut().last_mut().expect("a connection").3.push_str(text);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
