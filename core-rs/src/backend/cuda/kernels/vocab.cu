// The vocabulary head's softmax: from chunks of logits to log-probabilities and entropies, and back to gradients.
#include "softmax.cuh"

// Takes a chunk of n columns from `first` on into each row's state (largest, sum, weighted sum, the target's scaled
// logit), and after the last chunk writes the row's results: all log-probabilities, all entropies, all log-sums, each
// `rows` long. A block a row of the pass, the first of which is row `pass`.
extern "C" __global__ void __launch_bounds__(VOCAB_THREADS)
vocab_advance(const float* logits, long long stride, int n, int first, int vocab, const uint32_t* targets,
              float inverse_temperature, float4* states, long long pass, long long rows, float* results) {
  __shared__ SoftmaxScratch scratch;
  logits += blockIdx.x * stride;
  float4* kept = states + blockIdx.x;
  Softmax state;
  float chosen = 0;
  if (first > 0) {
    float4 before = *kept;
    state.largest = before.x, state.sum = before.y, state.weighted = before.z, chosen = before.w;
  }
  state = advance(state, logits, n, inverse_temperature, scratch);
  if (threadIdx.x > 0) return;
  long long row = pass + blockIdx.x;
  long long target = (long long)targets[row] - first;
  if (target >= 0 && target < n) chosen = logits[target];
  if (first + n < vocab) {
    *kept = make_float4(state.largest, state.sum, state.weighted, chosen);
    return;
  }
  float log_sum = state.log_sum();
  results[row] = log_probability(chosen, inverse_temperature, log_sum);
  results[rows + row] = log_sum - state.weighted / state.sum;
  results[2 * rows + row] = log_sum;
}
EXPORT(vocab_advance)

__device__ __forceinline__ void keep_four(float* to, const float (&x)[4]) {
  *reinterpret_cast<float4*>(to) = make_float4(x[0], x[1], x[2], x[3]);
}
__device__ __forceinline__ void keep_four(bf16* to, const float (&x)[4]) {
  *reinterpret_cast<uint2*>(to) = make_uint2(rounded_pair(x[0], x[1]), rounded_pair(x[2], x[3]));
}

// From a chunk of logits to dL/dlogit, both with rows that are `stride` apart, a multiple of 4. `given` holds each
// row's log-sum, entropy, dL/dlogprob and dL/dentropy, `rows` of each. A block a row of the pass.
extern "C" __global__ void __launch_bounds__(256)
vocab_gradients(const float* __restrict__ logits, ACTIVATION* __restrict__ gradients, long long stride, int n,
                int first, const uint32_t* targets, float inverse_temperature, long long pass, long long rows,
                const float* given) {
  logits += blockIdx.x * stride;
  gradients += blockIdx.x * stride;
  long long row = pass + blockIdx.x;
  float log_sum = given[row], entropy = given[rows + row];
  float d_logprob = given[2 * rows + row], d_entropy = given[3 * rows + row];
  long long target = (long long)targets[row] - first;
#pragma unroll 4
  for (int at = threadIdx.x * 4; at < n; at += 1024) {
    float4 four = *reinterpret_cast<const float4*>(logits + at);
    float x[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int e = 0; e < 4; e++) {
      float log_p = log_probability(x[e], inverse_temperature, log_sum);
      x[e] = -expf(log_p) * (d_logprob + d_entropy * (log_p + entropy)) * inverse_temperature;
      if (at + e == target) x[e] += d_logprob * inverse_temperature;
    }
    keep_four(gradients + at, x);
  }
}
EXPORT(vocab_gradients)
