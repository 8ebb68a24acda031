// Matrix products. Every element of a result is the sum over k in ascending order in one accumulator, whatever the
// tile, so that a row's bits depend neither on the number of rows nor on the tile chosen for it. Names say how the
// sides are stored: n as they are read (a m × k, b k × n), t as the transpose (a k × m, b n × k).
//
// c (m × n) = a · b, or c += where the flags say so. A block makes one tile; `span` terms are summed by the blocks of
// one y, whose results follow one another in c where there are several.
#include "mma.cuh"

// A and b in chunks of 16 bytes, c in pairs, whether c is f32 whatever activations are, and whether it is added to.
enum Flags { A_IN_CHUNKS = 1, B_IN_CHUNKS = 2, C_IN_PAIRS = 4, C_IS_FULL = 8, ADDS = 16 };

// Tiles of neighbouring blocks share operands in the second-level cache: the blocks go through columns of `TALL` tiles.
struct TilePlace {
  int row, column;
};
template <int ROWS, int COLUMNS>
__device__ __forceinline__ TilePlace tile_place(int m, int n) {
  constexpr int TALL = 8;
  int high = (m + ROWS - 1) / ROWS, wide = (n + COLUMNS - 1) / COLUMNS;
  int band = blockIdx.x / (TALL * wide), inside = blockIdx.x % (TALL * wide);
  int tall = min(TALL, high - band * TALL);
  return {(band * TALL + inside % tall) * ROWS, inside / tall * COLUMNS};
}

#define ARGUMENTS                                                                                             \
  const ACTIVATION *a, long long a_stride, const ACTIVATION *b, long long b_stride, void *c, long long c_stride, \
      int m, int n, int k, int span, int flags

#if defined(ACTIVATION_IS_BF16)

// Terms of a step.
constexpr int TERMS = 64;

// Where 8 elements of a row of so many chunks of 8, at least 8 of them, stand in a tile: chunks change places so that
// the 8 rows which ldmatrix reads at once lie in different banks.
template <int CHUNKS>
__device__ __forceinline__ int place(int row, int chunk) {
  return (row * CHUNKS + (chunk ^ row % 8)) * 8;
}

// Copies one side's tiles to shared memory, step after step. In memory a tile has so many rows and columns; k runs
// along a row or down. Of the other dimension `count` lie in the matrix from the tile's first on, of k `terms`; what
// lies outside is zero.
template <int ROWS, int COLUMNS, int THREADS, bool ALONG>
struct Feed {
  static constexpr int CHUNKS = COLUMNS / 8, APART = THREADS / CHUNKS, COPIES = ROWS / APART;
  // So that the rows of a thread's chunks have the same place modulo the exchanges of `place`.
  static_assert(CHUNKS >= 8 && APART % 8 == 0 && ROWS % APART == 0, "a tile does not fit its threads");

  const bf16* at;
  long long stride;
  int row, chunk, count, terms;
  bool in_chunks;

  __device__ __forceinline__ Feed(const bf16* side, long long stride, int first, int tile, int count, int terms,
                                  bool in_chunks)
      : stride(stride),
        row(threadIdx.x / CHUNKS),
        chunk(threadIdx.x % CHUNKS),
        count(count - tile),
        terms(terms),
        in_chunks(in_chunks && (ALONG || count % 8 == 0)) {
    at = side + ((ALONG ? tile : first) + row) * stride + (ALONG ? first : tile) + chunk * 8;
  }

  __device__ __forceinline__ void next(bf16* tile) {
    const bf16* from = at;
    bf16* to = tile + place<CHUNKS>(row, chunk);
    if (in_chunks && terms >= TERMS) {
#pragma unroll
      for (int i = 0; i < COPIES; i++) {
        copy_async(to, from, ALONG ? row + i * APART < count : chunk * 8 < count);
        from += APART * stride;
        to += THREADS * 8;
      }
    } else {
#pragma unroll 1
      for (int i = 0; i < COPIES; i++) {
        int down = row + i * APART;
        for (int e = 0; e < 8; e++) {
          int across = chunk * 8 + e;
          bool inside = ALONG ? down < count && across < terms : down < terms && across < count;
          to[e] = inside ? from[e] : bf16{0};
        }
        from += APART * stride;
        to += THREADS * 8;
      }
    }
    at += ALONG ? TERMS : TERMS * stride;
    terms -= TERMS;
  }
};

template <int ROWS, int COLUMNS, int WARPS_DOWN, int WARPS_ACROSS, int STAGES, bool A_TURNED, bool B_TURNED>
__device__ __forceinline__ void product(ARGUMENTS, bf16* shared) {
  constexpr int THREADS = WARPS_DOWN * WARPS_ACROSS * 32;
  // Of a warp's part, in tiles of 16 × 8.
  constexpr int DOWN = ROWS / WARPS_DOWN / 16, ACROSS = COLUMNS / WARPS_ACROSS / 8, PAIRS = (ACROSS + 1) / 2;
  constexpr int A_CHUNKS = A_TURNED ? ROWS / 8 : TERMS / 8, B_CHUNKS = B_TURNED ? TERMS / 8 : COLUMNS / 8;
  constexpr int STAGE = (ROWS + COLUMNS) * TERMS;
  auto tile = tile_place<ROWS, COLUMNS>(m, n);
  int first = blockIdx.y * span, terms = min(span, k - first), steps = (terms + TERMS - 1) / TERMS;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int down = warp / WARPS_ACROSS * DOWN * 16, across = warp % WARPS_ACROSS * ACROSS * 8;

  Feed<A_TURNED ? TERMS : ROWS, A_TURNED ? ROWS : TERMS, THREADS, !A_TURNED> feed_left(
      a, a_stride, first, tile.row, m, terms, flags & A_IN_CHUNKS);
  Feed<B_TURNED ? COLUMNS : TERMS, B_TURNED ? TERMS : COLUMNS, THREADS, B_TURNED> feed_right(
      b, b_stride, first, tile.column, n, terms, flags & B_IN_CHUNKS);
  int begun = 0;
  bf16* fresh = shared;
  auto begin = [&] {
    if (begun < steps) {
      feed_left.next(fresh);
      feed_right.next(fresh + ROWS * TERMS);
      begun++;
      fresh = fresh == shared + (STAGES - 1) * STAGE ? shared : fresh + STAGE;
    }
    close_copies();
  };
  // Two sets of operands: one is read while the other is multiplied.
  uint32_t left[2][DOWN][4], right[2][PAIRS][4];
  auto read = [&](int set, const bf16* stage, int term) {
#pragma unroll
    for (int i = 0; i < DOWN; i++) {
      int row = down + i * 16;
      if constexpr (A_TURNED) {
        load_transposed(left[set][i],
                        stage + place<A_CHUNKS>(term + lane / 16 * 8 + lane % 8, row / 8 + lane / 8 % 2));
      } else {
        load_matrices(left[set][i], stage + place<A_CHUNKS>(row + lane % 16, term / 8 + lane / 16));
      }
    }
    stage += ROWS * TERMS;
#pragma unroll
    for (int j = 0; j < PAIRS; j++) {
      // With one tile across, the second pair of matrices is the first one again.
      int next = ACROSS == 1 ? 0 : lane / 16, column = across + j * 16;
      if constexpr (B_TURNED) {
        load_matrices(right[set][j],
                      stage + place<B_CHUNKS>(column + next * 8 + lane % 8, term / 8 + lane / 8 % 2));
      } else {
        load_transposed(right[set][j], stage + place<B_CHUNKS>(term + lane % 16, column / 8 + next));
      }
    }
  };

  float sums[DOWN][ACROSS][4] = {};
  for (int i = 0; i < STAGES - 1; i++) begin();
  const bf16* stage = shared;
  for (int step = 0; step < steps; step++) {
    wait_copies<STAGES - 2>();
    __syncthreads();
    read(0, stage, 0);
    begin();
#pragma unroll
    for (int term = 0; term < TERMS; term += 16) {
      int set = term / 16 % 2;
      if (term + 16 < TERMS) read(set ^ 1, stage, term + 16);
#pragma unroll
      for (int i = 0; i < DOWN; i++)
#pragma unroll
        for (int j = 0; j < ACROSS; j++) {
          uint32_t pair[2] = {right[set][j / 2][j % 2 * 2], right[set][j / 2][j % 2 * 2 + 1]};
          mma_16x8x16(sums[i][j], left[set][i], pair);
        }
    }
    stage = stage == shared + (STAGES - 1) * STAGE ? shared : stage + STAGE;
  }

  long long past = blockIdx.y * (long long)m * n;
  float* full = static_cast<float*>(c) + past;
  bf16* narrow = static_cast<bf16*>(c) + past;
  auto put = [&](int row, int column, float sum) {
    long long at = row * c_stride + column;
    if (flags & C_IS_FULL) {
      full[at] = flags & ADDS ? full[at] + sum : sum;
    } else {
      narrow[at] = rounded<bf16>(flags & ADDS ? load(narrow[at]) + sum : sum);
    }
  };
#pragma unroll
  for (int i = 0; i < DOWN; i++)
#pragma unroll
    for (int j = 0; j < ACROSS; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int row = tile.row + down + i * 16 + half * 8 + lane / 4, column = tile.column + across + j * 8 + lane % 4 * 2;
        float low = sums[i][j][half * 2], high = sums[i][j][half * 2 + 1];
        if (row >= m || column >= n) continue;
        long long at = row * c_stride + column;
        if ((flags & C_IN_PAIRS) && column + 1 < n && (flags & C_IS_FULL)) {
          auto to = reinterpret_cast<float2*>(full + at);
          float2 before = flags & ADDS ? *to : make_float2(0, 0);
          *to = flags & ADDS ? make_float2(before.x + low, before.y + high) : make_float2(low, high);
        } else if ((flags & C_IN_PAIRS) && column + 1 < n && !(flags & ADDS)) {
          *reinterpret_cast<uint32_t*>(narrow + at) = rounded_pair(low, high);
        } else {
          put(row, column, low);
          if (column + 1 < n) put(row, column + 1, high);
        }
      }
}

#define PRODUCT(form, a_turned, b_turned, rows, columns, warps_down, warps_across, stages)                      \
  extern "C" __global__ void __launch_bounds__(warps_down* warps_across * 32, 2)                                  \
      product_##form##_##rows##x##columns(ARGUMENTS) {                                                          \
    DYNAMIC_SHARED(bf16, shared);                                                                               \
    product<rows, columns, warps_down, warps_across, stages, a_turned, b_turned>(                               \
        a, a_stride, b, b_stride, c, c_stride, m, n, k, span, flags, shared);                                   \
  }                                                                                                             \
  EXPORT(product_##form##_##rows##x##columns)

PRODUCT(nt, false, true, 128, 128, 2, 2, 3)
PRODUCT(nt, false, true, 64, 128, 2, 2, 4)
PRODUCT(nt, false, true, 32, 128, 1, 4, 4)
PRODUCT(nt, false, true, 16, 128, 1, 4, 5)
PRODUCT(nt, false, true, 32, 32, 2, 2, 8)
PRODUCT(nt, false, true, 16, 32, 1, 4, 8)
PRODUCT(nt, false, true, 16, 16, 1, 2, 12)
PRODUCT(nn, false, false, 128, 128, 2, 2, 3)
PRODUCT(nn, false, false, 64, 64, 2, 2, 4)
PRODUCT(tn, true, false, 128, 128, 2, 2, 3)
PRODUCT(tn, true, false, 64, 64, 2, 2, 4)

#else

constexpr int TERMS = 16, COLUMNS = 64;

// Reads this thread's elements of a tile of `COUNT` rows or columns by TERMS terms, which stand along the terms where
// k runs fastest in memory.
template <int COUNT, bool ALONG_TERMS>
__device__ __forceinline__ void fetch(float (&to)[COUNT / 16], const float* from, long long stride, int count,
                                      int terms) {
#pragma unroll
  for (int i = 0; i < COUNT / 16; i++) {
    int e = threadIdx.x + i * 256;
    int term = ALONG_TERMS ? e % TERMS : e / COUNT, at = ALONG_TERMS ? e / TERMS : e % COUNT;
    bool inside = at < count && term < terms;
    to[i] = inside ? (ALONG_TERMS ? from[at * stride + term] : from[term * stride + at]) : 0.0f;
  }
}
template <int COUNT, bool ALONG_TERMS>
__device__ __forceinline__ void keep(float (*tile)[COUNT + 4], const float (&from)[COUNT / 16]) {
#pragma unroll
  for (int i = 0; i < COUNT / 16; i++) {
    int e = threadIdx.x + i * 256;
    tile[ALONG_TERMS ? e % TERMS : e / COUNT][ALONG_TERMS ? e / TERMS : e % COUNT] = from[i];
  }
}

// 16 × 16 threads, each with DOWN rows next to one another and 4 columns.
template <int DOWN, bool A_TURNED, bool B_TURNED>
__device__ __forceinline__ void product(ARGUMENTS) {
  constexpr int ROWS = 16 * DOWN;
  __align__(16) __shared__ float left[2][TERMS][ROWS + 4];
  __align__(16) __shared__ float right[2][TERMS][COLUMNS + 4];
  auto tile = tile_place<ROWS, COLUMNS>(m, n);
  int first = blockIdx.y * span, terms = min(span, k - first), steps = (terms + TERMS - 1) / TERMS;
  int down = threadIdx.x / 16 * DOWN, across = threadIdx.x % 16 * 4;
  float next_left[DOWN], next_right[COLUMNS / 16];
  auto ahead = [&](int step) {
    long long at = first + step * TERMS;
    fetch<ROWS, !A_TURNED>(next_left, A_TURNED ? a + at * a_stride + tile.row : a + tile.row * a_stride + at, a_stride,
                           m - tile.row, terms - step * TERMS);
    fetch<COLUMNS, B_TURNED>(next_right, B_TURNED ? b + tile.column * b_stride + at : b + at * b_stride + tile.column,
                             b_stride, n - tile.column, terms - step * TERMS);
  };
  float sums[DOWN][4] = {};
  if (steps > 0) ahead(0);
  for (int step = 0; step < steps; step++) {
    auto& l = left[step % 2];
    auto& r = right[step % 2];
    keep<ROWS, !A_TURNED>(l, next_left);
    keep<COLUMNS, B_TURNED>(r, next_right);
    __syncthreads();
    if (step + 1 < steps) ahead(step + 1);
#pragma unroll
    for (int term = 0; term < TERMS; term++) {
      float4 y = *reinterpret_cast<const float4*>(&r[term][across]);
#pragma unroll
      for (int i = 0; i < DOWN; i++) {
        float x = l[term][down + i];
        sums[i][0] = fmaf(x, y.x, sums[i][0]);
        sums[i][1] = fmaf(x, y.y, sums[i][1]);
        sums[i][2] = fmaf(x, y.z, sums[i][2]);
        sums[i][3] = fmaf(x, y.w, sums[i][3]);
      }
    }
  }
  float* to = static_cast<float*>(c) + blockIdx.y * (long long)m * n;
#pragma unroll
  for (int i = 0; i < DOWN; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int row = tile.row + down + i, column = tile.column + across + j;
      if (row >= m || column >= n) continue;
      long long at = row * c_stride + column;
      to[at] = flags & ADDS ? to[at] + sums[i][j] : sums[i][j];
    }
}

#define PRODUCT(form, a_turned, b_turned, rows)                                                       \
  extern "C" __global__ void __launch_bounds__(256) product_##form##_##rows##x64(ARGUMENTS) {         \
    product<rows / 16, a_turned, b_turned>(a, a_stride, b, b_stride, c, c_stride, m, n, k, span, flags); \
  }                                                                                                   \
  EXPORT(product_##form##_##rows##x64)

PRODUCT(nt, false, true, 128)
PRODUCT(nt, false, true, 64)
PRODUCT(nt, false, true, 16)
PRODUCT(nn, false, false, 128)
PRODUCT(nn, false, false, 64)
PRODUCT(tn, true, false, 128)
PRODUCT(tn, true, false, 64)

#endif

// c = or += the sum of so many products of spans, in ascending order; a thread an element.
extern "C" __global__ void __launch_bounds__(256)
product_of_spans(const float* parts, int spans, float* c, long long c_stride, int m, int n, int flags) {
  long long size = (long long)m * n, i = blockIdx.x * 256LL + threadIdx.x;
  if (i >= size) return;
  float sum = 0;
  for (int s = 0; s < spans; s++) sum += parts[s * size + i];
  long long at = i / n * c_stride + i % n;
  c[at] = flags & ADDS ? c[at] + sum : sum;
}
EXPORT(product_of_spans)
