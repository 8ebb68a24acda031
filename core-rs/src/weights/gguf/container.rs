//! The GGUF container, versions 2 and 3: typed metadata, then a table of tensors, then their bytes. Layout as
//! ggml's `docs/gguf.md` specifies it. Nothing is allocated or indexed by a number that the file has not backed.

use std::collections::BTreeMap;

use super::super::dequantize::Encoding;

/// A failure, as what was found and what was expected.
pub(super) type Result<T> = std::result::Result<T, String>;

const MAGIC: &[u8] = b"GGUF";
const DEFAULT_ALIGNMENT: usize = 32;
const MAX_ALIGNMENT: usize = 1 << 16;
/// ggml's `GGML_MAX_DIMS`.
const MAX_DIMENSIONS: usize = 4;

/// A metadata value; texts and arrays borrow from the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Integer(i128),
    Float32(f32),
    Float64(f64),
    Flag(bool),
    Text(&'a str),
    Texts(Vec<&'a str>),
    /// An array of integers of any width.
    Integers(Vec<i64>),
    /// An array of f32.
    Floats(Vec<f32>),
    /// An array of a kind that no key we read has.
    OtherArray,
}

/// A tensor of the table.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Sizes, outermost first (the file has them innermost first).
    pub shape: Vec<usize>,
    pub encoding: Encoding,
    pub bytes: &'a [u8],
}

/// A file taken apart.
#[derive(Debug)]
pub(super) struct Container<'a> {
    pub metadata: Metadata<'a>,
    pub tensors: BTreeMap<&'a str, Entry<'a>>,
}

/// The metadata by key.
#[derive(Debug)]
pub(super) struct Metadata<'a>(BTreeMap<&'a str, Value<'a>>);

impl<'a> Container<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        let magic = reader.take(MAGIC.len(), "the magic")?;
        if magic != MAGIC {
            return Err(format!("Starts with \"{}\", expected \"GGUF\"", magic.escape_ascii()));
        }
        let version = reader.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(format!("GGUF version is \"{version}\", expected 2 or 3, little-endian"));
        }
        // A tensor takes at least 24 bytes (name length, dimension count, type, offset), a key 12 and its value 1.
        let tensor_count = reader.count(24, "the tensor count")?;
        let key_count = reader.count(13, "the key count")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..key_count {
            let key = reader.text("a metadata key")?;
            let value = reader.value(key)?;
            if metadata.insert(key, value).is_some() {
                return Err(format!("Metadata key \"{key}\" is there twice"));
            }
        }
        let metadata = Metadata(metadata);
        let alignment = metadata.size("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
            return Err(format!(
                "general.alignment is \"{alignment}\", expected a power of two up to {MAX_ALIGNMENT}"
            ));
        }
        let tensors = reader.tensors(tensor_count, alignment)?;
        Ok(Self { metadata, tensors })
    }
}

impl<'a> Metadata<'a> {
    #[cfg(test)]
    pub(super) fn set(&mut self, key: &'a str, value: Value<'a>) {
        self.0.insert(key, value);
    }

    #[cfg(test)]
    pub(super) fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.0.keys().copied()
    }

    fn get<T>(&self, key: &str, expected: &str, read: impl Fn(&Value<'a>) -> Option<T>) -> Result<Option<T>> {
        let value = self.0.get(key);
        value.map(|value| read(value).ok_or_else(|| format!("{key} is not {expected}"))).transpose()
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.get(key, "a text", |value| if let Value::Text(text) = value { Some(*text) } else { None })
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.get(key, "true or false", |value| if let Value::Flag(flag) = value { Some(*flag) } else { None })
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>> {
        self.get(key, "a whole number", |value| match value {
            Value::Integer(number) => usize::try_from(*number).ok(),
            _ => None,
        })
    }

    /// A float; an f32 gives the f64 of its shortest decimal, which is what its author wrote (1e-5, not 9.9999997e-6).
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        self.get(key, "a floating-point number", |value| match value {
            Value::Float32(number) => number.to_string().parse().ok(),
            Value::Float64(number) => Some(*number),
            _ => None,
        })
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<&[&'a str]>> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Texts(texts)) => Ok(Some(texts)),
            Some(_) => Err(format!("{key} is not a list of texts")),
        }
    }

    pub(super) fn floats(&self, key: &str) -> Result<Option<&[f32]>> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Floats(floats)) => Ok(Some(floats)),
            Some(_) => Err(format!("{key} is not a list of f32")),
        }
    }

    pub(super) fn integers(&self, key: &str) -> Result<Option<&[i64]>> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Integers(integers)) => Ok(Some(integers)),
            Some(_) => Err(format!("{key} is not a list of whole numbers")),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| {
            let (at, size) = (self.at, self.bytes.len());
            format!("The file ends within {what}: {len} bytes at {at}, but the file has {size}")
        })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        Ok(self.take(N, what)?.try_into().expect("take gives as many bytes as asked"))
    }

    fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A count of things that take at least `least` bytes each, refused when the file has no room for them.
    fn count(&mut self, least: usize, what: &str) -> Result<usize> {
        let count = self.u64(what)?;
        let room = (self.bytes.len() - self.at) / least;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= room)
            .ok_or_else(|| format!("{what} is \"{count}\", but the file has room for {room}"))
    }

    fn text(&mut self, what: &str) -> Result<&'a str> {
        let len = self.count(1, what)?;
        let at = self.at;
        std::str::from_utf8(self.take(len, what)?)
            .map_err(|error| format!("{what} at {at} is not text: {error}"))
    }

    fn value(&mut self, key: &str) -> Result<Value<'a>> {
        const TEXT: u32 = 8;
        const ARRAY: u32 = 9;
        match self.u32(key)? {
            TEXT => self.text(key).map(Value::Text),
            ARRAY => {
                let kind = self.u32(key)?;
                if kind == TEXT {
                    let count = self.count(8, key)?;
                    return (0..count).map(|_| self.text(key)).collect::<Result<_>>().map(Value::Texts);
                }
                let size = scalar_size(key, kind)?;
                let count = self.count(size, key)?;
                let bytes = self.take(count * size, key)?;
                if kind == 6 {
                    let (floats, _) = bytes.as_chunks();
                    return Ok(Value::Floats(
                        floats.iter().map(|float| f32::from_le_bytes(*float)).collect(),
                    ));
                }
                let mut elements = bytes.chunks_exact(size).map(|element| scalar(key, kind, element));
                if matches!(kind, 7 | 12) {
                    return elements.try_for_each(|element| element.map(drop)).map(|()| Value::OtherArray);
                }
                elements
                    .map(|element| match element? {
                        Value::Integer(number) => i64::try_from(number)
                            .map_err(|_| format!("{key} holds \"{number}\", more than an i64")),
                        _ => Err(format!("{key} is not a list of whole numbers")),
                    })
                    .collect::<Result<_>>()
                    .map(Value::Integers)
            }
            kind => {
                let size = scalar_size(key, kind)?;
                scalar(key, kind, self.take(size, key)?)
            }
        }
    }

    fn tensors(&mut self, count: usize, alignment: usize) -> Result<BTreeMap<&'a str, Entry<'a>>> {
        let mut table = Vec::with_capacity(count);
        for _ in 0..count {
            let name = self.text("a tensor name")?;
            table.push((name, self.tensor_info(name)?));
        }
        let start = self.at.next_multiple_of(alignment);
        let data = self.bytes.get(start..).unwrap_or(&[]);
        let mut tensors = BTreeMap::new();
        let mut places = Vec::with_capacity(count);
        for (name, (shape, encoding, offset)) in table {
            let size = stored_size(&shape, encoding).ok_or_else(|| {
                format!("Tensor \"{name}\" of shape {shape:?} is not whole blocks of \"{encoding:?}\"")
            })?;
            let offset = usize::try_from(offset).ok().filter(|offset| offset % alignment == 0);
            let place = offset.and_then(|offset| Some((offset, offset.checked_add(size)?)));
            let bytes = place.and_then(|(offset, end)| data.get(offset..end));
            let (Some((offset, end)), Some(bytes)) = (place, bytes) else {
                let (at, room) = (offset.unwrap_or_default(), data.len());
                return Err(format!(
                    "Tensor \"{name}\" lies outside the file: {size} bytes at {at} of {room}, aligned to {alignment}"
                ));
            };
            places.push((offset, end, name));
            if tensors.insert(name, Entry { shape, encoding, bytes }).is_some() {
                return Err(format!("Tensor \"{name}\" is there twice"));
            }
        }
        places.sort_unstable();
        for pair in places.windows(2) {
            if pair[1].0 < pair[0].1 {
                return Err(format!("Tensors \"{}\" and \"{}\" overlap", pair[0].2, pair[1].2));
            }
        }
        Ok(tensors)
    }

    fn tensor_info(&mut self, name: &str) -> Result<(Vec<usize>, Encoding, u64)> {
        let dimensions = self.u32(name)? as usize;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(format!(
                "Tensor \"{name}\" has \"{dimensions}\" dimensions, expected 1 to {MAX_DIMENSIONS}"
            ));
        }
        let mut shape = Vec::with_capacity(dimensions);
        for _ in 0..dimensions {
            let size = self.u64(name)?;
            let size = usize::try_from(size).ok().filter(|size| *size > 0);
            shape.push(
                size.ok_or_else(|| format!("Tensor \"{name}\" has a dimension of 0 or of absurd size"))?,
            );
        }
        shape.reverse();
        let kind = self.u32(name)?;
        let encoding = Encoding::from_ggml(kind).ok_or_else(|| {
            format!(
                "Tensor \"{name}\" has ggml type \"{kind}\", expected F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, \
                 Q5_K or Q6_K"
            )
        })?;
        Ok((shape, encoding, self.u64(name)?))
    }
}

/// Bytes of a tensor, if its rows are whole blocks and the product fits.
fn stored_size(shape: &[usize], encoding: Encoding) -> Option<usize> {
    let weights = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size))?;
    shape.last().filter(|row| row.is_multiple_of(encoding.block_len()))?;
    (weights / encoding.block_len()).checked_mul(encoding.block_bytes())
}

fn scalar_size(key: &str, kind: u32) -> Result<usize> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(format!("{key} has value type \"{kind}\", expected 0 to 12 and no array in an array")),
    }
}

fn scalar<'a>(key: &str, kind: u32, bytes: &[u8]) -> Result<Value<'a>> {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let bits = u64::from_le_bytes(wide);
    Ok(match kind {
        0 | 2 | 4 | 10 => Value::Integer(bits.into()),
        1 => Value::Integer((bits as i8).into()),
        3 => Value::Integer((bits as i16).into()),
        5 => Value::Integer((bits as i32).into()),
        11 => Value::Integer((bits as i64).into()),
        6 => Value::Float32(f32::from_bits(bits as u32)),
        12 => Value::Float64(f64::from_bits(bits)),
        _ => match bits {
            0 => Value::Flag(false),
            1 => Value::Flag(true),
            other => return Err(format!("{key} is \"{other}\", expected a boolean of 0 or 1")),
        },
    })
}
