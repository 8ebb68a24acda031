//! Stored numbers to f32. Block formats as llama.cpp's `ggml-common.h` lays them out and `ggml-quants.c` reads them.
//!
//! Scales have 11 significant bits, sub-scales at most 8 and quantised values at most 7, so that every product below
//! is exact in f32: neither the order of multiplication nor a fused multiply-add changes a bit. The one rounding is
//! that of adding or subtracting the minimum, last.

use half::{bf16, f16};
use rayon::prelude::*;

/// Weights in a block of the plain formats.
pub(super) const QK: usize = 32;

/// Weights in a super-block of the K formats.
pub(super) const QK_K: usize = 256;

/// Packed 6-bit scales and minimums of the 8 sub-blocks of Q4_K and Q5_K, in bytes.
const K_SCALES: usize = 12;

/// Blocks that one task turns into f32.
const BLOCKS_A_TASK: usize = 1 << 12;

/// How a file stores a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Little-endian f32.
    F32,
    /// Little-endian IEEE half.
    F16,
    /// Little-endian bfloat16.
    Bf16,
    /// Blocks of 32: an f16 scale d, then 16 bytes whose low halves are q of the first 16 weights and whose high
    /// halves of the last 16; w = d·(q − 8).
    Q4_0,
    /// Blocks of 32: f16 scale d and f16 minimum m, then q as in Q4_0; w = d·q + m.
    Q4_1,
    /// Blocks of 32: an f16 scale d, 32 fifth bits of q, then its low halves as in Q4_0; w = d·(q − 16).
    Q5_0,
    /// Blocks of 32: f16 scale d and f16 minimum m, then q as in Q5_0; w = d·q + m.
    Q5_1,
    /// Blocks of 32: an f16 scale d, then 32 signed bytes q; w = d·q.
    Q8_0,
    /// Super-blocks of 256: f16 scale d and f16 d_min, 8 packed pairs of a 6-bit scale s and minimum m for 32 weights
    /// each, then 4 runs of 32 bytes whose low and high halves are q of two sub-blocks; w = (d·s)·q − d_min·m.
    Q4K,
    /// Super-blocks of 256: as Q4K with the fifth bits of q in 32 bytes before the runs, bit s of byte i for weight i
    /// of sub-block s.
    Q5K,
    /// Super-blocks of 256: low halves of q in 128 bytes, upper two bits in 64, 16 signed scales s for 16 weights each,
    /// and an f16 scale d; w = (d·s)·(q − 32).
    Q6K,
}

impl Encoding {
    /// The encoding of one of ggml's type numbers (`ggml_type` in `ggml.h`), if it is supported.
    pub(crate) fn from_ggml(number: u32) -> Option<Self> {
        Some(match number {
            0 => Encoding::F32,
            1 => Encoding::F16,
            2 => Encoding::Q4_0,
            3 => Encoding::Q4_1,
            6 => Encoding::Q5_0,
            7 => Encoding::Q5_1,
            8 => Encoding::Q8_0,
            12 => Encoding::Q4K,
            13 => Encoding::Q5K,
            14 => Encoding::Q6K,
            30 => Encoding::Bf16,
            _ => return None,
        })
    }

    /// The inverse of [`Encoding::from_ggml`].
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn ggml(self) -> u32 {
        match self {
            Encoding::F32 => 0,
            Encoding::F16 => 1,
            Encoding::Q4_0 => 2,
            Encoding::Q4_1 => 3,
            Encoding::Q5_0 => 6,
            Encoding::Q5_1 => 7,
            Encoding::Q8_0 => 8,
            Encoding::Q4K => 12,
            Encoding::Q5K => 13,
            Encoding::Q6K => 14,
            Encoding::Bf16 => 30,
        }
    }

    /// Weights in the smallest stored unit; a row is whole units.
    pub(crate) fn block_len(self) -> usize {
        match self {
            Encoding::F32 | Encoding::F16 | Encoding::Bf16 => 1,
            Encoding::Q4_0 | Encoding::Q4_1 | Encoding::Q5_0 | Encoding::Q5_1 | Encoding::Q8_0 => QK,
            Encoding::Q4K | Encoding::Q5K | Encoding::Q6K => QK_K,
        }
    }

    /// Bytes of the smallest stored unit.
    pub(crate) fn block_bytes(self) -> usize {
        match self {
            Encoding::F32 => 4,
            Encoding::F16 | Encoding::Bf16 => 2,
            Encoding::Q4_0 => 2 + QK / 2,
            Encoding::Q4_1 => 4 + QK / 2,
            Encoding::Q5_0 => 2 + QK / 8 + QK / 2,
            Encoding::Q5_1 => 4 + QK / 8 + QK / 2,
            Encoding::Q8_0 => 2 + QK,
            Encoding::Q4K => 4 + K_SCALES + QK_K / 2,
            Encoding::Q5K => 4 + K_SCALES + QK_K / 8 + QK_K / 2,
            Encoding::Q6K => QK_K / 2 + QK_K / 4 + QK_K / 16 + 2,
        }
    }

    /// Writes the weights of the blocks in `bytes` to `out`, on this thread and without allocating.
    ///
    /// # Panics
    /// Unless `bytes` is n·[`Self::block_bytes`] and `out` n·[`Self::block_len`] long.
    pub(crate) fn decode_into(self, bytes: &[u8], out: &mut [f32]) {
        let (len, size) = (self.block_len(), self.block_bytes());
        assert!(
            bytes.len().is_multiple_of(size) && bytes.len() / size * len == out.len(),
            "{} bytes of {self:?} are not {} weights",
            bytes.len(),
            out.len()
        );
        match self {
            Encoding::F32 => each(bytes, out, |b: &[u8; 4], w: &mut [f32; 1]| w[0] = f32::from_le_bytes(*b)),
            Encoding::F16 => each(bytes, out, |b: &[u8; 2], w: &mut [f32; 1]| w[0] = half(b)),
            Encoding::Bf16 => {
                each(bytes, out, |b: &[u8; 2], w: &mut [f32; 1]| w[0] = bf16::from_le_bytes(*b).to_f32());
            }
            Encoding::Q4_0 => each(bytes, out, q4_0),
            Encoding::Q4_1 => each(bytes, out, q4_1),
            Encoding::Q5_0 => each(bytes, out, q5_0),
            Encoding::Q5_1 => each(bytes, out, q5_1),
            Encoding::Q8_0 => each(bytes, out, q8_0),
            Encoding::Q4K => each(bytes, out, q4_k),
            Encoding::Q5K => each(bytes, out, q5_k),
            Encoding::Q6K => each(bytes, out, q6_k),
        }
    }

    /// All weights in `bytes`, which must hold whole blocks, decoded in parallel.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let (len, size) = (self.block_len(), self.block_bytes());
        let mut out = vec![0.0; bytes.len() / size * len];
        out.par_chunks_mut(BLOCKS_A_TASK * len)
            .zip(bytes.par_chunks(BLOCKS_A_TASK * size))
            .for_each(|(out, bytes)| self.decode_into(bytes, out));
        out
    }
}

/// Decodes block by block; constant sizes let the compiler drop the checks of bounds.
fn each<const SIZE: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; SIZE], &mut [f32; LEN]),
) {
    let (blocks, _) = bytes.as_chunks::<SIZE>();
    let (weights, _) = out.as_chunks_mut::<LEN>();
    for (block, weights) in blocks.iter().zip(weights) {
        decode(block, weights);
    }
}

pub(super) fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

fn q4_0(block: &[u8; 18], out: &mut [f32; QK]) {
    let scale = half(block);
    let (low, high) = out.split_at_mut(QK / 2);
    for ((low, high), q) in low.iter_mut().zip(high).zip(&block[2..]) {
        *low = scale * f32::from((q & 0xf) as i8 - 8);
        *high = scale * f32::from((q >> 4) as i8 - 8);
    }
}

fn q4_1(block: &[u8; 20], out: &mut [f32; QK]) {
    let (scale, minimum) = (half(block), half(&block[2..]));
    let (low, high) = out.split_at_mut(QK / 2);
    for ((low, high), q) in low.iter_mut().zip(high).zip(&block[4..]) {
        *low = scale * f32::from(q & 0xf) + minimum;
        *high = scale * f32::from(q >> 4) + minimum;
    }
}

/// The 5-bit values of a block of 32, from its fifth bits and low halves.
pub(super) fn five_bits(packed: &[u8]) -> [u8; QK] {
    let fifth = u32::from_le_bytes([packed[0], packed[1], packed[2], packed[3]]);
    let bit = |i: usize| ((fifth >> i) as u8 & 1) << 4;
    let mut values = [0; QK];
    for (i, q) in packed[4..].iter().enumerate() {
        values[i] = (q & 0xf) | bit(i);
        values[i + QK / 2] = (q >> 4) | bit(i + QK / 2);
    }
    values
}

fn q5_0(block: &[u8; 22], out: &mut [f32; QK]) {
    let scale = half(block);
    for (w, q) in out.iter_mut().zip(five_bits(&block[2..])) {
        *w = scale * f32::from(q as i8 - 16);
    }
}

fn q5_1(block: &[u8; 24], out: &mut [f32; QK]) {
    let (scale, minimum) = (half(block), half(&block[2..]));
    for (w, q) in out.iter_mut().zip(five_bits(&block[4..])) {
        *w = scale * f32::from(q) + minimum;
    }
}

fn q8_0(block: &[u8; 34], out: &mut [f32; QK]) {
    let scale = half(block);
    for (w, q) in out.iter_mut().zip(&block[2..]) {
        *w = scale * f32::from(*q as i8);
    }
}

/// Scale and minimum of sub-block `s`, each 6 bits: those of the first four lie in the low bits of bytes 0–3 and 4–7,
/// those of the last four in the halves of bytes 8–11, with their upper two bits on top of the first four's.
pub(super) fn scale_and_minimum(packed: &[u8], s: usize) -> (f32, f32) {
    let (scale, minimum) = if s < 4 {
        (packed[s] & 0x3f, packed[s + 4] & 0x3f)
    } else {
        let low = packed[s + 4];
        ((low & 0xf) | (packed[s - 4] >> 6) << 4, (low >> 4) | (packed[s] >> 6) << 4)
    };
    (f32::from(scale), f32::from(minimum))
}

fn q4_k(block: &[u8; 144], out: &mut [f32; QK_K]) {
    four_bit_runs(block, &block[4 + K_SCALES..], out, |_, _| 0);
}

fn q5_k(block: &[u8; 176], out: &mut [f32; QK_K]) {
    let fifth = &block[4 + K_SCALES..][..QK_K / 8];
    four_bit_runs(block, &block[4 + K_SCALES + QK_K / 8..], out, |s, i| (fifth[i] >> s & 1) << 4);
}

/// What Q4_K and Q5_K share; `upper` gives the bits above the low four of weight i of sub-block s.
fn four_bit_runs(block: &[u8], runs: &[u8], out: &mut [f32; QK_K], upper: impl Fn(usize, usize) -> u8) {
    let (scale, minimum) = (half(block), half(&block[2..]));
    let scales = &block[4..4 + K_SCALES];
    for (s, out) in out.chunks_exact_mut(QK).enumerate() {
        let (sub_scale, sub_minimum) = scale_and_minimum(scales, s);
        let (scale, minimum) = (scale * sub_scale, minimum * sub_minimum);
        let shift = 4 * (s % 2);
        for (i, (w, q)) in out.iter_mut().zip(&runs[s / 2 * QK..]).enumerate() {
            *w = scale * f32::from((q >> shift & 0xf) | upper(s, i)) - minimum;
        }
    }
}

fn q6_k(block: &[u8; 210], out: &mut [f32; QK_K]) {
    let (numbers, scale) = block.split_at(QK_K / 2 + QK_K / 4 + QK_K / 16);
    let (scale, scales) = (half(scale), &numbers[QK_K / 2 + QK_K / 4..]);
    for (i, w) in out.iter_mut().enumerate() {
        *w = scale * f32::from(scales[i / 16] as i8) * f32::from(q6_k_value(block, i));
    }
}

/// Weight i of a block of Q6_K before its scales.
pub(super) fn q6_k_value(block: &[u8], i: usize) -> i8 {
    let (half, quarter, i) = (i / 128, i / QK % 4, i % QK);
    let low = block[64 * half + QK * (quarter % 2) + i] >> (4 * (quarter / 2)) & 0xf;
    let upper = block[QK_K / 2 + QK * half + i] >> (2 * quarter) & 3;
    (low | upper << 4) as i8 - 32
}

/// The place of a NaN or an infinity, if there is one.
pub(super) fn non_finite(data: &[f32]) -> Option<usize> {
    data.par_iter().position_any(|value| !value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks and what the `gguf` package makes of them, by `tests/parity/make_gguf_blocks.py`.
    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/gguf_blocks.safetensors");

    const ENCODINGS: [(&str, u32); 11] = [
        ("F32", 0),
        ("F16", 1),
        ("Q4_0", 2),
        ("Q4_1", 3),
        ("Q5_0", 6),
        ("Q5_1", 7),
        ("Q8_0", 8),
        ("Q4_K", 12),
        ("Q5_K", 13),
        ("Q6_K", 14),
        ("BF16", 30),
    ];

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn every_encoding_gives_the_bits_of_the_reference() {
        let file = std::fs::read(REFERENCE).unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(file.len(), 2 * ENCODINGS.len());
        for (name, number) in ENCODINGS {
            let encoding = Encoding::from_ggml(number).unwrap();
            assert_eq!(encoding.ggml(), number);
            let blocks = file.tensor(&format!("{name}.blocks")).unwrap();
            let values = Encoding::F32.decode(file.tensor(&format!("{name}.values")).unwrap().data());
            assert_eq!(bits(&encoding.decode(blocks.data())), bits(&values), "{name}");
        }
    }

    /// The claim at the head of this file: one fused rounding gives what two steps give.
    #[test]
    fn products_are_exact() {
        for scale in (0..0x7c00u16).step_by(7).map(|bits| f16::from_bits(bits).to_f32()) {
            for s in [1.0, 37.0, 63.0, 127.0] {
                for q in [1.0, 15.0, 31.0] {
                    let exact = f64::from(scale) * s * q;
                    let (s, q) = (s as f32, q as f32);
                    assert_eq!(f64::from(scale * s * q), exact);
                    assert_eq!(f64::from(scale * (s * q)), exact);
                }
            }
        }
    }

    #[test]
    fn blocks_decode_alike_alone_and_over_many_tasks() {
        for (name, number) in ENCODINGS {
            let encoding = Encoding::from_ggml(number).unwrap();
            let (len, size) = (encoding.block_len(), encoding.block_bytes());
            let blocks = BLOCKS_A_TASK + 3;
            // A small byte repeated is a finite scale in every format.
            let bytes: Vec<u8> = (0..blocks * size).map(|i| (i / 7 % 59) as u8).collect();
            let whole = encoding.decode(&bytes);
            assert_eq!(whole.len(), blocks * len);
            for block in [0, 1, BLOCKS_A_TASK, blocks - 1] {
                let mut out = vec![f32::NAN; len];
                encoding.decode_into(&bytes[block * size..][..size], &mut out);
                assert_eq!(bits(&out), bits(&whole[block * len..][..len]), "{name}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "are not 31 weights")]
    fn a_row_of_another_length_is_refused() {
        Encoding::Q8_0.decode_into(&[0; 34], &mut [0.0; 31]);
    }

    #[test]
    fn non_finite_values_are_found() {
        assert_eq!(non_finite(&[1.0, f32::MAX, -0.0]), None);
        assert_eq!(non_finite(&[1.0, f32::NAN]), Some(1));
        assert_eq!(non_finite(&[f32::NEG_INFINITY]), Some(0));
    }
}
