//! Recorded work, and the memory that it goes on to use.
//!
//! Work is captured from the stream into a graph ("CUDA C++ Programming Guide", "CUDA Graphs"): a graph holds the
//! addresses that its kernels were given and runs with them at each replay. Memory that is allocated on a stream while
//! that is captured would become the graph's own nodes, with its own pool, and would run out at a replay if at all. So
//! recordings take their memory from outside of the capture, keep it until they are forgotten, and use a piece again
//! for later work of the same recording, which runs after the earlier since it is on one stream.

use super::super::driver::Address;
use cudarc::driver::sys;
use std::collections::{BTreeMap, HashMap};

/// Memory that may be used again in a recording: by its size, then in the order it came back.
type Idle = BTreeMap<usize, Vec<Address>>;

/// A recording being made.
#[derive(Debug, Default)]
struct Making {
    /// Sizes of what was allocated for it and is in use.
    used: HashMap<Address, usize>,
    idle: Idle,
    /// What others allocated and gave back meanwhile. It is not used again: at a replay it must hold what it held.
    held: Vec<Address>,
}

/// Who has which memory because of a recording.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    making: Option<Making>,
    /// Memory by the recording that was made with it.
    kept: HashMap<u64, Vec<Address>>,
    /// What was in use when its recording ended, and still is: given back, the recording keeps it.
    lent: HashMap<Address, u64>,
}

/// What to do with memory that is given back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Return {
    /// Nothing: a recording keeps it.
    Kept,
    /// Give it to the pool.
    Free,
}

impl Ledger {
    /// Whether a recording is being made.
    pub(super) fn making(&self) -> bool {
        self.making.is_some()
    }

    /// Begins a recording.
    pub(super) fn begin(&mut self) {
        self.making = Some(Making::default());
    }

    /// Memory of the recording being made that can hold so many bytes and wastes at most as many.
    pub(super) fn reuse(&mut self, bytes: usize) -> Option<Address> {
        let making = self.making.as_mut()?;
        let (&size, places) = making.idle.range_mut(bytes..=bytes.saturating_mul(2)).next()?;
        let at = places.pop()?;
        if places.is_empty() {
            making.idle.remove(&size);
        }
        making.used.insert(at, size);
        Some(at)
    }

    /// Notes memory that was allocated for the recording being made.
    pub(super) fn allocated(&mut self, at: Address, bytes: usize) {
        if let Some(making) = &mut self.making {
            making.used.insert(at, bytes);
        }
    }

    /// Memory comes back.
    pub(super) fn give_back(&mut self, at: Address) -> Return {
        if let Some(making) = &mut self.making {
            match making.used.remove(&at) {
                Some(size) => making.idle.entry(size).or_default().push(at),
                None => making.held.push(at),
            }
            return Return::Kept;
        }
        match self.lent.remove(&at) {
            Some(recording) => {
                self.kept.entry(recording).or_default().push(at);
                Return::Kept
            }
            None => Return::Free,
        }
    }

    /// The recording was made and has a number.
    pub(super) fn made(&mut self, recording: u64) {
        let Making { used, idle, held } = self.making.take().unwrap_or_default();
        let kept = idle.into_values().flatten().chain(held).collect();
        self.kept.insert(recording, kept);
        self.lent.extend(used.into_keys().map(|at| (at, recording)));
    }

    /// The recording failed. Gives what is to be freed.
    pub(super) fn failed(&mut self) -> Vec<Address> {
        let Making { idle, held, .. } = self.making.take().unwrap_or_default();
        idle.into_values().flatten().chain(held).collect()
    }

    /// A recording is forgotten. Gives what is to be freed.
    pub(super) fn forget(&mut self, recording: u64) -> Vec<Address> {
        self.lent.retain(|_, of| *of != recording);
        let kept = self.kept.remove(&recording).unwrap_or_default();
        // While another is being made nothing is freed, for that would become part of it.
        match &mut self.making {
            Some(making) => {
                making.held.extend(kept);
                Vec::new()
            }
            None => kept,
        }
    }
}

/// Recordings by number.
#[derive(Default)]
pub(super) struct Recordings {
    pub(super) ledger: Ledger,
    next: u64,
    graphs: HashMap<u64, sys::CUgraphExec>,
}

// SAFETY: graphs may be used from any thread, one at a time, which a lock sees to.
unsafe impl Send for Recordings {}

impl Recordings {
    /// Keeps a graph and gives it a number.
    pub(super) fn keep(&mut self, graph: sys::CUgraphExec) -> u64 {
        let number = self.next;
        self.next += 1;
        self.graphs.insert(number, graph);
        self.ledger.made(number);
        number
    }

    pub(super) fn graph(&self, recording: u64) -> Option<sys::CUgraphExec> {
        self.graphs.get(&recording).copied()
    }

    /// Destroys a graph and gives the memory that is to be freed.
    pub(super) fn forget(&mut self, recording: u64) -> Vec<Address> {
        if let Some(graph) = self.graphs.remove(&recording) {
            destroy(graph);
        }
        self.ledger.forget(recording)
    }

    /// Destroys every graph.
    pub(super) fn clear(&mut self) {
        self.graphs.drain().for_each(|(_, graph)| destroy(graph));
    }
}

/// A graph that is running is destroyed when it has run ("CUDA Driver API", `cuGraphExecDestroy`).
fn destroy(graph: sys::CUgraphExec) {
    // SAFETY: nobody has it any more. For a lost device it fails, which changes nothing.
    let _ = unsafe { sys::cuGraphExecDestroy(graph) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn memory_of_a_recording_is_used_again_within_it_and_kept_after_it() {
        let mut ledger = Ledger::default();
        ledger.begin();
        ledger.allocated(1, 1000);
        assert_eq!(ledger.reuse(1000), None, "it is in use");
        assert_eq!(ledger.give_back(1), Return::Kept);
        assert_eq!(ledger.reuse(1001), None, "it is too small");
        assert_eq!(ledger.reuse(499), None, "it is too large");
        assert_eq!(ledger.reuse(500), Some(1));
        assert_eq!(ledger.give_back(1), Return::Kept);
        ledger.made(0);
        assert_eq!(ledger.reuse(1000), None, "nothing is recorded");
        assert_eq!(ledger.forget(0), [1]);
        assert!(ledger.forget(0).is_empty());
    }

    #[test]
    fn what_others_give_back_meanwhile_is_held_and_never_written_to() {
        let mut ledger = Ledger::default();
        ledger.begin();
        assert_eq!(ledger.give_back(7), Return::Kept);
        assert_eq!(ledger.reuse(1), None);
        ledger.made(3);
        assert_eq!(ledger.forget(3), [7]);
    }

    #[test]
    fn what_outlives_its_recording_is_kept_until_both_are_gone() {
        let mut ledger = Ledger::default();
        ledger.begin();
        ledger.allocated(1, 8);
        ledger.allocated(2, 8);
        ledger.made(0);
        assert_eq!(ledger.give_back(1), Return::Kept);
        assert_eq!(ledger.forget(0), [1]);
        assert_eq!(ledger.give_back(2), Return::Free);
    }

    #[test]
    fn a_failed_recording_frees_what_nobody_has() {
        let mut ledger = Ledger::default();
        ledger.begin();
        ledger.allocated(1, 8);
        ledger.allocated(2, 8);
        ledger.give_back(1);
        ledger.give_back(9);
        let mut freed = ledger.failed();
        freed.sort();
        assert_eq!(freed, [1, 9]);
        assert_eq!(ledger.give_back(2), Return::Free);
    }

    proptest! {
        /// Whatever the order: nothing is given to two users, and all is freed exactly once in the end.
        #[test]
        fn every_address_is_freed_once(steps in prop::collection::vec((0..5u8, 0..64usize), 1..200)) {
            let mut ledger = Ledger::default();
            let (mut live, mut freed) = (Vec::new(), HashSet::new());
            let (mut next, mut recordings) = (1u64, 0u64);
            let free = |at: Address, freed: &mut HashSet<Address>| assert!(freed.insert(at), "{at} was freed twice");
            for (kind, n) in steps {
                match kind {
                    0 | 1 => {
                        let at = ledger.reuse(n + 1).unwrap_or_else(|| {
                            ledger.allocated(next, n + 1);
                            next += 1;
                            next - 1
                        });
                        prop_assert!(!live.contains(&at) && !freed.contains(&at));
                        live.push(at);
                    }
                    2 if !live.is_empty() => {
                        let at = live.swap_remove(n % live.len());
                        if ledger.give_back(at) == Return::Free {
                            free(at, &mut freed);
                        }
                    }
                    3 if ledger.making() => {
                        if n % 4 == 0 {
                            ledger.failed().into_iter().for_each(|at| free(at, &mut freed));
                        } else {
                            ledger.made(recordings);
                            recordings += 1;
                        }
                    }
                    3 => ledger.begin(),
                    4 if recordings > 0 => {
                        let forgotten = ledger.forget(n as u64 % recordings);
                        forgotten.into_iter().for_each(|at| free(at, &mut freed));
                    }
                    _ => {}
                }
            }
            ledger.failed().into_iter().for_each(|at| free(at, &mut freed));
            for recording in 0..recordings {
                ledger.forget(recording).into_iter().for_each(|at| free(at, &mut freed));
            }
            for at in live {
                prop_assert_eq!(ledger.give_back(at), Return::Free);
                free(at, &mut freed);
            }
            prop_assert_eq!(freed.len() as u64, next - 1);
        }
    }
}
