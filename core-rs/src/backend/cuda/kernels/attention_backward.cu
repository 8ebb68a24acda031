// Gradients of attention over a forest (Dao 2023, FlashAttention-2, algorithm 2, as two sweeps, so that nothing is
// added atomically). With p = exp(q·kᵀ/√head_dim − log_sum) and ds = p · (d_out·vᵀ − Σ out · d_out),
//   d_q = ds·k/√head_dim, d_k = dsᵀ·q/√head_dim, d_v = pᵀ·d_out.
// A block has 64 rows of its own, queries or keys, of two matrices, and goes over rows of two others in ascending
// order. Queries are rows (token, head of the group), so that heads which share a key head share a tile.
#include "attention.cuh"

#if defined(ACTIVATION_IS_BF16)
constexpr int OTHER = HEAD_DIM <= 64 ? 64 : 32;
constexpr int STAGES = 2;
// At once on a multiprocessor, at least, by which registers are limited; 0: as the compiler thinks best.
constexpr int BLOCKS = 0;
// Elements of shared memory for what lanes show each other.
constexpr int SHARED_PAIRS = 0;
#else
constexpr int OTHER = HEAD_DIM <= 64 ? 32 : 16;
constexpr int STAGES = HEAD_DIM <= 64 ? 2 : 1;
constexpr int BLOCKS = HEAD_DIM <= 64 ? 2 : 0;
constexpr int SHARED_PAIRS = OTHER * PAIR_STRIDE;
#endif
constexpr int OWN_TILE = OWN * STRIDE, OTHER_TILE = OTHER * STRIDE;

// The index, among the heads of all tokens, of the x-th that reads a key head from token `first` on.
__device__ __forceinline__ uint32_t head_row(uint32_t first, int x, int kv_heads, int head, int group) {
  return ((first + uint32_t(x) / group) * kv_heads + head) * group + uint32_t(x) % group;
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

// d_q of a tile of queries and a key head a block.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
attention_backward_queries(const ACTIVATION* q, const ACTIVATION* k, const ACTIVATION* v, const ACTIVATION* d_out,
                           const float* log_sums, const float* dots, const Tile* tiles, int kv_heads, int group,
                           int head_dim, float scale, int aligned, ACTIVATION* d_q) {
  DYNAMIC_SHARED(ACTIVATION, shared);
  ACTIVATION *own_q = shared, *own_d_out = own_q + OWN_TILE;
  ACTIVATION *tile_k = own_d_out + OWN_TILE, *tile_v = tile_k + STAGES * OTHER_TILE;
  ACTIVATION* shared_ds = tile_v + STAGES * OTHER_TILE;
  const Tile& tile = tiles[blockIdx.x / kv_heads];
  const uint32_t* path = tile.path;
  int head = blockIdx.x % kv_heads;
  int rows = tile.tokens * group, position = tile.position, seen = position + tile.tokens;
  auto index = [&](int row) { return head_row(tile.first, row, kv_heads, head, group); };

  int warp = threadIdx.x / 32, copied = threadIdx.x / CHUNKS;
  for (int row = copied; row < OWN; row += PASS) {
    bool valid = row < rows;
    long long at = valid ? index(row) * (long long)head_dim : 0;
    copy_row(own_q, row, q + at, head_dim, valid, aligned);
    copy_row(own_d_out, row, d_out + at, head_dim, valid, aligned);
  }
  uint32_t key_rows[OTHER / PASS];
  auto look_up = [&](int block) {
#pragma unroll
    for (int i = 0; i < OTHER / PASS; i++) {
      int at = block * OTHER + copied + i * PASS;
      key_rows[i] = at < seen ? path[at] : NO_ROW;
    }
  };
  auto fetch = [&](int block) {
    int stage = block % STAGES * OTHER_TILE;
#pragma unroll
    for (int i = 0; i < OTHER / PASS; i++) {
      bool valid = key_rows[i] != NO_ROW;
      long long at = valid ? (key_rows[i] * uint32_t(kv_heads) + head) * (long long)head_dim : 0;
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
    int row = own_row(warp, i);
    bool valid = row < rows;
    log_sum[i] = valid ? log_sums[index(row)] * LOG2_E : 0;
    dot[i] = valid ? dots[index(row)] : 0;
    last[i] = valid ? position + row / group : -1;
  }
  RowSums sum;
  int blocks = (seen + OTHER - 1) / OTHER;
  for (int block = 0; block < blocks; block++) {
    wait_copies<0>();
    __syncthreads();
    if (STAGES == 2 && block + 1 < blocks) fetch(block + 1);
    ACTIVATION *keys = tile_k + block % STAGES * OTHER_TILE, *values = tile_v + block % STAGES * OTHER_TILE;
    Pairs<OTHER> scores, d_scores;
    scores.multiply(SharedRows(own_q, warp), keys);
    d_scores.multiply(SharedRows(own_d_out, warp), values);
#pragma unroll
    for (int n = 0; n < scores.OTHERS; n++) {
      int at = block * OTHER + scores.other_row(n);
#pragma unroll
      for (int i = 0; i < OWNS; i++) {
        float p = at <= last[i] ? power_of_two(fmaf(scores.at(i, n), scale * LOG2_E, -log_sum[i])) : 0.0f;
        d_scores.at(i, n) = p * (d_scores.at(i, n) - dot[i]);
      }
    }
    d_scores.share(shared_ds, warp);
    __syncwarp();
    sum.add(d_scores, shared_ds, warp, keys);
    if (STAGES == 1 && block + 1 < blocks) {
      __syncthreads();
      fetch(block + 1);
    }
  }
#pragma unroll
  for (int i = 0; i < OWNS; i++)
    if (own_row(warp, i) < rows)
      sum.store(i, scale, d_q + index(own_row(warp, i)) * (long long)head_dim, head_dim, aligned);
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
  ACTIVATION *shared_p = tile_d_out + STAGES * OTHER_TILE, *shared_ds = shared_p + SHARED_PAIRS;
  // Of each row of a tile of queries: its statistics, and the last of the block's keys that it sees.
  float* tile_log_sums = reinterpret_cast<float*>(shared_ds + SHARED_PAIRS);
  float* tile_dots = tile_log_sums + STAGES * OTHER;
  int* tile_last = reinterpret_cast<int*>(tile_dots + STAGES * OTHER);
  int head = blockIdx.x % kv_heads;
  tiles += blockIdx.x / kv_heads * 4LL;
  uint32_t first_key = tiles[0], keys = tiles[1], range = tiles[2], end = tiles[3];
  // The range that queries are copied from: its first token, its rows, and those of them that have been copied. Tokens
  // of the segment before the first key see none.
  uint32_t first = first_key;
  int rows = (ranges[2 * range] + ranges[2 * range + 1] - first_key) * group, done = 0;
  bool below = false;

  int warp = threadIdx.x / 32, copied = threadIdx.x / CHUNKS;
  for (int row = copied; row < OWN; row += PASS) {
    bool valid = row < int(keys);
    long long at = valid ? ((first_key + row) * kv_heads + head) * (long long)head_dim : 0;
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
      long long at = valid ? head_row(first, x, kv_heads, head, group) * (long long)head_dim : 0;
      copy_row(tile_q + stage * OTHER_TILE, row, q + at, head_dim, valid, aligned);
      copy_row(tile_d_out + stage * OTHER_TILE, row, d_out + at, head_dim, valid, aligned);
    }
    close_copies();
    int x = done + int(threadIdx.x);
    last = -1;
    if (threadIdx.x < OTHER && x < rows) {
      uint32_t at = head_row(first, x, kv_heads, head, group);
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

  RowSums sum_k, sum_v;
  for (int stage = 0;; stage = (stage + 1) % STAGES) {
    wait_copies<0>();
    __syncthreads();
    bool more = range < end;
    if (STAGES == 2 && more) fetch(1 - stage);
    ACTIVATION *queries = tile_q + stage * OTHER_TILE, *gradients = tile_d_out + stage * OTHER_TILE;
    Pairs<OTHER> scores, d_scores;
    scores.multiply(SharedRows(own_k, warp), queries);
    d_scores.multiply(SharedRows(own_v, warp), gradients);
#pragma unroll
    for (int n = 0; n < scores.OTHERS; n++) {
      int at = stage * OTHER + scores.other_row(n);
      float row_log_sum = tile_log_sums[at], row_dot = tile_dots[at];
      int row_last = tile_last[at];
#pragma unroll
      for (int i = 0; i < OWNS; i++) {
        float& p = scores.at(i, n);
        p = own_row(warp, i) <= row_last ? power_of_two(fmaf(p, scale * LOG2_E, -row_log_sum)) : 0.0f;
        d_scores.at(i, n) = p * (d_scores.at(i, n) - row_dot);
      }
    }
    scores.share(shared_p, warp);
    d_scores.share(shared_ds, warp);
    __syncwarp();
    sum_v.add(scores, shared_p, warp, gradients);
    sum_k.add(d_scores, shared_ds, warp, queries);
    if (!more) break;
    if (STAGES == 1) {
      __syncthreads();
      fetch(0);
    }
    put_down((stage + 1) % STAGES);
  }
#pragma unroll
  for (int i = 0; i < OWNS; i++) {
    if (own_row(warp, i) >= int(keys)) continue;
    long long at = ((first_key + own_row(warp, i)) * kv_heads + head) * (long long)head_dim;
    sum_k.store(i, scale, d_k + at, head_dim, aligned);
    sum_v.store(i, 1.0f, d_v + at, head_dim, aligned);
  }
}
EXPORT(attention_backward_keys)
