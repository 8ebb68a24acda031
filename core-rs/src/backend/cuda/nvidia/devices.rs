//! Which devices there are.

use super::super::compile::{Architecture, Version};
use super::faults::words;
use crate::{Error, Result};
use cudarc::driver::sys::{self, CUresult};
use std::ffi::CStr;
use std::fmt;

/// The oldest version of CUDA that a driver must support: the driver tells a kernel's parameters from there on.
const OLDEST_DRIVER: Version = Version { major: 12, minor: 4 };
/// The oldest compute capability: bfloat16 on tensor cores and asynchronous copies to shared memory.
const OLDEST: Architecture = Architecture::new(8, 0);

/// Why there is no device at all. It reads as a part of a sentence: "cpu (no CUDA driver found)".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// There is no driver.
    Driver,
    /// There is a driver that supports no more than this version.
    Old(Version),
    /// There is a driver and no device.
    Device,
    /// The driver's own reason.
    Failed(String),
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Absence::Driver => write!(f, "no CUDA driver found"),
            Absence::Old(version) => write!(
                f,
                "the driver supports CUDA {version}, and {OLDEST_DRIVER} or newer is needed (release 550)"
            ),
            Absence::Device => write!(f, "no CUDA device found"),
            Absence::Failed(reason) => write!(f, "the CUDA driver cannot be started: {reason}"),
        }
    }
}

/// As a sentence.
impl From<Absence> for Error {
    fn from(absence: Absence) -> Self {
        let text = absence.to_string();
        let (first, rest) = text.split_at(1);
        Error::Device(format!("{}{rest}", first.to_uppercase()))
    }
}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its number.
    pub ordinal: usize,
    /// The maker's name.
    pub name: String,
    /// Of memory.
    pub bytes: usize,
    /// Its compute capability.
    pub capability: Architecture,
}

/// For example "cuda:0 (NVIDIA H200, 139.8 GiB, compute capability 9.0)".
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { ordinal, name, bytes, capability: Architecture { major, minor } } = self;
        let gib = *bytes as f64 / f64::from(1 << 30);
        write!(f, "cuda:{ordinal} ({name}, {gib:.1} GiB, compute capability {major}.{minor})")
    }
}

impl Description {
    /// The driver's handle.
    pub(super) fn device(&self) -> Result<sys::CUdevice> {
        handle(self.ordinal as i32).map_err(Error::from)
    }
}

/// Every device there is, also those that are too old, or why there is none.
pub fn devices() -> std::result::Result<Vec<Description>, Absence> {
    list().map(|(_, found)| found)
}

/// What the driver supports, and the devices.
pub(super) fn list() -> std::result::Result<(Version, Vec<Description>), Absence> {
    // SAFETY: the driver's library may be loaded at any time; looking for it first keeps `cudarc` from panicking.
    if !unsafe { sys::is_culib_present() } {
        return Err(Absence::Driver);
    }
    let mut number = 0;
    // SAFETY: every driver has the function, also before it is started.
    check(unsafe { sys::cuDriverGetVersion(&mut number) })?;
    // Before anything else is called: `cudarc` panics at a function that an old driver lacks.
    let version = supported(Version::of(number.max(0) as usize))?;
    let mut count = 0;
    // SAFETY: the pointers are to numbers.
    unsafe {
        check(sys::cuInit(0))?;
        check(sys::cuDeviceGetCount(&mut count))?;
    }
    let found = (0..count).map(describe).collect::<std::result::Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(Absence::Device) } else { Ok((version, found)) }
}

fn supported(version: Version) -> std::result::Result<Version, Absence> {
    match version {
        Version { major: 0, .. } => Err(Absence::Driver),
        version if version < OLDEST_DRIVER => Err(Absence::Old(version)),
        version => Ok(version),
    }
}

fn check(code: CUresult) -> std::result::Result<(), Absence> {
    match code {
        CUresult::CUDA_SUCCESS => Ok(()),
        CUresult::CUDA_ERROR_NO_DEVICE => Err(Absence::Device),
        CUresult::CUDA_ERROR_STUB_LIBRARY => Err(Absence::Driver),
        code => Err(Absence::Failed(words(code))),
    }
}

fn handle(ordinal: i32) -> std::result::Result<sys::CUdevice, Absence> {
    let mut device = 0;
    // SAFETY: the driver has been started.
    check(unsafe { sys::cuDeviceGet(&mut device, ordinal) })?;
    Ok(device)
}

fn describe(ordinal: i32) -> std::result::Result<Description, Absence> {
    use sys::CUdevice_attribute as Attribute;
    let device = handle(ordinal)?;
    let mut name = [0 as std::ffi::c_char; 256];
    let (mut bytes, mut major, mut minor) = (0, 0, 0);
    // SAFETY: the device is valid, and the name ends within its array.
    let name = unsafe {
        check(sys::cuDeviceGetName(name.as_mut_ptr(), name.len() as i32, device))?;
        check(sys::cuDeviceTotalMem_v2(&mut bytes, device))?;
        for (attribute, value) in [
            (Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &mut major),
            (Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &mut minor),
        ] {
            check(sys::cuDeviceGetAttribute(value, attribute, device))?;
        }
        CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned()
    };
    let capability = Architecture::new(major as u32, minor as u32);
    Ok(Description { ordinal: ordinal as usize, name, bytes, capability })
}

/// The device of a number, if it is one that kernels can run on.
pub(super) fn choose(found: &[Description], ordinal: usize) -> Result<&Description> {
    let Some(device) = found.get(ordinal) else {
        let there = match found.len() {
            1 => "there is one, \"cuda:0\"".to_string(),
            n => format!("there are {n}, \"cuda:0\" to \"cuda:{}\"", n - 1),
        };
        return Err(Error::Input(format!("No device \"cuda:{ordinal}\": {there}")));
    };
    let Architecture { major, minor } = device.capability;
    if (major, minor) < (OLDEST.major, OLDEST.minor) {
        return Err(Error::Device(format!(
            "{device} is too old: compute capability {}.{} or newer is needed",
            OLDEST.major, OLDEST.minor
        )));
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(ordinal: usize, major: u32, minor: u32) -> Description {
        let capability = Architecture::new(major, minor);
        Description { ordinal, name: "NVIDIA H200".into(), bytes: 150_112_000_000, capability }
    }

    #[test]
    fn a_device_is_described_by_name_memory_and_capability() {
        let text = device(0, 9, 0).to_string();
        assert_eq!(text, "cuda:0 (NVIDIA H200, 139.8 GiB, compute capability 9.0)");
    }

    #[test]
    fn a_device_that_is_not_there_is_refused_with_those_that_are() {
        let message = |count, ordinal| {
            let found: Vec<_> = (0..count).map(|i| device(i, 9, 0)).collect();
            choose(&found, ordinal).unwrap_err().to_string()
        };
        assert_eq!(message(1, 1), "No device \"cuda:1\": there is one, \"cuda:0\"");
        assert_eq!(message(4, 9), "No device \"cuda:9\": there are 4, \"cuda:0\" to \"cuda:3\"");
    }

    #[test]
    fn a_device_that_is_too_old_is_refused_with_its_capability() {
        assert!(choose(&[device(0, 8, 0)], 0).is_ok());
        let message = choose(&[device(0, 7, 5)], 0).unwrap_err().to_string();
        assert!(message.contains("capability 7.5) is too old: compute capability 8.0 or newer"), "{message}");
    }

    #[test]
    fn a_driver_that_is_too_old_is_refused_with_both_versions() {
        assert_eq!(supported(OLDEST_DRIVER), Ok(OLDEST_DRIVER));
        let old = supported(Version::of(12020)).unwrap_err();
        assert_eq!(
            Error::from(old).to_string(),
            "The driver supports CUDA 12.2, and 12.4 or newer is needed (release 550)"
        );
    }

    #[test]
    fn absences_read_as_parts_of_sentences_and_as_errors() {
        assert_eq!(format!("cpu ({})", Absence::Driver), "cpu (no CUDA driver found)");
        assert_eq!(Error::from(Absence::Device).to_string(), "No CUDA device found");
        assert_eq!(check(CUresult::CUDA_ERROR_NO_DEVICE), Err(Absence::Device));
        let failed = check(CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH).unwrap_err().to_string();
        assert!(failed.contains("different versions (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)"), "{failed}");
    }

    #[test]
    fn looking_for_devices_never_panics() {
        match devices() {
            Ok(found) => assert!(!found.is_empty()),
            Err(absence) => assert!(!absence.to_string().is_empty()),
        }
    }
}
