//! Norms of rows and of heads, and sums over rows.

use super::device::{Array, args, launch};
use super::driver::{Arg, Grid};
use super::element::Element;
use super::kernels::{Kernel, Module};
use crate::Result;

/// Threads of a block.
const THREADS: u32 = 256;
/// Rows of a narrow kind that a block takes: a warp each.
const WARPS: usize = 8;
/// Most spans of rows that are added up side by side. Fixed, because a sum's bits depend on where spans end.
const SPANS: usize = 64;
/// Fewest rows of a span, unless there are fewer.
const SPAN: usize = 32;

fn kernel<A: Element>(name: &'static str) -> Kernel {
    Kernel { module: Module::new("rowwise", A::ACTIVATION), name }
}

/// See [`crate::backend::Backend::rms_norm`].
pub fn rms_norm<A: Element>(
    x: &Array<f32>,
    weight: &Array<f32>,
    epsilon: f64,
    y: &mut Array<A>,
    rstd: &mut Array<f32>,
) -> Result<()> {
    let (rows, width) = (rstd.len(), weight.len() as u32);
    let args = args![x, weight, epsilon as f32, width, y, rstd];
    launch(x.device(), kernel::<A>("rms_norm"), Grid::new(rows, THREADS), args)
}

/// See [`crate::backend::Backend::rms_norm_backward`].
pub fn rms_norm_backward<A: Element>(
    x: &Array<f32>,
    weight: &Array<f32>,
    rstd: &Array<f32>,
    d_y: &Array<f32>,
    d_x: &mut Array<f32>,
    d_weight: Option<&mut Array<f32>>,
) -> Result<()> {
    let (rows, width) = (rstd.len(), weight.len());
    let args = args![x, weight, rstd, d_y, width as u32, d_x];
    launch(x.device(), kernel::<A>("rms_norm_backward"), Grid::new(rows, THREADS), args)?;
    let Some(d_weight) = d_weight else { return Ok(()) };
    add_columns(kernel::<A>("norm_weight_sums"), rows, d_weight, |span, partial| {
        args![x, rstd, d_y, width as u32, rows, span, partial].to_vec()
    })
}

/// See [`crate::backend::Backend::head_norm`].
pub fn head_norm<A: Element>(
    x: &Array<A>,
    weight: &Array<f32>,
    epsilon: f64,
    y: &mut Array<A>,
    rstd: &mut Array<f32>,
) -> Result<()> {
    let (rows, width) = (rstd.len(), weight.len() as u32);
    let args = args![x, weight, epsilon as f32, width, y, rstd, rows];
    launch(x.device(), kernel::<A>("head_norm"), Grid::new(rows.div_ceil(WARPS), THREADS), args)
}

/// See [`crate::backend::Backend::head_norm_backward`].
pub fn head_norm_backward<A: Element>(
    x: &Array<A>,
    weight: &Array<f32>,
    rstd: &Array<f32>,
    d: &mut Array<A>,
    d_weight: Option<&mut Array<f32>>,
) -> Result<()> {
    let (rows, width) = (rstd.len(), weight.len());
    if let Some(d_weight) = d_weight {
        add_columns(kernel::<A>("head_weight_sums"), rows, d_weight, |span, partial| {
            args![x, rstd, &*d, width as u32, rows, span, partial].to_vec()
        })?;
    }
    let args = args![x, weight, rstd, width as u32, d, rows];
    launch(x.device(), kernel::<A>("head_norm_backward"), Grid::new(rows.div_ceil(WARPS), THREADS), args)
}

/// See [`crate::backend::Backend::bias_backward`].
pub fn bias_backward<A: Element>(d_y: &Array<A>, d_bias: &mut Array<f32>) -> Result<()> {
    let width = d_bias.len();
    let rows = d_y.len() / width;
    add_columns(kernel::<A>("row_sums"), rows, d_bias, |span, partial| {
        args![d_y, width as u32, rows, span, partial].to_vec()
    })
}

/// to += the sums over rows that a kernel adds up by spans. `args` gets the rows of a span and where their sums go.
fn add_columns(
    sums: Kernel,
    rows: usize,
    to: &mut Array<f32>,
    args: impl Fn(usize, &Array<f32>) -> Vec<Arg>,
) -> Result<()> {
    if rows == 0 {
        return Ok(());
    }
    let (device, width) = (to.device().clone(), to.len());
    let span = rows.div_ceil(SPANS).max(SPAN);
    let spans = rows.div_ceil(span);
    let partial = Array::<f32>::unspecified(&device, spans * width)?;
    let columns = width.div_ceil(THREADS as usize);
    launch(&device, sums, Grid::of([columns, spans, 1], THREADS), &args(span, &partial))?;
    let add = Kernel { name: "add_sums", ..sums };
    launch(&device, add, Grid::new(columns, THREADS), args![&partial, width as u32, spans as u32, to])
}
