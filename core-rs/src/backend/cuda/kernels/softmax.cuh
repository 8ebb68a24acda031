// A row's softmax over the vocabulary, a chunk at a time. The head and the sampler share it, so that a drawn token's
// log-probability has the bits that training gives it. Blocks are of VOCAB_THREADS threads.
#pragma once
#include "device.cuh"

// Fixed, because the running sums are rescaled at a chunk's border.
constexpr int VOCAB_CHUNK = 8192, VOCAB_THREADS = 512, VOCAB_WARPS = VOCAB_THREADS / 32;
constexpr int VOCAB_OWN = VOCAB_CHUNK / VOCAB_THREADS;

struct Softmax {
  float largest = minus_infinity();
  // Σ exp(z − largest), and Σ exp(z − largest) · z
  float sum = 0, weighted = 0;

  __device__ __forceinline__ float log_sum() const { return largest + logf(sum); }
};

// Three values for each warp; may be used again at once.
struct SoftmaxScratch {
  float largest[VOCAB_WARPS], sum[VOCAB_WARPS], weighted[VOCAB_WARPS];
};

__device__ __forceinline__ float log_probability(float logit, float inverse_temperature, float log_sum) {
  return logit * inverse_temperature - log_sum;
}

// Takes in a chunk of n raw logits.
__device__ __forceinline__ Softmax advance(Softmax before, const float* logits, int n, float inverse_temperature,
                                           SoftmaxScratch& scratch) {
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  bool in_fours = uintptr_t(logits) % 16 == 0;
  float z[VOCAB_OWN];
  float largest = minus_infinity();
#pragma unroll
  for (int i = 0; i < VOCAB_OWN; i += 4) {
    int at = i * VOCAB_THREADS + threadIdx.x * 4;
    if (in_fours && at + 4 <= n) {
      float4 four = *reinterpret_cast<const float4*>(logits + at);
      z[i] = four.x, z[i + 1] = four.y, z[i + 2] = four.z, z[i + 3] = four.w;
    } else {
      for (int e = 0; e < 4; e++) z[i + e] = at + e < n ? logits[at + e] : minus_infinity();
    }
  }
#pragma unroll
  for (int i = 0; i < VOCAB_OWN; i++) {
    z[i] *= inverse_temperature;
    largest = fmaxf(largest, z[i]);
  }
  largest = warp_max(largest);
  if (lane == 0) scratch.largest[warp] = largest;
  __syncthreads();
  largest = before.largest;
  for (int w = 0; w < VOCAB_WARPS; w++) largest = fmaxf(largest, scratch.largest[w]);
  float sum = 0, weighted = 0;
#pragma unroll
  for (int i = 0; i < VOCAB_OWN; i++) {
    float p = expf(z[i] - largest);
    sum += p;
    // What is not likely at all may be minus infinity.
    weighted += p > 0 ? p * z[i] : 0.0f;
  }
  sum = warp_sum(sum);
  weighted = warp_sum(weighted);
  if (lane == 0) {
    scratch.sum[warp] = sum;
    scratch.weighted[warp] = weighted;
  }
  __syncthreads();
  float keep = expf(before.largest - largest);
  Softmax after;
  sum = weighted = 0;
  for (int w = 0; w < VOCAB_WARPS; w++) {
    sum += scratch.sum[w];
    weighted += scratch.weighted[w];
  }
  after.largest = largest;
  after.sum = before.sum * keep + sum;
  after.weighted = before.weighted * keep + weighted;
  return after;
}
