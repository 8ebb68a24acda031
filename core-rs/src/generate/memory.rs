//! The budget of keys and values.

/// Divisor of the machine's available memory that gives the default budget: half is left for activations, for the
/// packed weights and for a second job.
const DEFAULT_SHARE: usize = 2;

/// Bytes of keys and values that are held, and how many may be.
#[derive(Debug)]
pub struct Memory {
    budget: usize,
    held: usize,
    peak: usize,
}

impl Memory {
    /// With nothing held. `None` takes half of the machine's available memory.
    pub fn new(budget: Option<usize>) -> Self {
        Self { budget: budget.unwrap_or_else(|| available() / DEFAULT_SHARE), held: 0, peak: 0 }
    }

    /// Bytes that may be held.
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Most bytes that were held at once.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Bytes that can still be taken.
    pub fn free(&self) -> usize {
        self.budget - self.held
    }

    /// Takes bytes that are free.
    pub fn take(&mut self, bytes: usize) {
        assert!(bytes <= self.free(), "keys and values exceed their budget");
        self.held += bytes;
        self.peak = self.peak.max(self.held);
    }

    /// Gives bytes back.
    pub fn give(&mut self, bytes: usize) {
        self.held -= bytes;
    }
}

/// Bytes that the system can give without swapping, and that the process's control group allows.
#[cfg(not(target_family = "wasm"))]
fn available() -> usize {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    usize::try_from(system.available_memory().min(group)).unwrap_or(usize::MAX)
}

/// A quarter of what 32 bits address.
#[cfg(target_family = "wasm")]
fn available() -> usize {
    1 << 30
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_share_of_what_the_machine_has() {
        let budget = Memory::new(None).budget();
        assert!(budget > 1 << 20, "{budget}");
    }

    #[test]
    fn the_peak_is_the_most_that_was_held() {
        let mut memory = Memory::new(Some(100));
        memory.take(60);
        memory.take(40);
        memory.give(70);
        memory.take(50);
        assert_eq!((memory.peak(), memory.free()), (100, 20));
    }
}
