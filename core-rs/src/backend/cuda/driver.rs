//! What the backend asks of the machine that its kernels run on: memory, copies, launches and library products.
//! NVIDIA's driver is one; the emulator of the tests, which runs the same kernels on the processor, is the other.

use super::kernels::Kernel;
use crate::Result;

/// An address in the device's memory; 0 for no bytes.
pub type Address = u64;

/// The shape of a launch.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// Blocks in x, y and z.
    pub blocks: [u32; 3],
    /// Threads of a block, in x alone.
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
}

impl Grid {
    /// Blocks in x, with no dynamic shared memory.
    pub fn new(blocks: usize, threads: u32) -> Self {
        Self::of([blocks, 1, 1], threads)
    }

    /// Blocks in x, y and z, with no dynamic shared memory. More than a device takes in a dimension (2³¹ − 1 in x,
    /// 65,535 in y and z) is refused by the launch.
    pub fn of(blocks: [usize; 3], threads: u32) -> Self {
        Self { blocks: blocks.map(|n| u32::try_from(n).unwrap_or(u32::MAX)), threads, shared: 0 }
    }

    /// So many threads in all, as blocks of 256.
    pub fn cover(threads: usize) -> Self {
        Self::new(threads.div_ceil(256), 256)
    }

    /// With dynamic shared memory, in bytes.
    pub fn shared(self, bytes: usize) -> Self {
        Self { shared: u32::try_from(bytes).unwrap_or(u32::MAX), ..self }
    }
}

/// One argument of a kernel: its bytes from the lowest on. A kernel's `int` is given as `u32` or `i32`, its pointers
/// as addresses.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Arg(pub u64);

impl From<u32> for Arg {
    fn from(x: u32) -> Self {
        Self(u64::from(x))
    }
}

impl From<i32> for Arg {
    fn from(x: i32) -> Self {
        Self(u64::from(x as u32))
    }
}

impl From<f32> for Arg {
    fn from(x: f32) -> Self {
        Self(u64::from(x.to_bits()))
    }
}

impl From<f64> for Arg {
    fn from(x: f64) -> Self {
        Self(x.to_bits())
    }
}

impl From<u64> for Arg {
    fn from(x: u64) -> Self {
        Self(x)
    }
}

/// A count, which kernels take as `long long`.
impl From<usize> for Arg {
    fn from(x: usize) -> Self {
        Self(x as u64)
    }
}

/// What a matrix in a library product holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floating point, multiplied in full.
    F32,
    /// bfloat16.
    Bf16,
}

/// A matrix of a library product, row by row.
#[derive(Debug, Clone, Copy)]
pub struct Operand {
    /// Its first element.
    pub at: Address,
    /// Elements from one row to the next.
    pub stride: usize,
    /// Whether the product reads its transpose.
    pub transposed: bool,
}

/// c (m × n) = a (m × k) · b (k × n), or c += with `add`. Sums are f32.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// m, n, k.
    pub shape: [usize; 3],
    /// What a and b hold.
    pub operands: Format,
    /// The left side: as stored m × k, or k × m if transposed.
    pub a: Operand,
    /// The right side: as stored k × n, or n × k if transposed.
    pub b: Operand,
    /// The result, never transposed.
    pub c: Operand,
    /// What c holds.
    pub result: Format,
    /// Adds to c.
    pub add: bool,
}

/// A device's memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Not in use, what this process has set aside for reuse included.
    pub free: usize,
    /// All of it.
    pub total: usize,
}

/// A machine that kernels run on. Work is done in the order of the calls, as if on one stream; downloads wait for it.
/// An error of earlier work may be told by any later call.
pub trait Driver: Send + Sync {
    /// In words: its name, memory and compute capability.
    fn describe(&self) -> String;
    /// Multiprocessors.
    fn multiprocessors(&self) -> usize;
    /// Bytes of dynamic shared memory that a block may have.
    fn max_shared(&self) -> usize;
    /// Memory now.
    fn memory(&self) -> Result<Memory>;
    /// Memory for so many bytes, aligned to 256; its content is not specified. [`crate::Error::Memory`] where there
    /// is not so much.
    fn allocate(&self, bytes: usize) -> Result<Address>;
    /// Gives memory back, once the work so far is done with it.
    fn free(&self, at: Address, bytes: usize);
    /// Copies from the host; it may be changed as soon as this returns.
    fn upload(&self, host: &[u8], to: Address) -> Result<()>;
    /// Copies to the host when the work so far is done.
    fn download(&self, from: Address, host: &mut [u8]) -> Result<()>;
    /// Copies within the device.
    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()>;
    /// Sets every byte to zero.
    fn clear(&self, at: Address, bytes: usize) -> Result<()>;
    /// Runs a kernel.
    fn launch(&self, kernel: Kernel, grid: Grid, args: &[Arg]) -> Result<()>;
    /// Multiplies by the device's library: the same bits each time, but other bits for another number of rows.
    fn product(&self, product: &Product) -> Result<()>;
    /// Records the work that `work` asks for instead of doing it. Numbers that name a recording are not used again.
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<u64>;
    /// Does recorded work.
    fn replay(&self, recording: u64) -> Result<()>;
    /// Forgets a recording.
    fn forget(&self, recording: u64);
    /// Waits for the work so far.
    fn synchronize(&self) -> Result<()>;
}
