"""Prints as JSON the bytes a second, read and written, of a copy within a device's memory, by PyTorch.

    python benchmarks/cuda/copy_bandwidth.py cuda:0 [--mib 4096]
"""

import argparse
import json
import statistics
import time

import torch


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the bandwidth of a device's memory")
    parser.add_argument("device", type=torch.device)
    parser.add_argument("--mib", type=int, default=4096, help="of the copied array; far above the caches")
    arguments = parser.parse_args()
    source = torch.randint(0, 256, (arguments.mib << 20,), dtype=torch.uint8, device=arguments.device)
    target = torch.empty_like(source)

    def seconds() -> float:
        synchronize = torch.cuda.synchronize if arguments.device.type == "cuda" else lambda: None
        synchronize()
        began = time.perf_counter()
        target.copy_(source)
        synchronize()
        return time.perf_counter() - began

    measured = [seconds() for _ in range(13)][3:]
    print(json.dumps({"bytesPerSecond": 2 * source.numel() / statistics.median(measured)}))


if __name__ == "__main__":
    main()
