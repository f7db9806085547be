//! What a server tells a client in the body of SESSION_MIGRATE_ACK about the frames it knows.
//!
//! The wire reference leaves that body opaque. Ours begins with [`MAGIC`], so that another implementation's is not taken
//! for it, and only a client that asked (header flag RETRANSMIT on SESSION_MIGRATE) gets one. Sixteen bytes for each
//! frame follow, little-endian:
//!
//! | offset | type | field |
//! | --- | --- | --- |
//! | 0 | u32 | `frame_id` |
//! | 4 | u16 | `view_id` |
//! | 6 | u16 | zero |
//! | 8 | u64 | number, from 1, of the first result of this frame that the new path brings |

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};

use crate::FrameKey;

const MAGIC: &[u8; 8] = b"nnrpmig1";
const ROW: usize = 16;

/// Frames a session that may move remembers, on either side. As many as fit the largest answer (R-LIM-2: 65536 bytes).
pub(crate) const MAX_ROWS: usize = 4095;

/// The number of the first result that the new path brings, for each frame the server knows.
pub(crate) type Table = HashMap<FrameKey, u64>;

/// Encodes the rows; those beyond [`MAX_ROWS`] are left out.
pub(crate) fn encode(rows: impl Iterator<Item = (FrameKey, u64)>) -> Bytes {
    let mut body = BytesMut::from(MAGIC.as_slice());
    for (key, first) in rows.take(MAX_ROWS) {
        body.put_u32_le(key.frame_id);
        body.put_u16_le(key.view_id);
        body.put_u16_le(0);
        body.put_u64_le(first);
    }
    body.freeze()
}

/// Decodes the rows; `None` for a body that is not ours.
pub(crate) fn decode(body: &[u8]) -> Option<Table> {
    let rows = body.strip_prefix(MAGIC.as_slice())?;
    let (rows, rest) = rows.as_chunks::<ROW>();
    if !rest.is_empty() || rows.len() > MAX_ROWS {
        return None;
    }
    rows.iter()
        .map(|row| {
            let [f0, f1, f2, f3, v0, v1, 0, 0, first @ ..] = *row else { return None };
            let key = FrameKey {
                frame_id: u32::from_le_bytes([f0, f1, f2, f3]),
                view_id: u16::from_le_bytes([v0, v1]),
            };
            Some((key, u64::from_le_bytes(first)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_the_wire() {
        let rows = [(FrameKey::new(7), 1), (FrameKey { view_id: 2, frame_id: 7 }, 900)];
        let table = decode(&encode(rows.into_iter())).unwrap_or_default();
        assert_eq!(table, rows.into_iter().collect());
    }

    #[test]
    fn what_is_not_ours_is_no_table() {
        let good = encode([(FrameKey::new(7), 1)].into_iter());
        assert_eq!(decode(b""), None);
        assert_eq!(decode(b"somebody else's"), None);
        assert_eq!(good.get(..good.len() - 1).and_then(decode), None);
        let mut reserved = good.to_vec();
        reserved.iter_mut().skip(14).take(1).for_each(|byte| *byte = 1);
        assert_eq!(decode(&reserved), None);
    }

    #[test]
    fn the_answer_never_exceeds_what_a_client_reads() {
        let rows = (0..10_000).map(|id| (FrameKey::new(id), 1));
        assert!(encode(rows).len() <= 65536);
    }
}
