//! Buffers that are used again instead of being returned to the system: at these sizes the page faults of fresh
//! memory cost a quarter of a training step.

use half::bf16;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// Elements below which the system's allocator is as good.
const POOLED_FROM: usize = 1 << 14;
/// Bytes that may lie idle; what comes back beyond them is freed. WebAssembly has 4 GiB for everything, and what is freed
/// there costs no page faults when it is used again.
const IDLE_LIMIT: usize = if cfg!(target_family = "wasm") { 256 << 20 } else { 2 << 30 };

/// Idle memory of one scalar type, by capacity.
pub struct Shelf<F> {
    idle: BTreeMap<usize, Vec<Vec<F>>>,
    bytes: usize,
}

impl<F> Shelf<F> {
    /// Nothing on it.
    pub const EMPTY: Self = Self { idle: BTreeMap::new(), bytes: 0 };
}

/// A type whose buffers are used again.
pub trait Pooled: Copy + Default + Send + 'static {
    /// Its idle buffers.
    fn shelf() -> &'static Mutex<Shelf<Self>>;
}

macro_rules! pooled {
    ($($t:ty),*) => {
        $(impl Pooled for $t {
            fn shelf() -> &'static Mutex<Shelf<Self>> {
                static SHELF: Mutex<Shelf<$t>> = Mutex::new(Shelf::EMPTY);
                &SHELF
            }
        })*
    };
}
pooled!(f32, f64, bf16);

/// Sizes in steps of an eighth, so that micro-batches of nearly equal size share buffers.
fn class(n: usize) -> usize {
    n.next_multiple_of((n.next_power_of_two() / 16).max(1))
}

/// An array whose memory comes from, and returns to, the pool.
#[derive(Debug)]
pub struct Buffer<F: Pooled>(Vec<F>);

impl<F: Pooled> Buffer<F> {
    /// n elements of unspecified value.
    pub fn unspecified(n: usize) -> Self {
        if n < POOLED_FROM {
            return Self(vec![F::default(); n]);
        }
        let capacity = class(n);
        let mut shelf = F::shelf().lock().unwrap_or_else(|e| e.into_inner());
        let found = shelf.idle.get_mut(&capacity).and_then(Vec::pop);
        if found.is_some() {
            shelf.bytes -= capacity * size_of::<F>();
        }
        drop(shelf);
        let mut data = found.unwrap_or_else(|| vec![F::default(); capacity]);
        data.truncate(n);
        Self(data)
    }

    /// n zeros.
    pub fn zeros(n: usize) -> Self {
        let mut buffer = Self::unspecified(n);
        buffer.fill(F::default());
        buffer
    }
}

impl<F: Pooled> Drop for Buffer<F> {
    fn drop(&mut self) {
        let mut data = std::mem::take(&mut self.0);
        let capacity = data.capacity();
        if capacity < POOLED_FROM || class(capacity) != capacity {
            return;
        }
        let mut shelf = F::shelf().lock().unwrap_or_else(|e| e.into_inner());
        let bytes = capacity * size_of::<F>();
        if shelf.bytes + bytes <= IDLE_LIMIT {
            // What lies on the shelf has its full length, so that taking it writes nothing.
            data.resize(capacity, F::default());
            shelf.bytes += bytes;
            shelf.idle.entry(capacity).or_default().push(data);
        }
    }
}

impl<F: Pooled> From<Vec<F>> for Buffer<F> {
    fn from(data: Vec<F>) -> Self {
        Self(data)
    }
}

impl<F: Pooled> Clone for Buffer<F> {
    fn clone(&self) -> Self {
        let mut copy = Self::unspecified(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl<F: Pooled + PartialEq> PartialEq for Buffer<F> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<F: Pooled> Deref for Buffer<F> {
    type Target = [F];
    fn deref(&self) -> &[F] {
        &self.0
    }
}

impl<F: Pooled> DerefMut for Buffer<F> {
    fn deref_mut(&mut self) -> &mut [F] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_wastes_at_most_an_eighth_and_is_its_own_class() {
        for n in (POOLED_FROM..5_000_000).step_by(99_991) {
            assert!(class(n) >= n && class(n) <= n + n / 8 + 1, "{n} gets {}", class(n));
            assert_eq!(class(class(n)), class(n));
        }
    }

    #[test]
    fn memory_is_used_again() {
        // A size that no other test asks for.
        let n = 1_234_567;
        let mut first = Buffer::<f64>::zeros(n);
        first[5] = 1.0;
        let address = first.as_ptr();
        drop(first);
        let again = Buffer::<f64>::zeros(n - 100);
        assert_eq!(again.as_ptr(), address);
        assert_eq!(again.len(), n - 100);
        assert!(again.iter().all(|&x| x == 0.0));
    }
}
