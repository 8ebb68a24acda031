// Gradients of attention over a forest (Dao 2023, FlashAttention-2, algorithm 2, as two sweeps, so that nothing is
// added atomically). With p = exp(q·kᵀ/√head_dim − log_sum) and ds = p · (d_out·vᵀ − Σ out · d_out),
//   d_q = ds·k/√head_dim, d_k = dsᵀ·q/√head_dim, d_v = pᵀ·d_out.
// A block has 64 rows of its own, queries or keys, of two matrices, and goes over rows of two others in ascending
// order. Queries are rows (token, head of the group), so that heads which share a key head share a tile.
#include "mma.cuh"

constexpr int OWN = 64;
constexpr int VECTOR = 16 / sizeof(ACTIVATION);
// 16 bytes each, of a row.
constexpr int CHUNKS = HEAD_DIM / VECTOR;
// Rows begin 16 bytes further on in the banks than the row before, so that 8 of them are read without conflicts.
constexpr int STRIDE = HEAD_DIM + VECTOR;
constexpr uint32_t NO_ROW = 0xffffffffu;

#if defined(ACTIVATION_IS_BF16)
// A warp has 16 of the block's own rows.
constexpr int THREADS = 128;
// At once on a multiprocessor, at least, by which registers are limited; 0: as the compiler thinks best.
constexpr int BLOCKS = 0;
constexpr int OTHER = HEAD_DIM <= 64 ? 64 : 32;
constexpr int STAGES = 2;
// Elements of shared memory that Weights::share needs.
constexpr int SHARED_WEIGHTS = 0;
// Of the block's rows and of a tile's, those that a thread has weights of.
constexpr int OWNS = 2, OTHERS = OTHER / 4;

__device__ __forceinline__ int own_row(int i) { return threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + i * 8; }
__device__ __forceinline__ int other_row(int n) { return n / 2 * 8 + threadIdx.x % 4 * 2 + n % 2; }

// A number for each pair of an own row and another, as the sums of mma_16x8x16 lie.
struct Weights {
  float x[OTHER / 8][4];

  __device__ __forceinline__ float& at(int i, int n) { return x[n / 2][i * 2 + n % 2]; }

  // own · otherᵀ
  __device__ __forceinline__ void multiply(const bf16* own, const bf16* other) {
    int lane = threadIdx.x % 32;
    own += (threadIdx.x / 32 * 16 + lane % 16) * STRIDE + lane / 16 * 8;
    other += (lane / 16 * 8 + lane % 8) * STRIDE + lane / 8 % 2 * 8;
#pragma unroll
    for (int n = 0; n < OTHER / 8; n++)
      for (int i = 0; i < 4; i++) x[n][i] = 0;
#pragma unroll
    for (int k = 0; k < HEAD_DIM; k += 16) {
      uint32_t a[4];
      load_matrices(a, own + k);
#pragma unroll
      for (int n = 0; n < OTHER / 8; n += 2) {
        uint32_t b[4];
        load_matrices(b, other + n * 8 * STRIDE + k);
        mma_16x8x16(x[n], a, {b[0], b[1]});
        mma_16x8x16(x[n + 1], a, {b[2], b[3]});
      }
    }
  }

  __device__ __forceinline__ void share(ACTIVATION*) {}
};

// The block's waits for what its threads shared.
__device__ __forceinline__ void await_shared() {}

// A result of the block's own rows, HEAD_DIM wide.
struct Sum {
  float x[HEAD_DIM / 8][4] = {};

  // += weights · other
  __device__ __forceinline__ void add(const Weights& weights, const ACTIVATION*, const bf16* other) {
    int lane = threadIdx.x % 32;
    other += lane % 16 * STRIDE + lane / 16 * 8;
#pragma unroll
    for (int n = 0; n < OTHER / 8; n += 2) {
      const auto &w = weights.x[n], &next = weights.x[n + 1];
      uint32_t a[4] = {rounded_pair(w[0], w[1]), rounded_pair(w[2], w[3]), rounded_pair(next[0], next[1]),
                       rounded_pair(next[2], next[3])};
#pragma unroll
      for (int j = 0; j < HEAD_DIM / 8; j += 2) {
        uint32_t b[4];
        load_transposed(b, other + n * 8 * STRIDE + j * 8);
        mma_16x8x16(x[j], a, {b[0], b[1]});
        mma_16x8x16(x[j + 1], a, {b[2], b[3]});
      }
    }
  }

  // Writes the thread's part of its i-th row.
  __device__ __forceinline__ void store(int i, float scale, bf16* to, int width, bool aligned) const {
#pragma unroll
    for (int j = 0; j < HEAD_DIM / 8; j++) {
      int column = j * 8 + threadIdx.x % 4 * 2;
      float low = x[j][i * 2] * scale, high = x[j][i * 2 + 1] * scale;
      if (aligned && column < width) {
        *reinterpret_cast<uint32_t*>(to + column) = rounded_pair(low, high);
      } else {
        if (column < width) to[column] = rounded<bf16>(low);
        if (column + 1 < width) to[column + 1] = rounded<bf16>(high);
      }
    }
  }
};
#else
// 16 threads have 4 of the block's own rows.
constexpr int THREADS = 256;
constexpr int BLOCKS = 2;
constexpr int OTHER = HEAD_DIM <= 64 ? 32 : 16;
constexpr int STAGES = HEAD_DIM <= 64 ? 2 : 1;
constexpr int WEIGHT_STRIDE = OWN + 4;
constexpr int SHARED_WEIGHTS = OTHER * WEIGHT_STRIDE;
constexpr int OWNS = 4, OTHERS = OTHER / 16;

__device__ __forceinline__ int own_row(int i) { return threadIdx.x / 16 * 4 + i; }
__device__ __forceinline__ int other_row(int n) { return threadIdx.x % 16 + n * 16; }

struct Weights {
  float x[OTHERS][OWNS];

  __device__ __forceinline__ float& at(int i, int n) { return x[n][i]; }

  __device__ __forceinline__ void multiply(const float* own, const float* other) {
    own += own_row(0) * STRIDE;
    other += other_row(0) * STRIDE;
#pragma unroll
    for (int n = 0; n < OTHERS; n++)
      for (int i = 0; i < OWNS; i++) x[n][i] = 0;
#pragma unroll 2
    for (int k = 0; k < HEAD_DIM; k += 4) {
      float4 a[OWNS];
#pragma unroll
      for (int i = 0; i < OWNS; i++) a[i] = *reinterpret_cast<const float4*>(own + i * STRIDE + k);
#pragma unroll
      for (int n = 0; n < OTHERS; n++) {
        float4 b = *reinterpret_cast<const float4*>(other + n * 16 * STRIDE + k);
#pragma unroll
        for (int i = 0; i < OWNS; i++)
          x[n][i] = fmaf(a[i].w, b.w, fmaf(a[i].z, b.z, fmaf(a[i].y, b.y, fmaf(a[i].x, b.x, x[n][i]))));
      }
    }
  }

  __device__ __forceinline__ void share(float* shared) {
#pragma unroll
    for (int n = 0; n < OTHERS; n++)
      *reinterpret_cast<float4*>(shared + other_row(n) * WEIGHT_STRIDE + own_row(0)) =
          make_float4(x[n][0], x[n][1], x[n][2], x[n][3]);
  }
};

__device__ __forceinline__ void await_shared() { __syncthreads(); }

// Elements that are read at once.
constexpr int WIDE = HEAD_DIM >= 64 ? 4 : 2;
struct __align__(WIDE * 4) Wide {
  float x[WIDE];
};

struct Sum {
  float x[HEAD_DIM / (16 * WIDE)][WIDE][OWNS] = {};

  __device__ __forceinline__ void add(const Weights&, const float* shared, const float* other) {
    shared += own_row(0);
    other += threadIdx.x % 16 * WIDE;
#pragma unroll 2
    for (int n = 0; n < OTHER; n++) {
      float4 w = *reinterpret_cast<const float4*>(shared + n * WEIGHT_STRIDE);
#pragma unroll
      for (int j = 0; j < HEAD_DIM / (16 * WIDE); j++) {
        Wide b = *reinterpret_cast<const Wide*>(other + n * STRIDE + j * 16 * WIDE);
#pragma unroll
        for (int c = 0; c < WIDE; c++) {
          x[j][c][0] = fmaf(w.x, b.x[c], x[j][c][0]);
          x[j][c][1] = fmaf(w.y, b.x[c], x[j][c][1]);
          x[j][c][2] = fmaf(w.z, b.x[c], x[j][c][2]);
          x[j][c][3] = fmaf(w.w, b.x[c], x[j][c][3]);
        }
      }
    }
  }

  __device__ __forceinline__ void store(int i, float scale, float* to, int width, bool aligned) const {
#pragma unroll
    for (int j = 0; j < HEAD_DIM / (16 * WIDE); j++) {
      int column = (j * 16 + threadIdx.x % 16) * WIDE;
      Wide y;
#pragma unroll
      for (int c = 0; c < WIDE; c++) y.x[c] = x[j][c][i] * scale;
      if (aligned && column < width) {
        *reinterpret_cast<Wide*>(to + column) = y;
      } else {
        for (int c = 0; c < WIDE; c++)
          if (column + c < width) to[column + c] = y.x[c];
      }
    }
  }
};
#endif

// Rows that the threads of a block copy at once.
constexpr int PASS = THREADS / CHUNKS;
constexpr int OWN_TILE = OWN * STRIDE, OTHER_TILE = OTHER * STRIDE;

// Begins to copy the thread's part of a row to a tile in shared memory; zeros where the row is not `valid`, and from
// `width` on. `aligned`: the row begins at a multiple of 16 bytes, and its width is one.
__device__ __forceinline__ void copy_row(ACTIVATION* tile, int row, const ACTIVATION* from, int width, bool valid,
                                         bool aligned) {
  int column = threadIdx.x % CHUNKS * VECTOR;
  ACTIVATION* to = tile + row * STRIDE + column;
  if (aligned) {
    bool inside = valid && column < width;
    copy_async(to, inside ? from + column : from, inside);
  } else {
    for (int c = 0; c < VECTOR; c++)
      to[c] = valid && column + c < width ? from[column + c] : rounded<ACTIVATION>(0);
  }
}

// dots = Σ out · d_out of each of `rows` heads of tokens, with d_out rounded to activations; `d_rounded`, where it is
// not null, gets those. HEAD_DIM / 4 lanes a row.
extern "C" __global__ void __launch_bounds__(256)
attention_backward_dots(const ACTIVATION* out, const float* d_out, long long rows, int head_dim, ACTIVATION* d_rounded,
                        float* dots) {
  constexpr int LANES = HEAD_DIM / 4;
  long long row = (blockIdx.x * 256LL + threadIdx.x) / LANES;
  int column = threadIdx.x % LANES * 4;
  float sum = 0;
  if (row < rows) {
    long long at = row * head_dim + column;
    if (head_dim % 4 == 0 && (reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(d_out) |
                              reinterpret_cast<uintptr_t>(d_rounded)) % 16 == 0) {
      struct __align__(4 * sizeof(ACTIVATION)) Four {
        ACTIVATION x[4];
      };
      if (column < head_dim) {
        float4 g = *reinterpret_cast<const float4*>(d_out + at);
        Four o = *reinterpret_cast<const Four*>(out + at);
        Four r = {rounded<ACTIVATION>(g.x), rounded<ACTIVATION>(g.y), rounded<ACTIVATION>(g.z),
                  rounded<ACTIVATION>(g.w)};
        for (int c = 0; c < 4; c++) sum = fmaf(load(o.x[c]), load(r.x[c]), sum);
        if (d_rounded) *reinterpret_cast<Four*>(d_rounded + at) = r;
      }
    } else {
      for (int c = 0; c < 4 && column + c < head_dim; c++) {
        ACTIVATION r = rounded<ACTIVATION>(d_out[at + c]);
        sum = fmaf(load(out[at + c]), load(r), sum);
        if (d_rounded) d_rounded[at + c] = r;
      }
    }
  }
  for (int d = LANES / 2; d > 0; d /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, d);
  if (row < rows && column == 0) dots[row] = sum;
}
EXPORT(attention_backward_dots)

constexpr float LOG2_E = 1.4426950408889634f;

// d_q of a tile of queries and a key head a block. A tile: where its segment's path begins in `paths`, which have the
// row of the token at each position; its first token's row and position; heads of that token's group that belong to
// the tile before; rows.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
attention_backward_queries(const ACTIVATION* q, const ACTIVATION* k, const ACTIVATION* v, const ACTIVATION* d_out,
                           const float* log_sums, const float* dots, const uint32_t* tiles, const uint32_t* paths,
                           int kv_heads, int group, int head_dim, float scale, int aligned, ACTIVATION* d_q) {
  DYNAMIC_SHARED(ACTIVATION, shared);
  ACTIVATION *own_q = shared, *own_d_out = own_q + OWN_TILE;
  ACTIVATION *tile_k = own_d_out + OWN_TILE, *tile_v = tile_k + STAGES * OTHER_TILE;
  ACTIVATION* shared_ds = tile_v + STAGES * OTHER_TILE;
  long long head = blockIdx.x % kv_heads;
  tiles += blockIdx.x / kv_heads * 5LL;
  paths += tiles[0];
  long long first = tiles[1];
  int position = tiles[2], skipped = tiles[3], rows = tiles[4];
  int seen = position + (skipped + rows - 1) / group + 1;
  // The index of a row among all heads of all tokens.
  auto index = [&](int row) {
    int x = skipped + row;
    return ((first + x / group) * kv_heads + head) * group + x % group;
  };

  int copied = threadIdx.x / CHUNKS;
  for (int row = copied; row < OWN; row += PASS) {
    bool valid = row < rows;
    long long at = valid ? index(row) * head_dim : 0;
    copy_row(own_q, row, q + at, head_dim, valid, aligned);
    copy_row(own_d_out, row, d_out + at, head_dim, valid, aligned);
  }
  uint32_t key_rows[OTHER / PASS];
  auto look_up = [&](int block) {
#pragma unroll
    for (int i = 0; i < OTHER / PASS; i++) {
      int at = block * OTHER + copied + i * PASS;
      key_rows[i] = at < seen ? paths[at] : NO_ROW;
    }
  };
  auto fetch = [&](int block) {
    int stage = block % STAGES * OTHER_TILE;
#pragma unroll
    for (int i = 0; i < OTHER / PASS; i++) {
      bool valid = key_rows[i] != NO_ROW;
      long long at = valid ? (key_rows[i] * (long long)kv_heads + head) * head_dim : 0;
      copy_row(tile_k + stage, copied + i * PASS, k + at, head_dim, valid, aligned);
      copy_row(tile_v + stage, copied + i * PASS, v + at, head_dim, valid, aligned);
    }
    close_copies();
    look_up(block + 1);
  };
  look_up(0);
  fetch(0);

  float log_sum[OWNS], dot[OWNS];
  int last[OWNS];
#pragma unroll
  for (int i = 0; i < OWNS; i++) {
    int row = own_row(i);
    bool valid = row < rows;
    log_sum[i] = valid ? log_sums[index(row)] * LOG2_E : 0;
    dot[i] = valid ? dots[index(row)] : 0;
    last[i] = valid ? position + (skipped + row) / group : -1;
  }
  Sum sum;
  int blocks = (seen + OTHER - 1) / OTHER;
  for (int block = 0; block < blocks; block++) {
    wait_copies<0>();
    __syncthreads();
    if (STAGES == 2 && block + 1 < blocks) fetch(block + 1);
    ACTIVATION *keys = tile_k + block % STAGES * OTHER_TILE, *values = tile_v + block % STAGES * OTHER_TILE;
    Weights scores, d_scores;
    scores.multiply(own_q, keys);
    d_scores.multiply(own_d_out, values);
#pragma unroll
    for (int n = 0; n < OTHERS; n++) {
      int at = block * OTHER + other_row(n);
#pragma unroll
      for (int i = 0; i < OWNS; i++) {
        float p = at <= last[i] ? exp2f(fmaf(scores.at(i, n), scale * LOG2_E, -log_sum[i])) : 0.0f;
        d_scores.at(i, n) = p * (d_scores.at(i, n) - dot[i]);
      }
    }
    d_scores.share(shared_ds);
    await_shared();
    sum.add(d_scores, shared_ds, keys);
    if (STAGES == 1 && block + 1 < blocks) {
      __syncthreads();
      fetch(block + 1);
    }
  }
#pragma unroll
  for (int i = 0; i < OWNS; i++)
    if (own_row(i) < rows) sum.store(i, scale, d_q + index(own_row(i)) * head_dim, head_dim, aligned);
}
EXPORT(attention_backward_queries)

// d_k and d_v of a tile of keys of a segment and a key head a block. A tile: its first key's row; keys; where the
// ranges of the segment begin and end in `ranges`, which have the first row and the number of tokens of it and of each
// segment below it.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
attention_backward_keys(const ACTIVATION* q, const ACTIVATION* k, const ACTIVATION* v, const ACTIVATION* d_out,
                        const float* log_sums, const float* dots, const uint32_t* tiles, const uint32_t* ranges,
                        int kv_heads, int group, int head_dim, float scale, int aligned, ACTIVATION* d_k,
                        ACTIVATION* d_v) {
  DYNAMIC_SHARED(ACTIVATION, shared);
  ACTIVATION *own_k = shared, *own_v = own_k + OWN_TILE;
  ACTIVATION *tile_q = own_v + OWN_TILE, *tile_d_out = tile_q + STAGES * OTHER_TILE;
  ACTIVATION *shared_p = tile_d_out + STAGES * OTHER_TILE, *shared_ds = shared_p + SHARED_WEIGHTS;
  // Of each row of a tile of queries: its statistics, and the last of the block's keys that it sees.
  float* tile_log_sums = reinterpret_cast<float*>(shared_ds + SHARED_WEIGHTS);
  float* tile_dots = tile_log_sums + STAGES * OTHER;
  int* tile_last = reinterpret_cast<int*>(tile_dots + STAGES * OTHER);
  long long head = blockIdx.x % kv_heads;
  tiles += blockIdx.x / kv_heads * 4LL;
  long long first_key = tiles[0];
  int keys = tiles[1];
  uint32_t range = tiles[2], end = tiles[3];
  // The range that queries are copied from: its first token, its rows, and those of them that have been copied. Tokens
  // of the segment before the first key see none.
  long long first = first_key;
  int rows = (ranges[2 * range] + ranges[2 * range + 1] - uint32_t(first_key)) * group, done = 0;
  bool below = false;

  int copied = threadIdx.x / CHUNKS;
  for (int row = copied; row < OWN; row += PASS) {
    bool valid = row < keys;
    long long at = valid ? ((first_key + row) * kv_heads + head) * head_dim : 0;
    copy_row(own_k, row, k + at, head_dim, valid, aligned);
    copy_row(own_v, row, v + at, head_dim, valid, aligned);
  }
  // A thread's row of the tile that is being copied, put down when the tile before has been read.
  float log_sum = 0, dot = 0;
  int last = -1;
  auto fetch = [&](int stage) {
#pragma unroll
    for (int i = 0; i < OTHER / PASS; i++) {
      int row = copied + i * PASS, x = done + row;
      bool valid = x < rows;
      long long at = valid ? (((first + x / group) * kv_heads + head) * group + x % group) * head_dim : 0;
      copy_row(tile_q + stage * OTHER_TILE, row, q + at, head_dim, valid, aligned);
      copy_row(tile_d_out + stage * OTHER_TILE, row, d_out + at, head_dim, valid, aligned);
    }
    close_copies();
    int x = done + int(threadIdx.x);
    last = -1;
    if (threadIdx.x < OTHER && x < rows) {
      long long at = ((first + x / group) * kv_heads + head) * group + x % group;
      log_sum = log_sums[at];
      dot = dots[at];
      last = below ? OWN : x / group;
    }
    done += OTHER;
    if (done >= rows && ++range < end) {
      first = ranges[2 * range];
      rows = ranges[2 * range + 1] * group;
      done = 0;
      below = true;
    }
  };
  auto put_down = [&](int stage) {
    if (threadIdx.x < OTHER) {
      int at = stage * OTHER + threadIdx.x;
      tile_log_sums[at] = log_sum * LOG2_E;
      tile_dots[at] = dot;
      tile_last[at] = last;
    }
  };
  fetch(0);
  put_down(0);

  Sum sum_k, sum_v;
  for (int stage = 0;; stage = (stage + 1) % STAGES) {
    wait_copies<0>();
    __syncthreads();
    bool more = range < end;
    if (STAGES == 2 && more) fetch(1 - stage);
    ACTIVATION *queries = tile_q + stage * OTHER_TILE, *gradients = tile_d_out + stage * OTHER_TILE;
    Weights scores, d_scores;
    scores.multiply(own_k, queries);
    d_scores.multiply(own_v, gradients);
#pragma unroll
    for (int n = 0; n < OTHERS; n++) {
      int at = stage * OTHER + other_row(n);
      float row_log_sum = tile_log_sums[at], row_dot = tile_dots[at];
      int row_last = tile_last[at];
#pragma unroll
      for (int i = 0; i < OWNS; i++) {
        float& p = scores.at(i, n);
        p = own_row(i) <= row_last ? exp2f(fmaf(p, scale * LOG2_E, -row_log_sum)) : 0.0f;
        d_scores.at(i, n) = p * (d_scores.at(i, n) - row_dot);
      }
    }
    scores.share(shared_p);
    d_scores.share(shared_ds);
    await_shared();
    sum_v.add(scores, shared_p, gradients);
    sum_k.add(d_scores, shared_ds, queries);
    if (!more) break;
    if (STAGES == 1) {
      __syncthreads();
      fetch(0);
    }
    put_down((stage + 1) % STAGES);
  }
#pragma unroll
  for (int i = 0; i < OWNS; i++) {
    if (own_row(i) >= keys) continue;
    long long at = ((first_key + own_row(i)) * kv_heads + head) * head_dim;
    sum_k.store(i, scale, d_k + at, head_dim, aligned);
    sum_v.store(i, 1.0f, d_v + at, head_dim, aligned);
  }
}
EXPORT(attention_backward_keys)
