//! Operations on elements.

use super::device::{Array, args, launch};
use super::driver::Grid;
use super::element::Element;
use super::kernels::{Kernel, Module};
use crate::Result;
use crate::config::Rotary;
use std::f64::consts::PI;

/// Elements that a thread takes.
const RUN: usize = 4;

fn kernel<A: Element>(name: &'static str) -> Kernel {
    Kernel { module: Module::new("elementwise", A::ACTIVATION), name }
}

fn runs(elements: usize) -> Grid {
    Grid::cover(elements.div_ceil(RUN))
}

/// to = from · factor, rounded
pub fn round<A: Element>(from: &Array<f32>, factor: f64, to: &mut Array<A>) -> Result<()> {
    let n = from.len();
    launch(from.device(), kernel::<A>("round_to"), runs(n), args![from, factor as f32, to, n])
}

/// See [`crate::backend::Backend::swiglu`].
pub fn swiglu<A: Element>(gate: &Array<A>, up: &Array<A>, out: &mut Array<A>) -> Result<()> {
    let n = gate.len();
    launch(gate.device(), kernel::<A>("swiglu"), runs(n), args![gate, up, out, n])
}

/// See [`crate::backend::Backend::swiglu_backward`].
pub fn swiglu_backward<A: Element>(gate: &mut Array<A>, up: &mut Array<A>, d_out: &Array<f32>) -> Result<()> {
    let n = gate.len();
    launch(d_out.device(), kernel::<A>("swiglu_backward"), runs(n), args![gate, up, d_out, n])
}

/// See [`crate::backend::Backend::add_bias`].
pub fn add_bias<A: Element>(bias: &Array<f32>, y: &mut Array<A>) -> Result<()> {
    let n = y.len();
    launch(bias.device(), kernel::<A>("add_bias"), runs(n), args![bias, y, bias.len() as u32, n])
}

/// See [`crate::backend::Backend::add_bias_into`].
pub fn add_bias_into<A: Element>(bias: &Array<f32>, y: &mut Array<f32>) -> Result<()> {
    let n = y.len();
    launch(bias.device(), kernel::<A>("add_bias_full"), runs(n), args![bias, y, bias.len() as u32, n])
}

/// Cosines and sines of rows' positions, each rows × head_dim/2.
pub struct Rotations {
    cosines: Array<f32>,
    sines: Array<f32>,
    /// head_dim/2
    half: usize,
}

/// Frequencies as the kernel reads them, for every pass of a model.
pub fn turns(device: &super::device::Device, rotary: &Rotary) -> Result<Array<f64>> {
    let turns: Vec<f64> = rotary.frequencies.iter().map(|f| f / PI).collect();
    Array::upload(device, &turns)
}

/// See [`crate::backend::Backend::rotations`].
pub fn rotations<A: Element>(positions: &Array<u32>, turns: &Array<f64>, scale: f64) -> Result<Rotations> {
    let (device, half) = (positions.device(), turns.len());
    let n = positions.len() * half;
    let mut cosines = Array::unspecified(device, n)?;
    let mut sines = Array::unspecified(device, n)?;
    let args = args![positions, turns, scale, half as u32, &mut cosines, &mut sines, n];
    launch(device, kernel::<A>("rotations"), Grid::cover(n), args)?;
    Ok(Rotations { cosines, sines, half })
}

/// See [`crate::backend::Backend::rope`].
pub fn rope<A: Element>(
    x: &mut Array<A>,
    rotations: &Rotations,
    heads: usize,
    transposed: bool,
) -> Result<()> {
    let Rotations { cosines, sines, half } = rotations;
    let (pairs, sign) = (x.len() / 2, if transposed { -1.0_f32 } else { 1.0 });
    let args = args![x, cosines, sines, heads as u32, *half as u32, sign, pairs];
    launch(cosines.device(), kernel::<A>("rope"), Grid::cover(pairs), args)
}
