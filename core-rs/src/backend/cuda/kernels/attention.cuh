// What attention's forward and backward passes have in common: tiles of rows of heads in shared memory, and products of
// a block's own rows with other rows. Modules are compiled for HEAD_DIM; narrower heads are padded with zeros.
#pragma once
#include "mma.cuh"

// A block's own rows.
constexpr int OWN = 64;
constexpr int VECTOR = 16 / sizeof(ACTIVATION);
// 16 bytes each, of a row.
constexpr int CHUNKS = HEAD_DIM / VECTOR;
// Rows begin 16 bytes further on in the banks than the row before, so that 8 of them are read without conflicts.
constexpr int STRIDE = HEAD_DIM + VECTOR;
constexpr float LOG2_E = 1.4426950408889634f;

// 2^x, exactly 0 for −∞.
__device__ __forceinline__ float power_of_two(float x) {
#if defined(RMR1_EMULATOR)
  return exp2f(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

#if defined(ACTIVATION_IS_BF16)
constexpr int THREADS = 128;
// Of the block's own rows, those of a warp and those of them that a thread has a part of.
constexpr int WARP_ROWS = 16, OWNS = 2;
// Lanes that have parts of the same rows.
constexpr int ROW_LANES = 4;

__device__ __forceinline__ int own_row(int warp, int i) { return warp * WARP_ROWS + threadIdx.x % 32 / 4 + i * 8; }

// A warp's own rows, in registers.
struct HeldRows {
  uint32_t x[HEAD_DIM / 16][4];

  // Takes the thread's part of its i-th row from anywhere; zeros where it is not `valid`, and from `width` on.
  __device__ __forceinline__ void take(int i, const bf16* from, int width, bool valid, bool aligned) {
#pragma unroll
    for (int k = 0; k < HEAD_DIM / 8; k++) {
      int column = k * 8 + threadIdx.x % 4 * 2;
      uint32_t pair = 0;
      if (valid && aligned && column < width) {
        pair = *reinterpret_cast<const uint32_t*>(from + column);
      } else if (valid) {
        if (column < width) pair = from[column].bits;
        if (column + 1 < width) pair |= uint32_t(from[column + 1].bits) << 16;
      }
      x[k / 2][i + k % 2 * 2] = pair;
    }
  }

  __device__ __forceinline__ void read(uint32_t (&a)[4], int k) const {
#pragma unroll
    for (int i = 0; i < 4; i++) a[i] = x[k][i];
  }
};

// A warp's own rows, in a tile in shared memory.
struct SharedRows {
  const bf16* at;

  __device__ __forceinline__ SharedRows(const bf16* tile, int warp)
      : at(tile + (warp * WARP_ROWS + threadIdx.x % 16) * STRIDE + threadIdx.x % 32 / 16 * 8) {}

  __device__ __forceinline__ void read(uint32_t (&a)[4], int k) const { load_matrices(a, at + k * 16); }
};

// A number for each pair of one of a warp's own rows and one of OTHER rows, as the sums of mma_16x8x16 lie.
template <int OTHER>
struct Pairs {
  // Of the other rows, those that a thread has numbers of.
  static constexpr int OTHERS = OTHER / 4;
  float x[OTHER / 8][4];

  static __device__ __forceinline__ int other_row(int n) { return n / 2 * 8 + threadIdx.x % 4 * 2 + n % 2; }
  __device__ __forceinline__ float& at(int i, int n) { return x[n / 2][i * 2 + n % 2]; }

  // own · otherᵀ
  template <class Rows>
  __device__ __forceinline__ void multiply(const Rows& own, const bf16* other) {
    int lane = threadIdx.x % 32;
    other += (lane / 16 * 8 + lane % 8) * STRIDE + lane / 8 % 2 * 8;
#pragma unroll
    for (int n = 0; n < OTHER / 8; n++)
      for (int i = 0; i < 4; i++) x[n][i] = 0;
#pragma unroll
    for (int k = 0; k < HEAD_DIM / 16; k++) {
      uint32_t a[4];
      own.read(a, k);
#pragma unroll
      for (int n = 0; n < OTHER / 8; n += 2) {
        uint32_t b[4];
        load_matrices(b, other + n * 8 * STRIDE + k * 16);
        mma_16x8x16(x[n], a, {b[0], b[1]});
        mma_16x8x16(x[n + 1], a, {b[2], b[3]});
      }
    }
  }

  // The lanes of a row show each other their numbers. Here nobody needs them.
  __device__ __forceinline__ void share(bf16*, int) {}
};

// Rows of results, as many and as wide as a warp's own.
struct RowSums {
  float x[HEAD_DIM / 8][4] = {};

  // += pairs · other
  template <int OTHER>
  __device__ __forceinline__ void add(const Pairs<OTHER>& pairs, const bf16*, int, const bf16* other) {
    int lane = threadIdx.x % 32;
    other += lane % 16 * STRIDE + lane / 16 * 8;
#pragma unroll
    for (int n = 0; n < OTHER / 8; n += 2) {
      const auto &p = pairs.x[n], &next = pairs.x[n + 1];
      uint32_t a[4] = {rounded_pair(p[0], p[1]), rounded_pair(p[2], p[3]), rounded_pair(next[0], next[1]),
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

  __device__ __forceinline__ void scale(int i, float factor) {
#pragma unroll
    for (int j = 0; j < HEAD_DIM / 8; j++) {
      x[j][i * 2] *= factor;
      x[j][i * 2 + 1] *= factor;
    }
  }

  // Writes the thread's part of its i-th row, scaled.
  __device__ __forceinline__ void store(int i, float factor, bf16* to, int width, bool aligned) const {
#pragma unroll
    for (int j = 0; j < HEAD_DIM / 8; j++) {
      int column = j * 8 + threadIdx.x % 4 * 2;
      float low = x[j][i * 2] * factor, high = x[j][i * 2 + 1] * factor;
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
constexpr int THREADS = 256;
constexpr int WARP_ROWS = 8, OWNS = 4;
constexpr int ROW_LANES = 16;
// From one of the other rows to the next in what Pairs::share writes.
constexpr int PAIR_STRIDE = OWN + 4;

__device__ __forceinline__ int own_row(int warp, int i) { return warp * WARP_ROWS + threadIdx.x % 32 / 16 * 4 + i; }

struct SharedRows {
  const float* at;

  __device__ __forceinline__ SharedRows(const float* tile, int warp) : at(tile + own_row(warp, 0) * STRIDE) {}
};

template <int OTHER>
struct Pairs {
  static constexpr int OTHERS = OTHER / 16;
  float x[OTHERS][OWNS];

  static __device__ __forceinline__ int other_row(int n) { return threadIdx.x % 16 + n * 16; }
  __device__ __forceinline__ float& at(int i, int n) { return x[n][i]; }

  __device__ __forceinline__ void multiply(const SharedRows& own, const float* other) {
    other += other_row(0) * STRIDE;
#pragma unroll
    for (int n = 0; n < OTHERS; n++)
      for (int i = 0; i < OWNS; i++) x[n][i] = 0;
#pragma unroll 2
    for (int k = 0; k < HEAD_DIM; k += 4) {
      float4 a[OWNS];
#pragma unroll
      for (int i = 0; i < OWNS; i++) a[i] = *reinterpret_cast<const float4*>(own.at + i * STRIDE + k);
#pragma unroll
      for (int n = 0; n < OTHERS; n++) {
        float4 b = *reinterpret_cast<const float4*>(other + n * 16 * STRIDE + k);
#pragma unroll
        for (int i = 0; i < OWNS; i++)
          x[n][i] = fmaf(a[i].w, b.w, fmaf(a[i].z, b.z, fmaf(a[i].y, b.y, fmaf(a[i].x, b.x, x[n][i]))));
      }
    }
  }

  // The lanes of a row show each other their numbers, in OTHER · PAIR_STRIDE floats of the block; they are seen after a
  // barrier of the warp.
  __device__ __forceinline__ void share(float* shared, int warp) {
#pragma unroll
    for (int n = 0; n < OTHERS; n++)
      *reinterpret_cast<float4*>(shared + other_row(n) * PAIR_STRIDE + own_row(warp, 0)) =
          make_float4(x[n][0], x[n][1], x[n][2], x[n][3]);
  }
};

// Elements that are read at once.
constexpr int WIDE = HEAD_DIM >= 64 ? 4 : 2;
struct __align__(WIDE * 4) Wide {
  float x[WIDE];
};

struct RowSums {
  float x[HEAD_DIM / (16 * WIDE)][WIDE][OWNS] = {};

  // += pairs · other, of pairs that have been shared
  template <int OTHER>
  __device__ __forceinline__ void add(const Pairs<OTHER>&, const float* shared, int warp, const float* other) {
    shared += own_row(warp, 0);
    other += threadIdx.x % 16 * WIDE;
#pragma unroll 2
    for (int n = 0; n < OTHER; n++) {
      float4 p = *reinterpret_cast<const float4*>(shared + n * PAIR_STRIDE);
#pragma unroll
      for (int j = 0; j < HEAD_DIM / (16 * WIDE); j++) {
        Wide b = *reinterpret_cast<const Wide*>(other + n * STRIDE + j * 16 * WIDE);
#pragma unroll
        for (int c = 0; c < WIDE; c++) {
          x[j][c][0] = fmaf(p.x, b.x[c], x[j][c][0]);
          x[j][c][1] = fmaf(p.y, b.x[c], x[j][c][1]);
          x[j][c][2] = fmaf(p.z, b.x[c], x[j][c][2]);
          x[j][c][3] = fmaf(p.w, b.x[c], x[j][c][3]);
        }
      }
    }
  }

  __device__ __forceinline__ void scale(int i, float factor) {
#pragma unroll
    for (int j = 0; j < HEAD_DIM / (16 * WIDE); j++)
      for (int c = 0; c < WIDE; c++) x[j][c][i] *= factor;
  }

  __device__ __forceinline__ void store(int i, float factor, float* to, int width, bool aligned) const {
#pragma unroll
    for (int j = 0; j < HEAD_DIM / (16 * WIDE); j++) {
      int column = (j * 16 + threadIdx.x % 16) * WIDE;
      Wide y;
#pragma unroll
      for (int c = 0; c < WIDE; c++) y.x[c] = x[j][c][i] * factor;
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

constexpr uint32_t NO_ROW = 0xffffffffu;

// Some tokens that follow each other on a path.
struct Tile {
  // The row of the key at each position of the path.
  const uint32_t* path;
  // Row of the first token's queries and results, how many tokens, and the first one's position.
  uint32_t first, tokens, position, unused;
};

constexpr int WARPS = THREADS / 32;
// Rows that the threads of a block copy at once.
constexpr int PASS = THREADS / CHUNKS;

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

// Of the lanes that have parts of the same rows, in each of them.
__device__ __forceinline__ float row_max(float x) {
  for (int d = ROW_LANES / 2; d > 0; d /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, d));
  return x;
}
__device__ __forceinline__ float row_sum(float x) {
  for (int d = ROW_LANES / 2; d > 0; d /= 2) x += __shfl_xor_sync(ALL_LANES, x, d);
  return x;
}
