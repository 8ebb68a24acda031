//! What of a model training changes.

use super::lora::{Adapters, Lora};
use super::params::{Params, Spec, infallible};
use crate::config::ModelConfig;

/// A model's tensors as passes read them.
pub struct Tensors<'a, T> {
    /// All but those below.
    pub weights: &'a Params<T>,
    /// Adapters that are on.
    pub lora: Option<&'a Lora<T>>,
    /// The score head.
    pub score: Option<&'a T>,
}

impl<T> Clone for Tensors<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Tensors<'_, T> {}

impl<'a, T> Tensors<'a, T> {
    /// Those that training changes: adapters, where there are any, in the stead of the weights.
    pub fn trainable(&self) -> Trainables<&'a T> {
        Trainables {
            weights: self.lora.is_none().then(|| self.weights.map(|w| w)),
            adapters: self.lora.map(|lora| infallible(lora.adapters.try_map(Ok))),
            score: self.score,
        }
    }

    /// Names and shapes of those that training changes.
    pub fn trainable_specs(&self, config: &ModelConfig) -> Trainables<Spec> {
        Trainables {
            weights: self.lora.is_none().then(|| self.weight_specs(config)),
            adapters: self.lora.map(|lora| Adapters::specs(config, &lora.shape)),
            score: self.score.map(|_| Spec::of_score(config)),
        }
    }

    /// Names and shapes of the weights.
    pub fn weight_specs(&self, config: &ModelConfig) -> Params<Spec> {
        Params::specs(config, self.weights.lm_head.is_some())
    }
}

/// One value a tensor that is trained: gradients, moments and shapes share this form.
pub struct Trainables<T> {
    /// None where adapters are trained.
    pub weights: Option<Params<T>>,
    /// None where the weights are trained.
    pub adapters: Option<Adapters<T>>,
    /// Of the score head.
    pub score: Option<T>,
}

impl<T> Trainables<T> {
    /// All tensors in one fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let adapters = self.adapters.iter().flat_map(Adapters::iter);
        self.weights.iter().flat_map(Params::iter).chain(adapters).chain(&self.score)
    }

    /// As [`Trainables::iter`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let adapters = self.adapters.iter_mut().flat_map(Adapters::iter_mut);
        self.weights.iter_mut().flat_map(Params::iter_mut).chain(adapters).chain(&mut self.score)
    }

    /// One value from each tensor in the order of [`Trainables::iter`], or the first error.
    pub fn try_map<'a, U, E>(&'a self, mut f: impl FnMut(&'a T) -> Result<U, E>) -> Result<Trainables<U>, E> {
        Ok(Trainables {
            weights: self.weights.as_ref().map(|weights| weights.try_map(&mut f)).transpose()?,
            adapters: self.adapters.as_ref().map(|adapters| adapters.try_map(&mut f)).transpose()?,
            score: self.score.as_ref().map(f).transpose()?,
        })
    }

    /// One value from each tensor.
    pub fn map<'a, U>(&'a self, mut f: impl FnMut(&'a T) -> U) -> Trainables<U> {
        infallible(self.try_map(|t| Ok(f(t))))
    }

    /// The same form with as many other values, in the order of [`Trainables::iter`].
    pub fn replaced<U>(&self, values: Vec<U>) -> Trainables<U> {
        let mut values = values.into_iter();
        self.map(|_| values.next().expect("as many values as tensors"))
    }
}
