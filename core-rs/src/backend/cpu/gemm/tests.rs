//! Products against their definition, and the promises on bits.

use super::*;
use crate::weights::StoredTensor;
use crate::weights::dequantize::Encoding;
use half::bf16;

fn filled<E: Stored<f32>>(n: usize, seed: f64) -> Vec<E> {
    (0..n).map(|i| E::store(((i as f64 + 1.0) * seed).sin() as f32)).collect()
}

/// The definition, in f64.
fn slow<L: Stored<f32>, R: Stored<f32>>(
    (m, n, k): (usize, usize, usize),
    a: &View<L>,
    b: &View<R>,
) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            for p in 0..k {
                let x = a.data[i * a.row + p * a.column].load();
                let y = b.data[p * b.row + j * b.column].load();
                c[i * n + j] += f64::from(x) * f64::from(y);
            }
        }
    }
    c
}

const SHAPES: [(usize, usize, usize); 6] =
    [(1, 1, 1), (3, 5, 7), (13, 33, 300), (29, 130, 513), (400, 70, 20), (2, 64, 1025)];

fn agrees_with_the_definition<P: Product<Sum = f32>>() {
    for shape @ (m, n, k) in SHAPES {
        let (a, b) = (filled::<P::Left>(m * k, 0.7), filled::<P::Right>(k * n, 1.3));
        let wide: Vec<f32> = b.iter().map(|x| x.load()).collect();
        let layouts = || {
            [
                (View::rows(&a, k), View::rows(&b, n), View::rows(&wide, n)),
                (View::rows(&a, k), View::columns(&b, k), View::columns(&wide, k)),
                (View::columns(&a, m), View::rows(&b, n), View::rows(&wide, n)),
            ]
        };
        for (left, right, wide) in layouts() {
            let expected = slow(shape, &left, &right);
            let packed = Packed::<P>::new(right, k, n);
            let left = || View { ..left };
            let mut first: Option<Vec<f32>> = None;
            for right in [Right::View(right), Right::Wide(wide), Right::Packed(&packed, 0)] {
                let mut c = vec![0.0; m * n];
                gemm::<P, f32>(shape, left(), right, &mut c, n, Store::Replace);
                assert_eq!(first.get_or_insert_with(|| c.clone()), &c, "{shape:?}");
                let mut parallel = vec![0.0; m * n];
                gemm_parallel::<P, f32>(shape, left(), right, &mut parallel, n, Store::Replace);
                assert_eq!(c, parallel, "{shape:?}");
                let mut twice = c.clone();
                gemm::<P, f32>(shape, left(), right, &mut twice, n, Store::Add);
                let mut narrow = vec![bf16::ZERO; m * n];
                gemm_parallel::<P, bf16>(shape, left(), right, &mut narrow, n, Store::Replace);
                for (i, &e) in expected.iter().enumerate() {
                    assert!((f64::from(c[i]) - e).abs() < 1e-4, "{shape:?} {} against {e}", c[i]);
                    assert!((f64::from(twice[i]) - 2.0 * e).abs() < 2e-4);
                    assert_eq!(narrow[i], bf16::from_f32(c[i]));
                }
            }
        }
    }
}

#[test]
fn every_layout_agrees_with_the_definition() {
    agrees_with_the_definition::<Full<f32>>();
    agrees_with_the_definition::<Bf16>();
    agrees_with_the_definition::<Widened>();
}

fn rows_do_not_depend_on_the_batch<P: Product<Sum = f32>>() {
    let (k, n) = (600, 100);
    let (a, b) = (filled::<P::Left>(40 * k, 0.3), filled::<P::Right>(k * n, 0.9));
    let packed = Packed::<P>::new(View::columns(&b, k), k, n);
    let mut all = vec![0.0; 40 * n];
    let right = Right::View(View::columns(&b, k));
    gemm_parallel::<P, f32>((40, n, k), View::rows(&a, k), right, &mut all, n, Store::Replace);
    for rows in [1, 3, 16, 39] {
        let mut some = vec![0.0; rows * n];
        let right = Right::Packed(&packed, 0);
        gemm::<P, f32>((rows, n, k), View::rows(&a, k), right, &mut some, n, Store::Replace);
        assert_eq!(some, all[..rows * n]);
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_batch() {
    rows_do_not_depend_on_the_batch::<Full<f32>>();
    rows_do_not_depend_on_the_batch::<Bf16>();
    rows_do_not_depend_on_the_batch::<Widened>();
}

/// Values grow along k, and where a path is cut into segments must not matter.
#[test]
fn a_chain_may_be_cut_anywhere() {
    let (m, n, k) = (5, 48, 301);
    let (a, b) = (filled::<f32>(m * k, 0.3), filled::<bf16>(k * n, 0.9));
    let mut whole = vec![0.0; m * n];
    let right = |from: usize, to: usize| Packed::<Widened>::new(View::rows(&b[from * n..], n), to - from, n);
    let all = right(0, k);
    let a_rows = View::rows(&a, k);
    gemm::<Widened, f32>((m, n, k), a_rows, Right::Packed(&all, 0), &mut whole, n, Store::Continue);
    for cut in [1, 2, 127, 128, 200] {
        let mut c = vec![0.0; m * n];
        for (from, to) in [(0, cut), (cut, k)] {
            let part = right(from, to);
            let left = View::rows(&a[from..], k);
            gemm::<Widened, f32>(
                (m, n, to - from),
                left,
                Right::Packed(&part, 0),
                &mut c,
                n,
                Store::Continue,
            );
        }
        assert_eq!(c, whole, "cut at {cut}");
    }
}

fn grows_as_it_is_packed<P: Product<Sum = f32>>() {
    let (k, n) = (70, 50);
    let b = filled::<P::Right>(k * n, 0.4);
    let a = filled::<P::Left>(3 * k, 0.8);
    let product = |p: &Packed<P>| {
        let mut c = vec![0.0; 3 * n];
        gemm::<P, f32>((3, n, k), View::rows(&a, k), Right::Packed(p, 0), &mut c, n, Store::Replace);
        c
    };
    let whole = product(&Packed::new(View::rows(&b, n), k, n));
    for (rows, columns) in [(0, 0), (7, 20), (k, n), (k + 9, n + 9)] {
        let room = |packed: &Packed<P>| packed.bytes();
        let mut by_column = Packed::with_columns(k, columns);
        let before = room(&by_column);
        for j in 0..n {
            by_column.push_column(&(0..k).map(|p| b[p * n + j]).collect::<Vec<_>>());
        }
        assert_eq!(whole, product(&by_column));
        assert!(columns < n || room(&by_column) == before, "room that was asked for is enough");
        if P::GROUP == 1 {
            let mut by_row = Packed::with_rows(rows, n);
            let before = room(&by_row);
            b.chunks(n).for_each(|row| by_row.push_row(row));
            assert_eq!(whole, product(&by_row));
            assert!(rows < k || room(&by_row) == before, "room that was asked for is enough");
        }
    }
}

#[test]
fn a_grown_matrix_equals_a_packed_one() {
    grows_as_it_is_packed::<Full<f32>>();
    grows_as_it_is_packed::<Bf16>();
    grows_as_it_is_packed::<Widened>();
}

/// Random blocks whose f16 scales are finite: their bytes are below 0x78.
fn random_blocks(encoding: Encoding, weights: usize) -> Vec<u8> {
    let mut state = weights as u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 % 0x78
    };
    (0..weights / encoding.block_len() * encoding.block_bytes()).map(|_| byte()).collect()
}

fn multiplies_blocks_as_their_values<P: Product<Sum = f32>>(encoding: Encoding) {
    let (n, k) = (70, 768);
    let bytes = random_blocks(encoding, n * k);
    let stored = StoredTensor::of_blocks(encoding, [n, k], &bytes);
    let values = stored.decode().unwrap().data;
    let blocks = Blocks::transposed(&stored).unwrap().expect("a quantised format");
    let packed = Packed::<P>::new(View::columns(&values, k), k, n);
    let a = filled::<P::Left>(40 * k, 0.3);
    for rows in [1, 2, 8, 9, 40] {
        for into in [Store::Replace, Store::Add] {
            let product = |right| {
                let mut c = filled::<f32>(rows * n, 0.8);
                gemm_parallel::<P, f32>((rows, n, k), View::rows(&a, k), right, &mut c, n, into);
                c
            };
            let (expected, found) = (product(Right::Packed(&packed, 0)), product(Right::Blocks(&blocks, 0)));
            assert_eq!(expected, found, "{encoding:?}, {rows} rows, {into:?}");
        }
        let from = |right: Right<P>| {
            let mut c = vec![bf16::ZERO; rows * (n - PANEL)];
            let right = right.from_column(PANEL);
            gemm::<P, bf16>(
                (rows, n - PANEL, k),
                View::rows(&a, k),
                right,
                &mut c,
                n - PANEL,
                Store::Replace,
            );
            c
        };
        assert_eq!(from(Right::Packed(&packed, 0)), from(Right::Blocks(&blocks, 0)));
    }
    for j in [0, 33, n - 1] {
        let mut column = vec![0.0_f32; k];
        blocks.column(j, &mut column);
        assert_eq!(column, values[j * k..(j + 1) * k]);
    }
}

#[test]
fn quantised_weights_give_the_bits_of_their_values() {
    for number in [2, 3, 6, 7, 8, 12, 13, 14] {
        let encoding = Encoding::from_ggml(number).unwrap();
        multiplies_blocks_as_their_values::<Full<f32>>(encoding);
        multiplies_blocks_as_their_values::<Bf16>(encoding);
    }
}

#[test]
fn a_scale_that_is_not_finite_is_refused() {
    let encoding = Encoding::from_ggml(8).unwrap();
    let mut bytes = random_blocks(encoding, 64);
    bytes[34..36].copy_from_slice(&half::f16::NAN.to_le_bytes());
    let error = Blocks::transposed(&StoredTensor::of_blocks(encoding, [2, 32], &bytes)).err().unwrap();
    assert!(error.to_string().contains("\"blocks\" holds \"NaN\" at 32"), "{error}");
}

#[test]
fn no_rows_and_no_columns_are_no_work() {
    let (k, weight) = (32, vec![0.5_f32; 32 * 40]);
    let integers = Blocks::rounded(&weight, k).unwrap();
    let mut c = vec![1.0_f32; 80];
    let x = vec![0.25_f32; 2 * k];
    let wide = || Right::<Full<f32>>::Wide(View::columns(&weight, k));
    for (m, n) in [(0, 40), (2, 0)] {
        let (first, second) = c.split_at_mut(40);
        let outputs = vec![
            Output { right: Right::Integers(&integers, 0), n, c: first, stride: 40 },
            Output { right: wide(), n, c: second, stride: 40 },
        ];
        gemms_parallel((m, k), View::rows(&x, k), outputs, Store::Replace);
        gemm_parallel((m, n, k), View::rows(&x, k), wide(), &mut c, 40, Store::Replace);
    }
    assert!(c.iter().all(|&x| x == 1.0));
}
