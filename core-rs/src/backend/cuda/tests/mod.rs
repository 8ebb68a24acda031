//! Every kernel against the CPU backend on the same inputs: on a CUDA device where `RMR1_CUDA` is "1", else on the
//! emulator.

mod attention;
mod attention_backward;
mod dequantize;
mod lora;
mod model;
mod product;
mod rowwise;
mod sample;
mod vocab;

use super::device::{Array, Device};
use super::element::Element;
use super::emulator;
use crate::backend::cuda;
use std::sync::LazyLock;

/// The device that tests run on, or `None`, which has been said, where there is neither. A CUDA device that was asked
/// for and cannot be had fails the test.
fn device() -> Option<Device> {
    static CUDA: LazyLock<Option<Device>> = LazyLock::new(|| {
        let asked = std::env::var("RMR1_CUDA").is_ok_and(|value| value == "1");
        asked.then(|| cuda::open(0).unwrap_or_else(|error| panic!("RMR1_CUDA is \"1\": {error}")))
    });
    CUDA.clone().or_else(|| emulator::emulator().map(|emulator| emulator as Device))
}

/// Deterministic values in (−1, 1).
fn values(n: usize, seed: u32) -> Vec<f32> {
    (0..n).map(|i| ((f64::from(seed) * 12.9898 + i as f64 * 78.233).sin() * 0.99) as f32).collect()
}

/// Rounded to activations.
fn activations<A: Element>(x: &[f32]) -> Vec<A> {
    x.iter().map(|&x| A::of(x)).collect()
}

fn put<T: bytemuck::Pod>(device: &Device, x: &[T]) -> Array<T> {
    Array::upload(device, x).unwrap()
}

/// Holds what a kernel gave against what the CPU gave: no element is further off than `tolerance` of the largest.
fn close<A: Element, B: Element>(what: &str, found: &[A], expected: &[B], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().map(|x| x.widen().abs()).fold(f32::MIN_POSITIVE, f32::max);
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let (f, e) = (f.widen(), e.widen());
        assert!((f - e).abs() <= tolerance * largest, "{what}[{i}]: {f}, on the CPU {e}, of up to {largest}");
    }
}

/// How far results of a type may be off: a few roundings.
fn tolerance<A: Element>() -> f32 {
    if size_of::<A>() == 2 { 1.0 / 128.0 } else { 1e-5 }
}
