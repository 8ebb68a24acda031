//! A device and arrays in its memory.

use super::driver::{Address, Arg, Driver, Grid};
use super::kernels::Kernel;
use crate::Result;
use bytemuck::Pod;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

/// A device that arrays live on.
pub type Device = Arc<dyn Driver>;

/// Memory that is given back when nothing reads it any more.
struct Allocation {
    device: Device,
    at: Address,
    bytes: usize,
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.device.free(self.at, self.bytes);
    }
}

/// An array in a device's memory, or a part of one that others share.
pub struct Array<T> {
    memory: Arc<Allocation>,
    /// Elements before its own.
    start: usize,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Pod> Array<T> {
    /// An array whose content is not specified.
    pub fn unspecified(device: &Device, len: usize) -> Result<Self> {
        let bytes = len * size_of::<T>();
        let at = if bytes == 0 { 0 } else { device.allocate(bytes)? };
        let memory = Arc::new(Allocation { device: device.clone(), at, bytes });
        Ok(Self { memory, start: 0, len, element: PhantomData })
    }

    /// An array of zeros.
    pub fn zeros(device: &Device, len: usize) -> Result<Self> {
        let mut array = Self::unspecified(device, len)?;
        array.clear()?;
        Ok(array)
    }

    /// A copy of the host's.
    pub fn upload(device: &Device, host: &[T]) -> Result<Self> {
        let mut array = Self::unspecified(device, host.len())?;
        array.set(host)?;
        Ok(array)
    }

    /// A copy for the host, when the work so far is done.
    pub fn download(&self) -> Result<Vec<T>> {
        let mut host = vec![T::zeroed(); self.len];
        if self.len > 0 {
            self.device().download(self.address(), bytemuck::cast_slice_mut(&mut host))?;
        }
        Ok(host)
    }

    /// Overwrites it from the host, which has as many elements.
    pub fn set(&mut self, host: &[T]) -> Result<()> {
        assert_eq!(host.len(), self.len, "the host's array is of another length");
        if self.len > 0 {
            self.device().upload(bytemuck::cast_slice(host), self.address())?;
        }
        Ok(())
    }

    /// Sets every byte to zero.
    pub fn clear(&mut self) -> Result<()> {
        if self.len > 0 {
            self.device().clear(self.address(), self.bytes())?;
        }
        Ok(())
    }

    /// Overwrites it from another of the same length.
    pub fn copy_from(&mut self, from: &Self) -> Result<()> {
        assert_eq!(from.len, self.len, "the other array is of another length");
        if self.len > 0 {
            self.device().copy(from.address(), self.address(), self.bytes())?;
        }
        Ok(())
    }

    /// A copy on the device.
    pub fn duplicate(&self) -> Result<Self> {
        let mut copy = Self::unspecified(self.device(), self.len)?;
        copy.copy_from(self)?;
        Ok(copy)
    }

    /// A part of it, in the same memory. Whoever writes to it must know that nobody reads the other.
    pub fn part(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len, "the part lies outside of the array");
        Self {
            memory: self.memory.clone(),
            start: self.start + range.start,
            len: range.len(),
            element: PhantomData,
        }
    }

    /// All of it, in the same memory, as [`Array::part`].
    pub fn whole(&self) -> Self {
        self.part(0..self.len)
    }

    /// This array and one that begins fewer than `gap` elements behind its end, in the same memory, as one.
    pub fn joined(&self, next: &Self, gap: usize) -> Option<Self> {
        let end = self.start + self.len;
        let near = Arc::ptr_eq(&self.memory, &next.memory) && (end..end + gap).contains(&next.start);
        near.then(|| Self { len: next.start + next.len - self.start, ..self.whole() })
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its first element's.
    pub fn address(&self) -> Address {
        self.memory.at + (self.start * size_of::<T>()) as Address
    }

    /// Where it lives.
    pub fn device(&self) -> &Device {
        &self.memory.device
    }

    fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }
}

impl<T: Pod> From<&Array<T>> for Arg {
    fn from(array: &Array<T>) -> Self {
        Arg(array.address())
    }
}

impl<T: Pod> From<&mut Array<T>> for Arg {
    fn from(array: &mut Array<T>) -> Self {
        Arg(array.address())
    }
}

/// Runs a kernel unless there is nothing for it to do.
pub fn launch(device: &Device, kernel: Kernel, grid: Grid, args: &[Arg]) -> Result<()> {
    if grid.blocks.contains(&0) {
        return Ok(());
    }
    device.launch(kernel, grid, args)
}

/// Arguments of a kernel, each by its own type.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { &[$($crate::backend::cuda::driver::Arg::from($arg)),*] };
}
pub(super) use args;
