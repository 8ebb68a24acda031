//! A table whose handles say when they have gone stale.

use crate::{Error, Result};

/// A handle is an index and the generation of its slot, together small enough for an exact JSON number: 20 + 32
/// bits of 64, or 12 + 20 of 32.
const INDEX_BITS: u32 = if usize::BITS == 64 { 20 } else { 12 };
const GENERATIONS: usize = if usize::BITS == 64 { u32::MAX as usize } else { (1 << 20) - 1 };

#[derive(Debug)]
struct Slot<T> {
    generation: usize,
    value: Option<T>,
}

/// Values behind generational handles. No handle is 0, and none is given out twice.
#[derive(Debug)]
pub struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Stores a value and gives its handle; [`Error::Input`] when the table is full.
    pub fn insert(&mut self, value: T) -> Result<usize> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < 1 << INDEX_BITS => {
                self.slots.push(Slot { generation: 1, value: None });
                self.slots.len() - 1
            }
            None => {
                return Err(Error::Input(format!(
                    "More than \"{}\" objects are open at once; close those that are done",
                    self.slots.len()
                )));
            }
        };
        let slot = &mut self.slots[index];
        slot.value = Some(value);
        Ok(slot.generation << INDEX_BITS | index)
    }

    /// The value behind a handle; [`Error::Handle`] for one that is unknown or closed.
    pub fn get(&self, handle: usize) -> Result<&T> {
        self.slots
            .get(handle & ((1 << INDEX_BITS) - 1))
            .filter(|slot| slot.generation == handle >> INDEX_BITS)
            .and_then(|slot| slot.value.as_ref())
            .ok_or(Error::Handle(handle))
    }

    /// Takes the value out and makes its handle stale for good.
    pub fn remove(&mut self, handle: usize) -> Result<T> {
        self.get(handle)?;
        let index = handle & ((1 << INDEX_BITS) - 1);
        let slot = &mut self.slots[index];
        if slot.generation < GENERATIONS {
            slot.generation += 1;
            self.free.push(index);
        }
        slot.value.take().ok_or(Error::Handle(handle))
    }

    /// Number of open handles.
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.value.is_some()).count()
    }

    /// Whether no handle is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_handle_is_stale_once_removed_even_when_its_slot_is_used_again() {
        let mut slots = Slots::default();
        let first = slots.insert("first").unwrap();
        assert_eq!(slots.remove(first).unwrap(), "first");
        let second = slots.insert("second").unwrap();
        assert_ne!(first, second);
        assert!(matches!(slots.get(first), Err(Error::Handle(handle)) if handle == first));
        assert!(slots.remove(first).is_err());
        assert_eq!(*slots.get(second).unwrap(), "second");
        assert_eq!(slots.slots.len(), 1);
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_retired() {
        let mut slots = Slots::default();
        let handle = slots.insert(1).unwrap();
        slots.slots[handle & ((1 << INDEX_BITS) - 1)].generation = GENERATIONS;
        let last = GENERATIONS << INDEX_BITS;
        assert!(last < 1 << 52);
        slots.remove(last).unwrap();
        assert!(slots.get(last).is_err());
        assert_ne!(slots.insert(2).unwrap() & ((1 << INDEX_BITS) - 1), 0);
    }

    proptest! {
        #[test]
        fn every_open_handle_finds_its_value_and_no_other_does(ops in prop::collection::vec(0usize..8, 0..64)) {
            let mut slots = Slots::default();
            let mut open = HashMap::new();
            let mut closed = vec![0, 1, usize::MAX];
            for (step, op) in ops.into_iter().enumerate() {
                let oldest = open.keys().copied().min();
                if let (true, Some(handle)) = (op < 4, oldest) {
                    prop_assert_eq!(slots.remove(handle).ok(), open.remove(&handle));
                    closed.push(handle);
                } else {
                    prop_assert!(open.insert(slots.insert(step).unwrap(), step).is_none());
                }
                prop_assert_eq!(slots.len(), open.len());
                for (&handle, value) in &open {
                    prop_assert_eq!(slots.get(handle).unwrap(), value);
                }
                for &handle in &closed {
                    prop_assert!(slots.get(handle).is_err());
                }
            }
        }
    }
}
