//! Stored numbers to f32, in parallel. Block formats as llama.cpp's `ggml-common.h` lays them out.

use half::{bf16, f16};
use rayon::prelude::*;

/// Weights in one quantised block.
const QK: usize = 32;

/// Blocks that one task turns into f32.
const BLOCKS_A_TASK: usize = 1 << 12;

/// How a file stores a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Little-endian f32.
    F32,
    /// Little-endian IEEE half.
    F16,
    /// Little-endian bfloat16.
    Bf16,
    /// Blocks of 32: an f16 scale d, then 32 signed bytes q; w = d·q.
    Q8_0,
    /// Blocks of 32: f16 scale d and f16 minimum m, then 16 bytes whose low halves are q of the first 16 weights and
    /// whose high halves of the last 16; w = d·q + m.
    Q4_1,
}

impl Encoding {
    /// Weights in the smallest stored unit.
    pub(super) fn block_len(self) -> usize {
        match self {
            Encoding::F32 | Encoding::F16 | Encoding::Bf16 => 1,
            Encoding::Q8_0 | Encoding::Q4_1 => QK,
        }
    }

    /// Bytes of the smallest stored unit.
    pub(super) fn block_bytes(self) -> usize {
        match self {
            Encoding::F32 => 4,
            Encoding::F16 | Encoding::Bf16 => 2,
            Encoding::Q8_0 => 2 + QK,
            Encoding::Q4_1 => 4 + QK / 2,
        }
    }

    /// All weights in `bytes`, which must hold whole blocks.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let (len, size) = (self.block_len(), self.block_bytes());
        let mut out = vec![0.0; bytes.len() / size * len];
        out.par_chunks_mut(BLOCKS_A_TASK * len).zip(bytes.par_chunks(BLOCKS_A_TASK * size)).for_each(
            |(out, bytes)| {
                let blocks = out.chunks_exact_mut(len).zip(bytes.chunks_exact(size));
                match self {
                    Encoding::F32 => {
                        blocks.for_each(|(w, b)| w[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                    }
                    Encoding::F16 => blocks.for_each(|(w, b)| w[0] = half(b)),
                    Encoding::Bf16 => {
                        blocks.for_each(|(w, b)| w[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32());
                    }
                    Encoding::Q8_0 => blocks.for_each(|(w, b)| {
                        let scale = half(b);
                        for (w, q) in w.iter_mut().zip(&b[2..]) {
                            *w = scale * f32::from(*q as i8);
                        }
                    }),
                    Encoding::Q4_1 => blocks.for_each(|(w, b)| {
                        let (scale, minimum) = (half(b), half(&b[2..]));
                        let (low, high) = w.split_at_mut(QK / 2);
                        for ((low, high), q) in low.iter_mut().zip(high).zip(&b[4..]) {
                            *low = scale * f32::from(q & 0xf) + minimum;
                            *high = scale * f32::from(q >> 4) + minimum;
                        }
                    }),
                }
            },
        );
        out
    }
}

fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// The place of a NaN or an infinity, if there is one.
pub(super) fn non_finite(data: &[f32]) -> Option<usize> {
    data.par_iter().position_any(|value| !value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_their_formula() {
        let (scale, minimum) = (f16::from_f32(0.125), f16::from_f32(-1.5));
        let mut q8 = scale.to_le_bytes().to_vec();
        q8.extend((0..32).map(|i| (i * 8 - 128i32) as i8 as u8));
        let expected: Vec<f32> = (0..32).map(|i| 0.125 * (i * 8 - 128) as f32).collect();
        assert_eq!(Encoding::Q8_0.decode(&q8), expected);

        let mut q4 = [scale.to_le_bytes(), minimum.to_le_bytes()].concat();
        q4.extend((0..16u8).map(|i| i | (15 - i) << 4));
        let expected: Vec<f32> = (0..16).chain((0..16).rev()).map(|q| 0.125 * q as f32 - 1.5).collect();
        assert_eq!(Encoding::Q4_1.decode(&q4), expected);
    }

    #[test]
    fn plain_numbers_keep_their_bits_over_many_tasks() {
        let values: Vec<f32> = (0..3 * BLOCKS_A_TASK + 7).map(|i| (i as f32).sin()).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(Encoding::F32.decode(&bytes), values);
        let bytes: Vec<u8> = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        assert!(
            Encoding::F16.decode(&bytes).iter().zip(&values).all(|(a, b)| *a == f16::from_f32(*b).to_f32())
        );
        let bytes: Vec<u8> = values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
        assert!(
            Encoding::Bf16.decode(&bytes).iter().zip(&values).all(|(a, b)| *a == bf16::from_f32(*b).to_f32())
        );
    }

    #[test]
    fn non_finite_values_are_found() {
        assert_eq!(non_finite(&[1.0, f32::MAX, -0.0]), None);
        assert_eq!(non_finite(&[1.0, f32::NAN]), Some(1));
        assert_eq!(non_finite(&[f32::NEG_INFINITY]), Some(0));
    }
}
