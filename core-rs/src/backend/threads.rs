//! The pool that CPU kernels run in.

use super::cpu::isa::Isa;
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

/// The device in words, for example "cpu (2 threads, avx512)".
pub fn describe() -> String {
    let threads = pool().current_num_threads();
    format!("cpu ({threads} thread{}, {})", if threads == 1 { "" } else { "s" }, Isa::current().name())
}
