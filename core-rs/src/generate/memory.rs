//! The budget of keys and values.

/// Bytes of keys and values that are held, and how many may be.
#[derive(Debug)]
pub struct Memory {
    budget: usize,
    held: usize,
    peak: usize,
}

impl Memory {
    /// With nothing held of so many bytes.
    pub fn new(budget: usize) -> Self {
        Self { budget, held: 0, peak: 0 }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_most_that_was_held() {
        let mut memory = Memory::new(100);
        memory.take(60);
        memory.take(40);
        memory.give(70);
        memory.take(50);
        assert_eq!((memory.peak(), memory.free()), (100, 20));
    }
}
