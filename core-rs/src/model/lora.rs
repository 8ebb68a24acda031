//! Low-rank adapters (Hu et al. 2021, equation 3): y = xWᵀ + b + s·drop(x)AᵀBᵀ with s = alpha / rank.

use super::init::uniform;
use super::params::{Params, Spec};
use crate::config::ModelConfig;
use crate::{Error, Result};

/// Before the Hugging Face name of what an adapter belongs to, in its own name.
pub(crate) const PREFIX: &str = "base_model.model.";

/// A linear layer of every decoder layer, in the order of [`super::params::LayerParams::linears`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Attention's output.
    O,
    /// The gate of the MLP.
    Gate,
    /// The gated half of the MLP.
    Up,
    /// The MLP's output.
    Down,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// The last part of its Hugging Face name.
    pub fn name(self) -> &'static str {
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"][self as usize]
    }
}

impl std::str::FromStr for Target {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Input(format!(
                "Target \"{name}\" is no linear layer of the model, expected one of {names}"
            ))
        })
    }
}

/// What adapters a model has, but for their values.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraShape {
    /// Rows of A, columns of B.
    pub rank: usize,
    /// s · rank
    pub alpha: f64,
    /// Share of an adapter's inputs that are dropped where a pass drops any.
    pub dropout: f64,
    /// What has adapters, in ascending order.
    pub targets: Vec<Target>,
}

impl LoraShape {
    /// Targets may come in any order, each once.
    pub fn new(rank: usize, alpha: f64, dropout: f64, mut targets: Vec<Target>) -> Result<Self> {
        targets.sort_unstable();
        if let Some(pair) = targets.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::Input(format!("Target \"{}\" is named twice", pair[0].name())));
        }
        if targets.is_empty() {
            return Err(Error::Input("No targets are named, expected at least one linear layer".into()));
        }
        if !(alpha > 0.0 && alpha.is_finite()) {
            return Err(Error::Input(format!("alpha is \"{alpha}\", expected a finite number above 0")));
        }
        if !(0.0..1.0).contains(&dropout) {
            return Err(Error::Input(format!("dropout is \"{dropout}\", expected at least 0 and below 1")));
        }
        Ok(Self { rank, alpha, dropout, targets })
    }

    /// Refuses a rank that a model of this shape has no use for.
    pub fn check(&self, config: &ModelConfig) -> Result<()> {
        let (rank, most) = (self.rank, config.hidden_size);
        if !(1..=most).contains(&rank) {
            return Err(Error::Input(format!(
                "rank is \"{rank}\", expected at least 1 and at most the model's width {most}"
            )));
        }
        Ok(())
    }

    /// s
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

impl std::fmt::Display for LoraShape {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { rank, alpha, dropout, targets } = self;
        let targets: Vec<&str> = targets.iter().map(|target| target.name()).collect();
        let targets = targets.join(", ");
        write!(f, "adapters of rank \"{rank}\", alpha \"{alpha}\", dropout \"{dropout}\" on \"{targets}\"")
    }
}

/// A low-rank addition to a matrix \[out, in\].
#[derive(Debug, Clone)]
pub struct Adapter<T> {
    /// \[rank, in\]
    pub a: T,
    /// \[out, rank\]
    pub b: T,
}

/// The adapters of a layer by [`Target`].
pub type LayerAdapters<T> = [Option<Adapter<T>>; 7];

/// One value a tensor of all adapters: weights, gradients, moments and shapes share this form.
#[derive(Debug, Clone)]
pub struct Adapters<T>(pub Vec<LayerAdapters<T>>);

impl<T> Adapters<T> {
    /// All tensors in one fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten().flatten().flat_map(|adapter| [&adapter.a, &adapter.b])
    }

    /// As [`Adapters::iter`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten().flatten().flat_map(|adapter| [&mut adapter.a, &mut adapter.b])
    }

    /// One value from each tensor in the order of [`Adapters::iter`], or the first error.
    pub fn try_map<'a, U, E>(
        &'a self,
        mut f: impl FnMut(&'a T) -> std::result::Result<U, E>,
    ) -> std::result::Result<Adapters<U>, E> {
        let mut layers = Vec::with_capacity(self.0.len());
        for layer in &self.0 {
            let mut mapped = [const { None }; 7];
            for (to, from) in mapped.iter_mut().zip(layer) {
                if let Some(Adapter { a, b }) = from {
                    *to = Some(Adapter { a: f(a)?, b: f(b)? });
                }
            }
            layers.push(mapped);
        }
        Ok(Adapters(layers))
    }

    /// The adapter of each weight that has one.
    pub fn by_weight<U>(&self, weights: &Params<U>) -> Params<Option<&Adapter<T>>> {
        let mut found = weights.map(|_| None);
        for (layer, adapters) in found.layers.iter_mut().zip(&self.0) {
            for (linear, adapter) in layer.linears_mut().into_iter().zip(adapters) {
                linear.weight = adapter.as_ref();
            }
        }
        found
    }
}

impl Adapters<Spec> {
    /// Names, as PEFT writes them, and shapes.
    pub fn specs(config: &ModelConfig, shape: &LoraShape) -> Self {
        let weights = Params::specs(config, false);
        let layers = weights.layers.iter().map(|layer| {
            let linears = layer.linears();
            Target::ALL.map(|target| {
                let Spec { name, shape: sizes } = &linears[target as usize].weight;
                let name = name.strip_suffix(".weight").unwrap_or(name);
                let spec = |part: &str, sizes: [usize; 2]| Spec {
                    name: format!("{PREFIX}{name}.{part}.weight"),
                    shape: sizes.to_vec(),
                };
                shape.targets.contains(&target).then(|| Adapter {
                    a: spec("lora_A", [shape.rank, sizes[1]]),
                    b: spec("lora_B", [sizes[0], shape.rank]),
                })
            })
        });
        Self(layers.collect())
    }

    /// Values that change nothing yet: A uniform within 1/√in of 0, which is He et al.'s (2015) rule with a = √5, and
    /// B zeros. Element i of an A is a function of the seed, the A's number and i.
    pub fn random(&self, seed: u64) -> Adapters<Vec<f32>> {
        let mut number = 0;
        let layers = self.0.iter().map(|layer| {
            layer.each_ref().map(|adapter| {
                let Adapter { a, b } = adapter.as_ref()?;
                number += 1;
                let bound = 1.0 / (a.shape[1] as f64).sqrt();
                let a = (0..a.len()).map(|i| (uniform(seed, number, i as u64) * bound) as f32);
                Some(Adapter { a: a.collect(), b: vec![0.0; b.len()] })
            })
        });
        Adapters(layers.collect())
    }
}

/// Adapters on a backend.
pub struct Lora<T> {
    /// What there are.
    pub shape: LoraShape,
    /// Their values.
    pub adapters: Adapters<T>,
}
