// The optimizer's step and the norm that gradients are clipped to.
#include "elements.cuh"

constexpr int THREADS = 256;

// Σ x² of a chunk, a block each.
extern "C" __global__ void __launch_bounds__(THREADS)
chunk_squares(const float* x, long long n, long long chunk, double* partial) {
  __shared__ double scratch[THREADS / 32];
  long long first = blockIdx.x * chunk, end = first + chunk < n ? first + chunk : n;
  double sum = 0;
  for (long long i = first + threadIdx.x * RUN; i < end; i += THREADS * RUN) {
    float v[RUN];
    read_run(x, i, end, v);
    for (int j = 0; j < RUN; j++) sum += double(v[j]) * double(v[j]);
  }
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
EXPORT(chunk_squares)

// AdamW with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), and the weight rounded for products
// where `copy` is not null. rest1 and rest2 hold 1 − beta and the scale of the gradient; root and rate the
// corrections of the moments' bias.
extern "C" __global__ void __launch_bounds__(THREADS)
adamw(float* weight, const float* gradient, float* first, float* second, ACTIVATION* copy, float beta1, float rest1,
      float beta2, float rest2, float rate, float root, float epsilon, float keep, long long n) {
  long long i = run_start();
  if (i >= n) return;
  float w[RUN], g[RUN], m[RUN], v[RUN];
  read_run(weight, i, n, w);
  read_run(gradient, i, n, g);
  read_run(first, i, n, m);
  read_run(second, i, n, v);
  for (int j = 0; j < RUN; j++) {
    m[j] = fmaf(beta1, m[j], rest1 * g[j]);
    v[j] = fmaf(beta2, v[j], rest2 * g[j] * g[j]);
    w[j] = w[j] * keep - rate * m[j] / (sqrtf(v[j]) * root + epsilon);
  }
  write_run(weight, i, n, w);
  write_run(first, i, n, m);
  write_run(second, i, n, v);
  if (copy) write_run(copy, i, n, w);
}
EXPORT(adamw)
