// What the kernels have in common. Sums are added in a fixed order, without atomics, and nothing is fused that the
// source does not fuse (--fmad=false), so that results are the same from run to run and for any number of rows.
#pragma once
#if defined(RMR1_EMULATOR)
#include "emulator.h"
#else
#define EXPORT(name)
#define DYNAMIC_SHARED(type, name)                            \
  extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
  type* name = reinterpret_cast<type*>(dynamic_shared)
typedef unsigned long long uintptr_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
typedef signed char int8_t;
typedef unsigned char uint8_t;
#endif

constexpr unsigned ALL_LANES = 0xffffffffu;

// bfloat16: the upper half of a float, rounded to nearest, ties to even.
struct bf16 {
  uint16_t bits;
};

__device__ __forceinline__ float load(float x) { return x; }
__device__ __forceinline__ float load(bf16 x) { return __uint_as_float(uint32_t(x.bits) << 16); }

template <class T>
__device__ __forceinline__ T rounded(float x);
template <>
__device__ __forceinline__ float rounded<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ bf16 rounded<bf16>(float x) {
#if defined(RMR1_EMULATOR)
  uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {uint16_t(0x7fff)};
  return {uint16_t((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16)};
#else
  bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
#endif
}

// Two values in a register, the first in its lower half.
__device__ __forceinline__ uint32_t rounded_pair(float low, float high) {
#if defined(RMR1_EMULATOR)
  return uint32_t(rounded<bf16>(low).bits) | uint32_t(rounded<bf16>(high).bits) << 16;
#else
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#endif
}

__device__ __forceinline__ float minus_infinity() { return __int_as_float(0xff800000); }

// Of the lanes of a warp, in every lane.
__device__ __forceinline__ float warp_sum(float x) {
  for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(ALL_LANES, x, d);
  return x;
}
__device__ __forceinline__ double warp_sum(double x) {
  for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(ALL_LANES, x, d);
  return x;
}
__device__ __forceinline__ int warp_sum(int x) {
  for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(ALL_LANES, x, d);
  return x;
}
__device__ __forceinline__ float warp_max(float x) {
  for (int d = 16; d > 0; d /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, d));
  return x;
}

// Of the threads of a block of whole warps, in every thread. `scratch` holds a value for each warp; it may be used
// again after the next barrier.
template <class T>
__device__ __forceinline__ T block_sum(T x, T* scratch) {
  x = warp_sum(x);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  T sum = 0;
  for (unsigned w = 0; w < blockDim.x / 32; w++) sum += scratch[w];
  return sum;
}
