//! One buffer that many tasks write.

/// A mutable buffer whose tasks write disjoint parts.
pub struct Disjoint<F> {
    data: *mut F,
    len: usize,
}
impl<F> Clone for Disjoint<F> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<F> Copy for Disjoint<F> {}
// SAFETY: only unsafe code reaches the buffer, and its authors keep their parts apart.
unsafe impl<F: Send> Send for Disjoint<F> {}
// SAFETY: as above.
unsafe impl<F: Send> Sync for Disjoint<F> {}

impl<F> Disjoint<F> {
    /// Of a whole buffer.
    pub fn new(buffer: &mut [F]) -> Self {
        Self { data: buffer.as_mut_ptr(), len: buffer.len() }
    }

    /// A part of it.
    ///
    /// # Safety
    /// The buffer is alive, and no other task holds an overlapping part.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice<'a>(&self, start: usize, len: usize) -> &'a mut [F] {
        assert!(start + len <= self.len);
        // SAFETY: inside the buffer, and the caller keeps the parts apart.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), len) }
    }

    /// The address of a part of it.
    pub fn pointer(&self, start: usize, len: usize) -> *mut F {
        assert!(start + len <= self.len);
        self.data.wrapping_add(start)
    }
}
