//! Compiles every module of the CUDA kernels for each architecture into a folder, which `RMR1_CUDA_KERNELS` names where
//! the kernels are used:
//!
//! ```sh
//! cargo run --release --example cuda_kernels -- --libraries path/to/nvrtc --output target/cuda
//! ```
//!
//! A file that was made from the same sources is kept. Standard output has a line of JSON a file, with what ptxas said
//! of registers and spills.

use rmr1_core::backend::cuda::compile::{Architecture, Compiler, RuntimeCompiler, Version};
use rmr1_core::backend::cuda::cubin_file::CubinFile;
use rmr1_core::backend::cuda::cubins::built_name;
use rmr1_core::backend::cuda::kernels::{Module, modules};
use serde_json::json;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

#[derive(Default)]
struct Options {
    /// Where NVRTC is; none for the system's.
    libraries: Option<PathBuf>,
    output: Option<PathBuf>,
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let place = match argument.as_str() {
            "--libraries" => &mut options.libraries,
            "--output" => &mut options.output,
            _ => return Err(format!("Unknown option \"{argument}\", expected --libraries or --output")),
        };
        *place = Some(arguments.next().ok_or(format!("Option \"{argument}\" needs a folder"))?.into());
    }
    Ok(options)
}

/// Makes a file unless it is there, and says what it holds.
fn build(
    compiler: &RuntimeCompiler,
    folder: &Path,
    module: Module,
    architecture: Architecture,
) -> Result<String, String> {
    let path = folder.join(built_name(&module, architecture));
    let known = CubinFile::read(&path, &module, architecture).ok();
    let file = match known.filter(|file| file.compiler == compiler.version()) {
        Some(file) => file,
        None => {
            let compiled = compiler.compile(&module, architecture).map_err(|error| error.to_string())?;
            let file = CubinFile { compiler: compiler.version(), compiled };
            file.write(&path, &module, architecture)
                .map_err(|error| format!("Cannot write \"{}\": {error}", path.display()))?;
            file
        }
    };
    let line = json!({
        "module": module.to_string(),
        "architecture": architecture.to_string(),
        "compiler": file.compiler.to_string(),
        "bytes": file.compiled.cubin.len(),
        "log": file.compiled.log,
    });
    Ok(line.to_string())
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = options(std::env::args().skip(1))?;
    let output = options.output.ok_or("Name the folder to build into by --output")?;
    let compiler = RuntimeCompiler::open(options.libraries.as_deref(), Version::LATEST)?;
    let jobs: Vec<(Module, Architecture)> = modules()
        .into_iter()
        .flat_map(|module| Architecture::BUILT.map(|architecture| (module, architecture)))
        .collect();
    let waiting = Mutex::new(jobs.into_iter());
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let next = || waiting.lock().ok()?.next();
                while let Some((module, architecture)) = next() {
                    match build(&compiler, &output, module, architecture) {
                        Ok(line) => println!("{line}"),
                        Err(reason) => failures.lock().unwrap_or_else(|e| e.into_inner()).push(reason),
                    }
                }
            });
        }
    });
    match failures.into_inner()?.as_slice() {
        [] => Ok(()),
        failures => Err(failures.join("\n").into()),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
