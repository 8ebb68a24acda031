// A file's numbers to activations, in the formats and by the arithmetic of `weights/dequantize.rs`: products of scales
// and integers are exact, and the minimum's addition is the one rounding before that to activations.
#include "device.cuh"

// ggml's numbers of the formats.
enum { F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q4_K = 12, Q5_K = 13, Q6_K = 14, BF16 = 30 };

__device__ __forceinline__ uint32_t two_bytes(const uint8_t* at) { return at[0] | uint32_t(at[1]) << 8; }
__device__ __forceinline__ uint32_t four_bytes(const uint8_t* at) { return two_bytes(at) | two_bytes(at + 2) << 16; }

// IEEE half to float, by its bits: exact.
__device__ __forceinline__ float half_at(const uint8_t* at) {
  uint32_t bits = two_bytes(at), sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
  if (exponent == 0) return __uint_as_float(sign | 0x3f800000u) * (fraction * 5.9604644775390625e-8f);
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
  return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
}

// The i-th 5-bit value of a block of 32: fifth bits, then low halves.
__device__ __forceinline__ float five_bits(const uint8_t* packed, int i) {
  uint32_t fifth = four_bytes(packed) >> i & 1, byte = packed[4 + i % 16];
  return float((i < 16 ? byte & 0xf : byte >> 4) | fifth << 4);
}

__device__ __forceinline__ float nibble(const uint8_t* packed, int i) {
  return float(i < 16 ? packed[i] & 0xf : packed[i - 16] >> 4);
}

// Weight i of a super-block of Q4_K or Q5_K, whose fifth bits are none or 32 bytes before the runs.
__device__ __forceinline__ float k_value(const uint8_t* block, int i, bool five) {
  int s = i / 32;
  const uint8_t *packed = block + 4, *runs = block + 16 + (five ? 32 : 0);
  int scale = packed[s < 4 ? s : s + 4], minimum;
  if (s < 4) {
    scale &= 0x3f;
    minimum = packed[s + 4] & 0x3f;
  } else {
    minimum = scale >> 4 | packed[s] >> 6 << 4;
    scale = (scale & 0xf) | packed[s - 4] >> 6 << 4;
  }
  int q = runs[s / 2 * 32 + i % 32] >> 4 * (s % 2) & 0xf;
  if (five) q |= (block[16 + i % 32] >> s & 1) << 4;
  return half_at(block) * scale * q - half_at(block + 2) * minimum;
}

// Weight i of a super-block of Q6_K: halves of 128, each of four runs of 32.
__device__ __forceinline__ float q6_k_value(const uint8_t* block, int i) {
  int half = i / 128, run = i % 128 / 32, l = i % 32;
  int low = block[half * 64 + run % 2 * 32 + l] >> (run / 2 * 4) & 0xf;
  int high = block[128 + half * 32 + l] >> (run * 2) & 3;
  int scale = static_cast<int8_t>(block[192 + i / 16]);
  return half_at(block + 208) * scale * ((low | high << 4) - 32);
}

__device__ __forceinline__ float value(const uint8_t* row, int format, int column) {
  int i = column % 32, k = column % 256;
  switch (format) {
    case F32: return __uint_as_float(four_bytes(row + column * 4ll));
    case F16: return half_at(row + column * 2ll);
    case BF16: return __uint_as_float(two_bytes(row + column * 2ll) << 16);
    case Q4_0: row += column / 32 * 18ll; return half_at(row) * (nibble(row + 2, i) - 8);
    case Q4_1: row += column / 32 * 20ll; return half_at(row) * nibble(row + 4, i) + half_at(row + 2);
    case Q5_0: row += column / 32 * 22ll; return half_at(row) * (five_bits(row + 2, i) - 16);
    case Q5_1: row += column / 32 * 24ll; return half_at(row) * five_bits(row + 4, i) + half_at(row + 2);
    case Q8_0: row += column / 32 * 34ll; return half_at(row) * static_cast<int8_t>(row[2 + i]);
    case Q4_K: return k_value(row + column / 256 * 144ll, k, false);
    case Q5_K: return k_value(row + column / 256 * 176ll, k, true);
    default: return q6_k_value(row + column / 256 * 210ll, k);
  }
}

// A thread a weight. Rows of heads of `head` rows stand with their halves interleaved, unless `head` is 0. `odd` gets the
// least index of a value that is not finite.
extern "C" __global__ void __launch_bounds__(256)
dequantize(const uint8_t* bytes, int format, int width, long long row_bytes, int head, ACTIVATION* out,
           unsigned long long* odd, long long n) {
  long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= n) return;
  long long row = i / width;
  if (head > 0) {
    int r = row % head, half = head / 2;
    row += (r < half ? 2 * r : 2 * (r - half) + 1) - r;
  }
  float x = value(bytes + row * row_bytes, format, i % width);
  if (!(fabsf(x) < __int_as_float(0x7f800000))) atomicMin(odd, static_cast<unsigned long long>(i));
  out[i] = rounded<ACTIVATION>(x);
}
EXPORT(dequantize)
