//! The vocabulary head: chunks of logits by products, and what becomes of them.

use super::device::{Array, args, launch};
use super::driver::{Arg, Format, Grid, Product};
use super::element::Element;
use super::kernels::{Kernel, Module};
use super::product::{columns, product, rows};
use crate::Result;
use crate::backend::{Arithmetic, VocabHead, VocabRows, chunks};
use std::ops::Range;

/// Columns of a chunk, as `softmax.cuh` has it.
pub(super) const VOCAB_CHUNK: usize = 8192;
/// Threads of a block that advances a row's softmax, likewise.
pub(super) const VOCAB_THREADS: u32 = 512;
/// Rows of a pass: with a chunk of columns, 128 MiB of logits.
const ROW_PASS: usize = 4096;

/// See [`crate::backend::Backend::vocab_bytes`].
pub fn scratch_bytes<A>(vocab: usize) -> usize {
    ROW_PASS * vocab.min(VOCAB_CHUNK) * (size_of::<f32>() + size_of::<A>())
}

fn kernel<A: Element>(name: &'static str) -> Kernel {
    Kernel { module: Module::new("vocab", A::ACTIVATION), name }
}

/// Operands of the head, and memory for a chunk of logits.
struct Head<'a, A> {
    arithmetic: Arithmetic,
    hidden: &'a Array<A>,
    weight: &'a Array<A>,
    targets: Array<u32>,
    shape: VocabHead,
    logits: Array<f32>,
    /// Elements from one row of logits to the next: rows begin at multiples of 32 bytes.
    stride: usize,
}

impl<'a, A: Element> Head<'a, A> {
    fn new(
        arithmetic: Arithmetic,
        hidden: &'a Array<A>,
        weight: &'a Array<A>,
        targets: &[u32],
        shape: VocabHead,
    ) -> Result<Self> {
        assert_eq!(hidden.len(), targets.len() * shape.width, "the hidden states are of another shape");
        assert_eq!(weight.len(), shape.vocab * shape.width, "the weight is of another shape");
        let device = hidden.device();
        let stride = VOCAB_CHUNK.min(shape.vocab).next_multiple_of(8);
        let logits = Array::unspecified(device, ROW_PASS.min(targets.len()) * stride)?;
        let targets = Array::upload(device, targets)?;
        Ok(Self { arithmetic, hidden, weight, targets, shape, logits, stride })
    }

    fn inverse_temperature(&self) -> f32 {
        (1.0 / self.shape.temperature) as f32
    }

    fn passes(&self) -> impl Iterator<Item = Range<usize>> + use<A> {
        chunks(self.targets.len(), ROW_PASS)
    }

    fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<A> {
        chunks(self.shape.vocab, VOCAB_CHUNK)
    }

    /// The hidden states of a pass.
    fn states(&self, pass: &Range<usize>) -> Array<A> {
        self.hidden.part(pass.start * self.shape.width..pass.end * self.shape.width)
    }

    /// The weights of a chunk.
    fn weights(&self, chunk: &Range<usize>) -> Array<A> {
        self.weight.part(chunk.start * self.shape.width..chunk.end * self.shape.width)
    }

    /// Computes the logits of a pass and a chunk.
    fn fill(&self, pass: &Range<usize>, chunk: &Range<usize>) -> Result<()> {
        let width = self.shape.width;
        let task = Product {
            shape: [pass.len(), chunk.len(), width],
            operands: A::FORMAT,
            a: rows(&self.states(pass), width),
            b: columns(&self.weights(chunk), width),
            c: rows(&self.logits, self.stride),
            result: Format::F32,
            add: false,
        };
        product(self.hidden.device(), self.arithmetic, &task)
    }
}

/// See [`crate::backend::Backend::vocab_forward`].
pub fn forward<A: Element>(
    arithmetic: Arithmetic,
    hidden: &Array<A>,
    weight: &Array<A>,
    targets: &[u32],
    shape: VocabHead,
) -> Result<VocabRows<f32>> {
    let head = Head::new(arithmetic, hidden, weight, targets, shape)?;
    let device = hidden.device();
    let count = targets.len();
    let states = Array::<f32>::unspecified(device, 4 * ROW_PASS.min(count))?;
    let results = Array::<f32>::unspecified(device, 3 * count)?;
    for pass in head.passes() {
        for chunk in head.chunks() {
            head.fill(&pass, &chunk)?;
            let args = args![
                &head.logits,
                head.stride,
                chunk.len() as u32,
                chunk.start as u32,
                shape.vocab as u32,
                &head.targets,
                head.inverse_temperature(),
                &states,
                pass.start,
                count,
                &results,
            ];
            launch(device, kernel::<A>("vocab_advance"), Grid::new(pass.len(), VOCAB_THREADS), args)?;
        }
    }
    let mut logprobs = results.download()?;
    let mut entropies = logprobs.split_off(count);
    let log_sums = entropies.split_off(count);
    Ok(VocabRows { logprobs, entropies, log_sums })
}

/// See [`crate::backend::Backend::vocab_backward`].
#[allow(clippy::too_many_arguments)]
pub fn backward<A: Element>(
    arithmetic: Arithmetic,
    hidden: &Array<A>,
    weight: &Array<A>,
    targets: &[u32],
    shape: VocabHead,
    forward: &VocabRows<f32>,
    (d_logprobs, d_entropies): (&[f32], &[f32]),
    d_hidden: &mut Array<f32>,
    d_weight: Option<&mut Array<f32>>,
) -> Result<()> {
    let head = Head::new(arithmetic, hidden, weight, targets, shape)?;
    let device = hidden.device();
    let (width, count) = (shape.width, targets.len());
    let given = [&forward.log_sums, &forward.entropies, d_logprobs, d_entropies].concat();
    assert_eq!(given.len(), 4 * count, "the rows are of another number");
    let given = Array::upload(device, &given)?;
    let gradients = Array::<A>::unspecified(device, head.logits.len())?;
    for pass in head.passes() {
        let d_states = d_hidden.part(pass.start * width..pass.end * width);
        for chunk in head.chunks() {
            head.fill(&pass, &chunk)?;
            let args: &[Arg] = args![
                &head.logits,
                &gradients,
                head.stride,
                chunk.len() as u32,
                chunk.start as u32,
                &head.targets,
                head.inverse_temperature(),
                pass.start,
                count,
                &given,
            ];
            launch(device, kernel::<A>("vocab_gradients"), Grid::new(pass.len(), 256), args)?;
            let through = |shape, a, b, c| {
                let task = Product { shape, operands: A::FORMAT, a, b, c, result: Format::F32, add: true };
                product(device, arithmetic, &task)
            };
            through(
                [pass.len(), width, chunk.len()],
                rows(&gradients, head.stride),
                rows(&head.weights(&chunk), width),
                rows(&d_states, width),
            )?;
            let Some(d_weight) = &d_weight else { continue };
            let d_weights = d_weight.part(chunk.start * width..chunk.end * width);
            through(
                [chunk.len(), width, pass.len()],
                columns(&gradients, head.stride),
                rows(&head.states(&pass), width),
                rows(&d_weights, width),
            )?;
        }
    }
    Ok(())
}
