//! Matrix products: by our own kernel, which adds in one order, or by the device's library.

use super::device::{Array, Device, args, launch};
use super::driver::{Format, Grid, Operand, Product};
use super::element::Element;
use super::kernels::{Activation, Kernel, Module};
use crate::Result;
use crate::backend::{Arithmetic, Store};

/// How both sides are stored, by the letters of BLAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Activations by a weight's transpose.
    Nt,
    /// Gradients by a weight.
    Nn,
    /// Gradients' transpose by activations.
    Tn,
}

/// A variant of the kernel: the part of the result that a block makes.
#[derive(Debug)]
pub(super) struct Tile {
    name: &'static str,
    rows: usize,
    columns: usize,
    threads: u32,
    /// Steps that are in shared memory at once; 0 where it is not dynamic.
    stages: usize,
}

macro_rules! tiles {
    ($form:literal: $($rows:literal by $columns:literal, $threads:literal, $stages:literal;)*) => {
        &[$(Tile {
            name: concat!("product_", $form, "_", $rows, "x", $columns),
            rows: $rows,
            columns: $columns,
            threads: $threads,
            stages: $stages,
        }),*]
    };
}

/// Terms of a step of the kernel for bf16.
const TERMS: usize = 64;
/// Terms that one block adds where gradients of a weight are split; fixed, as is whether they are.
const SPAN: usize = 2048;
/// Elements of a gradient above which its tiles alone keep a device busy.
const SPLIT_BELOW: usize = 1 << 20;
/// What the kernel is told, as it names it.
const A_IN_CHUNKS: u32 = 1;
const B_IN_CHUNKS: u32 = 2;
const C_IN_PAIRS: u32 = 4;
const C_IS_FULL: u32 = 8;
const ADDS: u32 = 16;
/// A multiprocessor's bytes from the second-level cache, and multiplications of bf16 and of f32, in a clock cycle: near
/// enough to choose a tile by.
const BYTES: f64 = 64.0;
const MULTIPLICATIONS: [f64; 2] = [1200.0, 100.0];

/// The variants for a form, the largest first.
pub(super) fn tiles(operands: Format, form: Form) -> &'static [Tile] {
    match (operands, form) {
        (Format::Bf16, Form::Nt) => tiles! { "nt":
            128 by 128, 128, 3; 64 by 128, 128, 4; 32 by 128, 128, 4; 16 by 128, 128, 5;
            32 by 32, 128, 8; 16 by 32, 128, 8; 16 by 16, 64, 12;
        },
        (Format::Bf16, Form::Nn) => tiles! { "nn": 128 by 128, 128, 3; 64 by 64, 128, 4; },
        (Format::Bf16, Form::Tn) => tiles! { "tn": 128 by 128, 128, 3; 64 by 64, 128, 4; },
        (Format::F32, Form::Nt) => tiles! { "nt": 128 by 64, 256, 0; 64 by 64, 256, 0; 16 by 64, 256, 0; },
        (Format::F32, Form::Nn) => tiles! { "nn": 128 by 64, 256, 0; 64 by 64, 256, 0; },
        (Format::F32, Form::Tn) => tiles! { "tn": 128 by 64, 256, 0; 64 by 64, 256, 0; },
    }
}

impl Tile {
    fn blocks(&self, m: usize, n: usize) -> usize {
        m.div_ceil(self.rows) * n.div_ceil(self.columns)
    }

    /// Cycles a term of k, about, on so many multiprocessors.
    fn cost(&self, operands: Format, blocks: usize, multiprocessors: usize) -> f64 {
        let (bytes, rate) = match operands {
            Format::Bf16 => (2, MULTIPLICATIONS[0]),
            Format::F32 => (4, MULTIPLICATIONS[1]),
        };
        let loads = ((self.rows + self.columns) * bytes) as f64 / BYTES;
        let sums = (self.rows * self.columns) as f64 / rate;
        blocks.div_ceil(multiprocessors) as f64 * loads.max(sums)
    }
}

/// Multiplies, in whatever form the driver's library does but for two transposed sides.
pub fn product(device: &Device, arithmetic: Arithmetic, product: &Product) -> Result<()> {
    let [m, n, k] = product.shape;
    if m == 0 || n == 0 || (k == 0 && product.add) {
        return Ok(());
    }
    if arithmetic == Arithmetic::Fast && k > 0 {
        return device.product(product);
    }
    let form = form(product);
    let spans = if form == Form::Tn && m * n < SPLIT_BELOW { k.div_ceil(SPAN).max(1) } else { 1 };
    let multiprocessors = device.multiprocessors();
    let cost = |tile: &Tile| tile.cost(product.operands, tile.blocks(m, n) * spans, multiprocessors);
    let tile = tiles(product.operands, form).iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
    tile.map_or(Ok(()), |tile| by_tiles(device, tile, spans, product))
}

fn form(product: &Product) -> Form {
    match (product.a.transposed, product.b.transposed) {
        (false, true) => Form::Nt,
        (false, false) => Form::Nn,
        (true, false) => Form::Tn,
        (true, true) => unreachable!("no operation multiplies two transposed matrices"),
    }
}

/// As [`product`], by a certain variant of our kernel, and with as many spans of k.
pub(super) fn by_tiles(device: &Device, tile: &Tile, spans: usize, product: &Product) -> Result<()> {
    let [m, n, k] = product.shape;
    let Product { a, b, c, .. } = product;
    let activation = match product.operands {
        Format::F32 => Activation::F32,
        Format::Bf16 => Activation::Bf16,
    };
    let kernel = |name| Kernel { module: Module::new("product", activation), name };
    let bit = |flag: u32, set: bool| if set { flag } else { 0 };
    let in_chunks = |side: &Operand| side.at.is_multiple_of(16) && side.stride.is_multiple_of(8);
    let size = if product.result == Format::F32 { 4 } else { 2 };
    let in_pairs = |side: &Operand| side.at.is_multiple_of(2 * size) && side.stride.is_multiple_of(2);
    let adds = bit(ADDS, product.add);
    let parts = match spans {
        1 => None,
        _ => Some(Array::<f32>::unspecified(device, spans * m * n)?),
    };
    let to = parts.as_ref().map_or(*c, |parts| rows(parts, n));
    let flags = bit(A_IN_CHUNKS, in_chunks(a))
        | bit(B_IN_CHUNKS, in_chunks(b))
        | bit(C_IN_PAIRS, in_pairs(&to))
        | bit(C_IS_FULL, product.result == Format::F32)
        | bit(adds, parts.is_none());
    let grid = Grid::of([tile.blocks(m, n), spans, 1], tile.threads)
        .shared(tile.stages * (tile.rows + tile.columns) * TERMS * size_of::<half::bf16>());
    let [rows, columns, terms] = [m, n, k].map(|x| x as u32);
    let span = if spans == 1 { terms } else { SPAN as u32 };
    launch(
        device,
        kernel(tile.name),
        grid,
        args![a.at, a.stride, b.at, b.stride, to.at, to.stride, rows, columns, terms, span, flags],
    )?;
    let Some(parts) = parts else { return Ok(()) };
    let args = args![&parts, spans as u32, c.at, c.stride, rows, columns, adds];
    launch(device, kernel("product_of_spans"), Grid::cover(m * n), args)
}

/// Rows of a matrix of `width` columns, for a product.
pub(super) fn rows<T: bytemuck::Pod>(matrix: &Array<T>, width: usize) -> Operand {
    Operand { at: matrix.address(), stride: width, transposed: false }
}

/// The transpose of [`rows`].
pub(super) fn columns<T: bytemuck::Pod>(matrix: &Array<T>, width: usize) -> Operand {
    Operand { transposed: true, ..rows(matrix, width) }
}

fn adds(store: Store) -> bool {
    assert!(store != Store::Continue, "a product on the device cannot go on with another's chain");
    store == Store::Add
}

/// y (rows × out) = or += x (rows × inputs) · weightᵀ; see [`crate::backend::Backend::linears`] and
/// [`crate::backend::Backend::linear_into`].
pub fn linear<A: Element, R: Element>(
    arithmetic: Arithmetic,
    x: &Array<A>,
    weight: &Array<A>,
    inputs: usize,
    y: &mut Array<R>,
    store: Store,
) -> Result<()> {
    let outputs = weight.len() / inputs;
    let shape = [x.len() / inputs, outputs, inputs];
    assert_eq!(y.len(), shape[0] * outputs, "the result is of another shape");
    let (a, b, c) = (rows(x, inputs), columns(weight, inputs), rows(y, outputs));
    let add = adds(store);
    let task = Product { shape, operands: A::FORMAT, a, b, c, result: R::FORMAT, add };
    product(x.device(), arithmetic, &task)
}

/// See [`crate::backend::Backend::linear_dx`].
pub fn linear_dx<A: Element>(
    arithmetic: Arithmetic,
    d_y: &Array<A>,
    weight: &Array<A>,
    inputs: usize,
    d_x: &mut Array<f32>,
    store: Store,
) -> Result<()> {
    let outputs = weight.len() / inputs;
    let shape = [d_x.len() / inputs, inputs, outputs];
    assert_eq!(d_y.len(), shape[0] * outputs, "the gradients are of another shape");
    let (a, b, c) = (rows(d_y, outputs), rows(weight, inputs), rows(d_x, inputs));
    let add = adds(store);
    let task = Product { shape, operands: A::FORMAT, a, b, c, result: Format::F32, add };
    product(d_x.device(), arithmetic, &task)
}

/// See [`crate::backend::Backend::linear_dw`].
pub fn linear_dw<A: Element>(
    arithmetic: Arithmetic,
    x: &Array<A>,
    d_y: &Array<A>,
    inputs: usize,
    d_weight: &mut Array<f32>,
) -> Result<()> {
    let outputs = d_weight.len() / inputs;
    let shape = [outputs, inputs, x.len() / inputs];
    assert_eq!(d_y.len(), shape[2] * outputs, "the gradients are of another shape");
    let (a, b, c) = (columns(d_y, outputs), rows(x, inputs), rows(d_weight, inputs));
    let task = Product { shape, operands: A::FORMAT, a, b, c, result: Format::F32, add: true };
    product(d_weight.device(), arithmetic, &task)
}
