//! The connection to the broker as bytes on a virtual clock: delayed, in pieces, written in part; it ends, stalls or is half-open
//! at random times.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use embassy_time::Timer;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use ota_agent::pump;
use ota_agent::transport::{Activity, Connector, Observed};
use ota_tests::rng::Rng;
use ota_tests::service::Service;

use crate::broker::Broker;

/// What a socket takes although nothing is acknowledged.
const SOCKET_BYTES: usize = 4_096;
const PIECE_BYTES_MAX: u64 = 1_460;

/// How often each fault occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Connections that could not be made.
    pub refused: u32,
    /// Attempts that never end.
    pub unanswered: u32,
    /// Connections that ended.
    pub ended: u32,
    /// Connections on which nothing arrived from some time on.
    pub half_open: u32,
    /// Connections on which nothing arrived for a while.
    pub stalled: u32,
    /// Writes that took a part.
    pub partial: u32,
}

#[derive(Clone, Copy)]
enum Fate {
    Ends,
    HalfOpen,
    Stalls { ms: u64 },
}

/// The line, with the broker at its end.
pub struct Line {
    pub broker: Broker,
    pub connections: usize,
    pub faults: Faults,
    rng: Rng,
    faults_until_ms: u64,
    now_ms: u64,
    delay_ms: u64,
    fate: Option<(u64, Fate)>,
    up: VecDeque<(u64, Vec<u8>)>,
    down: VecDeque<(u64, Vec<u8>)>,
    has_ended: bool,
    is_half_open: bool,
    stalled_until_ms: u64,
}

impl Line {
    pub fn new(service: Service, faults_until_ms: u64, mut rng: Rng) -> Self {
        let delay_ms = rng.between(5, 400);
        Self {
            broker: Broker::new(service),
            connections: 0,
            faults: Faults::default(),
            rng,
            faults_until_ms,
            now_ms: 0,
            delay_ms,
            fate: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            has_ended: false,
            is_half_open: false,
            stalled_until_ms: 0,
        }
    }

    /// Delivers what is due to the broker, and lets the connection fail when its time has come.
    pub fn advance(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if let Some((_, fate)) = self.fate.take_if(|(at_ms, _)| *at_ms <= now_ms) {
            match fate {
                Fate::Ends => (self.has_ended, self.faults.ended) = (true, self.faults.ended + 1),
                Fate::HalfOpen => (self.is_half_open, self.faults.half_open) = (true, self.faults.half_open + 1),
                Fate::Stalls { ms } => {
                    self.faults.stalled += 1;
                    self.stalled_until_ms = now_ms + ms;
                }
            }
        }
        while !self.is_silent() && self.up.front().is_some_and(|(at_ms, _)| *at_ms <= now_ms) {
            let (_, bytes) = self.up.pop_front().expect("there is one");
            let mut answer = self.broker.receive(&bytes, now_ms);
            while !answer.is_empty() {
                let len = answer.len().min(self.rng.between(1, PIECE_BYTES_MAX) as usize);
                let rest = answer.split_off(len);
                self.down.push_back((now_ms + self.delay_ms, std::mem::replace(&mut answer, rest)));
            }
        }
    }

    fn is_silent(&self) -> bool {
        self.has_ended || self.is_half_open || self.now_ms < self.stalled_until_ms
    }

    fn open(&mut self) {
        let (rng, is_fair) = (&mut self.rng, self.now_ms >= self.faults_until_ms);
        let fate = match rng.below(5) {
            _ if is_fair => None,
            0 => None,
            1 | 2 => Some(Fate::Ends),
            3 => Some(Fate::HalfOpen),
            _ => Some(Fate::Stalls { ms: rng.between(1_000, 15_000) }),
        };
        let longest_ms = rng.pick(&[300, 2_000, 20_000]);
        self.fate = fate.map(|fate| (self.now_ms + rng.below(longest_ms), fate));
        (self.has_ended, self.is_half_open, self.stalled_until_ms) = (false, false, 0);
        self.up.clear();
        self.down.clear();
        self.broker.connected();
        self.connections += 1;
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<Result<usize, ErrorKind>> {
        let unsent: usize = self.up.iter().map(|(_, bytes)| bytes.len()).sum();
        let room = SOCKET_BYTES.saturating_sub(unsent);
        if self.has_ended {
            return Poll::Ready(Err(ErrorKind::BrokenPipe));
        }
        if room == 0 || self.rng.percent(10) {
            return Poll::Pending; // it is polled again with the next step
        }
        let len = bytes.len().min(room).min(self.rng.between(1, PIECE_BYTES_MAX) as usize);
        self.faults.partial += u32::from(len < bytes.len());
        self.up.push_back((self.now_ms + self.delay_ms, bytes[..len].to_vec()));
        Poll::Ready(Ok(len))
    }

    fn read(&mut self, out: &mut [u8]) -> Poll<Result<usize, ErrorKind>> {
        if self.has_ended {
            return Poll::Ready(if self.rng.percent(50) { Ok(0) } else { Err(ErrorKind::ConnectionReset) });
        }
        let now_ms = self.now_ms;
        if self.is_silent() || self.down.front().is_none_or(|(at_ms, _)| *at_ms > now_ms) {
            return Poll::Pending;
        }
        let (at_ms, mut piece) = self.down.pop_front().expect("there is one");
        let rest = piece.split_off(piece.len().min(out.len()));
        out[..piece.len()].copy_from_slice(&piece);
        if !rest.is_empty() {
            self.down.push_front((at_ms, rest));
        }
        Poll::Ready(Ok(piece.len()))
    }
}

/// Connects to the broker over the line.
pub struct Network(pub Rc<RefCell<Line>>);

/// The device's end of a connection.
pub struct Socket(Rc<RefCell<Line>>);

impl Connector for Network {
    type Stream<'a> = Observed<'a, Socket>;
    type Error = ErrorKind;

    async fn connect<'a>(
        &'a mut self,
        _host: &str,
        _port: u16,
        _tls: bool,
        activity: &'a Activity,
    ) -> Result<Observed<'a, Socket>, ErrorKind> {
        let chance = {
            let mut line = self.0.borrow_mut();
            let is_fair = pump::now().as_ms() >= line.faults_until_ms;
            let chance = if is_fair { 9 } else { line.rng.below(10) };
            line.faults.unanswered += u32::from(chance == 0);
            line.faults.refused += u32::from(chance == 1);
            chance
        };
        Timer::after_millis(50).await;
        match chance {
            0 => pending().await,
            1 => Err(ErrorKind::ConnectionRefused),
            _ => {
                self.0.borrow_mut().open();
                Ok(activity.observe(Socket(self.0.clone())))
            }
        }
    }
}

impl ErrorType for Socket {
    type Error = ErrorKind;
}

impl Read for Socket {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| self.0.borrow_mut().read(out)).await
    }
}

impl Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| self.0.borrow_mut().write(bytes)).await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
