//! Writing numbers into fixed layouts, and bodies as pieces.

macro_rules! fixed_writers {
    ($($int:ident)+) => { $(
        /// Writes a little-endian number at `offset`, which the layout tables check when compiling.
        #[inline]
        pub(crate) fn $int<const N: usize>(raw: &mut [u8; N], offset: usize, value: $int) {
            if let Some(place) = raw.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
                *place = value.to_le_bytes();
            }
        }
    )+ };
}
fixed_writers!(u8 u16 u32 u64);
