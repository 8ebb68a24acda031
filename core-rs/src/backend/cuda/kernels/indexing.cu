// Rows chosen by index.
#include "elements.cuh"

template <class T>
__device__ __forceinline__ void gathered(const T* table, const uint32_t* rows, int width, float* out) {
  const T* from = table + rows[blockIdx.x] * (long long)width;
  float* to = out + blockIdx.x * (long long)width;
  for (int i = threadIdx.x * RUN; i < width; i += blockDim.x * RUN) {
    float v[RUN];
    read_run(from, i, width, v);
    write_run(to, i, width, v);
  }
}

// out[i] = table[rows[i]]; a block a row.
extern "C" __global__ void __launch_bounds__(256)
gather(const float* table, const uint32_t* rows, int width, float* out) {
  gathered(table, rows, width, out);
}
EXPORT(gather)

// As gather, from a table of activations.
extern "C" __global__ void __launch_bounds__(256)
gather_rounded(const ACTIVATION* table, const uint32_t* rows, int width, float* out) {
  gathered(table, rows, width, out);
}
EXPORT(gather_rounded)

// table[rows[b]] += Σ d_out[order[i]] for i in starts[b] … starts[b + 1], in that order; blocks in x a row of the
// table, in y columns.
extern "C" __global__ void __launch_bounds__(128)
scatter_add(const float* d_out, const uint32_t* rows, const uint32_t* starts, const uint32_t* order, int width,
            float* table) {
  int column = blockIdx.y * blockDim.x + threadIdx.x;
  if (column >= width) return;
  long long at = rows[blockIdx.x] * (long long)width + column;
  float sum = table[at];
#pragma unroll 4
  for (uint32_t i = starts[blockIdx.x]; i < starts[blockIdx.x + 1]; i++)
    sum += d_out[order[i] * (long long)width + column];
  table[at] = sum;
}
EXPORT(scatter_add)
