// Runs of elements as one access.
#pragma once
#include "device.cuh"

// N neighbours, at an address that is a multiple of their size.
template <class T, int N>
struct __align__(sizeof(T) * N) Vector {
  T at[N];
};

// Elements that a thread of an elementwise kernel takes.
constexpr int RUN = 4;

// Whether runs of RUN floats may be read and written from here on.
__device__ __forceinline__ bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % (4 * RUN) == 0; }

// RUN elements from index i on of an array of n, zeros behind its end.
template <class T>
__device__ __forceinline__ void read_run(const T* from, long long i, long long n, float (&to)[RUN]) {
  if (aligned(from) && i + RUN <= n) {
    auto run = *reinterpret_cast<const Vector<T, RUN>*>(from + i);
    for (int j = 0; j < RUN; j++) to[j] = load(run.at[j]);
  } else {
    for (int j = 0; j < RUN; j++) to[j] = i + j < n ? load(from[i + j]) : 0.0f;
  }
}

template <class T>
__device__ __forceinline__ void write_run(T* to, long long i, long long n, const float (&from)[RUN]) {
  if (aligned(to) && i + RUN <= n) {
    Vector<T, RUN> run;
    for (int j = 0; j < RUN; j++) run.at[j] = rounded<T>(from[j]);
    *reinterpret_cast<Vector<T, RUN>*>(to + i) = run;
  } else {
    for (int j = 0; j < RUN; j++)
      if (i + j < n) to[i + j] = rounded<T>(from[j]);
  }
}

// The thread's first element, of a grid whose threads take RUN each.
__device__ __forceinline__ long long run_start() {
  return (blockIdx.x * (long long)blockDim.x + threadIdx.x) * RUN;
}
