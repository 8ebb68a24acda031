// Drawing tokens from logits; see the CPU's sampler, whose steps these are.
#include "softmax.cuh"

// As the host packs it.
struct SampleRow {
  double top_p, min_p, draw;
  float inverse_temperature;
  int greedy;
  // 0: all
  int top_k;
  // Where the row's edits begin in the packed words: pairs of a token and its bias, by token, then banned tokens.
  int edits, biases, banned;
};

// Weights are exponentials of what is at most 0: bit patterns in order, none above that of 1.
constexpr uint32_t ABOVE_ALL = 0x3f800001u;
// Ranges that a pass of the selection splits the bit patterns into.
constexpr int RANGES = 8;

struct Scratch {
  SoftmaxScratch softmax;
  float largest[VOCAB_WARPS];
  int ids[VOCAB_WARPS];
  double masses[VOCAB_WARPS];
  double warp_sums[VOCAB_WARPS][RANGES];
  double range_sums[RANGES];
};

// Goes through a thread's share of some numbers in ascending order, with several loads in flight.
template <class F>
__device__ __forceinline__ void sweep(const float* from, int n, F take) {
  constexpr int FLYING = 8;
  for (int first = threadIdx.x; first < n; first += FLYING * VOCAB_THREADS) {
    float x[FLYING];
#pragma unroll
    for (int i = 0; i < FLYING; i++) {
      int at = first + i * VOCAB_THREADS;
      x[i] = at < n ? from[at] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < FLYING; i++) {
      int at = first + i * VOCAB_THREADS;
      if (at < n) take(at, x[i]);
    }
  }
}

// Block-wide, with barriers on both sides, so that scratch may be used again at once.
__device__ __forceinline__ int least_id(int id, Scratch& scratch) {
  for (int d = 16; d > 0; d /= 2) id = min(id, __shfl_xor_sync(ALL_LANES, id, d));
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch.ids[threadIdx.x / 32] = id;
  __syncthreads();
  for (int w = 0; w < VOCAB_WARPS; w++) id = min(id, scratch.ids[w]);
  return id;
}
__device__ __forceinline__ double mass_of_all(double mass, Scratch& scratch) {
  __syncthreads();
  return block_sum(mass, scratch.masses);
}
__device__ __forceinline__ int count_of_all(int count, Scratch& scratch) {
  __syncthreads();
  return block_sum(count, scratch.ids);
}

// The sum over the threads before this one, in a fixed order.
template <class T>
__device__ __forceinline__ T sum_before(T own, T* warps) {
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  T upto = own;
  for (int d = 1; d < 32; d *= 2) {
    T other = __shfl_up_sync(ALL_LANES, upto, d);
    if (lane >= d) upto += other;
  }
  __syncthreads();
  if (lane == 31) warps[warp] = upto;
  __syncthreads();
  T before = 0;
  for (int w = 0; w < warp; w++) before += warps[w];
  T inside = __shfl_up_sync(ALL_LANES, upto, 1);
  return lane > 0 ? before + inside : before;
}

// The tokens kept: those above a weight, and those of this weight before a token.
struct Cut {
  uint32_t bits;
  int before;

  __device__ __forceinline__ float kept(int token, float weight) const {
    uint32_t own = __float_as_uint(weight);
    return weight > 0 && (own > bits || (own == bits && token < before)) ? weight : 0.0f;
  }
};

// The largest weight, from `least` on, at which all tokens of at least this weight are `enough`: so many, or, in
// doubles, so heavy. Those of at least `least` are taken to be.
template <class T>
__device__ __forceinline__ uint32_t select(const float* weights, int vocab, uint32_t least, T enough,
                                           Scratch& scratch) {
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  uint32_t low = least, high = ABOVE_ALL;
  while (high - low > 1) {
    uint32_t step = (high - low + RANGES - 1) / RANGES;
    T sums[RANGES - 1] = {};
    sweep(weights, vocab, [&](int, float weight) {
      uint32_t bits = __float_as_uint(weight);
      if (bits < low + step || bits >= ABOVE_ALL) return;
      T own = sizeof(T) == sizeof(int) ? T(1) : T(weight);
#pragma unroll
      for (int r = 0; r < RANGES - 1; r++)
        if (bits >= low + (r + 1) * step) sums[r] += own;
    });
#pragma unroll
    for (int r = 0; r < RANGES - 1; r++) {
      T sum = warp_sum(sums[r]);
      if (lane == 0) scratch.warp_sums[warp][r] = sum;
    }
    __syncthreads();
    if (threadIdx.x < RANGES - 1) {
      double sum = 0;
      for (int w = 0; w < VOCAB_WARPS; w++) sum += scratch.warp_sums[w][threadIdx.x];
      scratch.range_sums[threadIdx.x] = sum;
    }
    __syncthreads();
    uint32_t start = low, end = high;
    for (int r = 0; r < RANGES - 1; r++) {
      uint32_t at = start + (r + 1) * step;
      if (at >= end) break;
      if (scratch.range_sums[r] < enough) {
        high = at;
        break;
      }
      low = at;
    }
  }
  return low;
}

// How many tokens are of a weight, and how many and how heavy those above it are.
struct Tally {
  int ties, above;
  double mass;
};
__device__ __forceinline__ Tally tally(const float* weights, int vocab, uint32_t bits, Scratch& scratch) {
  Tally own = {0, 0, 0.0};
  sweep(weights, vocab, [&](int, float weight) {
    uint32_t its = __float_as_uint(weight);
    own.ties += its == bits;
    if (its > bits && its < ABOVE_ALL) {
      own.above++;
      own.mass += weight;
    }
  });
  return {count_of_all(own.ties, scratch), count_of_all(own.above, scratch), mass_of_all(own.mass, scratch)};
}

// The token after the first so many of this weight.
__device__ __forceinline__ int after_ties(const float* weights, int vocab, uint32_t bits, int ties, Scratch& scratch) {
  for (int chunk = 0; chunk < vocab; chunk += VOCAB_CHUNK) {
    int first = chunk + threadIdx.x * VOCAB_OWN, end = min(first + VOCAB_OWN, vocab), own = 0;
    for (int token = first; token < end; token++) own += __float_as_uint(weights[token]) == bits;
    int here = count_of_all(own, scratch);
    if (here < ties) {
      ties -= here;
      continue;
    }
    int before = sum_before(own, scratch.ids), after = vocab;
    if (before < ties && before + own >= ties) {
      for (after = first; before < ties; after++) before += __float_as_uint(weights[after]) == bits;
    }
    return least_id(after, scratch);
  }
  return vocab;
}

// What top-k, then top-p, then min-p keep.
__device__ __forceinline__ Cut truncate(const float* weights, int vocab, const SampleRow& row, Scratch& scratch) {
  Cut cut = {0, vocab};
  int kept = 0, ties = 0;
  if (row.top_k > 0 || row.top_p < 1) {
    if (row.top_k > 0) cut.bits = select(weights, vocab, 0, row.top_k, scratch);
    Tally of = tally(weights, vocab, cut.bits, scratch);
    ties = of.ties;
    kept = row.top_k > 0 ? row.top_k - of.above : ties;
    if (row.top_p < 1) {
      double enough = row.top_p * (of.mass + kept * double(__uint_as_float(cut.bits)));
      uint32_t bits = select(weights, vocab, cut.bits, enough, scratch);
      if (bits > cut.bits) {
        cut.bits = bits;
        of = tally(weights, vocab, bits, scratch);
        kept = ties = of.ties;
      }
      double weight = __uint_as_float(cut.bits);
      if (weight > 0) {
        int most = kept;
        double needed = ceil((enough - of.mass) / weight);
        kept = needed < 1 ? 1 : needed < most ? int(needed) : most;
        // The division rounds.
        while (kept > 1 && of.mass + (kept - 1) * weight >= enough) kept--;
        while (kept < most && of.mass + kept * weight < enough) kept++;
      }
    }
  }
  if (row.min_p > 0) {
    // The least weight that is not below; that of the likeliest is 1.
    float least = float(row.min_p);
    uint32_t bits = __float_as_uint(least) + (double(least) < row.min_p ? 1 : 0);
    if (bits > cut.bits) return {bits, vocab};
  }
  if (kept < ties && cut.bits > 0) cut.before = after_ties(weights, vocab, cut.bits, kept, scratch);
  return cut;
}

// The token at which the running mass passes `draw` of the whole. `masses` has room for one of each chunk.
__device__ __forceinline__ int pick(const float* weights, int vocab, Cut cut, double draw, double* masses,
                                    Scratch& scratch) {
  int chunks = (vocab + VOCAB_CHUNK - 1) / VOCAB_CHUNK;
  double total = 0;
  for (int c = 0; c < chunks; c++) {
    int first = c * VOCAB_CHUNK;
    double own = 0;
    sweep(weights + first, min(VOCAB_CHUNK, vocab - first),
          [&](int at, float weight) { own += cut.kept(first + at, weight); });
    double mass = mass_of_all(own, scratch);
    if (threadIdx.x == 0) masses[c] = mass;
    total += mass;
  }
  __syncthreads();
  double target = draw * total, base = 0, passed = 0;
  int chunk = -1;
  for (int c = 0; c < chunks; c++) {
    double mass = masses[c];
    if (mass > 0) {
      chunk = c;
      base = passed;
      if (passed + mass > target) break;
    }
    passed += mass;
  }
  if (chunk < 0) return 0;
  int first = chunk * VOCAB_CHUNK + threadIdx.x * VOCAB_OWN, end = min(first + VOCAB_OWN, vocab);
  double own = 0;
  for (int token = first; token < end; token++) own += cut.kept(token, weights[token]);
  double running = base + sum_before(own, scratch.masses);
  int token = vocab, last = -1;
  for (int t = first; t < end; t++) {
    float weight = cut.kept(t, weights[t]);
    running += weight;
    if (weight > 0) last = t;
    if (weight > 0 && running > target && token == vocab) token = t;
  }
  token = least_id(token, scratch);
  // Rounding can leave the running mass at the target: the last token with any mass is meant.
  return token < vocab ? token : -least_id(-last, scratch);
}

// Draws a token from each row of `vocab` logits; a block a row. `packed` holds the rows, then their edits, `edited`
// a row of scores or weights for each. Writes tokens, then the bits of log-probabilities.
extern "C" __global__ void __launch_bounds__(VOCAB_THREADS)
sample(const float* logits, int vocab, const uint32_t* packed, float* edited, uint32_t* drawn) {
  __shared__ Scratch scratch;
  DYNAMIC_SHARED(double, masses);
  SampleRow row = reinterpret_cast<const SampleRow*>(packed)[blockIdx.x];
  logits += blockIdx.x * (long long)vocab;
  float* weights = edited + blockIdx.x * (long long)vocab;
  Softmax state;
  for (int at = 0; at < vocab; at += VOCAB_CHUNK) {
    state = advance(state, logits + at, min(VOCAB_CHUNK, vocab - at), row.inverse_temperature, scratch.softmax);
  }
  float log_sum = state.log_sum();

  const float* scores = logits;
  if (row.biases > 0 || row.banned > 0) {
    sweep(logits, vocab, [&](int token, float logit) { weights[token] = logit; });
    __syncthreads();
    const uint32_t* edits = packed + row.edits;
    for (int i = threadIdx.x; i < row.biases; i += VOCAB_THREADS) {
      uint32_t token = edits[2 * i];
      if (i > 0 && edits[2 * i - 2] == token) continue;
      float score = weights[token];
      for (int j = i; j < row.biases && edits[2 * j] == token; j++) score += __uint_as_float(edits[2 * j + 1]);
      weights[token] = score;
    }
    __syncthreads();
    edits += 2 * row.biases;
    for (int i = threadIdx.x; i < row.banned; i += VOCAB_THREADS) weights[edits[i]] = minus_infinity();
    __syncthreads();
    scores = weights;
  }
  float largest = minus_infinity();
  int id = vocab;
  sweep(scores, vocab, [&](int token, float score) {
    if (score > largest) {
      largest = score;
      id = token;
    }
  });
  float own = largest;
  largest = warp_max(largest);
  if (threadIdx.x % 32 == 0) scratch.largest[threadIdx.x / 32] = largest;
  __syncthreads();
  for (int w = 0; w < VOCAB_WARPS; w++) largest = fmaxf(largest, scratch.largest[w]);

  int token;
  if (row.greedy) {
    token = least_id(own == largest ? id : vocab, scratch);
    if (token == vocab) token = 0;
  } else {
    sweep(scores, vocab, [&](int at, float score) {
      weights[at] = expf((score - largest) * row.inverse_temperature);
    });
    __syncthreads();
    Cut cut = truncate(weights, vocab, row, scratch);
    token = pick(weights, vocab, cut, row.draw, masses, scratch);
  }
  if (threadIdx.x == 0) {
    drawn[blockIdx.x] = token;
    drawn[gridDim.x + blockIdx.x] = __float_as_uint(log_probability(logits[token], row.inverse_temperature, log_sum));
  }
}
EXPORT(sample)
