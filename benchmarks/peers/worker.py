"""The peers' side of the protocol of benchmarks/protocol.ts: one JSON object a line on standard input and output.

What libraries print goes to standard error; standard output is the protocol's alone.
"""

import json
import os
import resource
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

_out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def read_job() -> dict:
    return json.loads(sys.stdin.readline())


def _write(answer: dict) -> None:
    print(json.dumps(answer), file=_out, flush=True)


def ready(about: dict[str, str]) -> None:
    """Tells that the warm-up is done, and which versions are measured."""
    _write({"ready": {"about": about}})


def unavailable(reason: str) -> None:
    _write({"unavailable": reason})


def next_request() -> int | None:
    """Index of the inputs to measure next; None where the harness wants no more."""
    line = sys.stdin.readline()
    return json.loads(line)["input"] if line.strip() else None


def answer(seconds: float, tokens: int, **more: float) -> None:
    """Tells a repetition: its seconds, its tokens, and the process's highest resident memory so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    _write({"sample": {"seconds": seconds, "tokens": tokens, "peakBytes": peak, **more}})


def serve(about: dict[str, str], measure, warm_up: bool = True) -> None:
    """Warms up on inputs 0, then measures. `measure` takes an index and gives what `answer` takes."""
    if warm_up:
        measure(0)
    ready(about)
    while (index := next_request()) is not None:
        seconds, tokens, *more = measure(index)
        answer(seconds, tokens, **(more[0] if more else {}))
