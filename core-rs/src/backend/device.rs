//! The devices that a model can be opened on.

use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Where a model computes: "cpu", or "cuda:0", for which "cuda" is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// A GPU.
    Cuda {
        /// Its number as the driver counts.
        ordinal: usize,
    },
}

impl Device {
    /// The error where a device that is not the processor was asked for.
    pub(crate) fn unsupported<T>(self) -> Result<T> {
        Err(Error::Input(format!("This build has no CUDA backend for device \"{self}\", expected \"cpu\"")))
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let ordinal = match name {
            "cpu" => return Ok(Device::Cpu),
            "cuda" => Some(0),
            _ => name
                .strip_prefix("cuda:")
                .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok()),
        };
        ordinal.map(|ordinal| Device::Cuda { ordinal }).ok_or_else(|| {
            Error::Input(format!("Device is \"{name}\", expected \"cpu\", \"cuda\" or \"cuda:0\""))
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
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
        assert_eq!("cpu".parse::<Device>().unwrap(), Device::Cpu);
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda { ordinal: 0 });
        for name in ["", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda: 1", "gpu"] {
            let error = name.parse::<Device>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{name}\"")), "{error}");
        }
    }
}
