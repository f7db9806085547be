//! A grey picture, read from and written to binary PGM.

use crate::{Failure, fail};

/// How much larger the enlarged picture is, in each direction.
pub const SCALE: usize = 2;

/// Rows of luma, one byte a pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` bytes.
    pub luma: Vec<u8>,
}

impl Picture {
    /// Reads a binary PGM with 8 bits a pixel.
    ///
    /// # Errors
    ///
    /// It is none, or a part of one.
    pub fn read(pgm: &[u8]) -> Result<Self, Failure> {
        let mut words = Vec::new();
        let mut rest = pgm;
        while words.len() < 4 {
            let end = rest.iter().position(u8::is_ascii_whitespace).ok_or_else(|| fail("no PGM"))?;
            let (word, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            if word.starts_with(b"#") {
                let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
                rest = rest.get(line..).unwrap_or_default();
            } else if !word.is_empty() {
                words.push(std::str::from_utf8(word)?);
            }
        }
        let ["P5", width, height, "255"] = words.as_slice() else {
            return Err(fail("a binary PGM with 8 bits a pixel is expected"));
        };
        let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
        let luma = width.checked_mul(height).and_then(|pixels| rest.get(..pixels));
        let luma = luma.filter(|luma| !luma.is_empty()).ok_or_else(|| fail("the picture is cut off"))?;
        Ok(Picture { width, height, luma: luma.to_vec() })
    }

    /// The same as binary PGM.
    pub fn write(&self) -> Vec<u8> {
        let mut pgm = format!("P5\n{} {}\n255\n", self.width, self.height).into_bytes();
        pgm.extend_from_slice(&self.luma);
        pgm
    }

    /// The pixel at a place, or the nearest to a place outside.
    fn at(&self, x: isize, y: isize) -> u8 {
        let near = |at: isize, len: usize| usize::try_from(at).unwrap_or(0).min(len - 1);
        let index = near(y, self.height) * self.width + near(x, self.width);
        self.luma.get(index).copied().unwrap_or(0)
    }

    /// A square of `side` pixels from (`x`, `y`), with `halo` more on all sides; what is outside continues the edge.
    pub fn cut(&self, x: usize, y: usize, side: usize, halo: usize) -> Vec<u8> {
        let from = |start: usize| start.cast_signed() - halo.cast_signed();
        let span = (side + 2 * halo).cast_signed();
        let rows = from(y)..from(y) + span;
        rows.flat_map(|row| (from(x)..from(x) + span).map(move |column| self.at(column, row))).collect()
    }

    /// The picture enlarged by bicubic interpolation, with `residual` added to each pixel.
    pub fn enlarged(&self, residual: &[f32]) -> Picture {
        let (width, height) = (self.width * SCALE, self.height * SCALE);
        let mut luma = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let extra = residual.get(y * width + x).copied().unwrap_or(0.0);
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "clamped to what fits"
                )]
                luma.push((self.between(x, y) + extra).round().clamp(0.0, 255.0) as u8);
            }
        }
        Picture { width, height, luma }
    }

    /// The value at a pixel of the enlarged picture. Twice as large, its pixels lie a quarter to the left and right of ours.
    fn between(&self, x: usize, y: usize) -> f32 {
        let ((left, across), (top, down)) = (taps(x), taps(y));
        let mut sum = 0.0;
        for (row, of_row) in (top..).zip(down) {
            for (column, of_column) in (left..).zip(across) {
                sum += of_row * of_column * f32::from(self.at(column, row));
            }
        }
        sum
    }
}

/// The weights of cubic interpolation (a = -1/2) at a quarter and at three quarters between two pixels.
const QUARTER: [f32; 4] = [-0.070_312_5, 0.867_187_5, 0.226_562_5, -0.023_437_5];
const THREE_QUARTERS: [f32; 4] = [-0.023_437_5, 0.226_562_5, 0.867_187_5, -0.070_312_5];

/// The first of the four pixels that make one of the enlarged picture, and their weights.
fn taps(at: usize) -> (isize, [f32; 4]) {
    let near = (at / SCALE).cast_signed();
    if at.is_multiple_of(SCALE) { (near - 2, THREE_QUARTERS) } else { (near - 1, QUARTER) }
}

/// A half-precision number. The model's are finite.
pub fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) =
        (u32::from(bits >> 15), u32::from(bits >> 10 & 0x1F), u32::from(bits & 0x3FF));
    if exponent == 0 {
        // Too small to be normal: multiples of 2^-24.
        #[allow(clippy::cast_precision_loss, reason = "ten bits fit")]
        let value = fraction as f32 / 16_777_216.0;
        return if sign == 1 { -value } else { value };
    }
    f32::from_bits(sign << 31 | (exponent + 112) << 23 | fraction << 13)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_read_as_it_was_written() {
        let picture = Picture { width: 3, height: 2, luma: vec![0, 10, 20, 30, 40, 50] };
        assert_eq!(Picture::read(&picture.write()).unwrap(), picture);
        let commented = b"P5 # by hand\n3 2\n255\n\x00\x0a\x14\x1e\x28\x32";
        assert_eq!(Picture::read(commented).unwrap(), picture);
        assert!(Picture::read(b"P5\n3 2\n255\nabc").is_err(), "cut off");
        assert!(Picture::read(b"P6\n1 1\n255\nabc").is_err(), "colours");
    }

    #[test]
    fn an_even_picture_stays_even() {
        let grey = Picture { width: 5, height: 4, luma: vec![77; 20] };
        let large = grey.enlarged(&[]);
        assert_eq!((large.width, large.height), (10, 8));
        assert!(large.luma.iter().all(|pixel| *pixel == 77));
        assert_eq!(grey.enlarged(&[3.0]).luma.first(), Some(&80));
    }

    #[test]
    fn halves_are_read() {
        let known =
            [(0x0000, 0.0), (0x3C00, 1.0), (0xC000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8)];
        for (bits, value) in known {
            assert!((half(bits) - value).abs() < f32::EPSILON, "{bits:#x}");
        }
    }
}
