//! The door for JavaScript: a thin layer onto [`crate::service::Tasks`] and onto the files in memory. A refused call
//! throws the name of an [`Error`]'s kind.
//!
//! WebAssembly here cannot unwind: a panic, or memory that runs out, ends the instance with a trap, after which
//! [`failure`] says why, in the instance that it ended, and nothing else may be called. The core's memory can be shared
//! by instances on several threads: one serves calls, the others lend their threads.

use crate::backend::lent_threads;
use crate::service::{Kind, Tasks};
use crate::{Error, files};
use sha2::{Digest, Sha256};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

/// The system's allocator, which keeps the size that it had to refuse.
struct Watched;

static REFUSED: AtomicUsize = AtomicUsize::new(0);
static PANIC: Mutex<Option<String>> = Mutex::new(None);

#[global_allocator]
static ALLOCATOR: Watched = Watched;

fn watch(pointer: *mut u8, size: usize) -> *mut u8 {
    if pointer.is_null() {
        REFUSED.store(size, Ordering::Relaxed);
    }
    pointer
}

// SAFETY: every call is the system allocator's own.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        watch(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        watch(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        watch(unsafe { System.realloc(pointer, layout, size) }, size)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

thread_local! {
    static TASKS: Tasks = Tasks::default();
}

type Answer<T> = Result<T, JsValue>;

fn answer<T>(result: crate::Result<T>) -> Answer<T> {
    result.map_err(|error| JsValue::from_str(error.kind()))
}

#[wasm_bindgen(start)]
fn keep_words_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        *PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(panic.to_string());
    }));
}

/// Why the instance ended with a trap, as an [`Error`]'s kind and a message: `[kind, message]`.
#[wasm_bindgen]
pub fn failure() -> Vec<String> {
    let refused = REFUSED.load(Ordering::Relaxed);
    if refused > 0 {
        return vec![
            "memory".into(),
            format!(
                "WebAssembly has no memory for \"{refused}\" more bytes, expected room for them below its limit"
            ),
        ];
    }
    let words = PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    let words = words.unwrap_or_else(|| "a trap without words".into());
    // More than 2 GiB in one piece: Rust refuses it before it asks for it.
    if words.contains("capacity overflow") {
        let reason =
            "WebAssembly has no memory for arrays of 2 GiB or more, expected a smaller model or batch";
        return vec!["memory".into(), reason.into()];
    }
    vec!["internal".into(), Error::Internal(words).to_string()]
}

/// See [`crate::service::ABI_VERSION`].
#[wasm_bindgen(js_name = abiVersion)]
pub fn abi_version() -> u32 {
    crate::service::ABI_VERSION
}

/// Lends the thread of this instance, which shares the core's memory, to the core's loops. It does not come back.
#[wasm_bindgen(js_name = lendThread)]
pub fn lend_thread() {
    lent_threads::lend()
}

/// Tells the core how many threads are lent to it; it uses all of them.
#[wasm_bindgen(js_name = expectThreads)]
pub fn expect_threads(threads: usize) {
    lent_threads::expect(threads);
}

/// See [`Tasks::start`].
#[wasm_bindgen]
pub fn start(request: Vec<u8>) -> Answer<usize> {
    answer(TASKS.with(|tasks| tasks.start(request)))
}

/// See [`Tasks::advance`]; the number of a [`Kind`].
#[wasm_bindgen]
pub fn advance(job: usize) -> Answer<u32> {
    answer(TASKS.with(|tasks| tasks.advance(job)).map(|kind: Kind| kind as u32))
}

/// See [`Tasks::take`].
#[wasm_bindgen]
pub fn take(job: usize) -> Answer<Vec<u8>> {
    answer(TASKS.with(|tasks| tasks.take(job)))
}

/// See [`Tasks::cancel`].
#[wasm_bindgen]
pub fn cancel(job: usize) -> Answer<()> {
    answer(TASKS.with(|tasks| tasks.cancel(job)))
}

/// See [`Tasks::close_job`].
#[wasm_bindgen(js_name = closeJob)]
pub fn close_job(job: usize) -> Answer<()> {
    answer(TASKS.with(|tasks| tasks.close_job(job)))
}

/// See [`Tasks::close_handle`].
#[wasm_bindgen(js_name = closeHandle)]
pub fn close_handle(handle: usize) -> Answer<()> {
    answer(TASKS.with(|tasks| tasks.close_handle(handle)))
}

/// See [`files::memory::reserve`]. Gives the place in the instance's memory; throws "memory" where there is no room.
#[wasm_bindgen(js_name = reserveFile)]
pub fn reserve_file(path: &str, length: usize) -> Answer<usize> {
    let start = files::memory::reserve(Path::new(path), length);
    // What was refused here ended nothing.
    REFUSED.store(0, Ordering::Relaxed);
    start.map(|start| start as usize).map_err(|_| JsValue::from_str("memory"))
}

/// See [`files::memory::publish`].
#[wasm_bindgen(js_name = publishFile)]
pub fn publish_file(path: &str) -> Answer<()> {
    files::memory::publish(Path::new(path)).map_err(|_| JsValue::from_str("handle"))
}

/// The SHA-256 of a file, in hexadecimal.
#[wasm_bindgen(js_name = hashFile)]
pub fn hash_file(path: &str) -> Answer<String> {
    let bytes = files::map(Path::new(path)).map_err(|_| JsValue::from_str("io"))?;
    Ok(Sha256::digest(&*bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// See [`files::memory::remove`].
#[wasm_bindgen(js_name = removeFiles)]
pub fn remove_files(path: &str) {
    files::memory::remove(Path::new(path));
}

/// The files below a folder, with their paths in it.
#[wasm_bindgen(js_name = listFiles)]
pub fn list_files(folder: &str) -> Vec<String> {
    files::memory::below(Path::new(folder))
}

/// Where a file's bytes lie in the instance's memory until the file is removed or opened as a model: `[start, length]`.
#[wasm_bindgen(js_name = findFile)]
pub fn find_file(path: &str) -> Answer<Vec<usize>> {
    let bytes = files::map(Path::new(path)).map_err(|_| JsValue::from_str("io"))?;
    Ok(vec![bytes.as_ptr() as usize, bytes.len()])
}
