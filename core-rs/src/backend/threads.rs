//! The pool that CPU kernels run in.

use super::cpu::isa::Isa;
#[cfg(target_family = "wasm")]
pub use super::lent_threads::{count, install, set_threads};
use super::{InferencePrecision, Precision};
#[cfg(not(target_family = "wasm"))]
pub use pool::{count, install, set_threads};

#[cfg(not(target_family = "wasm"))]
mod pool {
    use rayon::{ThreadPool, ThreadPoolBuilder};
    use std::sync::{Arc, RwLock};

    static POOL: RwLock<Option<Arc<ThreadPool>>> = RwLock::new(None);

    fn build(threads: usize) -> Arc<ThreadPool> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("rmr1-{i}"))
            .build()
            .expect("the system refused to start threads");
        Arc::new(pool)
    }

    /// Uses this many threads from now on; 0 takes as many as the machine offers. Results do not depend on it.
    pub fn set_threads(threads: usize) {
        *POOL.write().unwrap_or_else(|e| e.into_inner()) = Some(build(threads));
    }

    fn pool() -> Arc<ThreadPool> {
        if let Some(pool) = POOL.read().unwrap_or_else(|e| e.into_inner()).as_ref() {
            return pool.clone();
        }
        POOL.write().unwrap_or_else(|e| e.into_inner()).get_or_insert_with(|| build(0)).clone()
    }

    /// Runs work whose parallel loops use the pool.
    pub fn install<R: Send>(work: impl FnOnce() -> R + Send) -> R {
        pool().install(work)
    }

    /// Threads in use.
    pub fn count() -> usize {
        pool().current_num_threads()
    }
}

/// The device in words, for example "cpu (2 threads, avx512)", what it multiplies unless that is f32, and a note.
pub fn describe(precision: InferencePrecision, note: Option<&str>) -> String {
    let threads = count();
    let (name, instructions) = match precision {
        InferencePrecision::Trained(Precision::F32) => (String::new(), true),
        InferencePrecision::Trained(Precision::Bf16) => {
            (format!(", {}", precision.name()), Isa::multiplies_bf16())
        }
        InferencePrecision::Int8 => (format!(", {}", precision.name()), Isa::multiplies_int8()),
    };
    let without = if instructions { "" } else { " without instructions for it" };
    let (plural, isa) = (if threads == 1 { "" } else { "s" }, Isa::current().name());
    let note = note.map(|note| format!("; {note}")).unwrap_or_default();
    format!("cpu ({threads} thread{plural}, {isa}{name}{without}{note})")
}
