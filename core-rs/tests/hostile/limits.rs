//! What a case may take: memory, counted by the allocator, and time, kept by a watchdog.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

/// Longest time for a case, a hundred times what one takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counts live bytes. An allocation that would take them far over the case's cap is refused, which ends the process,
/// rather than let it take the machine down.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CEILING: AtomicUsize = AtomicUsize::new(usize::MAX);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator, or answered by null, which means failure.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed).saturating_add(layout.size());
        if live > CEILING.load(Relaxed) {
            LIVE.fetch_sub(layout.size(), Relaxed);
            return std::ptr::null_mut();
        }
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller's promise on `layout` is the one that the system asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `alloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What is under way: its name and when it began.
static CASE: Mutex<Option<(String, Instant)>> = Mutex::new(None);
static WATCHDOG: Once = Once::new();

/// Runs `work`, and gives the most bytes that were live above those at its start. Ends the process, naming the case,
/// when it takes too long, or an allocation goes beyond four times `cap`.
pub fn watched<T>(case: &str, cap: usize, work: impl FnOnce() -> T) -> (T, usize) {
    WATCHDOG.call_once(|| {
        // A backtrace, where the environment asks for one, takes more memory than the case.
        std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
        std::thread::spawn(watch);
    });
    *CASE.lock().unwrap() = Some((case.to_owned(), Instant::now()));
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    CEILING.store(before.saturating_add(4 * cap), Relaxed);
    let result = work();
    CEILING.store(usize::MAX, Relaxed);
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    *CASE.lock().unwrap() = None;
    (result, peak)
}

fn watch() {
    loop {
        std::thread::sleep(Duration::from_millis(100));
        if let Some((case, start)) = &*CASE.lock().unwrap()
            && start.elapsed() > PATIENCE
        {
            eprintln!("{case}: no end after {PATIENCE:?}");
            std::process::abort();
        }
    }
}
