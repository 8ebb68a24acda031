//! Compiles modules to machine code by NVRTC. No device is needed for it.

use super::kernels::{HEADERS, Module};
use super::libraries::{self, Nvrtc};
use crate::{Error, Result};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::path::Path;
use std::ptr::null_mut;

/// A version of CUDA: of a driver, or of a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Before the point.
    pub major: u32,
    /// After it.
    pub minor: u32,
}

impl Version {
    /// Later than any.
    pub const LATEST: Version = Version { major: u32::MAX, minor: 0 };

    /// From CUDA's own numbers: 13000 is 13.0.
    pub fn of(number: usize) -> Self {
        Self { major: (number / 1000) as u32, minor: (number % 1000 / 10) as u32 }
    }
}

/// For example "13.0".
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What machine code is for: a compute capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Architecture {
    /// Before the point.
    pub major: u32,
    /// After it.
    pub minor: u32,
}

impl Architecture {
    /// Those that kernels are built ahead for.
    pub const BUILT: [Architecture; 4] =
        [Architecture::new(8, 0), Architecture::new(8, 9), Architecture::new(9, 0), Architecture::new(10, 0)];

    /// Of a compute capability.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Whether code is compiled with the instructions that this capability alone has ("NVIDIA CUDA Compiler Driver
    /// NVCC", "GPU Feature List", suffix "a").
    fn is_specific(self) -> bool {
        matches!((self.major, self.minor), (9 | 10, 0))
    }

    /// Architectures whose machine code it runs, best first: its own, and those of the same major and a lower minor
    /// version, unless they are specific ("CUDA C++ Programming Guide", "Binary Compatibility").
    pub fn runs(self) -> Vec<Architecture> {
        let lower = (0..self.minor).rev().map(|minor| Self::new(self.major, minor));
        [self].into_iter().chain(lower.filter(|each| !each.is_specific())).collect()
    }
}

/// For example "sm_89" or "sm_90a".
impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "sm_{}{}{}", self.major, self.minor, if self.is_specific() { "a" } else { "" })
    }
}

/// A module as machine code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// What ptxas said of each kernel's registers, shared memory and spills.
    pub log: String,
    /// An ELF file for a device.
    pub cubin: Vec<u8>,
}

/// What compiles modules.
pub trait Compiler: Send + Sync {
    /// Its version, on which the code depends.
    fn version(&self) -> Version;
    /// Compiles a module.
    fn compile(&self, module: &Module, architecture: Architecture) -> Result<Compiled>;
}

/// Options of every module besides its macros. Nothing is fused that a source does not fuse, so that sums are the same
/// in every kernel that adds them.
pub(super) const OPTIONS: [&str; 3] = ["--std=c++17", "--fmad=false", "--ptxas-options=-v"];

/// NVIDIA's compiler as a library.
pub struct RuntimeCompiler {
    nvrtc: Nvrtc,
    version: Version,
    /// As NVRTC numbers them: 90 for 9.0.
    architectures: Vec<c_int>,
}

impl RuntimeCompiler {
    /// Opens NVRTC of the given folder, else the one that `RMR1_CUDA_LIBRARIES` names, else the system's, of no later
    /// major version than `newest`. [`Error::Device`] where there is none.
    pub fn open(folder: Option<&Path>, newest: Version) -> Result<Self> {
        let named = libraries::folder();
        let nvrtc = Nvrtc::open(folder.or(named.as_deref()), newest)?;
        let (mut major, mut minor, mut count) = (0, 0, 0);
        // SAFETY: the pointers are to numbers that live long enough, the list has as many places as are asked for.
        let architectures = unsafe {
            check(&nvrtc, (nvrtc.version)(&mut major, &mut minor))?;
            check(&nvrtc, (nvrtc.architectures)(&mut count))?;
            let mut list = vec![0; count.max(0) as usize];
            check(&nvrtc, (nvrtc.list_architectures)(list.as_mut_ptr()))?;
            list
        };
        let version = Version { major: major as u32, minor: minor as u32 };
        Ok(Self { nvrtc, version, architectures })
    }

    /// What the compiler said of a program.
    fn log(&self, program: &Program) -> Result<String> {
        let text = read(&self.nvrtc, program.0, self.nvrtc.log_size, self.nvrtc.log)?;
        Ok(String::from_utf8_lossy(&text).trim_end_matches(['\0', '\n']).to_string())
    }
}

impl Compiler for RuntimeCompiler {
    fn version(&self) -> Version {
        self.version
    }

    fn compile(&self, module: &Module, architecture: Architecture) -> Result<Compiled> {
        let number = (architecture.major * 10 + architecture.minor) as c_int;
        if !self.architectures.contains(&number) {
            return Err(Error::Device(format!(
                "NVRTC {} does not compile for {architecture}: a newer one is needed",
                self.version
            )));
        }
        let source = text(module.text());
        let name = text(&format!("{}.cu", module.source));
        let headers: Vec<(CString, CString)> =
            HEADERS.iter().map(|(name, content)| (text(name), text(content))).collect();
        let contents: Vec<*const c_char> = headers.iter().map(|(_, content)| content.as_ptr()).collect();
        let names: Vec<*const c_char> = headers.iter().map(|(name, _)| name.as_ptr()).collect();
        let macros = module.macros().into_iter().map(|(name, value)| format!("-D{name}={value}"));
        let options: Vec<CString> = OPTIONS
            .iter()
            .map(|option| option.to_string())
            .chain([format!("--gpu-architecture={architecture}")])
            .chain(macros)
            .map(|option| text(&option))
            .collect();
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let nvrtc = &self.nvrtc;
        let mut program = Program(null_mut(), nvrtc);
        // SAFETY: all texts outlive the program, and there are as many of each as is said.
        unsafe {
            let (content, name_list) = (contents.as_ptr(), names.as_ptr());
            let count = headers.len() as c_int;
            let made =
                (nvrtc.create)(&mut program.0, source.as_ptr(), name.as_ptr(), count, content, name_list);
            check(nvrtc, made)?;
            if (nvrtc.compile)(program.0, options.len() as c_int, options.as_ptr()) != 0 {
                let log = self.log(&program)?;
                let reason = format!("\"{module}\" does not compile for {architecture}: {log}");
                return Err(Error::Internal(reason));
            }
        }
        let log = self.log(&program)?;
        let cubin = read(nvrtc, program.0, nvrtc.cubin_size, nvrtc.cubin)?;
        Ok(Compiled { log, cubin })
    }
}

/// A program of NVRTC, destroyed when it is dropped.
struct Program<'a>(*mut c_void, &'a Nvrtc);

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it was created by this library and nobody has it any more. It has no way left to fail.
            unsafe { (self.1.destroy)(&mut self.0) };
        }
    }
}

type Size = unsafe extern "C" fn(*mut c_void, *mut usize) -> c_int;
type Read = unsafe extern "C" fn(*mut c_void, *mut c_char) -> c_int;

/// Reads bytes of a program whose number NVRTC tells.
fn read(nvrtc: &Nvrtc, program: *mut c_void, size: Size, read: Read) -> Result<Vec<u8>> {
    let mut bytes = 0;
    // SAFETY: the program is valid, and the buffer has as many bytes as are written.
    unsafe {
        check(nvrtc, size(program, &mut bytes))?;
        let mut buffer = vec![0u8; bytes];
        check(nvrtc, read(program, buffer.as_mut_ptr().cast()))?;
        Ok(buffer)
    }
}

fn text(s: &str) -> CString {
    CString::new(s).expect("sources and options hold no zero byte")
}

fn check(nvrtc: &Nvrtc, code: c_int) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: the function gives a constant text for any number.
    let words = unsafe { CStr::from_ptr((nvrtc.error)(code)) };
    Err(Error::Device(format!("NVRTC failed: {}", words.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_are_named_as_the_compiler_does() {
        let names: Vec<String> = Architecture::BUILT.iter().map(Architecture::to_string).collect();
        assert_eq!(names, ["sm_80", "sm_89", "sm_90a", "sm_100a"]);
        assert_eq!(Architecture::new(12, 0).to_string(), "sm_120");
    }

    #[test]
    fn a_device_runs_code_of_its_major_version_that_is_not_specific() {
        let names = |major, minor| {
            let runs = Architecture::new(major, minor).runs();
            runs.iter().map(Architecture::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(8, 0), ["sm_80"]);
        assert_eq!(names(8, 7)[0], "sm_87");
        assert_eq!(names(8, 7).last().unwrap(), "sm_80");
        assert_eq!(names(9, 0), ["sm_90a"]);
        assert_eq!(names(10, 3), ["sm_103", "sm_102", "sm_101"]);
    }

    #[test]
    fn versions_are_read_from_numbers() {
        assert_eq!(Version::of(13000).to_string(), "13.0");
        assert_eq!(Version::of(12040).to_string(), "12.4");
        assert!(Version::of(12080) < Version::of(13000) && Version::of(13000) < Version::LATEST);
    }
}
