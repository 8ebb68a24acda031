//! The files of a model that is trained, and of its optimizer.

use super::frozen_model::Freeze;
use super::host::{Host, take};
use super::lora::Adapters;
use super::params::Spec;
use super::trainables::Trainables;
use super::trained::{Moments, Trained, tensors};
use super::{SaveOptions, SavedAdapters, adapter};
use crate::weights::peft::{self, AdapterFolder};
use crate::weights::{self, TensorRef};
use crate::{Error, Result, files};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// File of the optimizer's state beside the weights.
const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// Prefixes of the moments' names in it.
const FIRST: &str = "first.";
const SECOND: &str = "second.";

/// The optimizer's state in the host's memory: moments, and the steps taken.
type HostMoments = ([Trainables<Vec<f32>>; 2], u64);

impl<B: Freeze> Trained<B> {
    /// See [`super::Trainable::save`].
    pub(super) fn write(&self, dir: &Path, options: &SaveOptions) -> Result<()> {
        let SaveOptions { dtype, optimizer, adapters } = *options;
        match (&self.lora, adapters.unwrap_or(SavedAdapters::Separate)) {
            (Some(_), SavedAdapters::Merged) if optimizer => {
                return Err(Error::Input(
                    "The optimizer's state is that of the adapters, expected to save it with them \"separate\"".into(),
                ));
            }
            (None, SavedAdapters::Separate) if adapters.is_some() => {
                return Err(Error::Input(
                    "The model has no adapters that could be saved \"separate\"".into(),
                ));
            }
            (Some(lora), SavedAdapters::Separate) => {
                let specs = self.tensors().trainable_specs(&self.config).map(|spec| peft_spec(spec.clone()));
                let values = self.tensors().trainable();
                let tensors = self.references(specs.iter(), "", values.iter().copied());
                peft::save(dir, &lora.shape, self.source.as_deref(), &tensors, dtype)?;
            }
            _ => weights::save(dir, &self.config, &self.merged(), &self.text, dtype)?,
        }
        if optimizer { self.write_optimizer(&dir.join(OPTIMIZER_FILE)) } else { Ok(()) }
    }

    fn write_optimizer(&self, file: &Path) -> Result<()> {
        let specs = self.tensors().trainable_specs(&self.config);
        let mut tensors = Vec::new();
        let mut steps = 0;
        if let Some(moments) = &self.moments {
            tensors.extend(self.references(specs.iter(), FIRST, moments.first.iter()));
            tensors.extend(self.references(specs.iter(), SECOND, moments.second.iter()));
            steps = moments.steps;
        }
        let metadata = BTreeMap::from([("steps".to_string(), steps.to_string())]);
        weights::save_tensors(file, &tensors, &metadata)
    }

    /// Tensors to be written, each downloaded when it is.
    pub(super) fn references<'a>(
        &'a self,
        specs: impl Iterator<Item = &'a Spec>,
        prefix: &str,
        values: impl Iterator<Item = &'a B::Buffer>,
    ) -> Vec<TensorRef<'a>> {
        let named = specs.zip(values).map(|(spec, x)| {
            let name = format!("{prefix}{}", spec.name);
            TensorRef::with(name, spec.shape.clone(), || self.backend.download(x))
        });
        named.collect()
    }

    /// All weights, each with its adapter merged into it when it is read, and the score head.
    fn merged(&self) -> Vec<TensorRef<'_>> {
        let b = &self.backend;
        let specs = self.tensors().weight_specs(&self.config);
        let adapters =
            self.lora.as_ref().map(|lora| (lora.adapters.by_weight(&self.weights), lora.shape.scale()));
        let mut adapters = adapters.iter().flat_map(|(all, scale)| all.iter().map(|a| Some(((*a)?, *scale))));
        let mut tensors: Vec<TensorRef> = Vec::new();
        for (spec, x) in specs.iter().zip(self.weights.iter()) {
            let (name, shape) = (spec.name.clone(), spec.shape.clone());
            let inputs = shape.last().copied().unwrap_or_default();
            tensors.push(match adapters.next().flatten() {
                None => TensorRef::with(name, shape, || b.download(x)),
                Some((adapter, scale)) => TensorRef::with(name, shape, move || {
                    b.install(|| {
                        let merged = adapter::merged(b, x, adapter, scale, inputs)?;
                        Ok(Cow::Owned(b.download(&merged)?.into_owned()))
                    })
                }),
            });
        }
        let score = self.score.as_ref().map(|x| (Spec::of_score(&self.config), x));
        tensors.extend(score.map(|(spec, x)| TensorRef::with(spec.name, spec.shape, || b.download(x))));
        tensors
    }

    /// See [`super::Trainable::restore`].
    pub(super) fn read(&mut self, dir: &Path) -> Result<()> {
        if peft::holds_adapters(dir) {
            return self.read_adapters(dir);
        }
        if self.lora.is_some() {
            let reason = "Holds no adapters, expected those of a model that has such";
            return Err(Error::format(dir, reason));
        }
        let Host { config, weights, score, .. } = Host::load(dir)?;
        if config != self.config || score.is_some() != self.score.is_some() {
            return Err(Error::format(dir, "holds a model of another shape than the one to be restored"));
        }
        let specs = self.tensors().trainable_specs(&self.config);
        let moments = read_optimizer(&dir.join(OPTIMIZER_FILE), &specs)?;
        // Everything could be read: what is forgotten makes room on the device for what comes.
        self.forget();
        self.weights = Arc::new(tensors(&self.backend, weights)?);
        self.take_score(score)?;
        self.take_moments(moments)
    }

    fn read_adapters(&mut self, dir: &Path) -> Result<()> {
        let AdapterFolder { shape, mut tensors } = peft::load(dir)?;
        let config_path = peft::config_path(dir);
        shape.check(&self.config).map_err(|error| Error::format(&config_path, error.to_string()))?;
        if let Some(own) = self.lora.as_ref().map(|lora| &lora.shape).filter(|own| **own != shape) {
            return Err(Error::format(&config_path, format!("holds {shape}, expected {own}")));
        }
        let has_score = tensors.contains_key(&peft::score_name());
        if self.score.is_some() && !has_score {
            return Err(Error::format(dir, "holds no score head, expected that of a model that has one"));
        }
        let specs = Trainables {
            weights: None,
            adapters: Some(Adapters::specs(&self.config, &shape)),
            score: has_score.then(|| Spec::of_score(&self.config)),
        };
        let values = specs.try_map(|spec| take(dir, &peft_spec(spec.clone()), &mut tensors))?;
        if let Some(name) = tensors.keys().next() {
            return Err(Error::format(dir, format!("tensor \"{name}\" belongs to none of the adapters")));
        }
        let moments = read_optimizer(&dir.join(OPTIMIZER_FILE), &specs)?;
        self.forget();
        if let Some(adapters) = values.adapters {
            self.adapt(shape, adapters)?;
        }
        self.take_score(values.score)?;
        self.take_moments(moments)
    }

    fn take_score(&mut self, score: Option<Vec<f32>>) -> Result<()> {
        let score = score.map(|x| self.backend.parameters(vec![x])).transpose()?;
        self.score = score.and_then(|x| x.into_iter().next());
        Ok(())
    }

    fn take_moments(&mut self, moments: Option<HostMoments>) -> Result<()> {
        let Some(([first, second], steps)) = moments else { return Ok(()) };
        let b = &self.backend;
        let upload = |mut host: Trainables<Vec<f32>>| {
            let all = host.iter_mut().map(std::mem::take).collect();
            Ok::<_, Error>(host.replaced(b.upload_all(all)?))
        };
        self.moments = Some(Moments { first: upload(first)?, second: upload(second)?, steps });
        Ok(())
    }
}

/// A tensor as a folder of adapters names it.
fn peft_spec(spec: Spec) -> Spec {
    if spec.name == weights::SCORE { Spec { name: peft::score_name(), ..spec } } else { spec }
}

fn read_optimizer(file: &Path, specs: &Trainables<Spec>) -> Result<Option<HostMoments>> {
    if !files::exists(file) {
        return Ok(None);
    }
    let (mut tensors, metadata) = weights::load_tensors(file)?;
    let found = metadata.get("steps").map_or("", String::as_str);
    let steps: u64 = found
        .parse()
        .map_err(|_| Error::format(file, format!("metadata \"steps\" is \"{found}\", expected a count")))?;
    if steps == 0 {
        return Ok(None);
    }
    let mut read = |prefix: &str| {
        specs.try_map(|Spec { name, shape }| {
            let spec = Spec { name: format!("{prefix}{name}"), shape: shape.clone() };
            take(file, &spec, &mut tensors)
        })
    };
    Ok(Some(([read(FIRST)?, read(SECOND)?], steps)))
}
