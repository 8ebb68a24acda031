//! A device for tests without one: the kernels' own sources, compiled for the processor and run thread by thread.

use super::driver::{Address, Arg, Driver, Format, Grid, Memory, Operand, Product};
use super::kernels::{HEADERS, Kernel, Module};
use crate::{Error, Result};
use half::bf16;
use libloading::Library;
use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;
use std::ffi::c_void;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock};

const SHIM: &str = include_str!("emulator.h");
/// Bytes before and after each allocation that nobody may write to.
const FENCE: usize = 256;
/// What fences and fresh memory hold: in every floating-point format it is NaN.
const FILL: u8 = 0xff;

type Launch = unsafe extern "C" fn(*const u32, u32, u32, *mut *mut c_void, u32);

/// The processor as a device.
pub struct Emulator {
    /// Most bytes that may be allocated.
    capacity: AtomicUsize,
    /// Most bytes that were.
    peak: AtomicUsize,
    allocated: Mutex<HashMap<Address, usize>>,
    recordings: Mutex<Vec<Recording>>,
    recording: Mutex<Option<Recording>>,
}

/// Recorded work, and the memory that was given back meanwhile, which the work goes on to use.
#[derive(Default)]
struct Recording {
    steps: Vec<Step>,
    held: Vec<(Address, usize)>,
}

/// One piece of recorded work.
#[derive(Clone)]
enum Step {
    Copy(Address, Address, usize),
    Clear(Address, usize),
    Launch(Kernel, Grid, Vec<Arg>),
    Product(Product),
}

/// The device, or `None`, having said why, where there is no C++ compiler.
pub fn emulator() -> Option<Arc<Emulator>> {
    emulator_of(8 << 30)
}

/// As [`emulator`], with so many bytes of memory.
pub fn emulator_of(capacity: usize) -> Option<Arc<Emulator>> {
    static COMPILER: LazyLock<bool> = LazyLock::new(|| {
        let found = Command::new(compiler()).arg("--version").output().is_ok_and(|o| o.status.success());
        if !found {
            eprintln!("SKIPPED: no C++ compiler \"{}\" to run the CUDA kernels with; set CXX", compiler());
        }
        found
    });
    COMPILER.then(|| {
        Arc::new(Emulator {
            capacity: capacity.into(),
            peak: AtomicUsize::new(0),
            allocated: Mutex::default(),
            recordings: Mutex::default(),
            recording: Mutex::default(),
        })
    })
}

fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "c++".into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Compiles a module unless that has been done, and loads it. Libraries are kept by what they are made of.
fn load(module: Module) -> &'static Library {
    type Slot = Arc<OnceLock<&'static Library>>;
    static LOADED: LazyLock<Mutex<HashMap<Module, Slot>>> = LazyLock::new(Mutex::default);
    let slot = lock(&LOADED).entry(module).or_default().clone();
    slot.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        (SHIM, HEADERS, module.text(), module.macros(), compiler()).hash(&mut hasher);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/cuda-emulator");
        fs::create_dir_all(&folder).expect("the folder for emulated kernels cannot be made");
        let library = folder.join(format!("{module}-{:016x}.so", hasher.finish()));
        if !library.exists() {
            compile(module, &folder, &library);
        }
        // SAFETY: the library is made of this crate's own sources and runs nothing when it is loaded.
        let loaded = unsafe { Library::new(&library) };
        Box::leak(Box::new(loaded.unwrap_or_else(|e| panic!("{}: {e}", library.display()))))
    })
}

fn compile(module: Module, folder: &Path, library: &Path) {
    let scratch = tempfile::tempdir_in(folder).expect("no scratch folder");
    let write = |name: &str, text: &str| {
        fs::write(scratch.path().join(name), text).expect("a source cannot be written");
    };
    HEADERS.iter().for_each(|(name, text)| write(name, text));
    write("emulator.h", SHIM);
    write("module.cu", module.text());
    let made = scratch.path().join("module.so");
    let macros = module.macros().into_iter().map(|(name, value)| format!("-D{name}={value}"));
    let done = Command::new(compiler())
        .args(["-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-w", "-DRMR1_EMULATOR"])
        .args(macros)
        .args(["-x", "c++", "module.cu", "-o"])
        .arg(&made)
        .current_dir(scratch.path())
        .output()
        .expect("the C++ compiler cannot be run");
    assert!(done.status.success(), "{module}: {}", String::from_utf8_lossy(&done.stderr));
    fs::rename(made, library).expect("an emulated kernel cannot be put in its place");
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes + 2 * FENCE, 256).expect("an allocation is too large")
}

impl Emulator {
    /// Adds to the recording that is being made, if one is. Whether it was.
    fn recorded(&self, step: impl FnOnce() -> Step) -> bool {
        match lock(&self.recording).as_mut() {
            Some(recording) => {
                recording.steps.push(step());
                true
            }
            None => false,
        }
    }

    /// Bytes in use.
    pub fn in_use(&self) -> usize {
        lock(&self.allocated).values().sum()
    }

    /// Most bytes that were in use at once.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Begins to watch for the peak anew.
    pub fn forget_peak(&self) {
        self.peak.store(self.in_use(), Ordering::Relaxed);
    }

    /// Changes how many bytes may be allocated.
    pub fn set_capacity(&self, bytes: usize) {
        self.capacity.store(bytes, Ordering::Relaxed);
    }

    /// Panics unless the bytes lie within one allocation.
    fn check(&self, at: Address, bytes: usize) {
        let allocated = lock(&self.allocated);
        let inside =
            |(&from, &size): (&Address, &usize)| at >= from && at + bytes as u64 <= from + size as u64;
        assert!(allocated.iter().any(inside), "{bytes} bytes at {at:#x} are in no allocation");
    }
}

impl Driver for Emulator {
    fn describe(&self) -> String {
        "emulated cuda device".into()
    }

    fn multiprocessors(&self) -> usize {
        4
    }

    fn max_shared(&self) -> usize {
        // Of compute capability 9.0 (CUDA C++ Programming Guide, table of technical specifications).
        227 << 10
    }

    fn memory(&self) -> Result<Memory> {
        let total = self.capacity.load(Ordering::Relaxed);
        Ok(Memory { free: total.saturating_sub(self.in_use()), total })
    }

    fn allocate(&self, bytes: usize) -> Result<Address> {
        let Memory { free, total } = self.memory()?;
        if bytes > free {
            return Err(Error::Memory { needed: bytes, free, total });
        }
        // SAFETY: the layout has bytes, since the fences do.
        let at = unsafe {
            let at = alloc(layout(bytes));
            assert!(!at.is_null(), "the host has no memory for an emulated device");
            at.write_bytes(FILL, bytes + 2 * FENCE);
            at as Address + FENCE as Address
        };
        lock(&self.allocated).insert(at, bytes);
        self.peak.fetch_max(self.in_use(), Ordering::Relaxed);
        Ok(at)
    }

    fn free(&self, at: Address, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if let Some(recording) = lock(&self.recording).as_mut() {
            recording.held.push((at, bytes));
            return;
        }
        assert_eq!(lock(&self.allocated).remove(&at), Some(bytes), "memory is freed that was not allocated");
        // SAFETY: it was allocated with this layout, and nobody has it any more.
        unsafe {
            let start = (at as *mut u8).sub(FENCE);
            let whole = std::slice::from_raw_parts(start, bytes + 2 * FENCE);
            let fences = whole[..FENCE].iter().chain(&whole[FENCE + bytes..]);
            assert!(fences.copied().all(|x| x == FILL), "a kernel wrote outside of {bytes} bytes");
            dealloc(start, layout(bytes));
        }
    }

    fn upload(&self, host: &[u8], to: Address) -> Result<()> {
        assert!(lock(&self.recording).is_none(), "an upload is no part of a recording");
        self.check(to, host.len());
        // SAFETY: the bytes lie within an allocation.
        unsafe { std::ptr::copy_nonoverlapping(host.as_ptr(), to as *mut u8, host.len()) };
        Ok(())
    }

    fn download(&self, from: Address, host: &mut [u8]) -> Result<()> {
        assert!(lock(&self.recording).is_none(), "a download is no part of a recording");
        self.check(from, host.len());
        // SAFETY: the bytes lie within an allocation.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, host.as_mut_ptr(), host.len()) };
        Ok(())
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        self.check(from, bytes);
        self.check(to, bytes);
        if self.recorded(|| Step::Copy(from, to, bytes)) {
            return Ok(());
        }
        // SAFETY: both lie within allocations.
        unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) };
        Ok(())
    }

    fn clear(&self, at: Address, bytes: usize) -> Result<()> {
        self.check(at, bytes);
        if self.recorded(|| Step::Clear(at, bytes)) {
            return Ok(());
        }
        // SAFETY: the bytes lie within an allocation.
        unsafe { (at as *mut u8).write_bytes(0, bytes) };
        Ok(())
    }

    fn launch(&self, kernel: Kernel, grid: Grid, args: &[Arg]) -> Result<()> {
        assert!(grid.blocks[1].max(grid.blocks[2]) < 65_536, "{}: too many blocks: {grid:?}", kernel.name);
        assert!(grid.shared as usize <= self.max_shared(), "{}: too much shared memory", kernel.name);
        if self.recorded(|| Step::Launch(kernel, grid, args.to_vec())) {
            return Ok(());
        }
        let library = load(kernel.module);
        let name = format!("emulated_{}", kernel.name);
        let mut cells = args.to_vec();
        let mut pointers: Vec<*mut c_void> = cells.iter_mut().map(|c| (&raw mut *c).cast()).collect();
        // SAFETY: the exported function has this type, and checks the number of arguments; each argument is a cell of 8
        // bytes, which no parameter is wider than. Whether it writes where it should is what the tests find out.
        unsafe {
            let run = library.get::<Launch>(name.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
            run(grid.blocks.as_ptr(), grid.threads, grid.shared, pointers.as_mut_ptr(), args.len() as u32);
        }
        Ok(())
    }

    fn product(&self, product: &Product) -> Result<()> {
        if self.recorded(|| Step::Product(*product)) {
            return Ok(());
        }
        let [m, n, k] = product.shape;
        let size = |format| if format == Format::F32 { 4 } else { 2 };
        let read = |operand: Operand, row: usize, column: usize| {
            let (r, c) = if operand.transposed { (column, row) } else { (row, column) };
            get(operand.at, r * operand.stride + c, product.operands)
        };
        for (operand, rows, columns) in [(product.a, m, k), (product.b, k, n)] {
            let (rows, columns) = if operand.transposed { (columns, rows) } else { (rows, columns) };
            self.check(operand.at, ((rows - 1) * operand.stride + columns) * size(product.operands));
        }
        self.check(product.c.at, ((m - 1) * product.c.stride + n) * size(product.result));
        for i in 0..m {
            for j in 0..n {
                let sum: f32 = (0..k).map(|l| read(product.a, i, l) * read(product.b, l, j)).sum();
                let at = i * product.c.stride + j;
                let before = if product.add { get(product.c.at, at, product.result) } else { 0.0 };
                put(product.c.at, at, product.result, before + sum);
            }
        }
        Ok(())
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<u64> {
        *lock(&self.recording) = Some(Recording::default());
        let done = work();
        let recording = lock(&self.recording).take().unwrap_or_default();
        done?;
        let mut recordings = lock(&self.recordings);
        recordings.push(recording);
        Ok(recordings.len() as u64 - 1)
    }

    fn replay(&self, recording: u64) -> Result<()> {
        let steps = lock(&self.recordings)[recording as usize].steps.clone();
        steps.into_iter().try_for_each(|step| match step {
            Step::Copy(from, to, bytes) => self.copy(from, to, bytes),
            Step::Clear(at, bytes) => self.clear(at, bytes),
            Step::Launch(kernel, grid, args) => self.launch(kernel, grid, &args),
            Step::Product(product) => self.product(&product),
        })
    }

    fn forget(&self, recording: u64) {
        let Recording { held, .. } = std::mem::take(&mut lock(&self.recordings)[recording as usize]);
        held.into_iter().for_each(|(at, bytes)| self.free(at, bytes));
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }
}

fn get(at: Address, index: usize, format: Format) -> f32 {
    // SAFETY: the caller has checked the matrix's bytes.
    unsafe {
        match format {
            Format::F32 => *(at as *const f32).add(index),
            Format::Bf16 => (*(at as *const bf16).add(index)).to_f32(),
        }
    }
}

fn put(at: Address, index: usize, format: Format, value: f32) {
    // SAFETY: the caller has checked the matrix's bytes.
    unsafe {
        match format {
            Format::F32 => *(at as *mut f32).add(index) = value,
            Format::Bf16 => *(at as *mut bf16).add(index) = bf16::from_f32(value),
        }
    }
}
