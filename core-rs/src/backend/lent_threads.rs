//! A pool of threads that the surroundings lend, where the system starts none: in WebAssembly they are workers that
//! share the core's memory. Without them all work is the caller's, and loops are parallel in name alone.

use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuilder};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

struct Lent {
    /// Threads that have come, or are on their way.
    threads: usize,
    pool: Option<Arc<ThreadPool>>,
    /// What lent threads take up next: threads of pools.
    roles: VecDeque<ThreadBuilder>,
}

static LENT: Mutex<Lent> = Mutex::new(Lent { threads: 0, pool: None, roles: VecDeque::new() });
static ROLES_CHANGED: Condvar = Condvar::new();

fn lent() -> MutexGuard<'static, Lent> {
    LENT.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Lends this thread to one pool after the other. It does not come back.
pub fn lend() -> ! {
    loop {
        let mut lent =
            ROLES_CHANGED.wait_while(lent(), |lent| lent.roles.is_empty()).unwrap_or_else(|p| p.into_inner());
        let role = lent.roles.pop_front();
        drop(lent);
        if let Some(role) = role {
            role.run();
        }
    }
}

/// Tells how many threads call [`lend`], and uses all of them.
pub fn expect(threads: usize) {
    lent().threads = threads;
    set_threads(0);
}

/// Uses this many threads from now on, of those that were lent; 0 takes all. Results do not depend on it.
pub fn set_threads(threads: usize) {
    let mut lent = lent();
    let threads = if threads == 0 { lent.threads } else { threads.min(lent.threads) };
    // Its threads are free for the next pool as soon as nobody uses it.
    lent.pool = None;
    if threads > 1 {
        let pool = ThreadPoolBuilder::new().num_threads(threads).spawn_handler(|role| {
            lent.roles.push_back(role);
            Ok(())
        });
        let pool = pool.build().expect("the handler refuses no thread");
        lent.pool = Some(Arc::new(pool));
        ROLES_CHANGED.notify_all();
    }
}

/// Runs work whose parallel loops use the pool.
pub fn install<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let pool = lent().pool.clone();
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// Threads in use.
pub fn count() -> usize {
    lent().pool.as_ref().map_or(1, |pool| pool.current_num_threads())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;
    use std::collections::BTreeSet;
    use std::sync::Barrier;

    /// The threads that a loop of so many tasks runs on, all at once.
    fn seen(tasks: usize) -> BTreeSet<String> {
        let meeting = Barrier::new(tasks);
        let name = |_| {
            meeting.wait();
            format!("{:?}", std::thread::current().id())
        };
        install(|| (0..tasks).into_par_iter().with_max_len(1).map(name).collect())
    }

    #[test]
    fn pools_of_changing_size_use_the_threads_that_were_lent() {
        assert_eq!((count(), seen(1).len()), (1, 1));
        let threads: BTreeSet<String> =
            (0..3).map(|_| format!("{:?}", std::thread::spawn(|| lend()).thread().id())).collect();
        expect(3);
        for (asked, used) in [(0, 3), (2, 2), (3, 3), (64, 3)] {
            set_threads(asked);
            assert_eq!(count(), used);
            let seen = seen(used);
            assert!(seen.len() == used && seen.is_subset(&threads), "{seen:?} of {threads:?}");
        }
        let caller = format!("{:?}", std::thread::current().id());
        set_threads(1);
        assert_eq!((count(), seen(1)), (1, BTreeSet::from([caller])));
        set_threads(0);
        assert_eq!(seen(3), threads);
    }
}
