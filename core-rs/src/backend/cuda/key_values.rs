//! Memory for the keys and values of a generation, handed out in pages.

use super::attention::check;
use super::device::{Array, Device};
use super::driver::Address;
use super::element::Element;
use crate::backend::Heads;
use crate::{Error, Result};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Tokens of a page.
const PAGE: usize = 64;

/// See [`crate::backend::Backend::cache_bytes`]: of whole pages.
pub fn cache_bytes<A: Element>(layers: usize, heads: Heads, tokens: usize) -> usize {
    2 * layers * tokens.next_multiple_of(PAGE) * heads.kv_heads * heads.head_dim * size_of::<A>()
}

/// The rows of all pages in all layers, and which pages nobody has.
pub(super) struct Pool<A> {
    /// Layers × rows × all key heads' elements.
    keys: Array<A>,
    values: Array<A>,
    pub layers: usize,
    pub heads: Heads,
    pages: usize,
    free: Mutex<Vec<u32>>,
}

impl<A: Element> Pool<A> {
    fn free(&self) -> MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Where a layer's keys and values begin.
    pub fn layer(&self, layer: usize) -> [Address; 2] {
        assert!(layer < self.layers, "layer {layer} of {}", self.layers);
        let before = layer * self.pages * PAGE * self.heads.kv_heads * self.heads.head_dim * size_of::<A>();
        [&self.keys, &self.values].map(|array| array.address() + before as Address)
    }

    /// Where it lives.
    pub fn device(&self) -> &Device {
        self.keys.device()
    }
}

/// See [`crate::backend::Backend::KeyValues`].
pub struct KeyValues<A: Element>(Arc<Pool<A>>);

impl<A: Element> KeyValues<A> {
    /// As many pages as at most so many bytes hold.
    ///
    /// # Errors
    /// [`Error::Input`] for heads that the kernels do not take; [`Error::Memory`] where the device has not so much.
    pub fn new(device: &Device, layers: usize, heads: Heads, bytes: usize) -> Result<Self> {
        check(heads)?;
        // Rows are counted in 32 bits, one number of which means none.
        let pages = (bytes / cache_bytes::<A>(layers, heads, PAGE)).min(u32::MAX as usize / PAGE);
        let elements = layers * pages * PAGE * heads.kv_heads * heads.head_dim;
        let array = || Array::unspecified(device, elements);
        let free = Mutex::new((0..pages as u32).rev().collect());
        Ok(Self(Arc::new(Pool { keys: array()?, values: array()?, layers, heads, pages, free })))
    }

    /// See [`crate::backend::Backend::empty_cache`].
    ///
    /// # Errors
    /// [`Error::Memory`] where there are not so many pages.
    pub fn cache(&self, tokens: usize) -> Result<Cache<A>> {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let mut free = self.0.free();
        let pages = tokens.div_ceil(PAGE);
        let bytes = |pages| cache_bytes::<A>(self.0.layers, self.0.heads, pages * PAGE);
        let Some(left) = free.len().checked_sub(pages) else {
            return Err(Error::Memory {
                needed: bytes(pages),
                free: bytes(free.len()),
                total: bytes(self.0.pages),
            });
        };
        let pages = free.split_off(left);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        Ok(Cache { pool: self.0.clone(), pages, room: tokens, tokens: 0, id, path: None })
    }
}

/// Keys and values of a segment in all layers: pages of a pool.
pub struct Cache<A: Element> {
    pub(super) pool: Arc<Pool<A>>,
    pages: Vec<u32>,
    /// Tokens that it was made for.
    room: usize,
    /// Tokens that it has, or will have when the planned passes are through.
    pub(super) tokens: usize,
    /// No other cache has or had it.
    pub(super) id: u64,
    /// Once a pass has been planned that appends to it.
    pub(super) path: Option<Path>,
}

/// The path to a segment's last place, on the device.
pub(super) struct Path {
    /// Ids and tokens of the caches before the segment's own, root first.
    pub ancestors: Vec<(u64, usize)>,
    /// Tokens of all of them.
    pub position: usize,
    /// The row of each position; that of the segment's places without a token yet too, so that the table stays as it
    /// is while tokens are appended.
    pub rows: Array<u32>,
}

impl<A: Element> Cache<A> {
    /// The row of some of its places, of those without a token yet too.
    pub(super) fn rows(&self, places: Range<usize>) -> impl Iterator<Item = u32> {
        assert!(places.end <= self.room, "place {} of {}", places.end, self.room);
        places.map(|place| self.pages[place / PAGE] * PAGE as u32 + (place % PAGE) as u32)
    }

    /// Tokens that it was made for.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Reserves places for so many more tokens; gives the index of the first.
    pub(super) fn reserve(&mut self, tokens: usize) -> usize {
        let before = self.tokens;
        self.tokens += tokens;
        assert!(self.tokens <= self.room, "a cache with room for {} tokens gets {}", self.room, self.tokens);
        before
    }
}

impl<A: Element> Drop for Cache<A> {
    fn drop(&mut self) {
        self.pool.free().append(&mut self.pages);
    }
}
