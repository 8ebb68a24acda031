//! What numbers are made of and rounded to.

/// A scalar that weights and results are made of.
pub trait Scalar: Copy + Default + Send + Sync + std::fmt::Debug + 'static {
    /// Rounds to this type.
    fn from_f64(x: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
}

impl Scalar for f32 {
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Scalar for f64 {
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}

/// What matrix products read: activations and weights are rounded to it, and sums are f32 always. Weights, gradients
/// and the optimizer's state are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Nothing is rounded.
    #[default]
    F32,
    /// bfloat16. Norms, softmaxes and the residual stream stay f32.
    Bf16,
}

/// What matrix products read where there are forward passes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InferencePrecision {
    /// As a trained model's.
    Trained(Precision),
    /// Integers of 8 bits, or as few as the model's file has, with scales for runs of them. Activations are rounded to
    /// 8 bits run by run. The embedding, norms, softmaxes and the residual stream stay f32.
    Int8,
}

impl From<Precision> for InferencePrecision {
    fn from(precision: Precision) -> Self {
        InferencePrecision::Trained(precision)
    }
}

impl InferencePrecision {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            InferencePrecision::Trained(Precision::F32) => "f32",
            InferencePrecision::Trained(Precision::Bf16) => "bf16",
            InferencePrecision::Int8 => "int8",
        }
    }
}
