//! The driver without a device.

use libloading::Library;
use rmr1_core::backend::cuda::compile::{Architecture, Compiled, Version};
use rmr1_core::backend::cuda::cubin_file::CubinFile;
use rmr1_core::backend::cuda::cubins::built_name;
use rmr1_core::backend::cuda::kernels::modules;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard};
use tempfile::TempDir;

/// The driver for one test at a time.
pub struct Fake(MutexGuard<'static, Option<Loaded>>);

struct Loaded {
    library: Library,
    folder: TempDir,
}

/// The driver, with one device of 1 GiB, or `None`, having said why, where there is no C++ compiler.
pub fn fake() -> Option<Fake> {
    static LOADED: LazyLock<Mutex<Option<Loaded>>> = LazyLock::new(|| Mutex::new(load()));
    let loaded = LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    loaded.as_ref()?;
    let fake = Fake(loaded);
    fake.call("fake_recover");
    fake.devices(1, 9);
    fake.version(13_000);
    fake.capacity(1 << 30);
    Some(fake)
}

/// Loads the driver under the name that is looked for, with code built ahead for every module.
fn load() -> Option<Loaded> {
    let compiler = compiler();
    if !Command::new(&compiler).arg("--version").output().is_ok_and(|done| done.status.success()) {
        eprintln!("SKIPPED: no C++ compiler \"{compiler}\" to make a driver with; set CXX");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("fake.so");
    compile(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cuda_driver/fake.cpp"), "libcuda.so", &library);
    for module in modules() {
        let path = folder.path().join(built_name(&module, Architecture::new(9, 0)));
        let compiled = Compiled { log: String::new(), cubin: vec![0; 16] };
        let file = CubinFile { compiler: Version { major: 13, minor: 0 }, compiled };
        file.write(&path, &module, Architecture::new(9, 0)).unwrap();
    }
    let libraries = folder.path().join("libraries");
    std::fs::create_dir(&libraries).unwrap();
    // SAFETY: every test waits for this, and nothing else in this process reads the environment meanwhile.
    unsafe {
        env::set_var("RMR1_CUDA_KERNELS", folder.path());
        env::set_var("RMR1_CUDA_LIBRARIES", &libraries);
    }
    // SAFETY: it is made of this crate's own source and runs nothing when it is loaded.
    let library = unsafe { Library::new(&library) }.unwrap();
    Some(Loaded { library, folder })
}

/// Makes a library that goes by a name.
fn compile(source: &str, name: &str, library: &Path) {
    let done = Command::new(compiler())
        .args(["-std=c++17", "-O1", "-fPIC", "-shared", source])
        .arg(format!("-Wl,-soname,{name}"))
        .arg("-o")
        .arg(library)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn compiler() -> String {
    env::var("CXX").unwrap_or_else(|_| "c++".into())
}

/// cuBLASLt without a device, in the folder where it is looked for until this is dropped.
pub struct FakeCublasLt {
    library: Library,
    path: PathBuf,
}

impl FakeCublasLt {
    /// A count that the library keeps.
    pub fn count(&self, symbol: &str) -> i64 {
        // SAFETY: the counts are functions of this type in the source.
        unsafe { self.library.get::<unsafe extern "C" fn() -> i64>(symbol).unwrap()() }
    }
}

impl Drop for FakeCublasLt {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $symbol:literal($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        $($(#[$doc])* pub fn $name(&self, $($arg: $type),*) $(-> $result)? {
            // SAFETY: the function has this type in the source.
            unsafe { self.library().get::<unsafe extern "C" fn($($type),*) $(-> $result)?>($symbol).unwrap()($($arg),*) }
        })*
    };
}

impl Fake {
    fn library(&self) -> &Library {
        &self.0.as_ref().expect("it was loaded").library
    }

    fn call(&self, symbol: &str) {
        // SAFETY: the function has this type in the source.
        unsafe { self.library().get::<unsafe extern "C" fn()>(symbol).unwrap()() }
    }

    /// Puts cuBLASLt where it is looked for.
    pub fn cublaslt(&self) -> FakeCublasLt {
        let folder = self.0.as_ref().expect("it was loaded").folder.path();
        let path = folder.join("libraries/libcublasLt.so.13");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cuda_driver/fake_cublaslt.cpp");
        compile(source, "libcublasLt.so.13", &path);
        // SAFETY: it is made of this crate's own source and runs nothing when it is loaded.
        FakeCublasLt { library: unsafe { Library::new(&path) }.unwrap(), path }
    }

    calls! {
        /// How many there are, of which major compute capability.
        devices = "fake_devices"(count: i32, major: i32);
        /// What the driver supports, for example 13000.
        version = "fake_version"(number: i32);
        /// Bytes of the device's memory.
        capacity = "fake_capacity"(bytes: usize);
        /// Bytes that the pool keeps although nobody uses them.
        reserve = "fake_reserve"(bytes: usize);
        /// The next work that is waited for ends with this code, and so does everything after it.
        failure = "fake_failure"(code: i32);
        /// Bytes that are allocated.
        in_use = "fake_in_use"() -> usize;
        /// Reads, writes and frees that were not allowed.
        misuse = "fake_misuse"() -> i64;
        /// How often a kernel was allowed more shared memory.
        raised = "fake_raised"() -> i32;
    }
}
