//! CUDA's shared libraries, opened when the program runs. Where one is missing or lacks a function, that is an error
//! and not a panic, and a folder that the user names is the only one that is searched: that is why NVRTC and cuBLASLt
//! do not go through `cudarc`, which takes whatever library the system finds first.

use super::compile::Version;
use crate::{Error, Result};
use cudarc::cublaslt::sys as lt;
use libloading::Library;
use std::ffi::{c_char, c_int, c_void};
use std::path::{Path, PathBuf};

/// The environment's variable that names the folder of NVRTC and cuBLASLt, such as `nvidia/cu13/lib` of a Python
/// environment.
pub const FOLDER: &str = "RMR1_CUDA_LIBRARIES";

/// The folder that [`FOLDER`] names.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).filter(|name| !name.is_empty()).map(PathBuf::from)
}

/// Major versions of CUDA whose libraries have the functions below.
const MAJORS: [u32; 2] = [13, 12];

/// Declares a table of a library's functions, which it keeps open.
macro_rules! functions {
    ($table:ident, $called:literal, $names:ident, {
        $($field:ident = $symbol:literal: fn($($arg:ty),* $(,)?) -> $result:ty;)*
    }) => {
        pub(super) struct $table {
            $(pub(super) $field: unsafe extern "C" fn($($arg),*) -> $result,)*
            /// Keeps the functions where they are.
            _library: Library,
        }

        impl $table {
            /// Opens the library of the given folder, else the system's, of no later major version than `newest`.
            pub(super) fn open(folder: Option<&Path>, newest: Version) -> Result<Self> {
                let library = find($called, $names, folder, newest)?;
                // SAFETY: each function has this type in every version that is opened.
                unsafe {
                    Ok(Self {
                        $($field: *library.get($symbol).map_err(|_| lacks($called, $symbol))?,)*
                        _library: library,
                    })
                }
            }
        }
    };
}

fn lacks(called: &str, symbol: &str) -> Error {
    Error::Device(format!(
        "{called} has no function \"{symbol}\": expected the library of CUDA 12.4 or newer"
    ))
}

/// File names of NVRTC by major version.
fn nvrtc_names(major: u32) -> String {
    if cfg!(windows) { format!("nvrtc64_{major}0_0.dll") } else { format!("libnvrtc.so.{major}") }
}

/// File names of cuBLASLt by major version.
fn cublaslt_names(major: u32) -> String {
    if cfg!(windows) { format!("cublasLt64_{major}.dll") } else { format!("libcublasLt.so.{major}") }
}

// "NVRTC", section "User Interface". A program is an opaque pointer, a result 0 for success.
functions!(Nvrtc, "NVRTC", nvrtc_names, {
    version = "nvrtcVersion": fn(*mut c_int, *mut c_int) -> c_int;
    architectures = "nvrtcGetNumSupportedArchs": fn(*mut c_int) -> c_int;
    list_architectures = "nvrtcGetSupportedArchs": fn(*mut c_int) -> c_int;
    create = "nvrtcCreateProgram": fn(
        *mut *mut c_void, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char
    ) -> c_int;
    compile = "nvrtcCompileProgram": fn(*mut c_void, c_int, *const *const c_char) -> c_int;
    destroy = "nvrtcDestroyProgram": fn(*mut *mut c_void) -> c_int;
    log_size = "nvrtcGetProgramLogSize": fn(*mut c_void, *mut usize) -> c_int;
    log = "nvrtcGetProgramLog": fn(*mut c_void, *mut c_char) -> c_int;
    cubin_size = "nvrtcGetCUBINSize": fn(*mut c_void, *mut usize) -> c_int;
    cubin = "nvrtcGetCUBIN": fn(*mut c_void, *mut c_char) -> c_int;
    error = "nvrtcGetErrorString": fn(c_int) -> *const c_char;
});

// "cuBLAS", section "Using the cublasLt API". A result is 0 for success.
functions!(CublasLt, "cuBLASLt", cublaslt_names, {
    cuda_version = "cublasLtGetCudartVersion": fn() -> usize;
    create = "cublasLtCreate": fn(*mut lt::cublasLtHandle_t) -> u32;
    destroy = "cublasLtDestroy": fn(lt::cublasLtHandle_t) -> u32;
    status_name = "cublasLtGetStatusName": fn(u32) -> *const c_char;
    create_operation = "cublasLtMatmulDescCreate": fn(
        *mut lt::cublasLtMatmulDesc_t, lt::cublasComputeType_t, lt::cudaDataType_t
    ) -> u32;
    destroy_operation = "cublasLtMatmulDescDestroy": fn(lt::cublasLtMatmulDesc_t) -> u32;
    set_operation = "cublasLtMatmulDescSetAttribute": fn(
        lt::cublasLtMatmulDesc_t, lt::cublasLtMatmulDescAttributes_t, *const c_void, usize
    ) -> u32;
    create_layout = "cublasLtMatrixLayoutCreate": fn(
        *mut lt::cublasLtMatrixLayout_t, lt::cudaDataType_t, u64, u64, i64
    ) -> u32;
    destroy_layout = "cublasLtMatrixLayoutDestroy": fn(lt::cublasLtMatrixLayout_t) -> u32;
    create_preference = "cublasLtMatmulPreferenceCreate": fn(*mut lt::cublasLtMatmulPreference_t) -> u32;
    destroy_preference = "cublasLtMatmulPreferenceDestroy": fn(lt::cublasLtMatmulPreference_t) -> u32;
    set_preference = "cublasLtMatmulPreferenceSetAttribute": fn(
        lt::cublasLtMatmulPreference_t, lt::cublasLtMatmulPreferenceAttributes_t, *const c_void, usize
    ) -> u32;
    heuristic = "cublasLtMatmulAlgoGetHeuristic": fn(
        lt::cublasLtHandle_t, lt::cublasLtMatmulDesc_t, lt::cublasLtMatrixLayout_t, lt::cublasLtMatrixLayout_t,
        lt::cublasLtMatrixLayout_t, lt::cublasLtMatrixLayout_t, lt::cublasLtMatmulPreference_t, c_int,
        *mut Heuristic, *mut c_int
    ) -> u32;
    matmul = "cublasLtMatmul": fn(
        lt::cublasLtHandle_t, lt::cublasLtMatmulDesc_t, *const c_void, *const c_void, lt::cublasLtMatrixLayout_t,
        *const c_void, lt::cublasLtMatrixLayout_t, *const c_void, *const c_void, lt::cublasLtMatrixLayout_t,
        *mut c_void, lt::cublasLtMatrixLayout_t, *const lt::cublasLtMatmulAlgo_t, *mut c_void, usize,
        lt::cudaStream_t
    ) -> u32;
});

/// `cublasLtMatmulHeuristicResult_t` with its status as a number, for a status that a later version adds.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Heuristic {
    pub(super) algorithm: lt::cublasLtMatmulAlgo_t,
    pub(super) workspace: usize,
    pub(super) status: u32,
    waves: f32,
    reserved: [c_int; 4],
}

impl Heuristic {
    /// To be filled in.
    pub(super) fn empty() -> Self {
        let algorithm = lt::cublasLtMatmulAlgo_t { data: [0; 8] };
        Self { algorithm, workspace: 0, status: 0, waves: 0.0, reserved: [0; 4] }
    }
}

fn find(called: &str, name: fn(u32) -> String, folder: Option<&Path>, newest: Version) -> Result<Library> {
    let names: Vec<String> = MAJORS.into_iter().filter(|&major| major <= newest.major).map(name).collect();
    let wanted = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
    let Some(folder) = folder else {
        // SAFETY: these are CUDA's libraries, whose initialisation does nothing to this process.
        return names.iter().find_map(|name| unsafe { Library::new(name) }.ok()).ok_or_else(|| {
            Error::Device(format!(
                "{called} was not found: the system has no {wanted}; install CUDA's toolkit, or name the library's \
                 folder by {FOLDER}"
            ))
        });
    };
    let Some(path) = names.iter().map(|name| folder.join(name)).find(|path| path.exists()) else {
        return Err(Error::Device(format!(
            "{called} was not found: \"{}\", which {FOLDER} names, has no {wanted}",
            folder.display()
        )));
    };
    keep_companions(folder);
    // SAFETY: as above.
    unsafe { Library::new(&path) }
        .map_err(|e| Error::Device(format!("{called} cannot be loaded from \"{}\": {e}", path.display())))
}

/// Loads what NVRTC looks for by name when it compiles, so that it is found in the same folder.
fn keep_companions(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.contains("nvrtc-builtins") && !name.contains(".alt.") {
            // SAFETY: it holds data and initialises nothing. Where it does not load, NVRTC says so.
            std::mem::forget(unsafe { Library::new(&path) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWEST: Version = Version { major: 13, minor: 0 };

    #[test]
    fn an_empty_folder_is_named_with_what_it_lacks() {
        let empty = tempfile::tempdir().unwrap();
        let nvrtc = Nvrtc::open(Some(empty.path()), NEWEST).err().unwrap().to_string();
        let cublaslt = CublasLt::open(Some(empty.path()), NEWEST).err().unwrap().to_string();
        for (message, called, name) in
            [(nvrtc, "NVRTC", nvrtc_names(13)), (cublaslt, "cuBLASLt", cublaslt_names(13))]
        {
            assert!(message.starts_with(&format!("{called} was not found: ")), "{message}");
            assert!(message.contains(&format!("\"{}\"", empty.path().display())), "{message}");
            assert!(message.contains(FOLDER) && message.contains(&name), "{message}");
        }
    }

    #[test]
    fn a_library_newer_than_the_driver_is_not_looked_for() {
        let empty = tempfile::tempdir().unwrap();
        let message =
            Nvrtc::open(Some(empty.path()), Version { major: 12, minor: 8 }).err().unwrap().to_string();
        assert!(message.contains(&nvrtc_names(12)) && !message.contains(&nvrtc_names(13)), "{message}");
    }

    #[test]
    fn a_file_that_is_no_library_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(nvrtc_names(13));
        std::fs::write(&path, "text").unwrap();
        let message = Nvrtc::open(Some(folder.path()), NEWEST).err().unwrap().to_string();
        assert!(message.starts_with("NVRTC cannot be loaded from "), "{message}");
        assert!(message.contains(&format!("\"{}\"", path.display())), "{message}");
    }
}
