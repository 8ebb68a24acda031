//! Products with an adapter, which is never merged into its weight while it is trained.

use super::lora::{Adapter, LayerAdapters, Lora};
use crate::Result;
use crate::backend::{Backend, Mask, Matrix, Store};

/// An adapter as passes read it.
pub struct Adapted<'a, B: Backend> {
    adapter: &'a Adapter<B::Buffer>,
    packed: Option<&'a Adapter<B::Packed>>,
    rank: usize,
    scale: f64,
    dropout: f64,
    /// The layer and the matrix.
    place: [u32; 2],
}

/// The adapters of a layer by [`super::lora::Target`], and those packed for products with few rows.
pub fn of_layer<'a, B: Backend>(
    lora: &'a Lora<B::Buffer>,
    layer: usize,
    packed: Option<&'a LayerAdapters<B::Packed>>,
) -> [Option<Adapted<'a, B>>; 7] {
    std::array::from_fn(|i| {
        Some(Adapted {
            adapter: lora.adapters.0[layer][i].as_ref()?,
            packed: packed.and_then(|packed| packed[i].as_ref()),
            rank: lora.shape.rank,
            scale: lora.shape.scale(),
            dropout: lora.shape.dropout,
            place: [layer as u32, i as u32],
        })
    })
}

/// Packs a layer's adapters.
pub fn pack<B: Backend>(
    backend: &B,
    adapters: &LayerAdapters<B::Buffer>,
    rank: usize,
    inputs: [usize; 7],
) -> Result<LayerAdapters<B::Packed>> {
    let mut packed = [const { None }; 7];
    for ((to, from), inputs) in packed.iter_mut().zip(adapters).zip(inputs) {
        if let Some(Adapter { a, b }) = from {
            *to = Some(Adapter { a: backend.pack(a, inputs)?, b: backend.pack(b, rank)? });
        }
    }
    Ok(packed)
}

/// weight (out × in) + s·BA
pub fn merged<B: Backend>(
    backend: &B,
    weight: &B::Buffer,
    adapter: &Adapter<B::Buffer>,
    scale: f64,
    inputs: usize,
) -> Result<B::Buffer> {
    let mut sum = backend.duplicate(weight)?;
    backend.linear_dx(&backend.round(&adapter.b, scale)?, &adapter.a, inputs, &mut sum, Store::Add)?;
    Ok(sum)
}

impl<B: Backend> Adapted<'_, B> {
    /// The mask of a pass that drops inputs.
    fn mask(&self, dropout: Option<[u32; 2]>) -> Option<Mask> {
        dropout.filter(|_| self.dropout > 0.0).map(|key| Mask::new(key, self.place, self.dropout))
    }

    fn dropped(
        &self,
        backend: &B,
        x: &B::Activation,
        dropout: Option<[u32; 2]>,
    ) -> Result<Option<B::Activation>> {
        self.mask(dropout).map(|mask| backend.dropout(x, &mask)).transpose()
    }

    /// s·xAᵀ (rows × rank) of inputs that have been dropped.
    fn down(&self, backend: &B, x: &B::Activation, (rows, inputs): (usize, usize)) -> Result<B::Activation> {
        let a = self.packed.map_or(Matrix::Plain(&self.adapter.a), |packed| Matrix::Packed(&packed.a));
        let mut low = backend.unspecified(rows * self.rank)?;
        backend.linear_into(x, a, inputs, &mut low, Store::Replace)?;
        backend.round(&low, self.scale)
    }

    fn low(
        &self,
        backend: &B,
        x: &B::Activation,
        shape: (usize, usize),
        dropout: Option<[u32; 2]>,
    ) -> Result<B::Activation> {
        let dropped = self.dropped(backend, x, dropout)?;
        self.down(backend, dropped.as_ref().unwrap_or(x), shape)
    }

    fn up(&self) -> Matrix<'_, B> {
        self.packed.map_or(Matrix::Plain(&self.adapter.b), |packed| Matrix::Packed(&packed.b))
    }

    /// y += s·drop(x)AᵀBᵀ. `shape` is x's, (rows, inputs), and `dropout` the key of the pass's masks.
    pub fn add(
        &self,
        backend: &B,
        x: &B::Activation,
        shape: (usize, usize),
        dropout: Option<[u32; 2]>,
        y: &mut B::Activation,
    ) -> Result<()> {
        let low = self.low(backend, x, shape, dropout)?;
        backend.linears(&low, [self.up()], self.rank, [y], Store::Add)
    }

    /// As [`Adapted::add`], the sums kept in full.
    pub fn add_into(
        &self,
        backend: &B,
        x: &B::Activation,
        shape: (usize, usize),
        dropout: Option<[u32; 2]>,
        y: &mut B::Buffer,
    ) -> Result<()> {
        let low = self.low(backend, x, shape, dropout)?;
        backend.linear_into(&low, self.up(), self.rank, y, Store::Add)
    }

    /// Adds the gradients of A and B. Gives dL/d(drop(x)Aᵀ) for [`Adapted::dx`].
    pub fn dw(
        &self,
        backend: &B,
        (x, d_y): (&B::Activation, &B::Activation),
        (rows, inputs): (usize, usize),
        dropout: Option<[u32; 2]>,
        d: &mut Adapter<B::Buffer>,
    ) -> Result<B::Activation> {
        let dropped = self.dropped(backend, x, dropout)?;
        let x = dropped.as_ref().unwrap_or(x);
        let low = self.down(backend, x, (rows, inputs))?;
        backend.linear_dw(&low, d_y, self.rank, &mut d.b)?;
        let mut d_low = backend.unspecified(rows * self.rank)?;
        backend.linear_dx(d_y, &self.adapter.b, self.rank, &mut d_low, Store::Replace)?;
        let d_low = backend.round(&d_low, self.scale)?;
        backend.linear_dw(x, &d_low, inputs, &mut d.a)?;
        Ok(d_low)
    }

    /// d_x += what [`Adapted::dw`] gave, back through A and the mask.
    pub fn dx(
        &self,
        backend: &B,
        d_low: &B::Activation,
        (rows, inputs): (usize, usize),
        dropout: Option<[u32; 2]>,
        d_x: &mut B::Buffer,
    ) -> Result<()> {
        let Some(mask) = self.mask(dropout) else {
            return backend.linear_dx(d_low, &self.adapter.a, inputs, d_x, Store::Add);
        };
        let mut d_dropped = backend.unspecified(rows * inputs)?;
        backend.linear_dx(d_low, &self.adapter.a, inputs, &mut d_dropped, Store::Replace)?;
        backend.dropout_backward(&d_dropped, &mask, d_x)
    }
}
