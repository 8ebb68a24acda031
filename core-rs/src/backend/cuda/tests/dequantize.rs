//! Tensors of quantised files.

use super::super::dequantize::dequantize;
use super::super::element::Element;
use super::device;
use crate::weights::{Encoding, StoredTensor};
use half::bf16;

/// The bytes of a stored unit that end its floating-point numbers, and the bit of them without which an exponent is not
/// that of infinity.
fn exponents(encoding: Encoding) -> (&'static [usize], u8) {
    match encoding {
        Encoding::F32 => (&[3], 1),
        Encoding::Bf16 => (&[1], 1),
        Encoding::F16 | Encoding::Q4_0 | Encoding::Q5_0 | Encoding::Q8_0 => (&[1], 4),
        Encoding::Q4_1 | Encoding::Q5_1 | Encoding::Q4K | Encoding::Q5K => (&[1, 3], 4),
        Encoding::Q6K => (&[209], 4),
    }
}

/// Blocks of a format: bytes of every value, with scales of either sign that are finite.
fn blocks(encoding: Encoding, rows: usize, width: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let size = encoding.block_bytes();
    let mut bytes: Vec<u8> = (0..rows * width / encoding.block_len() * size).map(|_| next()).collect();
    let (ends, bit) = exponents(encoding);
    for block in bytes.chunks_exact_mut(size) {
        ends.iter().for_each(|&end| block[end] &= !bit);
    }
    bytes
}

fn expanded<A: Element>(number: u32) {
    let Some(device) = device() else { return };
    let encoding = Encoding::from_ggml(number).unwrap();
    let shape = [6, 512];
    let bytes = blocks(encoding, shape[0], shape[1], number);
    for head in [None, Some(6), Some(2)] {
        let tensor = StoredTensor::of_blocks(encoding, shape, &bytes).interleaved(head);
        let found = dequantize::<A>(&device, &tensor).unwrap().download().unwrap();
        let expected = tensor.decode().unwrap().data;
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let [found, expected] = [*found, A::of(*expected)].map(|x| x.widen().to_bits());
            assert_eq!(found, expected, "{encoding:?} {head:?} [{i}]");
        }
    }
}

#[test]
fn every_format_gives_the_values_of_the_cpu() {
    for number in [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 30] {
        expanded::<f32>(number);
        expanded::<bf16>(number);
    }
}

#[test]
fn a_value_that_is_not_finite_is_refused_by_its_place() {
    let Some(device) = device() else { return };
    let encoding = Encoding::from_ggml(8).unwrap();
    let mut bytes = blocks(encoding, 2, 64, 1);
    bytes[34 * 2..][..2].copy_from_slice(&[0, 0x7c]);
    let tensor = StoredTensor::of_blocks(encoding, [2, 64], &bytes);
    let error = dequantize::<bf16>(&device, &tensor).err().unwrap().to_string();
    assert_eq!(error, tensor.decode().err().unwrap().to_string());
}
