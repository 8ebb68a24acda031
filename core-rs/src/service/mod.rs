//! The core as a service: named operations on models behind handles, each run as a job. Doors such as the C ABI
//! stand before it and only move bytes.

mod dispatch;
mod event;
mod frame;
mod job;
mod objects;
mod operation;
mod slots;
mod tasks;

pub use dispatch::{Emit, dispatch};
pub use event::{Kind, Reply, panicked};
pub use frame::{Array, Element, Frame};
pub use job::Job;
pub use objects::{Grant, Objects, SharedModel};
pub use slots::Slots;
pub use tasks::Tasks;

use crate::Result;
use crate::turns::complete;
use std::sync::{Arc, Mutex, MutexGuard};

/// Grows with every change of the doors' calls, of [`Frame`]'s layout or of an operation's fields.
pub const ABI_VERSION: u32 = 4;

/// All open objects and jobs.
#[derive(Default)]
pub struct Service {
    objects: Arc<Objects>,
    jobs: Mutex<Slots<Arc<Job>>>,
}

impl Service {
    /// Nothing open.
    pub fn new() -> Self {
        Self::default()
    }

    fn jobs(&self) -> MutexGuard<'_, Slots<Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn job(&self, job: usize) -> Result<Arc<Job>> {
        self.jobs().get(job).cloned()
    }

    /// Starts the operation that a [`Frame`] asks for and gives the job's id. A malformed request is the job's
    /// error; this fails only when too many jobs are open.
    pub fn start(&self, request: Vec<u8>) -> Result<usize> {
        let objects = self.objects.clone();
        let job = Job::spawn(move |cancel, emit| {
            complete(dispatch(&objects, Frame::decode(&request)?, cancel, emit))
        });
        self.jobs().insert(job.clone()).inspect_err(|_| job.close())
    }

    /// See [`Job::poll`]. Closing the job meanwhile makes it an [`crate::Error::Handle`].
    pub fn poll(&self, job: usize) -> Result<(Kind, usize)> {
        self.job(job)?.poll().map_err(|_| crate::Error::Handle(job))
    }

    /// See [`Job::take`].
    pub fn take(&self, job: usize, buffer: &mut [u8]) -> Result<()> {
        self.job(job)?.take(buffer)
    }

    /// See [`Job::cancel`].
    pub fn cancel(&self, job: usize) -> Result<()> {
        self.job(job)?.cancel();
        Ok(())
    }

    /// See [`Job::close`]. The id is stale from now on.
    pub fn close_job(&self, job: usize) -> Result<()> {
        let job = self.jobs().remove(job)?;
        job.close();
        Ok(())
    }

    /// See [`Objects::close`].
    pub fn close_handle(&self, handle: usize) -> Result<()> {
        self.objects.close(handle)
    }

    /// Open objects and open jobs.
    pub fn open(&self) -> (usize, usize) {
        (self.objects.len(), self.jobs().len())
    }
}

#[cfg(test)]
mod tests;
