//! Operations on rows.

use super::super::device::Array;
use super::super::element::Element;
use super::super::rowwise;
use super::{close, device, put, tolerance, values};
use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::stored;
use half::bf16;

fn norms<A: Element + stored::Element<f32>>() {
    let Some(device) = device() else { return };
    for (rows, width) in [(1, 8), (3, 300), (5, 1030)] {
        let (x, weight) = (values(rows * width, 1), values(width, 2));
        let cpu = Cpu::<f32, A>::new();
        let (mut y, mut rstd) = (cpu.activation(rows * width).unwrap(), cpu.unspecified(rows).unwrap());
        let [cx, cw] = [&x, &weight].map(|v| cpu.upload(v).unwrap());
        cpu.rms_norm(&cx, &cw, 1e-5, &mut y, &mut rstd).unwrap();
        let mut found = Array::<A>::unspecified(&device, rows * width).unwrap();
        let mut scales = Array::unspecified(&device, rows).unwrap();
        rowwise::rms_norm(&put(&device, &x), &put(&device, &weight), 1e-5, &mut found, &mut scales).unwrap();
        close("y", &found.download().unwrap(), &y, tolerance::<A>());
        close("rstd", &scales.download().unwrap(), &rstd, 1e-5);
    }
}

#[test]
fn rms_norm() {
    norms::<f32>();
    norms::<bf16>();
}
