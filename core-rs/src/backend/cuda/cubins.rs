//! Where a device's machine code comes from: files built ahead, then the cache, then the compiler.

use super::compile::{Architecture, Compiler, RuntimeCompiler, Version};
use super::cubin_file::{CubinFile, Fault, key};
use super::kernels::Module;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The environment's variable that names the folder of modules that were built ahead.
pub const FOLDER: &str = "RMR1_CUDA_KERNELS";

type Open = Box<dyn Fn() -> Result<Box<dyn Compiler>> + Send + Sync>;

/// The machine code of a device.
pub struct Cubins {
    architecture: Architecture,
    /// What the driver supports.
    driver: Version,
    built: Option<PathBuf>,
    cache: Option<PathBuf>,
    /// Opens the compiler when it is first needed.
    open: Open,
    compiler: OnceLock<Result<Box<dyn Compiler>>>,
}

impl Cubins {
    /// For a device's architecture and its driver, with the folders that the environment names.
    pub fn new(architecture: Architecture, driver: Version) -> Self {
        let named = std::env::var_os(FOLDER).filter(|name| !name.is_empty()).map(PathBuf::from);
        let open = move || Ok(Box::new(RuntimeCompiler::open(None, driver)?) as Box<dyn Compiler>);
        Self::of(architecture, driver, named, cache_folder(), Box::new(open))
    }

    fn of(
        architecture: Architecture,
        driver: Version,
        built: Option<PathBuf>,
        cache: Option<PathBuf>,
        open: Open,
    ) -> Self {
        Self { architecture, driver, built, cache, open, compiler: OnceLock::new() }
    }

    /// A module's code. [`Error::Device`] where it was not built ahead and cannot be compiled.
    pub fn get(&self, module: &Module) -> Result<Vec<u8>> {
        let refused = match self.built_ahead(module) {
            Ok(file) => return Ok(file.compiled.cubin),
            Err(refused) => refused,
        };
        let compiler = match self.compiler.get_or_init(&self.open) {
            Ok(compiler) => compiler,
            Err(missing) => return Err(self.nowhere(module, &refused, missing)),
        };
        refused.iter().for_each(|reason| eprintln!("{reason}; compiling \"{module}\" anew"));
        let compiled = match self.cached(module, compiler.version()) {
            Some(file) => file.compiled,
            None => self.compile(module, compiler.as_ref())?,
        };
        Ok(compiled.cubin)
    }

    /// The file of the folder of modules built ahead, or why its files were refused.
    fn built_ahead(&self, module: &Module) -> std::result::Result<CubinFile, Vec<String>> {
        let mut refused = Vec::new();
        for architecture in self.built.iter().flat_map(|_| self.architecture.runs()) {
            let path = self.built.as_deref().unwrap_or(Path::new("")).join(built_name(module, architecture));
            match CubinFile::read(&path, module, architecture) {
                Ok(file) if file.compiler.major <= self.driver.major => return Ok(file),
                Ok(file) => refused.push(self.too_new(&path, file.compiler)),
                Err(Fault::Absent) => {}
                Err(fault) => refused.push(format!("\"{}\" {fault}", path.display())),
            }
        }
        Err(refused)
    }

    fn too_new(&self, path: &Path, compiler: Version) -> String {
        format!(
            "\"{}\" was compiled by NVRTC {compiler}, but the driver supports CUDA {}: a driver for CUDA {}.0 or \
             newer is needed",
            path.display(),
            self.driver,
            compiler.major
        )
    }

    fn nowhere(&self, module: &Module, refused: &[String], missing: &Error) -> Error {
        let place = match &self.built {
            _ if !refused.is_empty() => refused.join("; "),
            Some(folder) => {
                format!("\"{}\", which {FOLDER} names, has none for {}", folder.display(), self.architecture)
            }
            None => format!("{FOLDER} names no folder of kernels built ahead"),
        };
        Error::Device(format!(
            "No machine code for the kernels \"{module}\": {place}. {missing}. Install NVRTC, or build the kernels \
             where it is by \"deno task cuda:build\" and name their folder by {FOLDER}"
        ))
    }

    fn cached(&self, module: &Module, compiler: Version) -> Option<CubinFile> {
        let path = self.cache_path(module, compiler)?;
        match CubinFile::read(&path, module, self.architecture) {
            Ok(file) if file.compiler == compiler => Some(file),
            Ok(_) | Err(Fault::Absent) => None,
            Err(fault) => {
                eprintln!("\"{}\" {fault}; compiling \"{module}\" anew", path.display());
                None
            }
        }
    }

    fn compile(&self, module: &Module, compiler: &dyn Compiler) -> Result<super::compile::Compiled> {
        let compiled = compiler.compile(module, self.architecture)?;
        if let Some(path) = self.cache_path(module, compiler.version()) {
            let file = CubinFile { compiler: compiler.version(), compiled: compiled.clone() };
            // A cache that cannot be written costs time at the next start and nothing else.
            file.write(&path, module, self.architecture).ok();
        }
        Ok(compiled)
    }

    fn cache_path(&self, module: &Module, compiler: Version) -> Option<PathBuf> {
        let key = key(module, self.architecture, compiler);
        let short: String = key[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{module}.{}.{short}.cubin", self.architecture);
        self.cache.as_ref().map(|folder| folder.join(name))
    }
}

/// The name of a file that is built ahead, for example "rowwise.bf16.sm_90a.cubin".
pub fn built_name(module: &Module, architecture: Architecture) -> String {
    format!("{module}.{architecture}.cubin")
}

/// `kernels` in the folder that `RMR1_CACHE` names, else in `rm-r1` of the user's cache. It may be deleted at any time.
fn cache_folder() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = || named("XDG_CACHE_HOME").or_else(|| Some(std::env::home_dir()?.join(".cache")));
    let own = named("RMR1_CACHE").or_else(|| Some(user()?.join("rm-r1")));
    Some(own?.join("kernels"))
}

#[cfg(test)]
mod tests {
    use super::super::compile::Compiled;
    use super::super::kernels::Activation;
    use super::*;
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const ARCHITECTURE: Architecture = Architecture::new(9, 0);
    const DRIVER: Version = Version { major: 13, minor: 0 };

    /// Gives code that names what it is of, and counts.
    struct Counting {
        version: Version,
        compiled: Arc<AtomicUsize>,
    }

    impl Compiler for Counting {
        fn version(&self) -> Version {
            self.version
        }

        fn compile(&self, module: &Module, architecture: Architecture) -> Result<Compiled> {
            self.compiled.fetch_add(1, Ordering::Relaxed);
            let cubin = format!("{module} {architecture} {}", self.version).into_bytes();
            Ok(Compiled { log: String::new(), cubin })
        }
    }

    struct Bench {
        folder: tempfile::TempDir,
        compiled: Arc<AtomicUsize>,
    }

    impl Bench {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), compiled: Arc::default() }
        }

        fn cubins(&self, built: bool, version: Version) -> Cubins {
            let compiled = self.compiled.clone();
            let open =
                move || Ok(Box::new(Counting { version, compiled: compiled.clone() }) as Box<dyn Compiler>);
            self.with(built, Box::new(open))
        }

        fn without_compiler(&self, built: bool) -> Cubins {
            self.with(built, Box::new(|| Err(Error::Device("NVRTC was not found".into()))))
        }

        fn with(&self, built: bool, open: Open) -> Cubins {
            let folder = built.then(|| self.built());
            Cubins::of(ARCHITECTURE, DRIVER, folder, Some(self.cache()), open)
        }

        fn built(&self) -> PathBuf {
            self.folder.path().join("built")
        }

        fn cache(&self) -> PathBuf {
            self.folder.path().join("cache")
        }

        fn build(&self, compiler: Version) -> PathBuf {
            let path = self.built().join(built_name(&module(), ARCHITECTURE));
            let compiled = Compiled { log: String::new(), cubin: b"built".to_vec() };
            CubinFile { compiler, compiled }.write(&path, &module(), ARCHITECTURE).unwrap();
            path
        }

        fn count(&self) -> usize {
            self.compiled.load(Ordering::Relaxed)
        }
    }

    fn module() -> Module {
        Module::new("rowwise", Activation::Bf16)
    }

    #[test]
    fn a_module_is_compiled_once_and_then_cached() {
        let bench = Bench::new();
        let first = bench.cubins(false, DRIVER).get(&module()).unwrap();
        assert_eq!(first, b"rowwise.bf16 sm_90a 13.0");
        assert_eq!(bench.cubins(false, DRIVER).get(&module()).unwrap(), first);
        assert_eq!(bench.count(), 1);
        bench.cubins(false, Version { major: 13, minor: 1 }).get(&module()).unwrap();
        assert_eq!(bench.count(), 2, "another compiler's code is not taken");
    }

    #[test]
    fn a_damaged_cache_is_compiled_anew_and_replaced() {
        let bench = Bench::new();
        let code = bench.cubins(false, DRIVER).get(&module()).unwrap();
        let path = fs::read_dir(bench.cache()).unwrap().next().unwrap().unwrap().path();
        let whole = fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() - 1], &whole[..3], &[], &[whole.clone(), vec![0]].concat()] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(bench.cubins(false, DRIVER).get(&module()).unwrap(), code);
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
        assert_eq!(bench.count(), 5);
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_no_error() {
        let bench = Bench::new();
        fs::write(bench.cache(), "a file where the folder should be").unwrap();
        bench.cubins(false, DRIVER).get(&module()).unwrap();
        bench.cubins(false, DRIVER).get(&module()).unwrap();
        assert_eq!(bench.count(), 2);
    }

    #[test]
    fn modules_built_ahead_need_no_compiler_and_come_first() {
        let bench = Bench::new();
        bench.build(DRIVER);
        assert_eq!(bench.without_compiler(true).get(&module()).unwrap(), b"built");
        assert_eq!(bench.cubins(true, DRIVER).get(&module()).unwrap(), b"built");
        assert_eq!(bench.count(), 0);
    }

    #[test]
    fn without_a_compiler_the_error_says_what_is_lacking_and_what_to_do() {
        let bench = Bench::new();
        let message = |built| bench.without_compiler(built).get(&module()).unwrap_err().to_string();
        assert!(message(false).contains("RMR1_CUDA_KERNELS names no folder"), "{}", message(false));
        assert!(message(true).contains("has none for sm_90a"), "{}", message(true));
        let path = bench.build(DRIVER);
        fs::write(&path, "short").unwrap();
        assert!(message(true).contains(&format!("\"{}\" is damaged", path.display())), "{}", message(true));
        for part in ["\"rowwise.bf16\"", "NVRTC was not found", "Install NVRTC", "deno task cuda:build"] {
            assert!(message(true).contains(part), "{}", message(true));
        }
    }

    #[test]
    fn code_of_a_newer_major_version_than_the_drivers_is_refused_with_both_versions() {
        let bench = Bench::new();
        bench.build(Version { major: 14, minor: 1 });
        let message = bench.without_compiler(true).get(&module()).unwrap_err().to_string();
        assert!(message.contains("NVRTC 14.1, but the driver supports CUDA 13.0"), "{message}");
        assert!(message.contains("a driver for CUDA 14.0 or newer is needed"), "{message}");
        assert_eq!(bench.cubins(true, DRIVER).get(&module()).unwrap(), b"rowwise.bf16 sm_90a 13.0");
    }
}
