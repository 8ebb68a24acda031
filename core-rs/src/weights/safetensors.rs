//! Safetensors files: a header of names, types and places, then the numbers.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype as StoredDtype, SafeTensors};
use serde_json::{Map, Value};

use super::dequantize::Encoding;
use super::{Dtype, Tensor, TensorRef, map_file, write_file};
use super::{RowOrder, StoredTensor};
use crate::{Error, Result};

/// Values converted and written at a time.
const CHUNK: usize = 1 << 18;

/// Lists what a file holds, without reading the numbers. Rotary tables that old checkpoints stored
/// (`….rotary_emb.inv_freq`) follow from the config and are passed over.
///
/// # Errors
/// [`Error::Format`] when the header is damaged or does not fit the file, or a tensor is not F32, F16 or BF16.
pub(super) fn read<'a>(file: &'a Path, bytes: &'a [u8]) -> Result<Vec<(String, StoredTensor<'a>)>> {
    let (metadata, data) = parse(file, bytes)?;
    let mut stored = Vec::new();
    for name in metadata.offset_keys() {
        if name.ends_with(".rotary_emb.inv_freq") {
            continue;
        }
        let info = metadata.info(&name).expect("the name was just listed");
        let encoding = match info.dtype {
            StoredDtype::F32 => Encoding::F32,
            StoredDtype::F16 => Encoding::F16,
            StoredDtype::BF16 => Encoding::Bf16,
            other => {
                return Err(Error::format(
                    file,
                    format!("Tensor \"{name}\" is stored as \"{other}\", expected F32, F16 or BF16"),
                ));
            }
        };
        let (start, end) = info.data_offsets;
        let tensor = StoredTensor {
            file,
            name: name.clone(),
            shape: info.shape.clone(),
            encoding,
            bytes: &data[start..end],
            order: RowOrder::Plain,
        };
        stored.push((name, tensor));
    }
    Ok(stored)
}

fn parse<'a>(file: &Path, bytes: &'a [u8]) -> Result<(Metadata, &'a [u8])> {
    let (header, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| Error::format(file, format!("Not a whole safetensors file: {error}")))?;
    Ok((metadata, &bytes[8 + header..]))
}

/// Writes f32 tensors and string metadata, bit for bit and the same bytes each time, atomically.
///
/// # Errors
/// [`Error::Input`] when a name occurs twice or a shape does not fit its data; [`Error::Io`].
pub fn save_tensors(
    file: &Path,
    tensors: &[TensorRef<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    write(file, tensors, metadata, Dtype::F32)
}

/// Reads a file of f32 tensors, such as [`save_tensors`] writes, with its metadata.
///
/// # Errors
/// [`Error::Format`] when the file is damaged or holds another type than f32; [`Error::Io`].
pub fn load_tensors(file: &Path) -> Result<(BTreeMap<String, Tensor>, BTreeMap<String, String>)> {
    let bytes = map_file(file)?;
    let (metadata, data) = parse(file, &bytes)?;
    let mut tensors = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        if info.dtype != StoredDtype::F32 {
            return Err(Error::format(
                file,
                format!("Tensor \"{name}\" is stored as \"{}\", expected F32", info.dtype),
            ));
        }
        let (start, end) = info.data_offsets;
        let data = Encoding::F32.decode(&data[start..end]);
        tensors.insert(name, Tensor { shape: info.shape.clone(), data });
    }
    let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok((tensors, metadata))
}

/// Writes a safetensors file with every tensor stored as `dtype`. The order is by name, so that equal content gives
/// equal bytes.
///
/// # Errors
/// As [`save_tensors`].
pub(super) fn write(
    file: &Path,
    tensors: &[TensorRef<'_>],
    metadata: &BTreeMap<String, String>,
    dtype: Dtype,
) -> Result<()> {
    let mut sorted: Vec<&TensorRef> = tensors.iter().collect();
    sorted.sort_by(|left, right| left.name.cmp(&right.name));
    let header = header(&sorted, metadata, dtype)?;
    write_file(file, |writer| {
        writer.write_all(&(header.len() as u64).to_le_bytes())?;
        writer.write_all(&header)?;
        for tensor in &sorted {
            for chunk in tensor.read().map_err(std::io::Error::other)?.chunks(CHUNK) {
                writer.write_all(&encode(chunk, dtype))?;
            }
        }
        Ok(())
    })
}

/// The JSON header, padded with spaces to 8 bytes so that the numbers are aligned.
fn header(tensors: &[&TensorRef<'_>], metadata: &BTreeMap<String, String>, dtype: Dtype) -> Result<Vec<u8>> {
    let (stored, bytes) = match dtype {
        Dtype::F32 => (StoredDtype::F32, 4),
        Dtype::F16 => (StoredDtype::F16, 2),
        Dtype::BF16 => (StoredDtype::BF16, 2),
    };
    let mut infos: HashMap<&str, TensorInfo> = HashMap::new();
    let mut offset = 0;
    for tensor in tensors {
        if tensor.name == "__metadata__" {
            return Err(Error::Input(format!("Tensor name \"{}\" is reserved", tensor.name)));
        }
        let end = offset + tensor.shape.iter().product::<usize>() * bytes;
        let info = TensorInfo { dtype: stored, shape: tensor.shape.clone(), data_offsets: (offset, end) };
        if infos.insert(&tensor.name, info).is_some() {
            return Err(Error::Input(format!("Tensor \"{}\" is there twice", tensor.name)));
        }
        offset = end;
    }
    let serialise = |error: serde_json::Error| Error::Internal(error.to_string());
    let mut object = Map::new();
    if !metadata.is_empty() {
        object.insert("__metadata__".into(), serde_json::to_value(metadata).map_err(serialise)?);
    }
    for tensor in tensors {
        object.insert(
            tensor.name.clone(),
            serde_json::to_value(&infos[tensor.name.as_str()]).map_err(serialise)?,
        );
    }
    let mut header = Value::Object(object).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

fn encode(values: &[f32], dtype: Dtype) -> Cow<'_, [u8]> {
    match dtype {
        Dtype::F32 if cfg!(target_endian = "little") => bytemuck::cast_slice(values).into(),
        Dtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
    }
}

/// The first value that `dtype` cannot hold as a finite number.
pub(super) fn not_storable(values: &[f32], dtype: Dtype) -> Option<usize> {
    values.par_iter().position_any(|value| match dtype {
        Dtype::F32 => !value.is_finite(),
        Dtype::F16 => !f16::from_f32(*value).is_finite(),
        Dtype::BF16 => !bf16::from_f32(*value).is_finite(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refs(tensors: &BTreeMap<String, Tensor>) -> Vec<TensorRef<'_>> {
        tensors
            .iter()
            .map(|(name, tensor)| TensorRef::new(name.clone(), tensor.shape.clone(), &tensor.data))
            .collect()
    }

    fn two() -> BTreeMap<String, Tensor> {
        BTreeMap::from([
            ("b".to_owned(), Tensor { shape: vec![2, 2], data: vec![f32::NAN, -0.0, 1e-40, f32::INFINITY] }),
            ("a".to_owned(), Tensor { shape: vec![], data: vec![3.5] }),
        ])
    }

    fn bits(tensors: &BTreeMap<String, Tensor>) -> Vec<(String, Vec<usize>, Vec<u32>)> {
        let bits = |tensor: &Tensor| tensor.data.iter().map(|value| value.to_bits()).collect();
        tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone(), bits(tensor))).collect()
    }

    #[test]
    fn every_bit_and_the_metadata_survive_and_the_bytes_are_the_same_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        let tensors = two();
        let metadata: BTreeMap<_, _> =
            ["step", "beta", "seed", "é\n"].map(|key| (key.to_owned(), format!("{key}-1"))).into();
        save_tensors(&one, &refs(&tensors), &metadata).unwrap();
        let mut backwards = refs(&tensors);
        backwards.reverse();
        save_tensors(&other, &backwards, &metadata).unwrap();
        let (read, read_metadata) = load_tensors(&one).unwrap();
        assert_eq!((bits(&read), &read_metadata), (bits(&tensors), &metadata));
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&other).unwrap());
    }

    #[test]
    fn bad_tensors_are_refused_and_leave_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        let short = TensorRef::new("w".into(), vec![3], &[1.0, 2.0]);
        let one = || TensorRef::new("w".into(), vec![1], &[1.0]);
        let none = BTreeMap::new();
        assert!(save_tensors(&file, &[short], &none).unwrap_err().to_string().contains("\"w\" has 2 values"));
        assert!(save_tensors(&file, &[one(), one()], &none).unwrap_err().to_string().contains("twice"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    proptest! {
        #[test]
        fn damaged_files_are_errors_and_never_panics(at in any::<prop::sample::Index>(), flip in 0u8..8) {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("x");
            save_tensors(&file, &refs(&two()), &BTreeMap::new()).unwrap();
            let whole = std::fs::read(&file).unwrap();
            let at = at.index(whole.len());
            std::fs::write(&file, &whole[..at]).unwrap();
            prop_assert!(load_tensors(&file).is_err());
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << flip;
            std::fs::write(&file, &flipped).unwrap();
            if let Ok((tensors, _)) = load_tensors(&file) {
                prop_assert!(tensors.values().all(|tensor| tensor.data.len() <= 4));
            }
        }

        #[test]
        fn absurd_headers_are_errors(len in any::<u64>(), dim in any::<u64>()) {
            let header = format!(r#"{{"w":{{"dtype":"F32","shape":[{dim},4294967296],"data_offsets":[0,{dim}]}}}}"#);
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.bytes());
            prop_assume!(dim > 0);
            prop_assert!(read(Path::new("x"), &bytes).is_err());
            prop_assume!(len != header.len() as u64);
            bytes[..8].copy_from_slice(&len.to_le_bytes());
            prop_assert!(read(Path::new("x"), &bytes).is_err());
        }
    }
}
