//! Invariants of a download, checked exhaustively: in every state that a small download can reach by any order of blocks,
//! finished and unfinished operations, rejections, timeouts and failures. A model keeps what is in flash. Which blocks are
//! requested is checked in `window`.

extern crate std;

use super::super::event::Sources;
use super::super::service::NO_IMAGE;
use super::super::window::exhaustive::{Key, key_of, three_overtake};
use super::*;
use std::collections::{HashSet, VecDeque};
use std::println;
use std::vec::Vec;

const NOW: Instant = Instant::from_ms(0);
/// Later than the timeout of a block, earlier than that of the service.
const TIMED_OUT: Instant = Instant::from_ms(100_000);
/// Later than any timeout.
const MUCH_LATER: Instant = Instant::from_ms(10_000_000);
/// The journal takes every block.
const BLOCK_BYTES: u32 = JOURNAL_EVERY_BYTES;

#[derive(Clone, Copy)]
enum InFlight {
    Write(Block),
    Other(Operation),
}

#[derive(Clone)]
struct Case {
    transfer: Transfer,
    in_flight: Option<InFlight>,
    received: u32,
    checked: bool,
    journaled_bytes: u32,
}

/// What comes from outside.
#[derive(Clone, Copy, Debug)]
enum Stimulus {
    Block(u32),
    /// Shorter or longer than its place.
    WrongLength(u32, u32),
    Rejected(StreamRejectCode),
    Connection,
    Timeout,
    LongTimeout,
    FetchFailed(Reason),
    Document,
}

impl Case {
    fn new(blocks: u32, last: u32, sources: Sources, prefer_http: bool) -> Self {
        let mut config =
            AgentConfig::new("thing").and_then(|config| config.with_block_bytes(BLOCK_BYTES)).expect("valid");
        config.prefer_http = prefer_http;
        let plan = Plan { image_bytes: (blocks - 1) * BLOCK_BYTES + last, sources, ..NO_IMAGE };
        let mut transfer = Transfer::new(&config, plan);
        transfer.begin(0, NOW);
        three_overtake(&mut transfer.window);
        Self { transfer, in_flight: None, received: 0, checked: false, journaled_bytes: 0 }
    }

    fn len_of(&self, index: u32) -> u32 {
        (self.transfer.window.image_bytes() - index * BLOCK_BYTES).min(BLOCK_BYTES)
    }

    /// Bytes in flash without a gap.
    fn gap_bytes(&self) -> u32 {
        self.transfer.window.image_bytes().min(self.received.trailing_ones() * BLOCK_BYTES)
    }

    fn key(&self) -> (Key, [u32; 16]) {
        let it = &self.transfer;
        let source = |source: Option<Source>| match source {
            None => 0,
            Some(Source::Stream) => 1,
            Some(Source::Http) => 2,
            Some(Source::Failed(reason)) => 3 + reason as u32,
        };
        let in_flight = match self.in_flight {
            None => 0,
            Some(InFlight::Write(block)) => 10 + block.offset_bytes() / BLOCK_BYTES,
            Some(InFlight::Other(Operation::CheckHeader)) => 1,
            Some(InFlight::Other(Operation::SaveJournal(_))) => 2,
            Some(InFlight::Other(Operation::IdleStep { .. })) => 3,
            Some(InFlight::Other(other)) => panic!("{other:?} is no operation of a download"),
        };
        let streak = it.wrong_length.map_or([0; 2], |streak| {
            [1 + streak.index * 8 + u32::from(streak.count.min(ERRORS_MAX)), streak.reason as u32]
        });
        let flags = [it.header_checked, it.idle_steps, self.checked, it.quiet_since == NOW];
        let bits = flags.iter().fold(0, |bits, flag| bits << 1 | u32::from(*flag));
        let counts =
            u32::from(it.refusals) << 16 | u32::from(it.fetch_failures.min(FETCHES_MAX)) << 8 | u32::from(it.forbidden);
        let wait_ms = it.fetch_at.as_ms().min(1) as u32;
        (
            key_of(&it.window),
            [
                source(Some(it.source)),
                source(it.spare),
                in_flight,
                streak[0],
                streak[1],
                bits,
                counts,
                wait_ms,
                it.journaled_bytes,
                self.journaled_bytes,
                self.received,
                it.backoff.clone().next_wait_ms(0) as u32,
                it.url as u32,
                0,
                0,
                0,
            ],
        )
    }

    fn apply(&mut self, stimulus: Stimulus) {
        match stimulus {
            Stimulus::Block(_) | Stimulus::WrongLength(..) if self.in_flight.is_some() => {} // the job does not pass it on
            Stimulus::Block(index) => {
                let (key, missing) = (self.key(), self.received >> index & 1 == 0);
                let block = self.transfer.block(index, self.len_of(index), NOW);
                three_overtake(&mut self.transfer.window);
                assert_eq!(block.is_ok(), missing, "exactly the missing blocks are accepted");
                assert!(missing || self.key() == key, "a duplicate changes nothing");
                self.in_flight = block.ok().map(InFlight::Write);
            }
            Stimulus::WrongLength(index, len_bytes) => assert!(self.transfer.block(index, len_bytes, NOW).is_err()),
            Stimulus::Rejected(code) => self.transfer.stream_rejected(code, NOW),
            Stimulus::Connection => self.transfer.restart(NOW),
            Stimulus::Timeout => self.transfer.expire(TIMED_OUT),
            Stimulus::LongTimeout => self.transfer.expire(MUCH_LATER),
            Stimulus::FetchFailed(reason) => _ = self.transfer.fetch_failed(reason, NOW, 0),
            Stimulus::Document => self.transfer.document_refreshed(NOW),
        }
    }

    /// Hands the next operation out.
    fn begin(&mut self) -> bool {
        if self.in_flight.is_some() {
            return false;
        }
        let Some(operation) = self.transfer.operation() else { return false };
        match operation {
            Operation::CheckHeader => {
                assert!(!self.checked && self.received & 1 == 1, "the header is there, unchecked")
            }
            Operation::SaveJournal(Phase::Receiving { frontier_bytes }) => {
                assert!(
                    frontier_bytes == self.gap_bytes() && frontier_bytes > self.journaled_bytes,
                    "{frontier_bytes}"
                );
            }
            Operation::IdleStep { frontier_bytes } => assert_eq!(frontier_bytes, self.gap_bytes()),
            other => panic!("{other:?} is no operation of a download"),
        }
        self.in_flight = Some(InFlight::Other(operation));
        true
    }

    /// Ends the operation in flight; `more` is whether another step of erasing or hashing is due.
    fn end(&mut self, more: bool) {
        let done = match self.in_flight.take() {
            None => return,
            Some(InFlight::Write(block)) => {
                self.received |= 1 << (block.offset_bytes() / BLOCK_BYTES);
                Done::Written(block)
            }
            Some(InFlight::Other(Operation::CheckHeader)) => {
                self.checked = true;
                Done::HeaderAccepted
            }
            Some(InFlight::Other(Operation::SaveJournal(_))) => {
                self.journaled_bytes = self.gap_bytes();
                Done::JournalSaved
            }
            Some(InFlight::Other(_)) => Done::IdleStepped { more },
        };
        self.transfer.done(done);
    }

    fn check(&self) {
        let it = &self.transfer;
        assert_eq!(it.window.frontier_bytes(), self.gap_bytes());
        assert_eq!(it.journaled_bytes, self.journaled_bytes);
        assert_eq!(it.is_complete(), self.checked && self.gap_bytes() == it.window.image_bytes());
        let mut next = self.clone();
        let goes_on = next.begin() || self.in_flight.is_some() || next.transfer.request(NOW).is_some();
        let waits = it.deadline().is_some() || it.fetch(MUCH_LATER).is_some();
        assert!(goes_on || waits || it.is_complete() || it.failure().is_some(), "it stalls");
        assert!(
            it.fetch(MUCH_LATER).is_none_or(|from_bytes| from_bytes == self.gap_bytes()),
            "a body goes on at the gap"
        );
        assert!(it.failure().is_none() || it.spare.is_none(), "it fails with a source left");
        let end = it.quiet_since.plus_ms(it.silence_ms_max);
        assert!(
            it.source != Source::Stream || it.deadline().is_some_and(|at| at <= end),
            "a silent service is not noticed"
        );
    }

    /// From here on everything works: the image comes in, unless no source is left.
    fn completes(mut self) {
        for _ in 0..200 {
            if self.transfer.is_complete() || self.transfer.failure().is_some() {
                return;
            }
            self.end(false);
            if self.begin() {
                continue;
            }
            if let Some(request) = self.transfer.request(NOW) {
                for index in request.indices() {
                    self.apply(Stimulus::Block(index));
                    while self.begin() {
                        self.end(false);
                    }
                }
            } else if let Some(from_bytes) = self.transfer.fetch(MUCH_LATER) {
                self.apply(Stimulus::Block(from_bytes / BLOCK_BYTES));
            } else if !self.transfer.is_complete() {
                self.apply(Stimulus::Connection); // a silence, without its count of time
            }
        }
        panic!("it never ends: {:?}", self.key());
    }
}

/// How many states are reached from `start` by what may come.
fn explore(start: Case, stimuli: &[Stimulus]) -> usize {
    let (mut seen, mut open) = (HashSet::new(), VecDeque::new());
    seen.insert(start.key());
    open.push_back(start);
    while let Some(case) = open.pop_front() {
        case.check();
        case.clone().completes();
        if case.transfer.failure().is_some() || case.transfer.is_complete() {
            continue; // the job goes on to its next step
        }
        let mut reach = |change: &dyn Fn(&mut Case)| {
            let mut next = case.clone();
            change(&mut next);
            if seen.insert(next.key()) {
                open.push_back(next);
            }
        };
        stimuli.iter().for_each(|stimulus| reach(&|next| next.apply(*stimulus)));
        reach(&|next| _ = next.transfer.request(NOW));
        match case.in_flight {
            None => reach(&|next| _ = next.begin()),
            Some(_) => [true, false].into_iter().for_each(|more| reach(&|next| next.end(more))),
        }
    }
    seen.len()
}

const BOTH: Sources = Sources { stream: true, http: true };

/// For images of 1 to 5 blocks with a whole last block and one of a byte, from a stream and over HTTP; and every order of
/// blocks, requested or not, of operations begun and ended, requests, new connections and timeouts: only missing blocks are
/// written, one at a time; the header is checked once, when its block is there; the journal never claims blocks that are not
/// in flash and always advances; the transfer is complete exactly when all blocks are in flash and the header is accepted;
/// it never stalls; and it completes from every state.
#[test]
fn from_every_state_of_a_small_download_writes_journal_and_completion_are_correct() {
    let mut states = 0;
    for (blocks, last) in (1..=5).flat_map(|blocks| [1, BLOCK_BYTES].map(|last| (blocks, last))) {
        let stimuli: Vec<Stimulus> =
            (0..blocks).map(Stimulus::Block).chain([Stimulus::Connection, Stimulus::Timeout]).collect();
        for prefer_http in [false, true] {
            states += explore(Case::new(blocks, last, BOTH, prefer_http), &stimuli);
        }
    }
    println!("{states} states of a download");
    assert!(states >= 10_000);
}

/// For images of 1 and 2 blocks, every choice of sources, and every rejection, wrong length, loss and refused URL in every order: the
/// transfer fails only when no source is left, and otherwise completes from every state.
#[test]
fn from_every_state_of_a_rejected_download_it_continues_until_no_source_is_left() {
    let mut states = 0;
    let sources = [(true, true), (true, false), (false, true)].map(|(stream, http)| Sources { stream, http });
    for (blocks, sources) in [1, 2].into_iter().flat_map(|blocks| sources.map(|sources| (blocks, sources))) {
        let stimuli: Vec<Stimulus> = (0..blocks)
            .flat_map(|index| {
                [Stimulus::Block(index), Stimulus::WrongLength(index, 1), Stimulus::WrongLength(index, u32::MAX)]
            })
            .chain([StreamRejectCode::ResourceNotFound, StreamRejectCode::InternalError].map(Stimulus::Rejected))
            .chain([Reason::HttpForbidden, Reason::HttpNotFound, Reason::HttpUnreachable].map(Stimulus::FetchFailed))
            .chain([Stimulus::Connection, Stimulus::Timeout, Stimulus::LongTimeout, Stimulus::Document])
            .collect();
        for prefer_http in [false, true] {
            states += explore(Case::new(blocks, BLOCK_BYTES, sources, prefer_http), &stimuli);
        }
    }
    println!("{states} states of a refused download");
    assert!(states >= 10_000);
}
