//! The tile index: which tiles a frame is about, in one of four encodings.

use bytes::{BufMut, Bytes};

use crate::{Detail, Part, RuleId, TileIndexMode, WireError, reader};

/// Tile ids are 0 to 65535, so a bitset with all of them is this long.
const LONGEST_USEFUL_BITSET: usize = 65536 / 8;

/// The tile ids of a frame, in tile order. Reads them from the body as it goes.
#[derive(Clone, Debug)]
pub struct TileIds {
    remaining: usize,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Dense { next: u32 },
    Raw { block: Bytes, position: usize },
    Delta { block: Bytes, position: usize, previous: u16 },
    Bitset { block: Bytes, position: usize, bits: u8 },
}

impl TileIds {
    /// No tiles.
    pub(crate) fn none() -> Self {
        Self { remaining: 0, source: Source::Dense { next: 0 } }
    }

    /// The same for a block that need not be kept: one id says it all.
    pub(crate) fn of_bytes(mode: TileIndexMode, base: u32, count: u16, block: &[u8]) -> Option<Self> {
        let first = match (mode, count) {
            (TileIndexMode::DenseRange, _) => base,
            (TileIndexMode::RawU16 | TileIndexMode::DeltaU16, 1) => {
                u16::from_le_bytes(*block.first_chunk()?).into()
            }
            _ => return None,
        };
        Some(Self { remaining: count.into(), source: Source::Dense { next: first } })
    }

    /// The ids of a block that [`check`] has accepted with the same arguments.
    pub(crate) fn of_checked(mode: TileIndexMode, base: u32, count: u16, block: Bytes) -> Self {
        let source = match mode {
            TileIndexMode::RawU16 => Source::Raw { block, position: 0 },
            TileIndexMode::DeltaU16 => Source::Delta { block, position: 0, previous: 0 },
            TileIndexMode::Bitset => {
                Source::Bitset { bits: block.first().copied().unwrap_or(0), block, position: 0 }
            }
            _ => Source::Dense { next: base },
        };
        Self { remaining: count.into(), source }
    }
}

fn u16_at(block: &Bytes, position: usize) -> u16 {
    reader::array_at(block, position).map_or(0, |raw| u16::from_le_bytes(*raw))
}

impl Iterator for TileIds {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        self.remaining = self.remaining.checked_sub(1)?;
        Some(match &mut self.source {
            Source::Dense { next } => {
                let id = *next;
                *next = id.wrapping_add(1);
                u16::try_from(id).unwrap_or(u16::MAX)
            }
            Source::Raw { block, position } => {
                let id = u16_at(block, *position);
                *position += 2;
                id
            }
            Source::Delta { block, position, previous } => {
                *previous = previous.wrapping_add(u16_at(block, *position));
                *position += 2;
                *previous
            }
            Source::Bitset { block, position, bits } => {
                while *bits == 0 {
                    *position += 1;
                    *bits = *block.get(*position)?;
                }
                let bit = bits.trailing_zeros();
                *bits &= *bits - 1;
                u16::try_from(*position * 8 + bit as usize).unwrap_or(u16::MAX)
            }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for TileIds {}

/// Decodes a tile index block.
///
/// # Errors
/// A block that does not hold exactly `count` ids in this mode (R-TILE-1 to 5).
pub fn decode(mode: TileIndexMode, base: u32, count: u16, block: &Bytes) -> Result<TileIds, WireError> {
    check(mode, base, count, block)?;
    Ok(TileIds::of_checked(mode, base, count, block.clone()))
}

/// Checks that a block holds exactly `count` ids.
pub(crate) fn check(mode: TileIndexMode, base: u32, count: u16, block: &[u8]) -> Result<(), WireError> {
    match mode {
        TileIndexMode::DenseRange => check_dense(base, count, block),
        TileIndexMode::RawU16 => check_length("raw_u16", count, block),
        TileIndexMode::DeltaU16 => check_delta(count, block),
        TileIndexMode::Bitset => check_bitset(count, block),
        TileIndexMode::Unknown(value) => {
            let detail = Detail::NotAssigned { table: "TileIndexMode", value: value.into() };
            Err(refuse(RuleId::SUB_3, 0, detail))
        }
    }
}

fn check_dense(base: u32, count: u16, block: &[u8]) -> Result<(), WireError> {
    if !block.is_empty() {
        let text = format!("dense_range has no tile index block, got {} bytes", block.len());
        return Err(explained(RuleId::TILE_1, 0, text));
    }
    let end = u64::from(base) + u64::from(count);
    if count != 0 && end > 1 << 16 {
        return Err(explained(RuleId::TILE_4, 0, format!("tile id {} is above 65535", end - 1)));
    }
    Ok(())
}

fn check_length(mode: &str, count: u16, block: &[u8]) -> Result<(), WireError> {
    let expected = usize::from(count) * 2;
    if block.len() != expected {
        let text = format!("{mode} expects {expected} bytes of tile index, got {}", block.len());
        return Err(explained(RuleId::TILE_2, 0, text));
    }
    Ok(())
}

fn check_delta(count: u16, block: &[u8]) -> Result<(), WireError> {
    check_length("delta_u16", count, block)?;
    let (deltas, _) = block.as_chunks::<2>();
    let mut id = 0_u32;
    for (position, delta) in deltas.iter().enumerate() {
        let delta = u16::from_le_bytes(*delta);
        if delta == 0 && position != 0 {
            return Err(explained(RuleId::TILE_5, position * 2, format!("tile id {id} comes twice")));
        }
        id += u32::from(delta);
        if id > u32::from(u16::MAX) {
            return Err(explained(RuleId::TILE_4, position * 2, format!("tile id {id} is above 65535")));
        }
    }
    Ok(())
}

fn check_bitset(count: u16, block: &[u8]) -> Result<(), WireError> {
    let (useful, beyond) = block.split_at_checked(LONGEST_USEFUL_BITSET).unwrap_or((block, &[]));
    if !reader::all_zero(beyond) {
        return Err(refuse(
            RuleId::TILE_4,
            useful.len(),
            Detail::Because("a tile id of the bitset is above 65535"),
        ));
    }
    let ones: u32 = useful.iter().map(|byte| byte.count_ones()).sum();
    if ones != u32::from(count) {
        return Err(explained(
            RuleId::TILE_3,
            0,
            format!("bitset decoded {ones} tile ids, expected {count}"),
        ));
    }
    Ok(())
}

/// The blocks of single raw ids, as far as they are here: most frames have one tile, and need no memory for what says so.
static SINGLE_IDS: [[u8; 2]; 256] = {
    let mut blocks = [[0; 2]; 256];
    let mut rest = blocks.as_mut_slice();
    let mut id: u16 = 0;
    while let [block, more @ ..] = rest {
        *block = id.to_le_bytes();
        id += 1;
        rest = more;
    }
    blocks
};

/// Encodes tile ids as a block. `base` matters only for a dense range, which has no bytes.
///
/// # Errors
/// Ids that the mode cannot say: a gap or another start in a dense range, ids that do not increase in delta or bitset mode.
pub fn encode(mode: TileIndexMode, base: u32, ids: &[u16]) -> Result<Bytes, WireError> {
    if let (TileIndexMode::RawU16, [id]) = (mode, ids)
        && let Some(block) = SINGLE_IDS.get(usize::from(*id))
    {
        return Ok(Bytes::from_static(block));
    }
    let mut block = Vec::new();
    match mode {
        TileIndexMode::DenseRange => {
            let contiguous =
                ids.iter().zip(u64::from(base)..).all(|(id, expected)| u64::from(*id) == expected);
            if !contiguous {
                let text =
                    format!("dense_range tile ids must be contiguous and start at tile_base_id {base}");
                return Err(explained(RuleId::TILE_4, 0, text));
            }
        }
        TileIndexMode::RawU16 => {
            block.reserve_exact(ids.len() * 2);
            ids.iter().for_each(|id| block.put_u16_le(*id));
        }
        TileIndexMode::DeltaU16 => {
            check_increasing(ids)?;
            block.reserve_exact(ids.len() * 2);
            let mut previous = 0;
            for id in ids {
                block.put_u16_le(id - previous);
                previous = *id;
            }
        }
        TileIndexMode::Bitset => {
            check_increasing(ids)?;
            write_bitset(ids, &mut block);
        }
        TileIndexMode::Unknown(value) => {
            let detail = Detail::NotAssigned { table: "TileIndexMode", value: value.into() };
            return Err(refuse(RuleId::SUB_3, 0, detail));
        }
    }
    Ok(block.into())
}

fn write_bitset(ids: &[u16], out: &mut Vec<u8>) {
    let mut byte = 0;
    let mut position = 0;
    for id in ids {
        while position < id / 8 {
            out.put_u8(byte);
            byte = 0;
            position += 1;
        }
        byte |= 1 << (id % 8);
    }
    if !ids.is_empty() {
        out.put_u8(byte);
    }
}

fn check_increasing(ids: &[u16]) -> Result<(), WireError> {
    match ids.iter().zip(ids.iter().skip(1)).find(|(earlier, later)| earlier >= later) {
        None => Ok(()),
        Some((earlier, later)) => {
            let text = format!(
                "tile ids must be strictly increasing for this tile index mode, {later} comes after {earlier}"
            );
            Err(explained(RuleId::TILE_5, 0, text))
        }
    }
}

fn refuse(rule: RuleId, offset: usize, detail: Detail) -> WireError {
    WireError::new(rule, Part::Body, offset, "tile_index_block", detail)
}

fn explained(rule: RuleId, offset: usize, text: String) -> WireError {
    refuse(rule, offset, Detail::Explained(text.into()))
}
