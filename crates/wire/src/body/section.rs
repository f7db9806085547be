//! Tensor sections as they are received: `descriptor ‖ codec table ‖ length table ‖ payload`, nothing between.

use std::ops::Range;

use bytes::Bytes;

use super::Span;
use crate::{
    Detail, Part, RuleId, SectionFlags, TensorSectionDesc, WireError,
    reader::{self, Reader, align8},
};

/// One tensor section of a body. Every accessor is a view; nothing is copied.
#[derive(Clone, Debug)]
pub struct SectionView {
    /// The section's descriptor.
    pub desc: TensorSectionDesc,
    /// Codec table, length table and payload.
    tables: Bytes,
}

impl SectionView {
    /// What the section means to the application.
    pub fn role_id(&self) -> u16 {
        self.desc.role_id
    }

    /// Tiles in the section.
    pub fn tile_count(&self) -> usize {
        self.desc.length_table_bytes as usize / 4
    }

    /// Codec of the tile at `index`; the section's codec when there is no codec table.
    pub fn codec_id(&self, index: usize) -> u8 {
        let own = if index < self.codec_end() { self.tables.get(index) } else { None };
        own.copied().unwrap_or(self.desc.codec_id)
    }

    /// One codec id per tile, or nothing when all tiles have the section's codec.
    pub fn codec_table(&self) -> Bytes {
        reader::slice(&self.tables, 0, self.codec_end())
    }

    /// One little-endian u32 per tile.
    pub fn length_table(&self) -> Bytes {
        reader::slice(&self.tables, self.codec_end(), self.lengths_end())
    }

    /// The bytes of all tiles, padding of a fixed stride included.
    pub fn payload(&self) -> Bytes {
        reader::slice(&self.tables, self.lengths_end(), self.tables.len())
    }

    /// Number of data bytes of each tile.
    pub fn tile_lengths(&self) -> TileLengths {
        TileLengths { table: self.length_table(), position: 0 }
    }

    /// The data bytes of each tile, without the padding of a fixed stride.
    pub fn tiles(&self) -> Tiles {
        Tiles {
            tables: self.tables.clone(),
            lengths: self.codec_end()..self.lengths_end(),
            stride: self.stride(),
            position: self.lengths_end(),
        }
    }

    /// [`Self::codec_table`], borrowed.
    pub(crate) fn codecs(&self) -> &[u8] {
        self.tables.get(..self.codec_end()).unwrap_or_default()
    }

    /// [`Self::tiles`], in place of the section: one view for each tile, and no others.
    pub(crate) fn into_tiles(mut self) -> Vec<Bytes> {
        let (lengths, stride) = (self.codec_end()..self.lengths_end(), self.stride());
        let mut start = lengths.end;
        let count = self.tables.get(lengths.clone()).map_or(0, |table| table.len() / 4);
        let mut tiles = Vec::with_capacity(count);
        for at in lengths.step_by(4).take(count) {
            let length =
                reader::array_at(&self.tables, at).map_or(0, |raw| u32::from_le_bytes(*raw) as usize);
            tiles.push(match tiles.len() + 1 == count {
                true => reader::take(std::mem::take(&mut self.tables), start, start + length),
                false => reader::slice(&self.tables, start, start + length),
            });
            start += stride.unwrap_or(length);
        }
        tiles
    }

    /// Bytes of the whole section, descriptor included.
    pub fn total_bytes(&self) -> usize {
        TensorSectionDesc::LEN + self.tables.len()
    }

    fn stride(&self) -> Option<usize> {
        self.desc
            .flags
            .contains(SectionFlags::FIXED_STRIDE)
            .then_some(self.desc.payload_stride_bytes as usize)
    }

    fn codec_end(&self) -> usize {
        self.desc.codec_table_bytes as usize
    }

    fn lengths_end(&self) -> usize {
        self.codec_end() + self.desc.length_table_bytes as usize
    }
}

/// The lengths of a section's tiles, see [`SectionView::tile_lengths`].
#[derive(Clone, Debug)]
pub struct TileLengths {
    table: Bytes,
    position: usize,
}

impl Iterator for TileLengths {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let raw = reader::array_at(&self.table, self.position)?;
        self.position += 4;
        Some(u32::from_le_bytes(*raw))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.table.len().saturating_sub(self.position) / 4;
        (left, Some(left))
    }
}

impl ExactSizeIterator for TileLengths {}

/// The data of a section's tiles, see [`SectionView::tiles`].
#[derive(Clone, Debug)]
pub struct Tiles {
    /// Those of the section. The last tile takes them over.
    tables: Bytes,
    /// Where the lengths of those to come are.
    lengths: Range<usize>,
    stride: Option<usize>,
    /// Where the next one begins.
    position: usize,
}

impl Iterator for Tiles {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let at = self.lengths.start;
        if self.lengths.len() < 4 {
            return None;
        }
        self.lengths.start += 4;
        let length = u32::from_le_bytes(*reader::array_at(&self.tables, at)?) as usize;
        let (start, end) = (self.position, self.position + length);
        self.position += self.stride.unwrap_or(length);
        Some(match self.lengths.len() < 4 {
            true => reader::take(std::mem::take(&mut self.tables), start, end),
            false => reader::slice(&self.tables, start, end),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.lengths.len() / 4;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Tiles {}

/// The sections of a body in their order (ascending role id).
#[derive(Clone, Debug)]
pub struct Sections {
    source: Bytes,
    position: usize,
    remaining: usize,
}

impl Sections {
    /// Decodes a table of sections that begins at the first byte of `table` and ends with it. `tile_count` is the number of
    /// tiles each section must have; `None` accepts what each length table says.
    ///
    /// # Errors
    /// Sections that do not parse (R-SEC), padding that is not zero, or bytes left over (R-OBJ-22).
    pub fn decode(table: &Bytes, section_count: u16, tile_count: Option<u16>) -> Result<Self, WireError> {
        let span = Span { start: 0, end: table.len() };
        check(table, span, section_count, tile_count, TABLE_RULES)?;
        Ok(Self::of_checked(table.clone(), 0, section_count))
    }

    pub(super) fn none() -> Self {
        Self::of_checked(Bytes::new(), 0, 0)
    }

    /// The sections of `source` from `start` on, which [`check`] has accepted.
    pub(super) fn of_checked(source: Bytes, start: usize, section_count: u16) -> Self {
        Self { source, position: start, remaining: section_count.into() }
    }
}

impl Iterator for Sections {
    type Item = SectionView;

    fn next(&mut self) -> Option<SectionView> {
        self.remaining = self.remaining.checked_sub(1)?;
        let start = self.position.next_multiple_of(8);
        let desc = TensorSectionDesc::parse(reader::array_at(&self.source, start)?);
        let tables_start = start + TensorSectionDesc::LEN;
        let end = tables_start + usize::try_from(tables_len(&desc)).ok()?;
        self.position = end;
        let tables = match self.remaining {
            0 => reader::take(std::mem::take(&mut self.source), tables_start, end),
            _ => reader::slice(&self.source, tables_start, end),
        };
        Some(SectionView { desc, tables })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Sections {}

/// Bytes of a section after its descriptor.
fn tables_len(desc: &TensorSectionDesc) -> u64 {
    u64::from(desc.codec_table_bytes) + u64::from(desc.length_table_bytes) + u64::from(desc.payload_bytes)
}

/// The rules that a table of sections breaks around its sections, which depend on where the table is.
#[derive(Clone, Copy)]
pub(super) struct TableRules {
    pub(super) padding: RuleId,
    pub(super) leftover: RuleId,
}

/// A table that is an object of its own.
pub(super) const TABLE_RULES: TableRules = TableRules { padding: RuleId::OBJ_22, leftover: RuleId::OBJ_22 };

/// Checks that `span` of `body` holds exactly `section_count` sections for `tile_count` tiles. Sections start at multiples of 8
/// from the first byte of `body`.
pub(super) fn check(
    body: &[u8],
    span: Span,
    section_count: u16,
    tile_count: Option<u16>,
    rules: TableRules,
) -> Result<(), WireError> {
    let mut reader = Reader::new(body, span.start, span.end);
    let mut previous_role = None;
    for _ in 0..section_count {
        skip_padding(&mut reader, rules.padding)?;
        let role = check_one(&mut reader, tile_count, previous_role)?;
        previous_role = Some(role);
    }
    match reader.remaining() {
        0 => Ok(()),
        left => {
            let text = format!("unexpected trailing bytes after the tensor sections: {left}");
            Err(refuse(rules.leftover, reader.position(), "", Detail::Explained(text.into())))
        }
    }
}

fn skip_padding(reader: &mut Reader<'_>, rule: RuleId) -> Result<(), WireError> {
    let at = reader.position();
    match reader.take(align8(at as u64) - at as u64) {
        Some(padding) if reader::all_zero(padding) => Ok(()),
        Some(_) => Err(refuse(rule, at, "", Detail::Because("padding bytes must be zero"))),
        None => Err(cut(at, TensorSectionDesc::LEN as u64, reader.remaining())),
    }
}

fn cut(at: usize, expected: u64, left: usize) -> WireError {
    let text = format!("expected {expected} bytes of tensor section, got {left}");
    refuse(RuleId::SEC_1, at, "", Detail::Explained(text.into()))
}

/// Checks the section the reader stands at and returns its role.
fn check_one(
    reader: &mut Reader<'_>,
    tile_count: Option<u16>,
    previous_role: Option<u16>,
) -> Result<u16, WireError> {
    let at = reader.position();
    let left = reader.remaining();
    let Some(raw) = reader.take(TensorSectionDesc::LEN as u64) else {
        return Err(cut(at, TensorSectionDesc::LEN as u64, left));
    };
    let desc = TensorSectionDesc::decode(raw).map_err(|error| error.moved_by(at))?;
    let refuse_field = |rule, field, text: String| {
        Err(TensorSectionDesc::refuse(rule, field, Detail::Explained(text.into())).moved_by(at))
    };
    let (Some(codecs), Some(lengths), Some(payload)) = (
        reader.take(desc.codec_table_bytes.into()),
        reader.take(desc.length_table_bytes.into()),
        reader.take(desc.payload_bytes.into()),
    ) else {
        return Err(cut(at, TensorSectionDesc::LEN as u64 + tables_len(&desc), left));
    };
    let tiles = match tile_count {
        Some(count) => usize::from(count),
        None => lengths.len() / 4,
    };
    if lengths.len() != tiles * 4 {
        let text =
            format!("length_table_bytes must be {} for {tiles} tiles, got {}", tiles * 4, lengths.len());
        return refuse_field(RuleId::SEC_2, "length_table_bytes", text);
    }
    if let Some(previous) = previous_role.filter(|previous| *previous >= desc.role_id) {
        let text = format!(
            "tensor sections must be ordered by strictly increasing role_id, {} comes after {previous}",
            desc.role_id
        );
        return refuse_field(RuleId::SEC_3, "role_id", text);
    }
    let mixed = desc.flags.contains(SectionFlags::MIXED_CODEC);
    if mixed && (codecs.is_empty() || codecs.len() != tiles) {
        let text =
            format!("codec_table_bytes must be {tiles} and not 0 with mixed_codec, got {}", codecs.len());
        return refuse_field(RuleId::SEC_8, "codec_table_bytes", text);
    }
    if !mixed && !codecs.is_empty() {
        let text = format!("codec_table_bytes must be 0 without mixed_codec, got {}", codecs.len());
        return refuse_field(RuleId::SEC_8, "codec_table_bytes", text);
    }
    let stride = desc.payload_stride_bytes;
    if desc.flags.contains(SectionFlags::FIXED_STRIDE) != (stride != 0) {
        let text = format!("payload_stride_bytes {stride} does not fit the fixed_stride flag");
        return refuse_field(RuleId::SEC_10, "payload_stride_bytes", text);
    }
    let (lengths, _) = lengths.as_chunks::<4>();
    let lengths = lengths.iter().map(|raw| u32::from_le_bytes(*raw));
    if stride == 0 {
        check_variable(&desc, lengths).map_err(|error| error.moved_by(at))?;
    } else {
        let payload_at = reader.position() - payload.len();
        check_stride(&desc, tiles, lengths, payload, payload_at, at)?;
    }
    Ok(desc.role_id)
}

fn check_variable(desc: &TensorSectionDesc, lengths: impl Iterator<Item = u32>) -> Result<(), WireError> {
    let sum: u64 = lengths.map(u64::from).sum();
    if sum != u64::from(desc.payload_bytes) {
        let text =
            format!("payload_bytes must be {sum}, the sum of the tile lengths, got {}", desc.payload_bytes);
        return Err(TensorSectionDesc::refuse(
            RuleId::SEC_9,
            "payload_bytes",
            Detail::Explained(text.into()),
        ));
    }
    Ok(())
}

/// Checks the slots of a fixed-stride payload that starts at `payload_at`; the descriptor is at `at`.
fn check_stride(
    desc: &TensorSectionDesc,
    tiles: usize,
    lengths: impl Iterator<Item = u32>,
    payload: &[u8],
    payload_at: usize,
    at: usize,
) -> Result<(), WireError> {
    let stride = desc.payload_stride_bytes as usize;
    let expected = stride as u64 * tiles as u64;
    if expected != u64::from(desc.payload_bytes) {
        let text = format!("payload_bytes must be {expected} for {tiles} slots, got {}", desc.payload_bytes);
        let error = TensorSectionDesc::refuse(RuleId::SEC_9, "payload_bytes", Detail::Explained(text.into()));
        return Err(error.moved_by(at));
    }
    for (index, (length, slot)) in lengths.zip(payload.chunks_exact(stride)).enumerate() {
        let slot_at = payload_at + index * stride;
        let Some((_, padding)) = slot.split_at_checked(length as usize) else {
            let text = format!("tile length {length} exceeds fixed stride {stride}");
            return Err(refuse(RuleId::SEC_11, slot_at, "", Detail::Explained(text.into())));
        };
        if !reader::all_zero(padding) {
            let detail = Detail::Because("fixed-stride payload padding must be zero");
            return Err(refuse(RuleId::SEC_11, slot_at + length as usize, "", detail));
        }
    }
    Ok(())
}

fn refuse(rule: RuleId, offset: usize, field: &'static str, detail: Detail) -> WireError {
    WireError::new(rule, Part::Body, offset, field, detail)
}
