//! Selects the blocks that are sent in response to one stream request. Pure functions.

use ota_jobs::stream::Get;

use crate::limits::STREAM_ANSWER_BYTES_MAX;

/// One block of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Index in the file.
    pub index: u32,
    /// Offset in the file.
    pub offset_bytes: u64,
    /// Length: the block size, or less for the last block.
    pub len_bytes: u32,
}

/// Returns the blocks of the response in order: inside the file, at most as many as requested, at most the bytes AWS
/// sends.
///
/// Blocks beyond that limit are not sent; the request is not rejected, and the device requests them again.
/// Source: AWS IoT developer guide, "MQTT-based file delivery", GetStream.
pub fn blocks(get: &Get<'_>, file_bytes: u64) -> Vec<Block> {
    // At least 1: the block size never exceeds the limit.
    let blocks_max = STREAM_ANSWER_BYTES_MAX / get.block_bytes.max(1);
    get.wanted()
        .take(blocks_max as usize)
        .take_while(|index| u64::from(*index) * u64::from(get.block_bytes) < file_bytes)
        .map(|index| block(index, get.block_bytes, file_bytes))
        .collect()
}

fn block(index: u32, block_bytes: u32, file_bytes: u64) -> Block {
    let offset_bytes = u64::from(index) * u64::from(block_bytes);
    let rest = file_bytes - offset_bytes;
    let len_bytes = u32::try_from(rest).map_or(block_bytes, |rest| rest.min(block_bytes));
    Block { index, offset_bytes, len_bytes }
}

/// Splits the blocks into contiguous runs, each of which is one read.
pub fn contiguous_runs(blocks: &[Block]) -> impl Iterator<Item = &[Block]> {
    blocks.chunk_by(|one, next| one.index + 1 == next.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_jobs::limits::{BITMAP_BYTES_MAX, BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, BLOCK_COUNT_MAX, BLOCK_OFFSET_MAX};
    use ota_jobs::stream::Bitmap;

    const FILE_BYTES: u64 = 10_000;

    fn get(offset_blocks: u32, count: Option<u32>, bitmap: Option<&[u8]>) -> Get<'_> {
        let bitmap = bitmap.map(|bytes| Bitmap::new(bytes).unwrap());
        Get { token: None, version: None, file_id: 0, block_bytes: 1024, offset_blocks, count, bitmap }
    }

    fn indices(get: &Get<'_>, file_bytes: u64) -> Vec<u32> {
        blocks(get, file_bytes).iter().map(|block| block.index).collect()
    }

    #[test]
    fn the_last_block_is_short_and_nothing_comes_after_it() {
        let all = blocks(&get(0, None, None), FILE_BYTES);
        assert_eq!(all.len(), 10);
        assert_eq!(all[9], Block { index: 9, offset_bytes: 9216, len_bytes: 784 });
        assert_eq!(all.iter().map(|b| u64::from(b.len_bytes)).sum::<u64>(), FILE_BYTES);
        assert_eq!(indices(&get(8, Some(50), None), FILE_BYTES), [8, 9]);
        assert!(indices(&get(10, None, None), FILE_BYTES).is_empty());
        assert_eq!(indices(&get(0, None, None), 1024), [0], "no empty block after a full one");
    }

    #[test]
    fn an_answer_ends_at_128_kib_without_a_word() {
        assert_eq!(blocks(&get(0, Some(1000), None), 10_000_000).len(), 128);
        let whole = Get { block_bytes: 131_072, ..get(3, Some(9), None) };
        assert_eq!(indices(&whole, 10_000_000), [3]);
        let small = Get { block_bytes: 256, ..get(0, None, None) };
        assert_eq!(blocks(&small, 10_000_000).len(), 512);
    }

    #[test]
    fn bits_count_from_the_offset_least_significant_first() {
        // Example bitmap of the developer guide.
        let bitmap = [0x13, 0x00, 0x80];
        assert_eq!(indices(&get(0, None, Some(&bitmap)), 1_000_000), [0, 1, 4, 23]);
        assert_eq!(indices(&get(5, None, Some(&bitmap)), 1_000_000), [5, 6, 9, 28]);
        assert_eq!(indices(&get(0, Some(2), Some(&bitmap)), 1_000_000), [0, 1]);
        assert_eq!(indices(&get(0, None, Some(&bitmap)), 5 * 1024), [0, 1, 4]);
    }

    /// The C library sends the text "MQ==" as bitmap; this works only because it requests a single block.
    #[test]
    fn the_c_clients_bitmap_means_the_block_at_the_offset() {
        assert_eq!(indices(&get(7, Some(1), Some(b"MQ==")), FILE_BYTES), [7]);
        assert_eq!(indices(&get(0, None, Some(b"MQ==")), FILE_BYTES), [0, 2, 3, 6, 8]);
    }

    #[test]
    fn the_largest_numbers_of_the_protocol_do_not_overflow() {
        let ones = vec![0xFF; BITMAP_BYTES_MAX];
        let far = Get { block_bytes: BLOCK_BYTES_MAX, ..get(BLOCK_OFFSET_MAX, Some(BLOCK_COUNT_MAX), Some(&ones)) };
        assert_eq!(blocks(&far, u64::MAX).len(), 1);
        let near = Get { block_bytes: BLOCK_BYTES_MIN, ..far };
        assert_eq!(blocks(&near, u64::MAX).len(), 512);
    }

    #[test]
    fn neighbours_are_read_together() {
        let bitmap = [0b0010_0111];
        let found = blocks(&get(0, None, Some(&bitmap)), FILE_BYTES);
        let lens: Vec<usize> = contiguous_runs(&found).map(<[Block]>::len).collect();
        assert_eq!(lens, [3, 1]);
    }
}
