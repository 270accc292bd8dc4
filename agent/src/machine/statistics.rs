//! Counters of an agent.

use super::window::{Block, BlockRefusal, BlockRequest};

/// Counters since the boot, modulo 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages on the agent's topics, blocks among them.
    pub messages_received: u32,
    /// Of these, messages that cannot be parsed or that the agent does not use.
    pub messages_ignored: u32,
    /// Stream requests.
    pub stream_requests: u32,
    /// Blocks in these; more than were accepted if blocks were lost.
    pub blocks_requested: u32,
    /// Blocks that arrived, over either transport: the sum of the next three.
    pub blocks_received: u32,
    /// Blocks that were missing, and were written to flash.
    pub blocks_accepted: u32,
    /// Blocks that were in flash already.
    pub blocks_duplicate: u32,
    /// Blocks outside the image or the window, of a wrong length, or while none was awaited.
    pub blocks_dropped: u32,
    /// Bytes of the accepted blocks.
    pub bytes_accepted: u32,
    /// HTTP requests that failed, or whose body ended early.
    pub http_failures: u32,
}

impl Statistics {
    pub(crate) fn message(&mut self, ignored: bool) {
        add(&mut self.messages_received, 1);
        add(&mut self.messages_ignored, ignored.into());
    }

    pub(super) fn request(&mut self, request: &BlockRequest) {
        add(&mut self.stream_requests, 1);
        add(&mut self.blocks_requested, request.count);
    }

    pub(super) fn block(&mut self, block: Result<Block, BlockRefusal>) {
        add(&mut self.blocks_received, 1);
        match block {
            Ok(block) => {
                add(&mut self.blocks_accepted, 1);
                add(&mut self.bytes_accepted, block.len_bytes());
            }
            Err(BlockRefusal::Duplicate) => add(&mut self.blocks_duplicate, 1),
            Err(_) => add(&mut self.blocks_dropped, 1),
        }
    }

    pub(super) fn http_failure(&mut self) {
        add(&mut self.http_failures, 1);
    }
}

#[inline(never)] // for size
fn add(counter: &mut u32, count: u32) {
    *counter = counter.wrapping_add(count);
}

#[cfg(test)]
mod tests {
    use super::super::Window;
    use super::*;

    #[test]
    fn the_counters_of_blocks_add_up_modulo_two_to_the_32() {
        let mut statistics = Statistics { bytes_accepted: u32::MAX - 1, ..Statistics::default() };
        let accepted = Window::new(1_000, 256, 0, 1_024).offer(3, 232, super::super::Instant::default());
        let wrong = BlockRefusal::WrongLength { got: 1, want: 2 };
        for block in [
            accepted,
            Err(BlockRefusal::Duplicate),
            Err(BlockRefusal::OutOfRange),
            Err(wrong),
            Err(BlockRefusal::NotAwaited),
        ] {
            statistics.block(block);
        }
        let Statistics { blocks_received, blocks_accepted, blocks_duplicate, blocks_dropped, .. } = statistics;
        assert_eq!((blocks_received, blocks_accepted, blocks_duplicate, blocks_dropped), (5, 1, 1, 3));
        assert_eq!(statistics.bytes_accepted, 230);
    }

    #[test]
    fn a_request_counts_the_blocks_that_it_names() {
        let mut statistics = Statistics::default();
        statistics.request(&BlockRequest { first: 3, count: 32, missing: None });
        statistics.request(&BlockRequest { first: 3, count: 3, missing: Some(0b1_0000_0101) });
        assert_eq!((statistics.stream_requests, statistics.blocks_requested), (2, 35));
    }
}
