//! Which tensors a model consists of, and the check that a file holds exactly these.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use super::stored::Place;
use super::{Read, StoredTensor};
use crate::config::ModelConfig;
use crate::files::Taken;
use crate::model::params::{Params, Spec};
use crate::{Error, Result};

/// The embedding, `[vocab, hidden]`.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
/// The LM head, `[vocab, hidden]`.
pub(crate) const LM_HEAD: &str = "lm_head.weight";
/// The scalar head of a sequence classifier with one label, `[1, hidden]`.
pub(crate) const SCORE: &str = "score.weight";

/// Says what is wrong when the tensors `found` (name and shape) are not those of `config`.
pub(super) fn check<'a>(
    config: &ModelConfig,
    found: impl IntoIterator<Item = (&'a str, &'a [usize])>,
) -> std::result::Result<(), String> {
    let found: BTreeMap<&str, &[usize]> = found.into_iter().collect();
    let score = found.contains_key(SCORE);
    let expected = expected(config, score, found.contains_key(LM_HEAD) || !score);
    for (name, shape) in &expected {
        match found.get(name.as_str()) {
            None => return Err(format!("Tensor \"{name}\" is missing, expected it with shape {shape:?}")),
            Some(found) if found != shape => {
                return Err(format!("Tensor \"{name}\" has shape {found:?}, expected {shape:?}"));
            }
            Some(_) => {}
        }
    }
    match found.iter().find(|(name, _)| !expected.contains_key(**name)) {
        Some((name, shape)) => {
            Err(format!("Tensor \"{name}\" of shape {shape:?} is not part of a model of this config"))
        }
        None => Ok(()),
    }
}

fn expected(config: &ModelConfig, score: bool, lm_head: bool) -> BTreeMap<String, Vec<usize>> {
    let score = score.then(|| Spec::of_score(config));
    let specs = Params::specs(config, lm_head);
    specs.iter().chain(&score).map(|spec| (spec.name.clone(), spec.shape.clone())).collect()
}

/// Checks the tensors against `config` and reads each. `path` is what the user named.
///
/// # Errors
/// [`Error::Format`] for what [`check`] finds, and those of `read`.
pub(super) fn read_all<T: Send>(
    path: &Path,
    config: &ModelConfig,
    stored: &BTreeMap<String, StoredTensor>,
    read: &Read<T>,
) -> Result<BTreeMap<String, T>> {
    check(config, stored.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())))
        .map_err(|reason| Error::format(path, reason))?;
    stored.par_iter().map(|(name, tensor)| Ok((name.clone(), read(config, tensor)?))).collect()
}

/// As [`read_all`], one after the other: the last tensor of a file first, so that each gives its memory to the next.
pub(super) fn read_freeing<T>(
    path: &Path,
    config: &ModelConfig,
    mut files: Vec<(&Path, Taken)>,
    stored: BTreeMap<String, Place>,
    read: &Read<T>,
) -> Result<BTreeMap<String, T>> {
    check(config, stored.iter().map(|(name, place)| (name.as_str(), place.shape())))
        .map_err(|reason| Error::format(path, reason))?;
    let mut places: Vec<(String, Place)> = stored.into_iter().collect();
    places.sort_by_key(|(_, place)| Reverse((place.file, place.bytes.start)));
    let mut tensors = BTreeMap::new();
    for (name, place) in places {
        let (file, bytes) = &mut files[place.file];
        tensors.insert(name, read(config, &place.tensor(file, bytes))?);
        bytes.free_from(place.bytes.start);
    }
    Ok(tensors)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Tensor, TensorRef, safetensors};
    use super::*;
    use crate::config::tests::small;
    use std::sync::Mutex;

    /// Tensors of `config` with distinct values that f16 and bf16 hold exactly.
    pub(in crate::weights) fn tensors(config: &ModelConfig, score: bool) -> BTreeMap<String, Tensor> {
        let mut next = 0u32;
        let mut value = || {
            next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((next >> 24) as i8) / 64.0
        };
        expected(config, score, true)
            .into_iter()
            .map(|(name, shape)| {
                let data = (0..shape.iter().product()).map(|_| value()).collect();
                (name, Tensor { shape, data })
            })
            .collect()
    }

    fn complaint(config: &ModelConfig, tensors: &BTreeMap<String, Tensor>) -> Option<String> {
        check(config, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()))).err()
    }

    #[test]
    fn every_missing_reshaped_or_surplus_tensor_is_named() {
        let config = small();
        let whole = tensors(&config, false);
        assert_eq!(complaint(&config, &whole), None);
        for name in whole.keys() {
            let mut some = whole.clone();
            let tensor = some.remove(name).unwrap();
            let error = complaint(&config, &some).unwrap();
            assert!(error.contains(name) && error.contains("missing"), "{error}");
            some.insert(name.clone(), Tensor { shape: vec![3], ..tensor });
            let error = complaint(&config, &some).unwrap();
            assert!(error.contains(name) && error.contains("[3]") && error.contains("expected ["), "{error}");
        }
        let mut surplus = whole.clone();
        surplus
            .insert("model.layers.2.mlp.up_proj.weight".into(), Tensor { shape: vec![1], data: vec![0.0] });
        assert!(complaint(&config, &surplus).unwrap().contains("model.layers.2.mlp.up_proj.weight"));
    }

    #[test]
    fn what_is_freed_as_it_is_read_is_read_whole_and_the_last_of_each_file_first() {
        let (dir, config) = (tempfile::tempdir().unwrap(), small());
        let whole = tensors(&config, false);
        let (one, other): (Vec<_>, Vec<_>) = whole.iter().enumerate().partition(|(at, _)| at % 2 == 0);
        let files = [dir.path().join("one"), dir.path().join("other")];
        for (file, part) in files.iter().zip([&one, &other]) {
            let refs: Vec<_> = part
                .iter()
                .map(|(_, (name, tensor))| {
                    TensorRef::new((*name).clone(), tensor.shape.clone(), &tensor.data)
                })
                .collect();
            safetensors::save_tensors(file, &refs, &BTreeMap::new()).unwrap();
        }
        let taken: Vec<_> =
            files.iter().map(|file| (file.as_path(), crate::files::take(file).unwrap())).collect();
        let mut places = BTreeMap::new();
        for (at, (file, bytes)) in taken.iter().enumerate() {
            for (name, tensor) in safetensors::read(file, bytes).unwrap() {
                places.insert(name, Place::of(tensor, at, bytes));
            }
        }
        let order = Mutex::new(Vec::new());
        let read = |_: &ModelConfig, tensor: &StoredTensor| {
            order.lock().unwrap().push(tensor.bytes.as_ptr().addr());
            tensor.decode()
        };
        assert_eq!(read_freeing(dir.path(), &config, taken, places, &read).unwrap(), whole);
        let falls = order.lock().unwrap().windows(2).filter(|pair| pair[1] > pair[0]).count();
        assert!(falls <= 1, "{falls}");
    }

    #[test]
    fn heads_follow_the_config() {
        let tied = ModelConfig { tie_word_embeddings: true, ..small() };
        assert_eq!(complaint(&tied, &tensors(&tied, true)), None);
        assert!(complaint(&tied, &tensors(&small(), false)).unwrap().contains(LM_HEAD));
        let mut classifier = tensors(&small(), true);
        classifier.remove(LM_HEAD);
        assert_eq!(complaint(&small(), &classifier), None);
        classifier.remove(SCORE);
        assert!(complaint(&small(), &classifier).unwrap().contains(LM_HEAD));
    }
}
