//! A tensor as a file holds it.

use std::ops::Range;
use std::path::Path;

use super::Tensor;
use super::dequantize::{Encoding, non_finite};
use crate::{Error, Result};

/// The order of a matrix's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowOrder {
    /// As they are meant.
    Plain,
    /// In heads of this many rows, each with its halves interleaved: llama.cpp rotates neighbouring rows of a head,
    /// Hugging Face a row and the one half a head further, and llama.cpp's converter moves the rows of q and k.
    Interleaved(usize),
}

/// A tensor in a mapped file.
pub struct StoredTensor<'a> {
    pub(super) file: &'a Path,
    /// Its Hugging Face name.
    pub(super) name: String,
    /// Sizes, outermost first.
    pub(crate) shape: Vec<usize>,
    pub(crate) encoding: Encoding,
    pub(super) bytes: &'a [u8],
    pub(super) order: RowOrder,
}

/// Where a tensor stands in one of several files, without holding their bytes.
pub(super) struct Place {
    /// Which of the files.
    pub(super) file: usize,
    /// Where in it.
    pub(super) bytes: Range<usize>,
    name: String,
    shape: Vec<usize>,
    encoding: Encoding,
    order: RowOrder,
}

impl Place {
    /// That of a tensor that was read from these bytes of this file.
    pub(super) fn of(tensor: StoredTensor, file: usize, whole: &[u8]) -> Self {
        let StoredTensor { name, shape, encoding, bytes, order, .. } = tensor;
        let start = bytes.as_ptr().addr() - whole.as_ptr().addr();
        Self { file, bytes: start..start + bytes.len(), name, shape, encoding, order }
    }

    /// Sizes, outermost first.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The tensor again.
    pub(super) fn tensor<'a>(&self, file: &'a Path, whole: &'a [u8]) -> StoredTensor<'a> {
        let Self { name, shape, encoding, order, .. } = self;
        let bytes = &whole[self.bytes.clone()];
        StoredTensor {
            file,
            name: name.clone(),
            shape: shape.clone(),
            encoding: *encoding,
            bytes,
            order: *order,
        }
    }
}

#[cfg(test)]
impl<'a> StoredTensor<'a> {
    /// A matrix in blocks.
    pub(crate) fn of_blocks(encoding: Encoding, shape: [usize; 2], bytes: &'a [u8]) -> Self {
        let (file, name, order) = (Path::new("memory"), "blocks".to_owned(), RowOrder::Plain);
        Self { file, name, shape: shape.to_vec(), encoding, bytes, order }
    }

    /// The same with the rows of heads of so many moved as llama.cpp moves them.
    pub(crate) fn interleaved(self, head: Option<usize>) -> Self {
        Self { order: head.map_or(RowOrder::Plain, RowOrder::Interleaved), ..self }
    }
}

impl StoredTensor<'_> {
    /// Its Hugging Face name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is stored in blocks with scales.
    pub(crate) fn is_quantised(&self) -> bool {
        self.encoding.runs().is_some()
    }

    /// Its bytes, how they are to be read, and, where the rows of heads stand with their halves interleaved, a head's
    /// rows.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn packed(&self) -> (&[u8], Encoding, Option<usize>) {
        let head = match self.order {
            RowOrder::Plain => None,
            RowOrder::Interleaved(head) => Some(head),
        };
        (self.bytes, self.encoding, head)
    }

    /// The bytes of row i of a matrix, in the order that is meant.
    pub(crate) fn row(&self, i: usize) -> &[u8] {
        let size = self.row_bytes();
        &self.bytes[self.place(i) * size..][..size]
    }

    /// Elements of a row: 1 in a tensor of one dimension.
    pub(crate) fn width(&self) -> usize {
        self.shape[1..].iter().product()
    }

    pub(crate) fn row_bytes(&self) -> usize {
        self.width() / self.encoding.block_len() * self.encoding.block_bytes()
    }

    /// Where row i stands in the file.
    fn place(&self, i: usize) -> usize {
        match self.order {
            RowOrder::Plain => i,
            RowOrder::Interleaved(head) => {
                let (first, row, half) = (i / head * head, i % head, head / 2);
                first + if row < half { 2 * row } else { 2 * (row - half) + 1 }
            }
        }
    }

    /// All values as f32.
    ///
    /// # Errors
    /// [`Error::Format`] for a value that is not finite.
    pub(crate) fn decode(&self) -> Result<Tensor> {
        let mut data = self.encoding.decode(self.bytes);
        if let Some(at) = non_finite(&data) {
            return Err(self.not_finite(data[at], at));
        }
        if self.order != RowOrder::Plain {
            let width = self.width();
            let rows = 0..self.shape[0];
            data = rows.flat_map(|i| data[self.place(i) * width..][..width].iter().copied()).collect();
        }
        Ok(Tensor { shape: self.shape.clone(), data })
    }

    /// The error that a value is not finite.
    pub(crate) fn not_finite(&self, value: f32, at: usize) -> Error {
        let name = &self.name;
        Error::format(
            self.file,
            format!("Tensor \"{name}\" holds \"{value}\" at {at}, expected finite numbers"),
        )
    }
}
