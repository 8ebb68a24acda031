//! Quantised blocks taken apart: integers, and the scale and minimum of each run of them.

use super::dequantize::{Encoding, QK, QK_K, five_bits, half, q6_k_value, scale_and_minimum};

/// How a block format divides: a weight is `scale · q + minimum`, with one scale and one minimum for each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Runs {
    /// Weights of a run.
    pub len: usize,
    /// Whether every q lies in 0 … 15.
    pub nibbles: bool,
    /// Whether minimums are other than 0.
    pub minimums: bool,
    /// Whether f16 holds every scale and minimum.
    pub half: bool,
}

impl Encoding {
    /// How the format divides; `None` for plain numbers.
    pub(crate) fn runs(self) -> Option<Runs> {
        let runs = |len, nibbles, minimums, half| Some(Runs { len, nibbles, minimums, half });
        match self {
            Encoding::F32 | Encoding::F16 | Encoding::Bf16 => None,
            Encoding::Q4_0 => runs(QK, true, true, false),
            Encoding::Q4_1 => runs(QK, true, true, true),
            Encoding::Q5_0 | Encoding::Q8_0 => runs(QK, false, false, true),
            Encoding::Q5_1 => runs(QK, false, true, true),
            Encoding::Q4K => runs(QK, true, true, false),
            Encoding::Q5K => runs(QK, false, true, false),
            Encoding::Q6K => runs(16, false, false, false),
        }
    }

    /// Takes one block apart: `q` has the block's length, `scales` and `minimums` one entry a run.
    ///
    /// `scale · q` is exact in f32, so that one rounding, that of the sum, gives the bits of [`Encoding::decode_into`].
    ///
    /// # Panics
    /// For plain numbers, and where a slice is shorter.
    pub(crate) fn take_apart(self, block: &[u8], q: &mut [i8], scales: &mut [f32], minimums: &mut [f32]) {
        let nibbles = |packed: &[u8], q: &mut [i8]| {
            let (low, high) = q.split_at_mut(QK / 2);
            for ((low, high), packed) in low.iter_mut().zip(high).zip(&packed[..QK / 2]) {
                (*low, *high) = ((packed & 0xf) as i8, (packed >> 4) as i8);
            }
        };
        minimums.fill(0.0);
        match self {
            Encoding::F32 | Encoding::F16 | Encoding::Bf16 => panic!("{self:?} has no blocks"),
            Encoding::Q4_0 => {
                scales[0] = half(block);
                minimums[0] = -8.0 * scales[0];
                nibbles(&block[2..], q);
            }
            Encoding::Q4_1 => {
                (scales[0], minimums[0]) = (half(block), half(&block[2..]));
                nibbles(&block[4..], q);
            }
            Encoding::Q5_0 => {
                scales[0] = half(block);
                q.iter_mut().zip(five_bits(&block[2..])).for_each(|(q, x)| *q = x as i8 - 16);
            }
            Encoding::Q5_1 => {
                (scales[0], minimums[0]) = (half(block), half(&block[2..]));
                q.iter_mut().zip(five_bits(&block[4..])).for_each(|(q, x)| *q = x as i8);
            }
            Encoding::Q8_0 => {
                scales[0] = half(block);
                q.iter_mut().zip(&block[2..]).for_each(|(q, &x)| *q = x as i8);
            }
            Encoding::Q4K | Encoding::Q5K => {
                let (scale, minimum) = (half(block), half(&block[2..]));
                let (fifth, runs) = if self == Encoding::Q5K {
                    block[16..].split_at(QK_K / 8)
                } else {
                    (&block[..0], &block[16..])
                };
                for (s, q) in q.chunks_exact_mut(QK).enumerate() {
                    let (sub_scale, sub_minimum) = scale_and_minimum(&block[4..16], s);
                    (scales[s], minimums[s]) = (scale * sub_scale, -(minimum * sub_minimum));
                    for (i, (q, packed)) in q.iter_mut().zip(&runs[s / 2 * QK..]).enumerate() {
                        let upper = fifth.get(i).map_or(0, |bits| (bits >> s & 1) << 4);
                        *q = (packed >> (4 * (s % 2)) & 0xf | upper) as i8;
                    }
                }
            }
            Encoding::Q6K => {
                let (numbers, scale) = block.split_at(QK_K / 2 + QK_K / 4 + QK_K / 16);
                let sub_scales = &numbers[QK_K / 2 + QK_K / 4..];
                for (scale_of, &sub) in scales.iter_mut().zip(sub_scales) {
                    *scale_of = half(scale) * f32::from(sub as i8);
                }
                q.iter_mut().enumerate().for_each(|(i, q)| *q = q6_k_value(block, i));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_give_the_bits_of_the_whole() {
        for number in [2, 3, 6, 7, 8, 12, 13, 14] {
            let encoding = Encoding::from_ggml(number).unwrap();
            let Runs { len, nibbles, minimums, half } = encoding.runs().unwrap();
            let (weights, size) = (encoding.block_len(), encoding.block_bytes());
            let mut state = number;
            for _ in 0..200 {
                // Bytes below 0x78 make every f16 finite.
                let block: Vec<u8> = (0..size)
                    .map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (state >> 24) as u8 % 0x78
                    })
                    .collect();
                let mut whole = vec![0.0; weights];
                encoding.decode_into(&block, &mut whole);
                let (mut q, mut d, mut m) =
                    (vec![0; weights], vec![0.0; weights / len], vec![0.0; weights / len]);
                encoding.take_apart(&block, &mut q, &mut d, &mut m);
                for (i, &w) in whole.iter().enumerate() {
                    let q = q[i];
                    assert!(!nibbles || (0..16).contains(&q));
                    let (fused, plain) = (
                        d[i / len].mul_add(f32::from(q), m[i / len]),
                        d[i / len] * f32::from(q) + m[i / len],
                    );
                    assert_eq!((fused + 0.0, plain + 0.0), (w + 0.0, w + 0.0), "{encoding:?}");
                }
                assert!(minimums || m.iter().all(|&m| m == 0.0));
                let exact = |x: &f32| half::f16::from_f32(*x).to_f32() == *x;
                assert!(!half || d.iter().chain(&m).all(exact));
            }
        }
    }
}
