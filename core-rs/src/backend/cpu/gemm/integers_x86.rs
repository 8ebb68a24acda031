//! Products of 8-bit integers with AVX-512 VNNI. The order and the rounding are those of the portable loops.

use super::blocks::Blocks;
use super::blocks_x86::{AHEAD, factors};
use super::integers::{ROWS, Rounded};
use super::kernel::PANEL;
use std::arch::x86_64::*;

/// Picks the kernel of this height.
///
/// # Safety
/// AVX-512 F, BW and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub unsafe fn tile(blocks: &Blocks, panel: usize, left: &Rounded, i: usize, sums: &mut [[f32; PANEL]]) {
    assert!(sums.len() <= ROWS && (i + sums.len()) * left.k <= left.integers.len());
    // SAFETY: the caller's promise, and the rows are there.
    unsafe {
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
}

/// # Safety
/// As [`tile`], and there are `M` rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn rows<const M: usize>(
    blocks: &Blocks,
    panel: usize,
    left: &Rounded,
    i: usize,
    sums: &mut [[f32; PANEL]],
) {
    let (k, run, size) = (left.k, left.run, blocks.run_bytes());
    let runs = k / run;
    let low = _mm512_set1_epi8(0x0f);
    // Weights are the unsigned operand: signed ones are moved up by 128, and the rows' sums take that back.
    let sign = _mm512_set1_epi8(-128);
    let mut total = [[_mm512_setzero_ps(); 2]; M];
    for r in 0..runs {
        let at = panel * runs + r;
        let words = &blocks.integers[at * 2 * size..][..2 * size];
        for line in (0..words.len()).step_by(64) {
            _mm_prefetch::<_MM_HINT_T0>(words.as_ptr().wrapping_add(AHEAD + line).cast());
        }
        let x = &left.integers[i * k + r * run..][..(M - 1) * k + run];
        let scales = factors(&blocks.scales, at * PANEL);
        let minimums = factors(&blocks.minimums, at * PANEL);
        // SAFETY: a run's words fill whole vectors, and its quads lie inside the rows.
        unsafe {
            let quad = |row: usize, q: usize| {
                _mm512_set1_epi32(x.as_ptr().add(row * k + 4 * q).cast::<i32>().read_unaligned())
            };
            let vector =
                |half: usize, v: usize| _mm512_loadu_si512(words.as_ptr().add(half * size + v * 64).cast());
            let mut dots = [[_mm512_setzero_si512(); 2]; M];
            if blocks.nibbles {
                for v in 0..run / 8 {
                    let both = [vector(0, v), vector(1, v)];
                    let first = both.map(|w| _mm512_and_si512(w, low));
                    let second = both.map(|w| _mm512_and_si512(_mm512_srli_epi16::<4>(w), low));
                    for (row, dots) in dots.iter_mut().enumerate() {
                        let (x0, x1) = (quad(row, 2 * v), quad(row, 2 * v + 1));
                        for (h, dot) in dots.iter_mut().enumerate() {
                            *dot = _mm512_dpbusd_epi32(*dot, first[h], x0);
                            *dot = _mm512_dpbusd_epi32(*dot, second[h], x1);
                        }
                    }
                }
            } else {
                for (row, dots) in dots.iter_mut().enumerate() {
                    *dots = [_mm512_set1_epi32(-128 * left.sums[(i + row) * runs + r]); 2];
                }
                for v in 0..run / 4 {
                    let both = [vector(0, v), vector(1, v)].map(|w| _mm512_xor_si512(w, sign));
                    for (row, dots) in dots.iter_mut().enumerate() {
                        let x = quad(row, v);
                        for (dot, w) in dots.iter_mut().zip(both) {
                            *dot = _mm512_dpbusd_epi32(*dot, w, x);
                        }
                    }
                }
            }
            for (row, (total, dots)) in total.iter_mut().zip(dots).enumerate() {
                let scale = left.scales[(i + row) * runs + r];
                let offset = _mm512_set1_ps(scale * left.sums[(i + row) * runs + r] as f32);
                let scale = _mm512_set1_ps(scale);
                for h in 0..2 {
                    let term = _mm512_mul_ps(_mm512_cvtepi32_ps(dots[h]), _mm512_mul_ps(scales[h], scale));
                    total[h] = _mm512_add_ps(total[h], term);
                    total[h] = _mm512_add_ps(total[h], _mm512_mul_ps(minimums[h], offset));
                }
            }
        }
    }
    for (total, sums) in total.iter().zip(sums) {
        for (h, &total) in total.iter().enumerate() {
            // SAFETY: half a panel has 16 columns.
            unsafe { _mm512_storeu_ps(sums.as_mut_ptr().add(16 * h), total) };
        }
    }
}
