//! A file's tensors to activations, on the device.

use super::device::{Array, Device, args, launch};
use super::driver::Grid;
use super::element::Element;
use super::kernels::{Kernel, Module};
use crate::weights::StoredTensor;
use crate::{Error, Result};

/// Uploads a tensor as its file holds it and expands it.
///
/// # Errors
/// [`crate::Error::Format`] for a value that is not finite.
pub fn dequantize<A: Element>(device: &Device, tensor: &StoredTensor) -> Result<Array<A>> {
    let (bytes, encoding, head) = tensor.packed();
    let n: usize = tensor.shape.iter().product();
    let bytes = Array::upload(device, bytes)?;
    let mut out = Array::unspecified(device, n)?;
    let odd = Array::upload(device, &[u64::MAX])?;
    let (width, row_bytes, head) = (tensor.width() as u32, tensor.row_bytes(), head.unwrap_or(0) as u32);
    let kernel = Kernel { module: Module::new("dequantize", A::ACTIVATION), name: "dequantize" };
    let args = args![&bytes, encoding.ggml(), width, row_bytes, head, &mut out, &odd, n];
    launch(device, kernel, Grid::cover(n), args)?;
    if odd.download()?[0] == u64::MAX {
        return Ok(out);
    }
    // Reading it on the host names the value and its place.
    tensor.decode()?;
    Err(Error::Internal(format!(
        "tensor \"{}\" was read otherwise on the device than on the host",
        tensor.name()
    )))
}
