//! Counts what a download costs: requests for blocks, blocks, status updates, and the time from the first request to the
//! last block.

/// The traffic since the beginning.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Requests for blocks of a stream, and HTTP requests.
    pub requests: u32,
    /// Blocks that reached the device, from either source.
    pub blocks: u32,
    /// Lost blocks, and lost requests for blocks.
    pub lost: u32,
    /// Requests about jobs.
    pub job_requests: u32,
    first_ms: Option<u64>,
    last_ms: u64,
}

impl Traffic {
    /// Milliseconds from the first request to the last block.
    pub fn transfer_ms(&self) -> u64 {
        self.last_ms - self.first_ms.unwrap_or(self.last_ms)
    }

    /// The device sent a message.
    pub(crate) fn sent(&mut self, topic: &str, now_ms: u64) {
        if topic.contains("/streams/") { self.request(now_ms) } else { self.job_requests += 1 }
    }

    /// A message reached the device; returns whether it is a block.
    pub(crate) fn received(&mut self, topic: &str, now_ms: u64) -> bool {
        let is_block = topic.contains("/streams/") && topic.contains("/data/");
        if is_block {
            self.block(now_ms);
        }
        is_block
    }

    /// The device requested blocks.
    pub(crate) fn request(&mut self, now_ms: u64) {
        self.requests += 1;
        self.first_ms.get_or_insert(now_ms);
    }

    /// A block reached the device.
    pub(crate) fn block(&mut self, now_ms: u64) {
        self.blocks += 1;
        self.last_ms = now_ms;
    }
}
