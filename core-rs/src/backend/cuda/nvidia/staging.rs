//! Copies from the host that are done when the device gets to them, although the host's array may change at once: the
//! bytes go through memory that the device reads by itself.

use super::super::driver::Address;
use super::queue::Queue;
use crate::Result;
use cudarc::driver::sys;
use std::ptr::null_mut;

/// Bytes of a slot, and slots. A slot is written again when the device has read all of it; with several the host's
/// copy of one overlaps with the device's of another.
const SLOT: usize = 4 << 20;
const SLOTS: usize = 4;
/// Parts of a slot begin at multiples of this.
const ALIGNMENT: usize = 256;

/// Where the next bytes go.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Cursor {
    slot: usize,
    used: usize,
}

/// A part of the slots.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    slot: usize,
    from: usize,
    bytes: usize,
    /// The slot before it is complete, and this one is written from its start again.
    turned: bool,
}

impl Cursor {
    /// Room for some of the bytes, at least one, in one piece.
    fn take(&mut self, bytes: usize) -> Part {
        let turned = self.used + bytes.min(ALIGNMENT) > SLOT;
        if turned {
            *self = Cursor { slot: (self.slot + 1) % SLOTS, used: 0 };
        }
        let part = Part { slot: self.slot, from: self.used, bytes: bytes.min(SLOT - self.used), turned };
        self.used = (self.used + part.bytes).next_multiple_of(ALIGNMENT);
        part
    }
}

/// Slots of pinned memory in turn.
pub(super) struct Staging {
    memory: *mut u8,
    cursor: Cursor,
    /// Recorded when all copies out of a slot have been asked for.
    read: [sys::CUevent; SLOTS],
}

// SAFETY: the memory is the process's own, and events may be used from any thread.
unsafe impl Send for Staging {}

impl Staging {
    /// Sets the memory aside.
    pub(super) fn new(queue: &Queue) -> Result<Self> {
        let mut staging = Self { memory: null_mut(), cursor: Cursor::default(), read: [null_mut(); SLOTS] };
        // SAFETY: the context is current; what is not made yet is null, which dropping knows.
        unsafe {
            let code = sys::cuMemHostAlloc((&raw mut staging.memory).cast(), SLOT * SLOTS, 0);
            queue.check(code, "setting memory of the host aside")?;
            for event in &mut staging.read {
                let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
                queue.check(sys::cuEventCreate(event, flags), "making an event")?;
            }
        }
        Ok(staging)
    }

    /// Copies to the device, in the order of the stream.
    pub(super) fn upload(&mut self, queue: &Queue, mut host: &[u8], mut to: Address) -> Result<()> {
        while !host.is_empty() {
            let before = self.cursor.slot;
            let part = self.cursor.take(host.len());
            let (now, rest) = host.split_at(part.bytes);
            // SAFETY: the part lies within the pinned memory, and the device has read what it held before: events that
            // were never recorded count as done.
            unsafe {
                if part.turned {
                    let code = sys::cuEventRecord(self.read[before], queue.stream);
                    queue.check(code, "an upload")?;
                    queue.check(sys::cuEventSynchronize(self.read[part.slot]), "an upload")?;
                }
                let place = self.memory.add(part.slot * SLOT + part.from);
                std::ptr::copy_nonoverlapping(now.as_ptr(), place, part.bytes);
                let code = sys::cuMemcpyHtoDAsync_v2(to, place.cast(), part.bytes, queue.stream);
                queue.check(code, "an upload")?;
            }
            to += part.bytes as Address;
            host = rest;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // SAFETY: whoever drops it has waited for the stream; what is not null was made and is freed once.
        unsafe {
            for event in self.read.into_iter().filter(|event| !event.is_null()) {
                let _ = sys::cuEventDestroy_v2(event);
            }
            if !self.memory.is_null() {
                let _ = sys::cuMemFreeHost(self.memory.cast());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_cover_the_bytes_and_never_overlap_within_a_turn(sizes in prop::collection::vec(1..3 * SLOT, 1..40)) {
            let mut cursor = Cursor::default();
            let mut ends = [0; SLOTS];
            for size in sizes {
                let mut left = size;
                while left > 0 {
                    let before = cursor.slot;
                    let part = cursor.take(left);
                    prop_assert_eq!(part.slot, if part.turned { (before + 1) % SLOTS } else { before });
                    if part.turned {
                        ends[part.slot] = 0;
                    }
                    prop_assert!(part.bytes > 0 && part.bytes <= left);
                    prop_assert!(part.from >= ends[part.slot] && part.from % ALIGNMENT == 0);
                    ends[part.slot] = part.from + part.bytes;
                    prop_assert!(ends[part.slot] <= SLOT);
                    left -= part.bytes;
                }
            }
        }
    }

    #[test]
    fn small_arrays_share_a_slot() {
        let mut cursor = Cursor::default();
        let parts: Vec<Part> = (0..SLOT / ALIGNMENT).map(|_| cursor.take(4)).collect();
        assert!(parts.iter().all(|part| part.slot == 0 && !part.turned));
        assert_eq!(cursor.take(4), Part { slot: 1, from: 0, bytes: 4, turned: true });
    }
}
