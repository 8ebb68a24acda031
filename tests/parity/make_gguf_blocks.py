"""Blocks of every supported GGUF encoding and the float32 that the `gguf` package makes of them.

Writes tests/fixtures/gguf_blocks.safetensors: `NAME.blocks` (uint8) and `NAME.values` (float32) for each encoding. The
blocks are quantised from the number rule where `gguf` can quantise, and after them random bytes under finite scales:
of either sign, subnormal, zero and the largest.
"""

from pathlib import Path

import gguf
import numpy as np
from fixture_rules import numbers
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

OUT = Path(__file__).parent.parent / "fixtures" / "gguf_blocks.safetensors"
SCALES = np.array([0.0123, -0.71, 6e-8, 65504.0, -0.0], dtype=np.float16)

# Byte offsets of the float16 scales in a block.
SCALE_PLACES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}


def random_blocks(kind: Type, count: int) -> np.ndarray:
    size = gguf.GGML_QUANT_SIZES[kind][1]
    values = numbers(f"blocks:{kind.name}", count * size)
    blocks = ((values + 1.0) * 128.0).astype(np.uint8).reshape(count, size)
    for at, place in enumerate(SCALE_PLACES[kind]):
        for block in range(count):
            blocks[block, place : place + 2] = SCALES[(block + at) % len(SCALES) : (block + at) % len(SCALES) + 1].view(np.uint8)
    return blocks


def blocks_of(kind: Type) -> np.ndarray:
    weights = numbers(f"weights:{kind.name}", 64).astype(np.float32)
    if kind == Type.F32:
        return weights.view(np.uint8)
    if kind in (Type.F16, Type.BF16):
        return gguf.quants.quantize(weights.reshape(1, -1), kind).view(np.uint8).reshape(-1)
    if kind in (Type.Q4_K, Type.Q5_K, Type.Q6_K):
        return random_blocks(kind, 3).reshape(-1)
    quantised = gguf.quants.quantize(weights.reshape(1, -1), kind).reshape(-1)
    return np.concatenate([quantised, random_blocks(kind, len(SCALES)).reshape(-1)])


if __name__ == "__main__":
    tensors = {}
    for kind in [Type.F32, Type.F16, Type.BF16, *SCALE_PLACES]:
        blocks = np.ascontiguousarray(blocks_of(kind))
        values = gguf.quants.dequantize(blocks.reshape(1, -1), kind).reshape(-1).astype(np.float32)
        assert np.isfinite(values).all(), kind
        tensors[f"{kind.name}.blocks"] = blocks
        tensors[f"{kind.name}.values"] = np.ascontiguousarray(values)
    save_file(tensors, OUT)
