//! A device that several threads use: while one of them records, the others wait.

use super::driver::{Address, Arg, Driver, Grid, Memory, Product};
use super::kernels::Kernel;
use crate::Result;
use std::sync::{Mutex, RwLock, RwLockReadGuard};
use std::thread::{self, ThreadId};

/// A driver whose recordings hold the work of their own thread alone.
pub struct Turns<D> {
    driver: D,
    /// Held for writing while a recording is made, for reading during any other call.
    turn: RwLock<()>,
    /// Who records.
    recorder: Mutex<Option<ThreadId>>,
}

impl<D: Driver> Turns<D> {
    /// A driver for several threads.
    pub fn new(driver: D) -> Self {
        Self { driver, turn: RwLock::default(), recorder: Mutex::default() }
    }

    fn set_recorder(&self, recorder: Option<ThreadId>) {
        *self.recorder.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = recorder;
    }

    /// Waits until nobody else records. The thread that records has its turn already.
    fn turn(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let recorder = *self.recorder.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        (recorder != Some(thread::current().id()))
            .then(|| self.turn.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// Ends a recording's turn, also where its work panics.
struct Recorder<'a, D: Driver>(&'a Turns<D>);

impl<D: Driver> Drop for Recorder<'_, D> {
    fn drop(&mut self) {
        self.0.set_recorder(None);
    }
}

impl<D: Driver> Driver for Turns<D> {
    fn describe(&self) -> String {
        self.driver.describe()
    }

    fn multiprocessors(&self) -> usize {
        self.driver.multiprocessors()
    }

    fn max_shared(&self) -> usize {
        self.driver.max_shared()
    }

    fn memory(&self) -> Result<Memory> {
        let _turn = self.turn();
        self.driver.memory()
    }

    fn allocate(&self, bytes: usize) -> Result<Address> {
        let _turn = self.turn();
        self.driver.allocate(bytes)
    }

    fn free(&self, at: Address, bytes: usize) {
        let _turn = self.turn();
        self.driver.free(at, bytes);
    }

    fn upload(&self, host: &[u8], to: Address) -> Result<()> {
        let _turn = self.turn();
        self.driver.upload(host, to)
    }

    fn download(&self, from: Address, host: &mut [u8]) -> Result<()> {
        let _turn = self.turn();
        self.driver.download(from, host)
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        let _turn = self.turn();
        self.driver.copy(from, to, bytes)
    }

    fn clear(&self, at: Address, bytes: usize) -> Result<()> {
        let _turn = self.turn();
        self.driver.clear(at, bytes)
    }

    fn launch(&self, kernel: Kernel, grid: Grid, args: &[Arg]) -> Result<()> {
        let _turn = self.turn();
        self.driver.launch(kernel, grid, args)
    }

    fn product(&self, product: &Product) -> Result<()> {
        let _turn = self.turn();
        self.driver.product(product)
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<u64> {
        let _turn = self.turn.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.set_recorder(Some(thread::current().id()));
        let _recorder = Recorder(self);
        self.driver.record(work)
    }

    fn replay(&self, recording: u64) -> Result<()> {
        let _turn = self.turn();
        self.driver.replay(recording)
    }

    fn forget(&self, recording: u64) {
        let _turn = self.turn();
        self.driver.forget(recording);
    }

    fn synchronize(&self) -> Result<()> {
        let _turn = self.turn();
        self.driver.synchronize()
    }
}

#[cfg(test)]
mod tests {
    use super::super::device::Array;
    use super::super::emulator;
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_recording_holds_the_work_of_its_own_thread_alone() {
        let Some(emulator) = emulator::emulator() else { return };
        let driver = Turns::new(Arc::try_unwrap(emulator).ok().expect("nobody else has it"));
        let device: super::super::device::Device = Arc::new(driver);
        thread::scope(|scope| {
            for seed in 0..4_u32 {
                let device = &device;
                scope.spawn(move || {
                    for round in 0..50_u32 {
                        let source = Array::upload(device, &[seed, round]).unwrap();
                        let mut middle = Array::<u32>::zeros(device, 2).unwrap();
                        let mut end = Array::<u32>::zeros(device, 2).unwrap();
                        let recording = device
                            .record(&mut || {
                                thread::yield_now();
                                middle.copy_from(&source)?;
                                end.copy_from(&middle)
                            })
                            .unwrap();
                        assert_eq!(end.download().unwrap(), [0, 0], "recorded work is not done yet");
                        device.replay(recording).unwrap();
                        assert_eq!(end.download().unwrap(), [seed, round]);
                        device.forget(recording);
                    }
                });
            }
        });
    }
}
