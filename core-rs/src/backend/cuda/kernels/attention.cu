// Attention (Dao 2023, FlashAttention-2, algorithm 1) over keys and values that stand anywhere: a table has the row of
// the key at each position of a path. Blocks of KEYS positions are visited in ascending order, whatever the path
// consists of, so that the bits of a query's result depend on its path alone: a decoding step gives what a whole pass
// gives.
#include "attention.cuh"

#if defined(ACTIVATION_IS_BF16)
constexpr int KEYS = 64;
constexpr int STAGES = HEAD_DIM <= 64 ? 3 : 2;
// At once on a multiprocessor, at least, by which registers are limited; 0: as the compiler thinks best. Before compute
// capability 9.0 there is no shared memory for 3 of the widest heads.
#if HEAD_DIM > 64 && __CUDA_ARCH__ >= 900
constexpr int BLOCKS = 3;
#else
constexpr int BLOCKS = 0;
#endif
// Elements of shared memory for queries and for what lanes show each other.
constexpr int SHARED_QUERIES = 0, SHARED_PAIRS = 0;
#else
constexpr int KEYS = 32;
constexpr int STAGES = HEAD_DIM <= 64 ? 2 : 1;
constexpr int BLOCKS = 2;
constexpr int SHARED_QUERIES = OWN * STRIDE, SHARED_PAIRS = KEYS * PAIR_STRIDE;
#endif
constexpr int KEY_TILE = KEYS * STRIDE;
// Blocks whose copies are under way, the one that is waited for among them.
constexpr int AHEAD = STAGES > 1 ? STAGES - 1 : 1;

// A tile and a key head a block. A block's rows are its tokens' heads that read the key head, token by token. `scale`
// multiplies scores; `log_sums`, unless it is null, gets log Σ exp of them for each token and head. ALIGNED: every head
// begins at a multiple of 16 bytes.
template <bool ALIGNED>
__device__ __forceinline__ void attend(const ACTIVATION* q, const ACTIVATION* keys, const ACTIVATION* values,
                                       const Tile* tiles, int kv_heads, int group, int head_dim, float scale,
                                       ACTIVATION* out, float* log_sums) {
  DYNAMIC_SHARED(ACTIVATION, shared);
  ACTIVATION* shared_queries = shared;
  ACTIVATION* shared_pairs = shared_queries + SHARED_QUERIES;
  ACTIVATION* shared_keys = shared_pairs + SHARED_PAIRS;
  ACTIVATION* shared_values = shared_keys + STAGES * KEY_TILE;
  // Of two blocks in turn, so that one barrier a block is enough.
  uint32_t* shared_rows = reinterpret_cast<uint32_t*>(shared_values + STAGES * KEY_TILE);

  // By reference: what is needed at the end alone takes no registers until then.
  const Tile& tile = tiles[blockIdx.x / kv_heads];
  if (tile.tokens == 0) return;
  const uint32_t* path = tile.path;
  int head = blockIdx.x % kv_heads;
  int rows = tile.tokens * group, position = tile.position, seen = position + tile.tokens;
  // The index of a row among all heads of all tokens.
  auto index = [&](int row) { return ((tile.first + row / group) * (long long)kv_heads + head) * group + row % group; };
  // Of a row of keys or values; this head's begin here.
  uint32_t width = kv_heads * head_dim;
  keys += head * head_dim;
  values += head * head_dim;

  // A tile of few rows leaves most warps idle. It is not the same ones in each block, because a multiprocessor's
  // schedulers have warps of their own.
  int warp = (threadIdx.x / 32 + (blockIdx.x * 2654435761u >> 16)) % WARPS;
  bool idle = warp * WARP_ROWS >= rows;
  int copied = threadIdx.x / CHUNKS;
#if !defined(ACTIVATION_IS_BF16)
  // They belong to the copies of the first block.
  for (int row = copied; row < OWN; row += PASS) {
    bool valid = row < rows;
    copy_row(shared_queries, row, q + (valid ? index(row) * head_dim : 0), head_dim, valid, ALIGNED);
  }
  SharedRows queries(shared_queries, warp);
#endif
  int blocks = (seen + KEYS - 1) / KEYS;
  auto fetch = [&](int block, const uint32_t* key_rows) {
    if (block < blocks) {
      int stage = block % STAGES * KEY_TILE;
#pragma unroll
      for (int row = copied; row < KEYS; row += PASS) {
        bool valid = block * KEYS + row < seen;
        uint64_t at = valid ? key_rows[row] * uint64_t(width) : 0;
        copy_row(shared_keys + stage, row, keys + at, head_dim, valid, ALIGNED);
        copy_row(shared_values + stage, row, values + at, head_dim, valid, ALIGNED);
      }
    }
    close_copies();
  };
#pragma unroll
  for (int block = 0; block < AHEAD; block++) fetch(block, path + block * KEYS);
  // Rows of a block are asked for while the one before is waited for.
  auto look_up = [&](int block) {
    int at = block * KEYS + threadIdx.x;
    return threadIdx.x < KEYS && at < seen ? path[at] : 0;
  };
  uint32_t key_row = look_up(AHEAD);
#if defined(ACTIVATION_IS_BF16)
  HeldRows queries;
#pragma unroll
  for (int i = 0; i < OWNS; i++) {
    int row = own_row(warp, i);
    bool valid = row < rows;
    queries.take(i, q + (valid ? index(row) * head_dim : 0), head_dim, valid, ALIGNED);
  }
#endif

  // Of each row: the last position that it sees, its largest score so far, and the thread's part of Σ exp. Rows behind
  // the tile's are as its last one, with queries of zeros.
  int last[OWNS];
  float largest[OWNS], sum[OWNS];
#pragma unroll
  for (int i = 0; i < OWNS; i++) {
    last[i] = position + min(own_row(warp, i), rows - 1) / group;
    largest[i] = minus_infinity();
    sum[i] = 0;
  }
  RowSums result;
  float exponent_scale = scale * LOG2_E;
  for (int block = 0; block < blocks; block++) {
    uint32_t* next_rows = shared_rows + block % 2 * KEYS;
    if (threadIdx.x < KEYS) next_rows[threadIdx.x] = key_row;
    wait_copies<AHEAD - 1>();
    __syncthreads();
    if (STAGES > 1) fetch(block + AHEAD, next_rows);
    key_row = look_up(block + AHEAD + 1);
    if (!idle) {
      int stage = block % STAGES * KEY_TILE;
      Pairs<KEYS> pairs;
      pairs.multiply(queries, shared_keys + stage);
      if ((block + 1) * KEYS > position + 1) {
#pragma unroll
        for (int n = 0; n < pairs.OTHERS; n++)
#pragma unroll
          for (int i = 0; i < OWNS; i++)
            if (block * KEYS + pairs.other_row(n) > last[i]) pairs.at(i, n) = minus_infinity();
      }
#pragma unroll
      for (int i = 0; i < OWNS; i++) {
        float block_largest = pairs.at(i, 0);
#pragma unroll
        for (int n = 1; n < pairs.OTHERS; n++) block_largest = fmaxf(block_largest, pairs.at(i, n));
        float before = largest[i];
        largest[i] = fmaxf(before, row_max(block_largest));
        float factor = power_of_two((before - largest[i]) * exponent_scale);
        float base = largest[i] * exponent_scale;
        sum[i] *= factor;
#pragma unroll
        for (int n = 0; n < pairs.OTHERS; n++) {
          pairs.at(i, n) = power_of_two(fmaf(pairs.at(i, n), exponent_scale, -base));
          sum[i] += pairs.at(i, n);
        }
        result.scale(i, factor);
      }
      pairs.share(shared_pairs, warp);
      __syncwarp();
      result.add(pairs, shared_pairs, warp, shared_values + stage);
    }
    if (STAGES == 1) {
      __syncthreads();
      fetch(block + AHEAD, next_rows);
    }
  }
  if (idle) return;
#pragma unroll
  for (int i = 0; i < OWNS; i++) {
    float whole = row_sum(sum[i]);
    int row = own_row(warp, i);
    if (row >= int(tile.tokens) * group) continue;
    long long at = index(row);
    result.store(i, 1.0f / whole, out + at * head_dim, head_dim, ALIGNED);
    if (log_sums && threadIdx.x % ROW_LANES == 0) log_sums[at] = largest[i] * scale + logf(whole);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
attention(const ACTIVATION* q, const ACTIVATION* keys, const ACTIVATION* values, const Tile* tiles, int kv_heads,
          int group, int head_dim, float scale, ACTIVATION* out, float* log_sums) {
  attend<true>(q, keys, values, tiles, kv_heads, group, head_dim, scale, out, log_sums);
}
EXPORT(attention)

// Of heads that do not begin at multiples of 16 bytes.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
attention_unaligned(const ACTIVATION* q, const ACTIVATION* keys, const ACTIVATION* values, const Tile* tiles,
                    int kv_heads, int group, int head_dim, float scale, ACTIVATION* out, float* log_sums) {
  attend<false>(q, keys, values, tiles, kv_heads, group, head_dim, scale, out, log_sums);
}
EXPORT(attention_unaligned)

// Writes each row's keys and values, `width` elements, to the row of the caches that `places` has for it. A row that has
// none belongs to no path: its results are set to zero. A row a block; `aligned`: rows are multiples of 16 bytes.
extern "C" __global__ void __launch_bounds__(128)
append(const ACTIVATION* k, const ACTIVATION* v, const uint32_t* places, int width, int result_width, int aligned,
       ACTIVATION* keys, ACTIVATION* values, ACTIVATION* out) {
  long long row = blockIdx.x;
  uint32_t place = places[row];
  if (place == NO_ROW) {
    for (int i = threadIdx.x; i < result_width; i += blockDim.x)
      out[row * result_width + i] = rounded<ACTIVATION>(0);
    return;
  }
  k += row * width;
  v += row * width;
  keys += (long long)place * width;
  values += (long long)place * width;
  if (aligned) {
    for (int i = threadIdx.x * VECTOR; i < width; i += blockDim.x * VECTOR) {
      *reinterpret_cast<uint4*>(keys + i) = *reinterpret_cast<const uint4*>(k + i);
      *reinterpret_cast<uint4*>(values + i) = *reinterpret_cast<const uint4*>(v + i);
    }
  } else {
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
      keys[i] = k[i];
      values[i] = v[i];
    }
  }
}
EXPORT(append)
