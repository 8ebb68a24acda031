"""What both sides of a parity test must agree on, and the writing of its numbers.

The Rust twin of the number rule is `core-rs/tests/common/fixture.rs`.
"""

import json
import platform

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def stream(label: str) -> int:
    """64-bit FNV-1a hash of a label: names a stream of numbers."""
    value = 0xCBF29CE484222325
    for byte in label.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def numbers(label: str, count: int) -> np.ndarray:
    """`count` float64 numbers in [-1, 1) on a grid of 2^-23, so that float32 holds them exactly.

    Number i is SplitMix64 (Steele, Lea and Flood 2014) of the stream's hash at counter i + 1, top 24 bits.
    """
    with np.errstate(over="ignore"):
        z = np.uint64(stream(label)) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0


def rounded(values, digits: int = 11) -> list[float]:
    """Values at `digits` significant digits, so that a repeated run writes the same bytes."""
    return [float(f"{float(v):.{digits}g}") for v in values]


def versions() -> dict[str, str]:
    """The libraries that made a reference."""
    import torch
    import transformers

    return {
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
    }


def write_json(path, value) -> None:
    """Writes JSON with one line a dictionary entry and one a list of plain values."""

    def text(v, depth: int) -> str:
        pad = " " * (depth + 1)
        if isinstance(v, dict):
            rows = [f"{pad}{json.dumps(k)}: {text(x, depth + 1)}" for k, x in v.items()]
            return "{\n" + ",\n".join(rows) + "\n" + " " * depth + "}"
        if isinstance(v, list) and any(isinstance(x, dict) for x in v):
            return "[\n" + ",\n".join(pad + text(x, depth + 1) for x in v) + "\n" + " " * depth + "]"
        return json.dumps(v, separators=(",", ":"))

    with open(path, "w", encoding="utf-8") as file:
        file.write(text(value, 0) + "\n")
