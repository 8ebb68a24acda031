// Dropout. A mask is drawn where it is used: RUN elements a thread, and a call of the generator.
#include "elements.cuh"

// Ten rounds of Philox4x32 (Salmon et al. 2011).
__device__ __forceinline__ void philox(uint32_t (&counter)[4], uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; round++) {
    uint64_t a = uint64_t(counter[0]) * 0xD2511F53u, b = uint64_t(counter[2]) * 0xCD9E8D57u;
    counter[0] = uint32_t(b >> 32) ^ counter[1] ^ key0;
    counter[1] = uint32_t(b);
    counter[2] = uint32_t(a >> 32) ^ counter[3] ^ key1;
    counter[3] = uint32_t(a);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

// What elements i to i + RUN are multiplied by.
__device__ __forceinline__ void draw_mask(long long i, uint32_t key0, uint32_t key1, uint32_t layer, uint32_t matrix,
                                          uint32_t threshold, float factor, float (&mask)[RUN]) {
  static_assert(RUN == 4, "a call of the generator gives four words");
  uint64_t run = uint64_t(i) / RUN;
  uint32_t words[4] = {uint32_t(run), uint32_t(run >> 32), layer, matrix};
  philox(words, key0, key1);
  for (int j = 0; j < RUN; j++) mask[j] = words[j] < threshold ? 0.0f : factor;
}

// y = x · factor where the mask keeps, and zeros elsewhere
extern "C" __global__ void __launch_bounds__(256)
dropout(const ACTIVATION* x, uint32_t key0, uint32_t key1, uint32_t layer, uint32_t matrix, uint32_t threshold,
        float factor, ACTIVATION* y, long long n) {
  long long i = run_start();
  float values[RUN], mask[RUN];
  read_run(x, i, n, values);
  draw_mask(i, key0, key1, layer, matrix, threshold, factor, mask);
  for (int j = 0; j < RUN; j++) values[j] = mask[j] == 0.0f ? 0.0f : values[j] * mask[j];
  write_run(y, i, n, values);
}
EXPORT(dropout)

// d_x += d · factor where the mask keeps
extern "C" __global__ void __launch_bounds__(256)
dropout_backward(const float* d, uint32_t key0, uint32_t key1, uint32_t layer, uint32_t matrix, uint32_t threshold,
                 float factor, float* d_x, long long n) {
  long long i = run_start();
  float values[RUN], sums[RUN], mask[RUN];
  read_run(d, i, n, values);
  read_run(d_x, i, n, sums);
  draw_mask(i, key0, key1, layer, matrix, threshold, factor, mask);
  for (int j = 0; j < RUN; j++) sums[j] = mask[j] == 0.0f ? sums[j] : sums[j] + values[j] * mask[j];
  write_run(d_x, i, n, sums);
}
EXPORT(dropout_backward)
