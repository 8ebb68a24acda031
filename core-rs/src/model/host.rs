//! A model in the host's memory, on its way to a device.

use super::init;
use super::params::{Params, Spec};
use crate::config::ModelConfig;
use crate::weights::{self, Checkpoint, Tensor, TextAssets};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A model in the host's memory.
pub struct Host {
    /// Its shape.
    pub config: ModelConfig,
    /// Its tokenizer and template.
    pub text: TextAssets,
    /// Where it was read from.
    pub source: Option<PathBuf>,
    /// Its weights.
    pub weights: Params<Vec<f32>>,
    /// Its score head.
    pub score: Option<Vec<f32>>,
}

impl Host {
    /// Reads what [`super::Model::load`] opens.
    pub fn load(path: &Path) -> Result<Self> {
        let Checkpoint { config, mut tensors, text } = weights::load(path)?;
        let score = tensors.contains_key(weights::SCORE).then(|| Spec::of_score(&config));
        let score = score.map(|spec| take(path, &spec, &mut tensors)).transpose()?;
        let lm_head = score.is_none() || tensors.contains_key(weights::LM_HEAD);
        let weights = Params::specs(&config, lm_head).try_map(|spec| take(path, spec, &mut tensors))?;
        Ok(Self { config, text, source: Some(path.to_owned()), weights, score })
    }

    /// See [`super::Model::init`].
    pub fn init(config: ModelConfig, text: TextAssets, seed: u64) -> Result<Self> {
        config.validate()?;
        let weights = init::random(&config, seed);
        Ok(Self { config, text, source: None, weights, score: None })
    }
}

/// Takes a tensor out of those that a file holds.
pub fn take(path: &Path, spec: &Spec, tensors: &mut BTreeMap<String, Tensor>) -> Result<Vec<f32>> {
    let Some(tensor) = tensors.remove(&spec.name) else {
        return Err(Error::format(path, format!("tensor \"{}\" is missing", spec.name)));
    };
    if tensor.shape != spec.shape {
        let reason =
            format!("tensor \"{}\" has shape {:?}, expected {:?}", spec.name, tensor.shape, spec.shape);
        return Err(Error::format(path, reason));
    }
    Ok(tensor.data)
}
