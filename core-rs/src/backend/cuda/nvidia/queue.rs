//! A device's context and the stream that its work is done on.

use super::super::driver::{Address, Memory};
use super::faults::Faults;
use crate::{Error, Result};
use cudarc::driver::sys::{self, CUresult};
use std::ffi::c_void;
use std::ptr::null_mut;

/// The context, its streams and its pool of memory.
pub(super) struct Queue {
    device: sys::CUdevice,
    context: sys::CUcontext,
    /// All work goes here, so that it is done in the order of the calls.
    pub(super) stream: sys::CUstream,
    /// Gives memory while work on the other is being recorded.
    side: sys::CUstream,
    pool: sys::CUmemoryPool,
    pub(super) faults: Faults,
}

// SAFETY: the driver's functions may be called from any thread; each sets the context first.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// Takes hold of a device. `called` is how errors call it.
    pub(super) fn new(device: sys::CUdevice, called: String) -> Result<Self> {
        let (context, stream, side, pool) = (null_mut(), null_mut(), null_mut(), null_mut());
        let mut queue = Self { device, context, stream, side, pool, faults: Faults::new(called) };
        // SAFETY: the device is valid; what is not made yet is null, which dropping knows.
        unsafe {
            let code = sys::cuDevicePrimaryCtxRetain(&mut queue.context, device);
            queue.check(code, "opening the device")?;
            queue.enter()?;
            let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
            let code = sys::cuStreamCreate(&mut queue.stream, flags);
            queue.check(code, "making a stream")?;
            let code = sys::cuStreamCreate(&mut queue.side, flags);
            queue.check(code, "making a stream")?;
            let code = sys::cuDeviceGetDefaultMemPool(&mut queue.pool, device);
            queue.check(code, "finding the memory pool")?;
            // By default the pool gives everything back to the system at each synchronisation ("Stream Ordered Memory
            // Allocator", "Physical Page Caching Behavior").
            let mut all = u64::MAX;
            let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            let code = sys::cuMemPoolSetAttribute(queue.pool, attribute, (&raw mut all).cast::<c_void>());
            queue.check(code, "setting up the memory pool")?;
        }
        Ok(queue)
    }

    /// An error for a code, which is of what was being done or of work before it.
    pub(super) fn check(&self, code: CUresult, doing: &str) -> Result<()> {
        if code == CUresult::CUDA_SUCCESS { Ok(()) } else { Err(self.faults.error(code, doing)) }
    }

    /// Makes the calls of this thread go to the device, unless that is lost.
    pub(super) fn enter(&self) -> Result<()> {
        self.faults.standing()?;
        // SAFETY: the context is held until this is dropped.
        self.check(unsafe { sys::cuCtxSetCurrent(self.context) }, "choosing the device")
    }

    /// Waits for the work so far.
    pub(super) fn synchronize(&self, doing: &str) -> Result<()> {
        // SAFETY: the stream is open.
        self.check(unsafe { sys::cuStreamSynchronize(self.stream) }, doing)?;
        self.faults.settled();
        Ok(())
    }

    /// What is free and what there is, with what the pool holds and nobody uses.
    pub(super) fn memory(&self) -> Result<Memory> {
        let (mut free, mut total, mut held, mut used) = (0, 0, 0u64, 0u64);
        use sys::CUmemPool_attribute as Attribute;
        // SAFETY: the pointers are to numbers of the types that the attributes have.
        unsafe {
            self.check(sys::cuMemGetInfo_v2(&mut free, &mut total), "asking for free memory")?;
            for (attribute, value) in [
                (Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &raw mut held),
                (Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &raw mut used),
            ] {
                let code = sys::cuMemPoolGetAttribute(self.pool, attribute, value.cast());
                self.check(code, "asking for the pool's memory")?;
            }
        }
        Ok(Memory { free: free + held.saturating_sub(used) as usize, total })
    }

    /// Memory in the order of the stream. Where there is none, what the pool keeps is given back and asked for again,
    /// for it may be in pieces.
    pub(super) fn allocate(&self, bytes: usize) -> Result<Address> {
        self.allocate_on(self.stream, bytes, || self.synchronize("an allocation"))
    }

    /// Memory that is there when this returns, and that is no part of a recording: in the relaxed mode of captures
    /// other streams go on as always.
    pub(super) fn allocate_aside(&self, bytes: usize) -> Result<Address> {
        // SAFETY: the stream is open.
        let wait = || self.check(unsafe { sys::cuStreamSynchronize(self.side) }, "an allocation");
        let at = self.allocate_on(self.side, bytes, wait)?;
        wait()?;
        Ok(at)
    }

    fn allocate_on(
        &self,
        stream: sys::CUstream,
        bytes: usize,
        wait: impl Fn() -> Result<()>,
    ) -> Result<Address> {
        let mut at = 0;
        // SAFETY: the stream is open, and the address is written before this returns.
        let mut ask = || unsafe { sys::cuMemAllocAsync(&mut at, bytes, stream) };
        let mut code = ask();
        if code == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            wait()?;
            // SAFETY: the pool and the device are valid; memory in use is not touched.
            unsafe {
                self.check(sys::cuDeviceGraphMemTrim(self.device), "giving memory back")?;
                self.check(sys::cuMemPoolTrimTo(self.pool, 0), "giving memory back")?;
            }
            code = ask();
        }
        if code == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            let Memory { free, total } = self.memory()?;
            return Err(Error::Memory { needed: bytes, free, total });
        }
        self.check(code, "an allocation")?;
        Ok(at)
    }

    /// Gives memory back when the work so far is done with it. A failure shows in the next call that has a result.
    pub(super) fn free(&self, at: Address) {
        if self.enter().is_ok() {
            // SAFETY: the address was allocated and nobody has it any more.
            let code = unsafe { sys::cuMemFreeAsync(at, self.stream) };
            self.check(code, "giving memory back").ok();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Closing what is left of a lost device fails, which changes nothing.
        // SAFETY: what is not null was made and is closed once.
        unsafe {
            if !self.context.is_null() {
                let _ = sys::cuCtxSetCurrent(self.context);
                for stream in [self.stream, self.side].into_iter().filter(|stream| !stream.is_null()) {
                    let _ = sys::cuStreamSynchronize(stream);
                    let _ = sys::cuStreamDestroy_v2(stream);
                }
                let _ = sys::cuDevicePrimaryCtxRelease_v2(self.device);
            }
        }
    }
}
