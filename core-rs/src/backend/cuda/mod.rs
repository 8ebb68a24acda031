//! The CUDA backend: the kernels of `kernels/`, compiled when they are first used, and the device's library for
//! matrix products.

mod attention;
mod attention_backward;
mod backend;
mod buffer;
pub mod compile;
pub mod cubin_file;
pub mod cubins;
mod dequantize;
pub mod device;
pub mod driver;
mod dropout;
mod element;
mod elementwise;
#[cfg(test)]
mod emulator;
mod indexing;
pub mod kernels;
mod key_values;
mod libraries;
pub mod nvidia;
mod optimizer;
mod plan;
mod product;
mod rowwise;
mod sample;
#[cfg(test)]
mod tests;
mod turns;
mod vocab;

pub use backend::Cuda;
pub use device::Device;
pub use element::Element;

use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// The device of a number, which all models on it share.
///
/// # Errors
/// As [`nvidia::open`].
pub fn open(ordinal: usize) -> Result<Device> {
    static OPEN: Mutex<Option<HashMap<usize, Weak<dyn driver::Driver>>>> = Mutex::new(None);
    let mut open = OPEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let known = open.get_or_insert_default();
    if let Some(device) = known.get(&ordinal).and_then(Weak::upgrade) {
        return Ok(device);
    }
    let device = nvidia::open(ordinal)?;
    known.insert(ordinal, Arc::downgrade(&device));
    Ok(device)
}

/// The first device; or why there is none that can be used, which a process finds out once.
///
/// # Errors
/// Any but [`Error::Device`] of [`open`].
pub fn first() -> Result<std::result::Result<Device, &'static str>> {
    static REASON: OnceLock<String> = OnceLock::new();
    if let Some(reason) = REASON.get() {
        return Ok(Err(reason));
    }
    let reason = match nvidia::devices() {
        Err(absence) => absence.to_string(),
        Ok(_) => match open(0) {
            Err(Error::Device(reason)) => reason,
            opened => return opened.map(Ok),
        },
    };
    Ok(Err(REASON.get_or_init(|| reason)))
}
