//! What the driver's error codes mean, and what remains of a device after one.

use super::super::kernels::Kernel;
use crate::Error;
use cudarc::driver::sys::CUresult;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock};

/// Pieces of work that a lost device's message names.
const RECENT: usize = 4;

/// What a driver's error means for what comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// The call failed; others may succeed.
    Call,
    /// Every later call of this process fails too ("CUDA Driver API", "Data types used by CUDA driver": "the context
    /// is left in an inconsistent state", or the device is gone).
    Device,
}

/// What an error does to the device.
pub(super) fn severity(code: CUresult) -> Severity {
    use CUresult::*;
    match code {
        CUDA_ERROR_DEINITIALIZED
        | CUDA_ERROR_DEVICE_UNAVAILABLE
        | CUDA_ERROR_INVALID_CONTEXT
        | CUDA_ERROR_ECC_UNCORRECTABLE
        | CUDA_ERROR_NVLINK_UNCORRECTABLE
        | CUDA_ERROR_CONTAINED
        | CUDA_ERROR_ILLEGAL_ADDRESS
        | CUDA_ERROR_LAUNCH_TIMEOUT
        | CUDA_ERROR_CONTEXT_IS_DESTROYED
        | CUDA_ERROR_ASSERT
        | CUDA_ERROR_HARDWARE_STACK_ERROR
        | CUDA_ERROR_ILLEGAL_INSTRUCTION
        | CUDA_ERROR_MISALIGNED_ADDRESS
        | CUDA_ERROR_INVALID_ADDRESS_SPACE
        | CUDA_ERROR_INVALID_PC
        | CUDA_ERROR_LAUNCH_FAILED
        | CUDA_ERROR_TENSOR_MEMORY_LEAK
        | CUDA_ERROR_MPS_RPC_FAILURE
        | CUDA_ERROR_MPS_CLIENT_TERMINATED
        | CUDA_ERROR_EXTERNAL_DEVICE
        | CUDA_ERROR_UNKNOWN => Severity::Device,
        _ => Severity::Call,
    }
}

/// An error in words, with its name.
pub(super) fn words(code: CUresult) -> String {
    use CUresult::*;
    let words = match code {
        CUDA_ERROR_OUT_OF_MEMORY => "its memory ran out",
        CUDA_ERROR_INVALID_VALUE => "an argument is not valid",
        CUDA_ERROR_STUB_LIBRARY => "the library is the toolkit's placeholder and not a driver",
        CUDA_ERROR_DEVICE_UNAVAILABLE => "it is busy or was taken away",
        CUDA_ERROR_NO_DEVICE => "there is no device",
        CUDA_ERROR_INVALID_IMAGE | CUDA_ERROR_NO_BINARY_FOR_GPU => "the machine code is not for this device",
        CUDA_ERROR_UNSUPPORTED_PTX_VERSION => "the driver is older than the compiler",
        CUDA_ERROR_ECC_UNCORRECTABLE => "its memory has an error that cannot be corrected",
        CUDA_ERROR_NVLINK_UNCORRECTABLE => "its link to another device failed",
        CUDA_ERROR_NOT_FOUND => "the name is not known",
        CUDA_ERROR_ILLEGAL_ADDRESS => "a kernel read or wrote outside of its memory",
        CUDA_ERROR_MISALIGNED_ADDRESS => "a kernel read or wrote at an address that is not aligned",
        CUDA_ERROR_ILLEGAL_INSTRUCTION => "a kernel has an instruction that the device lacks",
        CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES => "a block needs more registers or shared memory than there are",
        CUDA_ERROR_LAUNCH_TIMEOUT => "a kernel took longer than the system allows",
        CUDA_ERROR_LAUNCH_FAILED => "a kernel failed",
        CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
            "the driver's library and its kernel module are of different versions"
        }
        CUDA_ERROR_SYSTEM_NOT_READY => "the system is not ready: its fabric manager may not be running",
        _ => "the driver refused",
    };
    format!("{words} ({code:?})")
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Work that was asked for, of which a later error may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Kernel(Kernel),
    /// m, n and k.
    Product([usize; 3]),
    Recording(u64),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Work::Kernel(kernel) => write!(f, "{}", named(kernel)),
            Work::Product([m, n, k]) => write!(f, "a product of {m} × {k} by {k} × {n}"),
            Work::Recording(number) => write!(f, "the recording {number}"),
        }
    }
}

/// What has gone wrong with a device.
pub(super) struct Faults {
    /// As messages call the device.
    device: String,
    lost: OnceLock<Error>,
    /// Work since the device was last waited for, the latest last.
    recent: Mutex<VecDeque<Work>>,
}

impl Faults {
    pub(super) fn new(device: String) -> Self {
        Self { device, lost: OnceLock::new(), recent: Mutex::default() }
    }

    /// The error of every call since the device was lost.
    pub(super) fn standing(&self) -> Result<(), Error> {
        self.lost.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Remembers work.
    pub(super) fn launched(&self, work: Work) {
        let mut recent = lock(&self.recent);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(work);
    }

    /// The work so far was done.
    pub(super) fn settled(&self) {
        lock(&self.recent).clear();
    }

    /// The error for a code that the driver gave while something was done.
    pub(super) fn error(&self, code: CUresult, doing: &str) -> Error {
        match severity(code) {
            Severity::Call => Error::Device(format!("{}: {doing} failed: {}", self.device, words(code))),
            Severity::Device => self.lost.get_or_init(|| self.loss(&words(code), doing)).clone(),
        }
    }

    fn loss(&self, words: &str, doing: &str) -> Error {
        let recent: Vec<String> = lock(&self.recent).iter().map(Work::to_string).collect();
        let earlier = match recent.as_slice() {
            [] => String::new(),
            names => format!(
                ", after the launches of {} (CUDA_LAUNCH_BLOCKING=1 in the environment tells which of them)",
                names.join(", ")
            ),
        };
        Error::Device(format!(
            "{} was lost: {words}, noticed by {doing}{earlier}. Checkpoints that were saved are intact: start again \
             from the last",
            self.device
        ))
    }
}

/// As messages call a kernel.
pub(super) fn named(kernel: &Kernel) -> String {
    format!("\"{}\" of \"{}\"", kernel.name, kernel.module)
}

#[cfg(test)]
mod tests {
    use super::super::super::kernels::{Activation, Module};
    use super::*;

    const NAMES: [&str; 5] = ["k0", "k1", "k2", "k3", "k4"];

    fn kernel(i: usize) -> Kernel {
        Kernel { module: Module::new("rowwise", Activation::F32), name: NAMES[i] }
    }

    #[test]
    fn a_lost_device_is_told_with_what_it_did_and_stays_lost() {
        let faults = Faults::new("cuda:0 (a device)".into());
        (0..5).for_each(|i| faults.launched(Work::Kernel(kernel(i))));
        assert!(faults.standing().is_ok());
        let first = faults.error(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, "a download").to_string();
        for part in [
            "cuda:0 (a device) was lost: a kernel read or wrote outside of its memory (CUDA_ERROR_ILLEGAL_ADDRESS)",
            "noticed by a download",
            "\"k1\" of \"rowwise.float\", \"k2\" of \"rowwise.float\"",
            "\"k4\"",
            "Checkpoints that were saved are intact",
        ] {
            assert!(first.contains(part), "{part}: {first}");
        }
        assert!(!first.contains("\"k0\""), "{first}");
        assert_eq!(faults.standing().unwrap_err().to_string(), first);
        let again = faults.error(CUresult::CUDA_ERROR_ECC_UNCORRECTABLE, "an upload").to_string();
        assert_eq!(again, first, "what was lost first is told");
    }

    #[test]
    fn a_call_that_fails_alone_leaves_the_device() {
        let faults = Faults::new("cuda:1".into());
        let error = faults.error(CUresult::CUDA_ERROR_INVALID_VALUE, "a copy");
        assert_eq!(error.kind(), "device");
        assert_eq!(
            error.to_string(),
            "cuda:1: a copy failed: an argument is not valid (CUDA_ERROR_INVALID_VALUE)"
        );
        assert!(faults.standing().is_ok());
    }

    #[test]
    fn launches_that_were_waited_for_are_not_suspected() {
        let faults = Faults::new("cuda:0".into());
        faults.launched(Work::Product([1, 2, 3]));
        faults.launched(Work::Recording(7));
        faults.settled();
        let lost = faults.error(CUresult::CUDA_ERROR_LAUNCH_FAILED, "a copy").to_string();
        assert!(lost.contains("noticed by a copy. "), "{lost}");
    }

    #[test]
    fn products_and_recordings_are_suspected_too() {
        let faults = Faults::new("cuda:0".into());
        faults.launched(Work::Product([3, 5, 4]));
        faults.launched(Work::Recording(7));
        let lost = faults.error(CUresult::CUDA_ERROR_LAUNCH_FAILED, "a copy").to_string();
        assert!(lost.contains("launches of a product of 3 × 4 by 4 × 5, the recording 7 ("), "{lost}");
    }

    #[test]
    fn only_errors_that_end_the_context_lose_the_device() {
        use CUresult::*;
        for code in [CUDA_ERROR_DEVICE_UNAVAILABLE, CUDA_ERROR_ECC_UNCORRECTABLE, CUDA_ERROR_LAUNCH_FAILED] {
            assert_eq!(severity(code), Severity::Device, "{code:?}");
        }
        for code in
            [CUDA_ERROR_OUT_OF_MEMORY, CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED]
        {
            assert_eq!(severity(code), Severity::Call, "{code:?}");
        }
    }
}
