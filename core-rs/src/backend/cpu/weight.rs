//! Weights laid out for products.

use super::Cpu;
use super::gemm::{Blocks, Packed, Product, Right, View};
use super::real::Real;
use super::stored::Element;
use crate::backend::Matrix;

impl<F: Real, A: Element<F>> Cpu<F, A> {
    /// Lays a weight out for products, as integers if the backend has been told so.
    pub(super) fn lay_out(&self, weight: &[F], inputs: usize) -> Weight<A::Linear> {
        if self.integers
            && let Some(blocks) = Blocks::rounded(weight, inputs)
        {
            return Weight::Integers(blocks);
        }
        let columns = View::columns(weight, inputs);
        Weight::Panels(Packed::new_parallel(columns, inputs, weight.len() / inputs))
    }
}

/// The transpose of a weight, laid out for products.
pub enum Weight<P: Product> {
    /// Rounded to the operand's type.
    Panels(Packed<P>),
    /// As quantised as its file.
    Blocks(Blocks),
    /// As integers, multiplied as such.
    Integers(Blocks),
}

impl<P: Product> Weight<P> {
    /// Writes row j of the weight.
    pub(super) fn column(&self, j: usize, out: &mut [P::Sum]) {
        match self {
            Weight::Panels(w) => w.column(j, out),
            Weight::Blocks(w) | Weight::Integers(w) => w.column(j, out),
        }
    }
}

/// The right-hand side of a product with a weight's transpose, and its columns.
pub(super) fn transposed<'a, F: Real, A: Element<F>>(
    weight: Matrix<'a, Cpu<F, A>>,
    inputs: usize,
) -> (Right<'a, A::Linear>, usize) {
    match weight {
        Matrix::Plain(w) => (Right::Wide(View::columns(w, inputs)), w.len() / inputs),
        Matrix::Packed(Weight::Panels(w)) => (Right::Packed(w, 0), w.n),
        Matrix::Packed(Weight::Blocks(w)) => (Right::Blocks(w, 0), w.n),
        Matrix::Packed(Weight::Integers(w)) => (Right::Integers(w, 0), w.n),
    }
}
