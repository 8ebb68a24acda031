//! Arrays of f32 with what products read of them, and tensors that lie together.

use super::device::{Array, Device};
use super::element::Element;
use super::elementwise;
use crate::Result;
use half::bf16;
use std::cmp::Reverse;
use std::ops::Range;

/// Tensors that lie together begin at multiples of so many elements: 256 bytes of f32.
pub const ALIGNMENT: usize = 64;

/// An array of f32.
pub struct Buffer {
    /// Its values.
    pub values: Array<f32>,
    /// The same rounded, of a trained weight that products read so.
    pub rounded: Option<Array<bf16>>,
}

impl From<Array<f32>> for Buffer {
    fn from(values: Array<f32>) -> Self {
        Self { values, rounded: None }
    }
}

/// Where tensors of these lengths lie in one array, the longest first, so that matrices are neighbours and vectors are;
/// and its length. What lies between them is never read.
fn together(lengths: &[usize]) -> (Vec<Range<usize>>, usize) {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| Reverse(lengths[i]));
    let mut places = vec![0..0; lengths.len()];
    let mut end = 0;
    for i in order {
        places[i] = end..end + lengths[i];
        end += lengths[i].next_multiple_of(ALIGNMENT);
    }
    (places, end)
}

/// Zeros for tensors of these lengths, in one array.
pub fn zeros(device: &Device, lengths: &[usize]) -> Result<Vec<Buffer>> {
    let (places, all) = together(lengths);
    let values = Array::zeros(device, all)?;
    Ok(places.into_iter().map(|place| values.part(place).into()).collect())
}

/// Tensors in one array.
pub fn upload(device: &Device, host: &[Vec<f32>]) -> Result<Vec<Buffer>> {
    let lengths: Vec<usize> = host.iter().map(Vec::len).collect();
    let mut tensors = zeros(device, &lengths)?;
    tensors.iter_mut().zip(host).try_for_each(|(tensor, host)| tensor.values.set(host))?;
    Ok(tensors)
}

/// Tensors that are trained, with the copy that products read where they are to be rounded.
pub fn parameters<A: Element>(device: &Device, host: &[Vec<f32>]) -> Result<Vec<Buffer>> {
    let lengths: Vec<usize> = host.iter().map(Vec::len).collect();
    let mut tensors = upload(device, host)?;
    if A::ROUNDS {
        let (places, all) = together(&lengths);
        let copies = Array::<bf16>::zeros(device, all)?;
        for (tensor, place) in tensors.iter_mut().zip(places) {
            let mut copy = copies.part(place);
            elementwise::round(&tensor.values, 1.0, &mut copy)?;
            tensor.rounded = Some(copy);
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tensors_lie_apart_and_begin_where_a_vector_access_may(
            lengths in prop::collection::vec(0_usize..300, 0..20)
        ) {
            let (places, all) = together(&lengths);
            let mut taken = vec![false; all];
            for (place, length) in places.iter().zip(&lengths) {
                prop_assert_eq!(place.len(), *length);
                prop_assert_eq!(place.start % ALIGNMENT, 0);
                for i in place.clone() {
                    prop_assert!(!std::mem::replace(&mut taken[i], true));
                }
            }
        }
    }
}
