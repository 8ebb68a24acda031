//! NVIDIA's driver, cuBLASLt and NVRTC as a [`Driver`]. Nothing of them is linked: where there is no driver, that is
//! said and nothing else changes.

mod devices;
mod faults;
mod functions;
mod products;
mod queue;
mod recordings;
mod staging;

pub use devices::{Absence, Description, devices};

use super::compile::Version;
use super::cubins::Cubins;
use super::device::Device;
use super::driver::{Address, Arg, Driver, Format, Grid, Memory, Product};
use super::kernels::{Kernel, modules};
use super::turns::Turns;
use crate::{Error, Result};
use cudarc::driver::sys;
use faults::{Work, lock};
use functions::Functions;
use products::Products;
use queue::Queue;
use recordings::{Recordings, Return};
use staging::Staging;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex};

/// Opens a device by its number. [`Error::Input`] where there is no such device, [`Error::Device`] where there is no
/// driver, or where it, the device or the libraries are too old or missing.
pub fn open(ordinal: usize) -> Result<Device> {
    let (driver, found) = devices::list()?;
    let description = devices::choose(&found, ordinal)?;
    Ok(Arc::new(Turns::new(Nvidia::new(description.clone(), driver)?)))
}

/// A device of NVIDIA's.
struct Nvidia {
    description: Description,
    driver: Version,
    multiprocessors: usize,
    max_shared: usize,
    cubins: Cubins,
    functions: Mutex<Functions>,
    staging: Mutex<Option<Staging>>,
    products: Mutex<Option<Products>>,
    recordings: Mutex<Recordings>,
    queue: Queue,
}

impl Nvidia {
    fn new(description: Description, driver: Version) -> Result<Self> {
        let device = description.device()?;
        let queue = Queue::new(device, description.to_string())?;
        let attribute = |attribute| -> Result<usize> {
            let mut value = 0;
            // SAFETY: the device is valid.
            let code = unsafe { sys::cuDeviceGetAttribute(&mut value, attribute, device) };
            queue.check(code, "asking for the device's limits")?;
            Ok(value.max(0) as usize)
        };
        use sys::CUdevice_attribute as Attribute;
        let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let max_shared = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let staging = Staging::new(&queue)?;
        let cubins = Cubins::new(description.capability, driver);
        let mut functions = Functions::default();
        // One module at once: that there is neither a compiler nor code built ahead is said now, not within a step.
        if let Some(&module) = modules().first() {
            functions.module(&queue, &cubins, module)?;
        }
        Ok(Self {
            description,
            driver,
            multiprocessors,
            max_shared,
            cubins,
            functions: Mutex::new(functions),
            staging: Mutex::new(Some(staging)),
            products: Mutex::default(),
            recordings: Mutex::default(),
            queue,
        })
    }

    /// Makes the calls of this thread go to the device, for what waits and so is no part of a recording.
    fn enter_now(&self, doing: &str) -> Result<()> {
        self.queue.enter()?;
        match lock(&self.recordings).ledger.making() {
            true => Err(Error::Internal(format!("{doing} is no part of a recording"))),
            false => Ok(()),
        }
    }

    /// Sets a product's result to zero, as one over nothing is.
    fn clear_result(&self, product: &Product) -> Result<()> {
        let [m, n, _] = product.shape;
        let size = if product.result == Format::F32 { 4 } else { 2 };
        let (width, pitch) = (n * size, product.c.stride * size);
        // SAFETY: the rows lie in the device's memory, which is the caller's part.
        let code = unsafe { sys::cuMemsetD2D8Async(product.c.at, pitch, 0, width, m, self.queue.stream) };
        self.queue.check(code, "clearing a product")
    }

    /// Turns what was captured into a graph that can be launched.
    fn instantiate(&self, captured: sys::CUgraph) -> Result<sys::CUgraphExec> {
        let mut graph = null_mut();
        // SAFETY: the captured graph is valid and is not needed after this.
        unsafe {
            let code = sys::cuGraphInstantiateWithFlags(&mut graph, captured, 0);
            let _ = sys::cuGraphDestroy(captured);
            self.queue.check(code, "making a recording")?;
        }
        Ok(graph)
    }

    /// Ends a capture. The graph is null where the capture failed.
    fn captured(&self) -> Result<sys::CUgraph> {
        let mut captured = null_mut();
        // SAFETY: the stream is open and being captured.
        let code = unsafe { sys::cuStreamEndCapture(self.queue.stream, &mut captured) };
        self.queue.check(code, "making a recording")?;
        Ok(captured)
    }
}

impl Driver for Nvidia {
    fn describe(&self) -> String {
        self.description.to_string()
    }

    fn multiprocessors(&self) -> usize {
        self.multiprocessors
    }

    fn max_shared(&self) -> usize {
        self.max_shared
    }

    fn memory(&self) -> Result<Memory> {
        self.queue.enter()?;
        self.queue.memory()
    }

    fn allocate(&self, bytes: usize) -> Result<Address> {
        self.queue.enter()?;
        let ledger = &mut lock(&self.recordings).ledger;
        if !ledger.making() {
            return self.queue.allocate(bytes);
        }
        if let Some(at) = ledger.reuse(bytes) {
            return Ok(at);
        }
        let at = self.queue.allocate_aside(bytes)?;
        ledger.allocated(at, bytes);
        Ok(at)
    }

    fn free(&self, at: Address, bytes: usize) {
        if bytes > 0 && lock(&self.recordings).ledger.give_back(at) == Return::Free {
            self.queue.free(at);
        }
    }

    fn upload(&self, host: &[u8], to: Address) -> Result<()> {
        self.enter_now("An upload")?;
        match lock(&self.staging).as_mut() {
            Some(staging) => staging.upload(&self.queue, host, to),
            None => Ok(()),
        }
    }

    fn download(&self, from: Address, host: &mut [u8]) -> Result<()> {
        self.enter_now("A download")?;
        // SAFETY: the host's array is not touched until the stream has been waited for; what lies at the address is the
        // caller's part.
        let code = unsafe {
            sys::cuMemcpyDtoHAsync_v2(host.as_mut_ptr().cast(), from, host.len(), self.queue.stream)
        };
        self.queue.check(code, "a download")?;
        self.queue.synchronize("a download")
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        self.queue.enter()?;
        // SAFETY: both lie in the device's memory, which is the caller's part.
        let code = unsafe { sys::cuMemcpyDtoDAsync_v2(to, from, bytes, self.queue.stream) };
        self.queue.check(code, "a copy")
    }

    fn clear(&self, at: Address, bytes: usize) -> Result<()> {
        self.queue.enter()?;
        // SAFETY: the bytes lie in the device's memory, which is the caller's part.
        let code = unsafe { sys::cuMemsetD8Async(at, 0, bytes, self.queue.stream) };
        self.queue.check(code, "clearing memory")
    }

    fn launch(&self, kernel: Kernel, grid: Grid, args: &[Arg]) -> Result<()> {
        self.queue.enter()?;
        lock(&self.functions).launch(&self.queue, &self.cubins, self.max_shared, kernel, grid, args)
    }

    fn product(&self, product: &Product) -> Result<()> {
        self.queue.enter()?;
        let [m, n, k] = product.shape;
        if m == 0 || n == 0 || (k == 0 && product.add) {
            return Ok(());
        }
        if k == 0 {
            return self.clear_result(product);
        }
        let mut products = lock(&self.products);
        let opened = match products.take() {
            Some(opened) => opened,
            None => Products::open(&self.queue, self.description.capability.major, self.driver)?,
        };
        products.insert(opened).multiply(&self.queue, product)
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<u64> {
        self.enter_now("A recording")?;
        // So that memory given back before is free by now, and none of it is waited for within the capture.
        self.queue.synchronize("beginning a recording")?;
        lock(&self.recordings).ledger.begin();
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream is open, and no other capture is under way.
        let begun = unsafe { sys::cuStreamBeginCapture_v2(self.queue.stream, mode) };
        let mut panic = None;
        let done = self.queue.check(begun, "beginning a recording").and_then(|()| {
            // A capture that was begun must be ended, whatever came of the work: a panic that somebody catches further
            // up would else leave a device that refuses all that waits.
            let worked = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|thrown| {
                panic = Some(thrown);
                Err(Error::Internal("The work of a recording panicked".into()))
            });
            let captured = self.captured();
            match (worked, captured) {
                (Ok(()), captured) => self.instantiate(captured?),
                (Err(error), captured) => {
                    if let Ok(graph) = captured {
                        // SAFETY: the graph is valid, and nobody else has it.
                        let _ = unsafe { sys::cuGraphDestroy(graph) };
                    }
                    Err(error)
                }
            }
        });
        // What was recorded has not run.
        self.queue.faults.settled();
        let mut recordings = lock(&self.recordings);
        match done {
            Ok(graph) => Ok(recordings.keep(graph)),
            Err(error) => {
                let unused = recordings.ledger.failed();
                drop(recordings);
                unused.into_iter().for_each(|at| self.queue.free(at));
                match panic {
                    Some(thrown) => resume_unwind(thrown),
                    None => Err(error),
                }
            }
        }
    }

    fn replay(&self, recording: u64) -> Result<()> {
        self.enter_now("A replay")?;
        let Some(graph) = lock(&self.recordings).graph(recording) else {
            return Err(Error::Internal(format!("There is no recording {recording}")));
        };
        // SAFETY: the graph is valid.
        self.queue.check(unsafe { sys::cuGraphLaunch(graph, self.queue.stream) }, "a replay")?;
        self.queue.faults.launched(Work::Recording(recording));
        Ok(())
    }

    fn forget(&self, recording: u64) {
        let unused = lock(&self.recordings).forget(recording);
        unused.into_iter().for_each(|at| self.queue.free(at));
    }

    fn synchronize(&self) -> Result<()> {
        self.enter_now("Waiting")?;
        self.queue.synchronize("waiting for the device")
    }
}

impl Drop for Nvidia {
    fn drop(&mut self) {
        // What a lost device still has is the driver's to clean up; every call on it fails and none panics.
        let _ = self.queue.enter().and_then(|()| self.queue.synchronize("closing the device"));
        lock(&self.recordings).clear();
        lock(&self.staging).take();
        lock(&self.functions).clear();
        if let Some(products) = lock(&self.products).take() {
            products.close(&self.queue);
        }
    }
}
