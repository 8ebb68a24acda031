//! Products, by every variant of the kernel and by the library.

use super::super::device::{Array, Device};
use super::super::driver::{Format, Operand, Product};
use super::super::element::Element;
use super::super::product::{Form, by_tiles, linear, linear_dw, linear_dx, product, tiles};
use super::{activations, close, device, put, tolerance, values};
use crate::backend::{Arithmetic, Store};
use half::bf16;

const FORMS: [Form; 3] = [Form::Nt, Form::Nn, Form::Tn];

/// A matrix of which a product reads `at`, with elements around it that it must not read.
struct Side<A> {
    /// rows × columns, as the product reads it.
    values: Vec<A>,
    memory: Array<A>,
    at: Operand,
}

fn side<A: Element>(
    device: &Device,
    (rows, columns): (usize, usize),
    transposed: bool,
    pad: usize,
) -> Side<A> {
    let values: Vec<A> = activations(&values(rows * columns, (rows * 31 + columns) as u32));
    let (high, wide) = if transposed { (columns, rows) } else { (rows, columns) };
    let stride = wide + pad;
    let mut stored = vec![A::of(f32::NAN); high * stride + pad];
    for i in 0..rows {
        for j in 0..columns {
            let (row, column) = if transposed { (j, i) } else { (i, j) };
            stored[pad + row * stride + column] = values[i * columns + j];
        }
    }
    let memory = put(device, &stored);
    let at = Operand { at: memory.part(pad..stored.len()).address(), stride, transposed };
    Side { values, memory, at }
}

fn reference<A: Element>(a: &[A], b: &[A], [m, n, k]: [usize; 3]) -> Vec<f32> {
    let wide = |x: &[A]| -> Vec<f64> { x.iter().map(|x| f64::from(x.widen())).collect() };
    let (a, b) = (wide(a), wide(b));
    let element = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum::<f64>() as f32;
    (0..m * n).map(|at| element(at / n, at % n)).collect()
}

/// The result of a product that is told to replace or add to a matrix of ones with so many more columns.
fn multiplied<A: Element, R: Element>(
    device: &Device,
    (a, b): (&Side<A>, &Side<A>),
    shape: [usize; 3],
    (pad, add): (usize, bool),
    by: impl Fn(&Product),
) -> Vec<R> {
    let [m, n, _] = shape;
    let stride = n + pad;
    let c = put(device, &vec![R::of(1.0); pad + m * stride]);
    let at = Operand { at: c.part(pad..c.len()).address(), stride, transposed: false };
    by(&Product { shape, operands: A::FORMAT, a: a.at, b: b.at, c: at, result: R::FORMAT, add });
    let found = c.download().unwrap();
    let (mut inside, mut outside) = (Vec::new(), found[..pad].to_vec());
    for row in found[pad..].chunks(stride) {
        inside.extend_from_slice(&row[..n]);
        outside.extend_from_slice(&row[n..]);
    }
    assert!(outside.iter().all(|x| x.widen() == 1.0), "a product wrote beside its result");
    inside
}

fn every_tile<A: Element + PartialEq>() {
    let Some(device) = device() else { return };
    for form in FORMS {
        for tile in tiles(A::FORMAT, form) {
            for (shape, pad) in
                [([1, 1, 1], 0), ([3, 5, 7], 1), ([33, 40, 72], 8), ([17, 130, 65], 3), ([130, 24, 200], 0)]
            {
                let [m, n, k] = shape;
                let a = side::<A>(&device, (m, k), form == Form::Tn, pad);
                let b = side::<A>(&device, (k, n), form == Form::Nt, pad);
                let expected = reference(&a.values, &b.values, shape);
                let what = format!("{tile:?} {shape:?}");
                for add in [false, true] {
                    let by = |task: &Product| by_tiles(&device, tile, 1, task).unwrap();
                    let expected: Vec<f32> = expected.iter().map(|x| x + f32::from(u8::from(add))).collect();
                    let full: Vec<f32> = multiplied(&device, (&a, &b), shape, (pad, add), by);
                    close(&what, &full, &expected, 1e-5);
                    let narrow: Vec<A> = multiplied(&device, (&a, &b), shape, (pad, add), by);
                    let rounded: Vec<A> = activations(&full);
                    assert!(narrow == rounded, "{what}: the rounded sums are not the sums, rounded");
                }
                assert_eq!(a.memory.len().min(b.memory.len()).min(1), 1);
            }
        }
    }
}

#[test]
fn every_tile_multiplies() {
    every_tile::<f32>();
    every_tile::<bf16>();
}

/// The bits of row 0 of a product, of which the left side has so many rows.
fn first_row<A: Element>(
    device: &Device,
    x: &[A],
    w: &Array<A>,
    rows: usize,
    [n, k]: [usize; 2],
    tile: usize,
) -> Vec<u32> {
    let x = put(device, &x[..rows * k]);
    let operand = |array: &Array<A>, transposed| Operand { at: array.address(), stride: k, transposed };
    let y = Array::<f32>::unspecified(device, rows * n).unwrap();
    let c = Operand { at: y.address(), stride: n, transposed: false };
    let (a, b) = (operand(&x, false), operand(w, true));
    let task = Product { shape: [rows, n, k], operands: A::FORMAT, a, b, c, result: Format::F32, add: false };
    by_tiles(device, &tiles(A::FORMAT, Form::Nt)[tile], 1, &task).unwrap();
    y.download().unwrap()[..n].iter().map(|x| x.to_bits()).collect()
}

fn rows_alone<A: Element>() {
    let Some(device) = device() else { return };
    for [n, k] in [[45, 136], [33, 203]] {
        let x: Vec<A> = activations(&values(200 * k, 5));
        let w = put(&device, &activations::<A>(&values(n * k, 6)));
        let alone = first_row(&device, &x, &w, 1, [n, k], 0);
        for tile in 0..tiles(A::FORMAT, Form::Nt).len() {
            for rows in [1, 3, 16, 17, 200] {
                let found = first_row(&device, &x, &w, rows, [n, k], tile);
                assert!(found == alone, "tile {tile}, {rows} rows of {n} × {k}");
            }
        }
    }
}

#[test]
fn a_row_has_its_bits_in_any_tile_among_any_others() {
    rows_alone::<f32>();
    rows_alone::<bf16>();
}

fn linears<A: Element>(arithmetic: Arithmetic) {
    let Some(device) = device() else { return };
    for [rows, inputs, outputs] in [[0, 8, 4], [1, 24, 40], [37, 33, 19], [70, 64, 136]] {
        let x: Vec<A> = activations(&values(rows * inputs, 1));
        let w: Vec<A> = activations(&values(outputs * inputs, 2));
        let d_y: Vec<A> = activations(&values(rows * outputs, 3));
        let turn = |x: &[A], width: usize| -> Vec<A> {
            let height = x.len() / width;
            (0..x.len()).map(|i| x[i % height * width + i / height]).collect()
        };
        let [on_x, on_w, on_d] = [&x, &w, &d_y].map(|x| put(&device, x));

        let y = reference(&x, &turn(&w, inputs), [rows, outputs, inputs]);
        let mut narrow = Array::<A>::unspecified(&device, y.len()).unwrap();
        linear(arithmetic, &on_x, &on_w, inputs, &mut narrow, Store::Replace).unwrap();
        close("y", &narrow.download().unwrap(), &y, tolerance::<A>());
        let mut full = put(&device, &vec![2.0_f32; y.len()]);
        linear(arithmetic, &on_x, &on_w, inputs, &mut full, Store::Add).unwrap();
        let more = |x: Vec<f32>| -> Vec<f32> { x.into_iter().map(|x| x + 2.0).collect() };
        close("y, added", &full.download().unwrap(), &more(y), 1e-5);

        let expected = reference(&d_y, &w, [rows, inputs, outputs]);
        let mut d_x = Array::<f32>::unspecified(&device, expected.len()).unwrap();
        linear_dx(arithmetic, &on_d, &on_w, inputs, &mut d_x, Store::Replace).unwrap();
        close("d_x", &d_x.download().unwrap(), &expected, 1e-5);

        let mut d_w = put(&device, &vec![2.0_f32; w.len()]);
        linear_dw(arithmetic, &on_x, &on_d, inputs, &mut d_w).unwrap();
        let expected = reference(&turn(&d_y, outputs), &x, [outputs, inputs, rows]);
        close("d_weight", &d_w.download().unwrap(), &more(expected), 1e-5);
    }
}

#[test]
fn linears_by_both_arithmetics() {
    for arithmetic in [Arithmetic::Exact, Arithmetic::Fast] {
        linears::<f32>(arithmetic);
        linears::<bf16>(arithmetic);
    }
}

fn spans<A: Element>() {
    let Some(device) = device() else { return };
    let shape = [5, 9, 4500];
    let a = side::<A>(&device, (shape[0], shape[2]), true, 0);
    let b = side::<A>(&device, (shape[2], shape[1]), false, 0);
    let expected: Vec<f32> = reference(&a.values, &b.values, shape).into_iter().map(|x| x + 1.0).collect();
    let by = |task: &Product| product(&device, Arithmetic::Exact, task).unwrap();
    close("spans", &multiplied::<A, f32>(&device, (&a, &b), shape, (2, true), by), &expected, 1e-4);
}

#[test]
fn many_tokens_are_added_in_spans() {
    spans::<f32>();
    spans::<bf16>();
}
