"""llama.cpp behind llama-cpp-python: a model, and greedy tokens by the library's own functions."""

import ctypes
import sys

import worker

try:
    import llama_cpp
except ImportError as error:
    worker.unavailable(f"llama-cpp-python cannot be imported: {error}")
    sys.exit()

CONTEXT = 2048


def versions() -> dict[str, str]:
    return {"llama-cpp-python": llama_cpp.__version__}


class Model:
    """Opens a GGUF file, memory-mapped as llama.cpp does by default."""

    def __init__(self, path: str, threads: int) -> None:
        self._llama = llama_cpp.Llama(
            path, n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, n_batch=512, n_ubatch=512, verbose=False
        )
        self._context = self._llama.ctx
        self._greedy = llama_cpp.llama_sampler_init_greedy()

    def clear(self) -> None:
        """Forgets all tokens."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)

    def next_token(self, tokens: list[int]) -> int:
        """Reads tokens after those before and gives the most likely next one."""
        array = (ctypes.c_int32 * len(tokens))(*tokens)
        status = llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(array, len(tokens)))
        if status != 0:
            raise SystemExit(f'llama_decode gave status "{status}", expected 0')
        return llama_cpp.llama_sampler_sample(self._greedy, self._context, -1)
