//! Products of 8-bit integers with simd128. The order and the rounding are those of the portable loops.

use super::blocks::{Blocks, LANES, VECTOR};
use super::blocks_wasm::{GROUPS, WIDTH, factors};
use super::integers::{ROWS, Rounded};
use super::kernel::PANEL;
use std::arch::wasm32::*;

/// Picks the kernel of this height.
pub fn tile(blocks: &Blocks, panel: usize, left: &Rounded, i: usize, sums: &mut [[f32; PANEL]]) {
    assert!(sums.len() <= ROWS);
    match sums.len() {
        0 => {}
        1 => rows::<1>(blocks, panel, left, i, sums),
        2 => rows::<2>(blocks, panel, left, i, sums),
        3 => rows::<3>(blocks, panel, left, i, sums),
        4 => rows::<4>(blocks, panel, left, i, sums),
        5 => rows::<5>(blocks, panel, left, i, sums),
        _ => rows::<6>(blocks, panel, left, i, sums),
    }
}

/// The sums of two neighbouring products of 4 × 2 columns: a quad's first and last pair stand side by side.
type Pairs = [v128; 2];

/// Adds the products of four columns' words with one quad: bytes go to 16 bits, and pairs of products to 32.
#[inline(always)]
fn add(pairs: &mut Pairs, low: v128, high: v128, quad: v128) {
    pairs[0] = i32x4_add(pairs[0], i32x4_dot_i16x8(low, quad));
    pairs[1] = i32x4_add(pairs[1], i32x4_dot_i16x8(high, quad));
}

fn rows<const M: usize>(blocks: &Blocks, panel: usize, left: &Rounded, i: usize, sums: &mut [[f32; PANEL]]) {
    let (quads_a_row, run, size) = (left.k / 4, left.run, blocks.run_bytes());
    let runs = left.k / run;
    let nibble = u8x16_splat(0x0f);
    let quads: [&[[i16; 8]]; M] =
        std::array::from_fn(|row| &left.quads[(i + row) * quads_a_row..][..quads_a_row]);
    let mut total = [[f32x4_splat(0.0); GROUPS]; M];
    for r in 0..runs {
        let at = panel * runs + r;
        let words = &blocks.integers[at * 2 * size..][..2 * size];
        let scales = factors(&blocks.scales, at * PANEL);
        let minimums = factors(&blocks.minimums, at * PANEL);
        let quads: [&[[i16; 8]]; M] = std::array::from_fn(|row| &quads[row][r * run / 4..][..run / 4]);
        let quad = |row: usize, q: usize| {
            // SAFETY: any 16 bytes are a vector.
            unsafe { v128_load(quads[row][q].as_ptr().cast()) }
        };
        for group in 0..GROUPS {
            let first = group / (LANES / WIDTH) * size + group % (LANES / WIDTH) * 16;
            let mut pairs = [[i32x4_splat(0); 2]; M];
            for (v, vector) in words[first..].chunks(VECTOR).take(size / VECTOR).enumerate() {
                // SAFETY: a group's words are 16 bytes, which the slice was cut to hold.
                let bytes = unsafe { v128_load(vector[..16].as_ptr().cast()) };
                if blocks.nibbles {
                    let even = v128_and(bytes, nibble);
                    let odd = u8x16_shr(bytes, 4);
                    let (e0, e1) = (i16x8_extend_low_u8x16(even), i16x8_extend_high_u8x16(even));
                    let (o0, o1) = (i16x8_extend_low_u8x16(odd), i16x8_extend_high_u8x16(odd));
                    for (row, pairs) in pairs.iter_mut().enumerate() {
                        add(pairs, e0, e1, quad(row, 2 * v));
                        add(pairs, o0, o1, quad(row, 2 * v + 1));
                    }
                } else {
                    let (low, high) = (i16x8_extend_low_i8x16(bytes), i16x8_extend_high_i8x16(bytes));
                    for (row, pairs) in pairs.iter_mut().enumerate() {
                        add(pairs, low, high, quad(row, v));
                    }
                }
            }
            for (row, (total, [a, b])) in total.iter_mut().zip(pairs).enumerate() {
                let dots = i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b));
                let scale = left.scales[(i + row) * runs + r];
                let offset = f32x4_splat(scale * left.sums[(i + row) * runs + r] as f32);
                let term = f32x4_mul(f32x4_convert_i32x4(dots), f32x4_mul(scales[group], f32x4_splat(scale)));
                total[group] = f32x4_add(total[group], term);
                total[group] = f32x4_add(total[group], f32x4_mul(minimums[group], offset));
            }
        }
    }
    for (total, sums) in total.iter().zip(sums) {
        for (&total, sums) in total.iter().zip(sums.chunks_exact_mut(WIDTH)) {
            // SAFETY: a group has four columns.
            unsafe { v128_store(sums.as_mut_ptr().cast(), total) };
        }
    }
}
