//! Kernels that have been loaded, and their launches.

use super::super::cubins::Cubins;
use super::super::driver::{Arg, Grid};
use super::super::kernels::{Kernel, Module};
use super::faults::{Work, named};
use super::queue::Queue;
use crate::{Error, Result};
use cudarc::driver::sys::{self, CUresult};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::ptr::null_mut;

/// Dynamic shared memory that every kernel may have without being told ("CUDA C++ Programming Guide", "Shared Memory").
const SHARED_WITHOUT_ASKING: usize = 48 << 10;
/// Most arguments of a kernel.
const MAX_ARGS: usize = 24;

/// A loaded kernel.
#[derive(Clone, Copy)]
struct Function {
    handle: sys::CUfunction,
    parameters: usize,
    /// Bytes of shared memory that it declares.
    declared: usize,
    /// Bytes of dynamic shared memory that launches may ask for.
    allowed: usize,
}

/// Modules and kernels, loaded when they are first launched.
#[derive(Default)]
pub(super) struct Functions {
    modules: HashMap<Module, sys::CUmodule>,
    functions: HashMap<Kernel, Function>,
}

// SAFETY: handles may be used from any thread.
unsafe impl Send for Functions {}

impl Functions {
    /// Asks for a launch.
    pub(super) fn launch(
        &mut self,
        queue: &Queue,
        cubins: &Cubins,
        max_shared: usize,
        kernel: Kernel,
        grid: Grid,
        args: &[Arg],
    ) -> Result<()> {
        let function = self.function(queue, cubins, kernel)?;
        refuse(&kernel, function.parameters, args.len(), grid, max_shared - function.declared)?;
        let shared = grid.shared as usize;
        if shared > function.allowed {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let all = max_shared - function.declared;
            // SAFETY: the handle is of a loaded kernel.
            let code = unsafe { sys::cuFuncSetAttribute(function.handle, attribute, all as i32) };
            queue.check(code, &format!("allowing {} its shared memory", named(&kernel)))?;
            function.allowed = all;
        }
        let handle = function.handle;
        let mut cells = [0u64; MAX_ARGS];
        let mut pointers = [null_mut::<c_void>(); MAX_ARGS];
        for ((cell, pointer), arg) in cells.iter_mut().zip(&mut pointers).zip(args) {
            *cell = arg.0;
            *pointer = (&raw mut *cell).cast();
        }
        let [x, y, z] = grid.blocks;
        // SAFETY: there are as many cells as the kernel has parameters, none of which is wider than a cell; the driver
        // copies them before it returns. What the addresses among them are of is the caller's part.
        let code = unsafe {
            let pointers = pointers.as_mut_ptr();
            sys::cuLaunchKernel(
                handle,
                x,
                y,
                z,
                grid.threads,
                1,
                1,
                grid.shared,
                queue.stream,
                pointers,
                null_mut(),
            )
        };
        queue.check(code, &format!("the launch of {}", named(&kernel)))?;
        queue.faults.launched(Work::Kernel(kernel));
        Ok(())
    }

    fn function(&mut self, queue: &Queue, cubins: &Cubins, kernel: Kernel) -> Result<&mut Function> {
        if !self.functions.contains_key(&kernel) {
            let module = self.module(queue, cubins, kernel.module)?;
            let function = load(queue, module, &kernel)?;
            self.functions.insert(kernel, function);
        }
        Ok(self.functions.get_mut(&kernel).expect("it has just been put there"))
    }

    /// Loads a module unless that has been done.
    pub(super) fn module(&mut self, queue: &Queue, cubins: &Cubins, module: Module) -> Result<sys::CUmodule> {
        if let Some(&loaded) = self.modules.get(&module) {
            return Ok(loaded);
        }
        let code = cubins.get(&module)?;
        let mut loaded = null_mut();
        // SAFETY: the image is a whole ELF file, whose checksum was right.
        let result = unsafe { sys::cuModuleLoadData(&mut loaded, code.as_ptr().cast()) };
        queue.check(result, &format!("loading the kernels \"{module}\""))?;
        self.modules.insert(module, loaded);
        Ok(loaded)
    }

    /// Unloads everything.
    pub(super) fn clear(&mut self) {
        self.functions.clear();
        for (_, module) in self.modules.drain() {
            // SAFETY: it was loaded, and no handle of its kernels is left. For a lost device it fails, which changes
            // nothing.
            let _ = unsafe { sys::cuModuleUnload(module) };
        }
    }
}

fn load(queue: &Queue, module: sys::CUmodule, kernel: &Kernel) -> Result<Function> {
    let name = CString::new(kernel.name).expect("a kernel's name holds no zero byte");
    let doing = format!("loading the kernel {}", named(kernel));
    let (mut handle, mut declared) = (null_mut(), 0);
    let mut parameters = 0;
    // SAFETY: the module is loaded; parameters are asked for by number until there is none.
    unsafe {
        queue.check(sys::cuModuleGetFunction(&mut handle, module, name.as_ptr()), &doing)?;
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
        queue.check(sys::cuFuncGetAttribute(&mut declared, attribute, handle), &doing)?;
        let (mut offset, mut size) = (0, 0);
        while parameters <= MAX_ARGS {
            match sys::cuFuncGetParamInfo(handle, parameters, &mut offset, &mut size) {
                CUresult::CUDA_ERROR_INVALID_VALUE => break,
                code => queue.check(code, &doing)?,
            }
            parameters += 1;
        }
    }
    let declared = declared.max(0) as usize;
    let allowed = SHARED_WITHOUT_ASKING.saturating_sub(declared);
    Ok(Function { handle, parameters, declared, allowed })
}

/// A launch that the driver would refuse, or read past the arguments for, in words.
fn refuse(kernel: &Kernel, parameters: usize, args: usize, grid: Grid, shared: usize) -> Result<()> {
    let [x, y, z] = grid.blocks;
    let fault = if parameters > MAX_ARGS {
        format!("takes more than {MAX_ARGS} arguments")
    } else if args != parameters {
        format!("takes {parameters} arguments and was given {args}")
    } else if x > i32::MAX as u32 || y > 65_535 || z > 65_535 {
        format!("was given {x} × {y} × {z} blocks, expected at most 2147483647 × 65535 × 65535")
    } else if grid.shared as usize > shared {
        format!(
            "needs {} bytes of dynamic shared memory, the device has {shared} left for a block",
            grid.shared
        )
    } else {
        return Ok(());
    };
    Err(Error::Device(format!("The kernel {} {fault}", named(kernel))))
}

#[cfg(test)]
mod tests {
    use super::super::super::kernels::Activation;
    use super::*;

    #[test]
    fn launches_that_cannot_be_are_refused_with_their_numbers() {
        let kernel = Kernel { module: Module::new("rowwise", Activation::F32), name: "rms_norm" };
        let check = |args, grid| refuse(&kernel, 6, args, grid, 227 << 10).err().map(|e| e.to_string());
        let grid = Grid::new(7, 256);
        let called = "The kernel \"rms_norm\" of \"rowwise.float\"";
        assert_eq!(check(6, grid.shared(227 << 10)), None);
        assert_eq!(check(5, grid), Some(format!("{called} takes 6 arguments and was given 5")));
        let shared = check(6, grid.shared((227 << 10) + 1)).unwrap();
        assert_eq!(
            shared,
            format!(
                "{called} needs 232449 bytes of dynamic shared memory, the device has 232448 left for a block"
            )
        );
        let blocks = check(6, Grid::of([1, 65_536, 1], 32)).unwrap();
        assert!(blocks.starts_with(&format!("{called} was given 1 × 65536 × 1 blocks")), "{blocks}");
        assert!(check(6, Grid::new(usize::MAX, 32)).is_some());
    }
}
