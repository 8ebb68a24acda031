//! The devices that a model can be opened on.

#[cfg(not(target_family = "wasm"))]
use super::cuda;
use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Where a model computes: "cpu", "cuda:0", for which "cuda" is short, or "auto".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The first GPU, or else the processor, which then says why.
    Auto,
    /// The processor.
    Cpu,
    /// A GPU.
    Cuda {
        /// Its number as the driver counts.
        ordinal: usize,
    },
}

/// How a device multiplies where it has a choice: a CUDA device. The CPU is always exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arithmetic {
    /// By our own kernels, with sums in one order: a row's bits depend neither on the other rows nor on how many there
    /// are, so that the sampler's log-probabilities are the trainer's.
    #[default]
    Exact,
    /// By the vendor's library, which chooses by shape: the same bits from run to run.
    Fast,
}

impl Arithmetic {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Arithmetic::Exact => "exact",
            Arithmetic::Fast => "fast",
        }
    }
}

/// Where and how a model computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub device: Device,
    /// How it multiplies there.
    pub arithmetic: Arithmetic,
}

impl From<Device> for Place {
    fn from(device: Device) -> Self {
        Self { device, arithmetic: Arithmetic::default() }
    }
}

/// A device that has been found.
pub(crate) enum Found {
    /// The processor, and why it is that where a GPU would have been taken.
    Cpu(Option<&'static str>),
    /// A GPU.
    #[cfg(not(target_family = "wasm"))]
    Cuda(cuda::Device),
}

impl Device {
    /// Finds it.
    pub(crate) fn find(self) -> Result<Found> {
        match self {
            Device::Cpu => Ok(Found::Cpu(None)),
            #[cfg(not(target_family = "wasm"))]
            Device::Cuda { ordinal } => match cuda::open(ordinal) {
                Ok(device) => Ok(Found::Cuda(device)),
                Err(Error::Device(reason)) => {
                    Err(Error::Device(format!("Cannot use device \"{self}\": {reason}; \"cpu\" needs none")))
                }
                Err(error) => Err(error),
            },
            #[cfg(not(target_family = "wasm"))]
            Device::Auto => Ok(match cuda::first()? {
                Ok(device) => Found::Cuda(device),
                Err(reason) => Found::Cpu(Some(reason)),
            }),
            #[cfg(target_family = "wasm")]
            Device::Auto => Ok(Found::Cpu(None)),
            #[cfg(target_family = "wasm")]
            Device::Cuda { .. } => {
                Err(Error::Input(format!("There is no device \"{self}\" in WebAssembly, expected \"cpu\"")))
            }
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let ordinal = match name {
            "auto" => return Ok(Device::Auto),
            "cpu" => return Ok(Device::Cpu),
            "cuda" => Some(0),
            _ => name
                .strip_prefix("cuda:")
                .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok()),
        };
        ordinal.map(|ordinal| Device::Cuda { ordinal }).ok_or_else(|| {
            Error::Input(format!("Device is \"{name}\", expected \"auto\", \"cpu\", \"cuda\" or \"cuda:0\""))
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda { ordinal } => write!(f, "cuda:{ordinal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_devices_name_is_read_as_that_device(ordinal in any::<usize>()) {
            let device = Device::Cuda { ordinal };
            prop_assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
        }
    }

    #[test]
    fn short_names_are_read_and_others_refused() {
        assert_eq!("auto".parse::<Device>().unwrap(), Device::Auto);
        assert_eq!("cpu".parse::<Device>().unwrap(), Device::Cpu);
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda { ordinal: 0 });
        for name in ["", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda: 1", "gpu"] {
            let error = name.parse::<Device>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{name}\"")), "{error}");
        }
    }
}
