//! Tensor sections as an application hands them in.

use bytes::Bytes;

use super::refuse;
use crate::{
    RuleId, ScalePolicy, SectionFlags, SectionView, TensorDType, TensorLayout, TensorSectionDesc, WireError,
    writer::{PieceWriter, copied_bytes},
};

/// One tensor section to be sent: the same tensor for every tile of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// What the section means to the application. Sections of a frame are ordered by it.
    pub role_id: u16,
    /// Codec of every tile that `codec_ids` does not name; 0 is raw.
    pub codec_id: u8,
    /// Number format.
    pub dtype: TensorDType,
    /// Order of axes.
    pub layout: TensorLayout,
    /// How integers become real numbers.
    pub scale_policy: ScalePolicy,
    /// Elements of a tile; 0 for not stated.
    pub element_count_per_tile: u32,
    /// Bytes of the slot each tile gets; 0 packs the tiles without slots.
    pub payload_stride_bytes: u32,
    /// One codec per tile, or empty when all have `codec_id`.
    pub codec_ids: Vec<u8>,
    /// The bytes of each tile, in the order of the tile ids; an empty one has no data.
    pub tiles: Vec<Bytes>,
}

impl Section {
    /// A section without tiles.
    pub fn new(role_id: u16, dtype: TensorDType) -> Self {
        Self { role_id, dtype, ..Self::default() }
    }

    /// Replaces the tiles.
    #[must_use]
    pub fn tiles<T: Into<Bytes>>(mut self, tiles: impl IntoIterator<Item = T>) -> Self {
        self.tiles = tiles.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the codec of all tiles.
    #[must_use]
    pub fn codec(mut self, codec_id: u8) -> Self {
        self.codec_id = codec_id;
        self
    }

    /// Sets the codec of each tile.
    #[must_use]
    pub fn codec_ids(mut self, codec_ids: impl Into<Vec<u8>>) -> Self {
        self.codec_ids = codec_ids.into();
        self
    }

    /// Sets the order of axes.
    #[must_use]
    pub fn layout(mut self, layout: TensorLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets how integers become real numbers.
    #[must_use]
    pub fn scale_policy(mut self, scale_policy: ScalePolicy) -> Self {
        self.scale_policy = scale_policy;
        self
    }

    /// States the elements of a tile.
    #[must_use]
    pub fn elements(mut self, element_count_per_tile: u32) -> Self {
        self.element_count_per_tile = element_count_per_tile;
        self
    }

    /// Gives every tile a slot of this many bytes.
    #[must_use]
    pub fn stride(mut self, payload_stride_bytes: u32) -> Self {
        self.payload_stride_bytes = payload_stride_bytes;
        self
    }

    /// The section's bytes, for a cache object or a test.
    ///
    /// # Errors
    /// As sending it.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        let mut writer = PieceWriter::new(0, 0);
        self.write(&mut writer)?;
        Ok(writer.into_body())
    }

    /// Whether a codec table is needed: some tile has another codec than the section.
    fn is_mixed(&self) -> bool {
        self.codec_ids.iter().any(|codec| *codec != self.codec_id)
    }

    /// The descriptor, after checking that the values fit the wire.
    fn desc(&self) -> Result<TensorSectionDesc, WireError> {
        let tiles = self.tiles.len();
        if !self.codec_ids.is_empty() && self.codec_ids.len() != tiles {
            let text =
                format!("section {} has {} codec_ids for {tiles} tiles", self.role_id, self.codec_ids.len());
            return Err(refuse(RuleId::SEC_8, "codec_ids", text));
        }
        let stride = self.payload_stride_bytes as usize;
        if let Some(tile) = self.tiles.iter().find(|tile| stride != 0 && tile.len() > stride) {
            let text = format!("tile length {} exceeds fixed stride {stride}", tile.len());
            return Err(refuse(RuleId::SEC_11, "tiles", text));
        }
        let payload: u64 = match stride {
            0 => self.tiles.iter().map(|tile| tile.len() as u64).sum(),
            stride => stride as u64 * tiles as u64,
        };
        let narrow = |length: u64| {
            u32::try_from(length).map_err(|_| {
                refuse(
                    RuleId::SEC_9,
                    "tiles",
                    format!("section {} is larger than 32 bits can say", self.role_id),
                )
            })
        };
        let mut flags = SectionFlags::NONE;
        if self.is_mixed() {
            flags |= SectionFlags::MIXED_CODEC;
        }
        if stride != 0 {
            flags |= SectionFlags::FIXED_STRIDE;
        }
        let desc = TensorSectionDesc {
            role_id: self.role_id,
            codec_id: self.codec_id,
            dtype_id: self.dtype,
            layout_id: self.layout,
            scale_policy: self.scale_policy,
            flags,
            element_count_per_tile: self.element_count_per_tile,
            codec_table_bytes: if self.is_mixed() { narrow(tiles as u64)? } else { 0 },
            length_table_bytes: narrow(tiles as u64 * 4)?,
            payload_bytes: narrow(payload)?,
            payload_stride_bytes: self.payload_stride_bytes,
            reserved: 0,
        };
        desc.check()?;
        Ok(desc)
    }

    pub(super) fn write(&self, writer: &mut PieceWriter) -> Result<(), WireError> {
        let desc = self.desc()?;
        writer.put(&desc.encode());
        if self.is_mixed() {
            writer.put(&self.codec_ids);
        }
        // The lengths add up to 32 bits or less, so each of them fits.
        writer.put_u32s(self.tiles.iter().map(|tile| u32::try_from(tile.len()).unwrap_or(u32::MAX)));
        let stride = self.payload_stride_bytes as usize;
        for tile in &self.tiles {
            writer.attach(tile);
            if stride > tile.len() {
                writer.put_zeros(stride - tile.len());
            }
        }
        Ok(())
    }

    /// Small bytes the section will take, with the padding before it at most.
    pub(super) fn small_bytes(&self) -> usize {
        let copied: usize = self.tiles.iter().map(copied_bytes).sum();
        TensorSectionDesc::LEN + 8 + self.tiles.len() * 5 + copied
    }

    /// What it takes, exactly, which may be far more than it holds: a slot is filled up with zeros.
    fn measure(&self) -> Measure {
        let count = self.tiles.len();
        let codecs = if self.is_mixed() { count } else { 0 };
        let tables = TensorSectionDesc::LEN + codecs + count * 4;
        let (mut small, mut zeros, mut payload) = (tables, 0, 0_u64);
        for tile in &self.tiles {
            small += copied_bytes(tile);
            payload += tile.len() as u64;
        }
        let stride = self.payload_stride_bytes as usize;
        if stride > 0 {
            let slots = self.tiles.iter().map(|tile| stride.saturating_sub(tile.len()));
            zeros = slots.fold(0, usize::saturating_add);
            payload = stride as u64 * count as u64;
        }
        Measure { small, zeros, bytes: tables as u64 + payload }
    }
}

impl SectionView {
    /// The same section in the form that is sent. The tiles are views; only their list and the codec ids are copied.
    pub fn to_section(&self) -> Section {
        self.clone().into()
    }
}

/// Likewise.
impl From<SectionView> for Section {
    fn from(view: SectionView) -> Self {
        Section {
            role_id: view.desc.role_id,
            codec_id: view.desc.codec_id,
            dtype: view.desc.dtype_id,
            layout: view.desc.layout_id,
            scale_policy: view.desc.scale_policy,
            element_count_per_tile: view.desc.element_count_per_tile,
            payload_stride_bytes: view.desc.payload_stride_bytes,
            codec_ids: view.codecs().to_vec(),
            tiles: view.into_tiles(),
        }
    }
}

/// Zeros of wide slots for which there is room before they are written. Beyond it they come with what they belong to.
const ZEROS_BEFOREHAND: usize = 64 * 1024;

/// What something takes of a packet.
#[derive(Clone, Copy)]
struct Measure {
    /// Of the small buffer, without the zeros of slots.
    small: usize,
    /// Those.
    zeros: usize,
    /// Of the body.
    bytes: u64,
}

/// What sections take that begin at byte `start` of the body, padding included.
fn measure_all(start: u64, sections: &[Section]) -> Measure {
    let mut all = Measure { small: 0, zeros: 0, bytes: 0 };
    for section in sections {
        let padding = (start + all.bytes).wrapping_neg() % 8;
        let own = section.measure();
        all.small += own.small + padding as usize;
        all.zeros = all.zeros.saturating_add(own.zeros);
        all.bytes = all.bytes.saturating_add(own.bytes + padding);
    }
    all
}

/// Small bytes of a plain body, exactly: a buffer that is full when it is done needs no account of its room. 0 if it is not worth
/// it, or will be refused for its length.
pub(super) fn plain_small_bytes(camera: &Bytes, tile_index: &Bytes, sections: &[Section]) -> usize {
    let index_at = camera.len().next_multiple_of(8);
    let start = (index_at + tile_index.len()) as u64;
    let sections = measure_all(start, sections);
    if sections.zeros > ZEROS_BEFOREHAND || u32::try_from(start.saturating_add(sections.bytes)).is_err() {
        return 0;
    }
    let before = copied_bytes(camera) + index_at - camera.len() + copied_bytes(tile_index);
    before + sections.small + sections.zeros
}

/// Writes sections one after the other, each at a multiple of 8 of the body.
pub(super) fn write_all(
    sections: &[Section],
    tile_count: u16,
    writer: &mut PieceWriter,
) -> Result<(), WireError> {
    // Before a byte of them is written: the zeros of wide slots may be gigabytes of memory.
    if sections.iter().any(|section| section.payload_stride_bytes > 0) {
        sections.iter().try_for_each(|section| section.desc().map(drop))?;
    }
    let start = writer.position() as u64;
    let end = start.saturating_add(measure_all(start, sections).bytes);
    if u32::try_from(end).is_err() {
        let text = format!("the sections make a body of {end} bytes, more than 32 bits can say");
        return Err(refuse(RuleId::SEC_9, "tiles", text));
    }
    let mut previous: Option<u16> = None;
    for section in sections {
        if section.tiles.len() != usize::from(tile_count) {
            let text = format!(
                "section {} has {} tiles, and tile_ids names {tile_count}",
                section.role_id,
                section.tiles.len()
            );
            return Err(refuse(RuleId::SEC_2, "tiles", text));
        }
        if let Some(previous) = previous.filter(|previous| *previous >= section.role_id) {
            let text = format!(
                "tensor sections must be ordered by strictly increasing role_id, {} comes after {previous}",
                section.role_id
            );
            return Err(refuse(RuleId::SEC_3, "role_id", text));
        }
        previous = Some(section.role_id);
        writer.pad8();
        section.write(writer)?;
    }
    Ok(())
}
