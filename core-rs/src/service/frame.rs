//! Requests and events as bytes: a JSON body and named little-endian arrays.
//!
//! ```text
//! 0      u32     length of the header in bytes, n
//! 4      n       header: {"body": …, "arrays": [{"name": …, "dtype": "u8|u32|i32|f32|f64", "length": …}, …]}
//!                then for each array in the header's order: zeros up to a multiple of 8, its elements
//! ```

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const _: () = assert!(cfg!(target_endian = "little"), "Arrays are copied as they lie in memory");

/// Every array starts at a multiple of this, so that it can be read in place.
const ALIGNMENT: usize = 8;

/// A JSON body with named arrays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Frame {
    /// What the arrays mean.
    pub body: Value,
    arrays: Vec<(String, Array)>,
}

/// One array of a [`Frame`].
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Bytes.
    U8(Vec<u8>),
    /// Token ids, lengths, indexes.
    U32(Vec<u32>),
    /// Parents.
    I32(Vec<i32>),
    /// Log-probabilities and their coefficients.
    F32(Vec<f32>),
    /// Numbers for which JSON has no words: NaN and infinities.
    F64(Vec<f64>),
}

/// An element that arrays are made of.
pub trait Element: bytemuck::Pod {
    /// Its name in the header.
    const DTYPE: &'static str;
    /// Wraps an array.
    fn wrap(values: Vec<Self>) -> Array;
    /// Unwraps an array of this element, or gives back one of another.
    fn unwrap(array: Array) -> std::result::Result<Vec<Self>, Array>;
}

macro_rules! elements {
    ($($t:ty, $variant:ident, $name:literal;)*) => {
        $(impl Element for $t {
            const DTYPE: &'static str = $name;
            fn wrap(values: Vec<Self>) -> Array {
                Array::$variant(values)
            }
            fn unwrap(array: Array) -> std::result::Result<Vec<Self>, Array> {
                if let Array::$variant(values) = array { Ok(values) } else { Err(array) }
            }
        })*

        impl Array {
            fn describe(&self) -> (&'static str, usize, &[u8]) {
                match self {
                    $(Array::$variant(values) => ($name, values.len(), bytemuck::cast_slice(values)),)*
                }
            }

            fn size_of(dtype: &str) -> Option<usize> {
                match dtype {
                    $($name => Some(size_of::<$t>()),)*
                    _ => None,
                }
            }

            fn parse(dtype: &str, bytes: &[u8]) -> Option<Array> {
                match dtype {
                    $($name => Some(Array::$variant(
                            bytes.chunks_exact(size_of::<$t>()).map(bytemuck::pod_read_unaligned).collect(),
                        )),)*
                    _ => None,
                }
            }
        }
    };
}

elements! {
    u8, U8, "u8";
    u32, U32, "u32";
    i32, I32, "i32";
    f32, F32, "f32";
    f64, F64, "f64";
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<B> {
    body: B,
    #[serde(default)]
    arrays: Vec<Description>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    dtype: String,
    length: usize,
}

fn malformed(reason: impl std::fmt::Display) -> Error {
    Error::Input(format!("Malformed frame: {reason}"))
}

impl Frame {
    /// A frame with no arrays.
    pub fn new(body: Value) -> Self {
        Self { body, arrays: Vec::new() }
    }

    /// Adds an array.
    pub fn with<T: Element>(mut self, name: &str, values: Vec<T>) -> Self {
        self.arrays.push((name.to_owned(), T::wrap(values)));
        self
    }

    /// Takes an array out, if it is there; [`Error::Input`] when its elements are of another type.
    pub fn take_optional<T: Element>(&mut self, name: &str) -> Result<Option<Vec<T>>> {
        let Some(at) = self.arrays.iter().position(|(n, _)| n == name) else { return Ok(None) };
        let (_, array) = self.arrays.swap_remove(at);
        T::unwrap(array).map(Some).map_err(|found| {
            let dtype = found.describe().0;
            Error::Input(format!("Array \"{name}\" holds \"{dtype}\", expected \"{}\"", T::DTYPE))
        })
    }

    /// Takes out an array that must be there.
    pub fn take<T: Element>(&mut self, name: &str) -> Result<Vec<T>> {
        self.take_optional(name)?.ok_or_else(|| Error::Input(format!("Array \"{name}\" is missing")))
    }

    /// Refuses arrays that nobody has taken.
    pub fn finish(&self) -> Result<()> {
        match self.arrays.first() {
            Some((name, _)) => {
                Err(Error::Input(format!("Array \"{name}\" does not belong to this operation")))
            }
            None => Ok(()),
        }
    }

    /// The frame as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let arrays = self.arrays.iter().map(|(name, array)| {
            let (dtype, length, _) = array.describe();
            Description { name: name.clone(), dtype: dtype.to_owned(), length }
        });
        let header = serde_json::to_vec(&Header { body: &self.body, arrays: arrays.collect() })
            .expect("JSON values and strings always serialise");
        let mut bytes = u32::try_from(header.len()).expect("a header is below 4 GiB").to_le_bytes().to_vec();
        bytes.extend(header);
        for (_, array) in &self.arrays {
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            bytes.extend(array.describe().2);
        }
        bytes
    }

    /// Reads a frame; [`Error::Input`] for bytes that are not exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| malformed("it has no header"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let header = rest.get(..length).ok_or_else(|| malformed("the header is cut off"))?;
        let header: Header<Value> = serde_json::from_slice(header).map_err(malformed)?;
        let mut arrays: Vec<(String, Array)> = Vec::with_capacity(header.arrays.len());
        let mut end = 4 + length;
        for Description { name, dtype, length } in header.arrays {
            if arrays.iter().any(|(n, _)| *n == name) {
                return Err(malformed(format!("array \"{name}\" is there twice")));
            }
            let size = Array::size_of(&dtype)
                .ok_or_else(|| malformed(format!("array \"{name}\" has the unknown type \"{dtype}\"")))?;
            let start = end.next_multiple_of(ALIGNMENT);
            let array = length
                .checked_mul(size)
                .and_then(|size| start.checked_add(size))
                .and_then(|stop| bytes.get(start..stop))
                .and_then(|bytes| Array::parse(&dtype, bytes))
                .ok_or_else(|| malformed(format!("array \"{name}\" is cut off")))?;
            end = start + length * size;
            arrays.push((name, array));
        }
        if end != bytes.len() {
            return Err(malformed(format!("it has {} bytes, expected {end}", bytes.len())));
        }
        Ok(Self { body: header.body, arrays })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn a_frame_reads_back_to_itself(
            text in ".*",
            bytes in prop::collection::vec(any::<u8>(), 0..9),
            tokens in prop::collection::vec(any::<u32>(), 0..9),
            floats in prop::collection::vec(-1e30f32..1e30, 0..9),
            numbers in prop::collection::vec(-1e300f64..1e300, 0..9),
        ) {
            let frame = Frame::new(json!({ "text": text }))
                .with("bytes", bytes)
                .with("tokens", tokens)
                .with("floats", floats)
                .with("parents", vec![-1i32])
                .with("numbers", numbers);
            prop_assert_eq!(Frame::decode(&frame.encode()).unwrap(), frame);
        }

        #[test]
        fn no_bytes_make_decode_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), at in 0usize..200) {
            prop_assert!(Frame::decode(&bytes).is_err() || bytes.len() >= 4);
            let mut broken = Frame::new(json!({})).with("a", vec![1u32, 2]).encode();
            broken.truncate(at.min(broken.len() - 1));
            prop_assert!(Frame::decode(&broken).is_err());
        }
    }

    #[test]
    fn arrays_start_aligned() {
        let bytes = Frame::new(json!(1)).with("a", vec![7u8]).with("b", vec![9u32]).encode();
        let header = 4 + u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
        let first = header.next_multiple_of(8);
        assert_eq!(bytes[first], 7);
        assert_eq!(bytes[first + 8..], 9u32.to_le_bytes());
    }

    #[test]
    fn a_length_that_overflows_is_refused() {
        let header = br#"{"body":1,"arrays":[{"name":"a","dtype":"f64","length":2305843009213693952}]}"#;
        let bytes = [&(header.len() as u32).to_le_bytes()[..], header].concat();
        assert!(Frame::decode(&bytes).unwrap_err().to_string().contains("\"a\" is cut off"));
    }

    #[test]
    fn wrong_missing_and_superfluous_arrays_are_named() {
        let mut frame = Frame::new(json!(1)).with("a", vec![1u32]).with("b", vec![1u8]);
        assert!(frame.take::<f32>("a").unwrap_err().to_string().contains("holds \"u32\", expected \"f32\""));
        assert!(frame.take::<u8>("c").unwrap_err().to_string().contains("\"c\" is missing"));
        assert!(frame.finish().unwrap_err().to_string().contains("\"b\" does not belong"));
        assert_eq!(frame.take::<u8>("b").unwrap(), [1]);
        frame.finish().unwrap();
    }
}
