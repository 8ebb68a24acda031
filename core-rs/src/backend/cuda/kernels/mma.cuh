// Products of small matrices by a warp, and the loads that feed them (PTX ISA, "Warp-level matrix instructions" and
// "cp.async"), with twins for the emulator.
#pragma once
#include "device.cuh"

// d (16 × 8, f32) += a (16 × 16, bf16) · b (16 × 8, bf16). With group = lane / 4 and pair = lane % 4 · 2 a lane holds
//   of a: rows group and group + 8 at columns pair, then both at columns pair + 8, two columns a register
//   of b: column group at rows pair, then at rows pair + 8, two rows a register
//   of d: row group at columns pair and pair + 1, then row group + 8
__device__ __forceinline__ void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(RMR1_EMULATOR)
  struct Fragments {
    uint32_t a[4], b[2];
  } own = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  auto slots = emulator::exchange(own);
  int lane = threadIdx.x % 32;
  auto half = [](uint32_t pair, int k) { return load(bf16{uint16_t(k % 2 ? pair >> 16 : pair)}); };
  for (int i = 0; i < 4; i++) {
    int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    float sum = 0;
    for (int k = 0; k < 16; k++) {
      auto left = emulator::shown<Fragments>(slots, row % 8 * 4 + k % 8 / 2);
      auto right = emulator::shown<Fragments>(slots, column * 4 + k % 8 / 2);
      sum += half(left.a[row / 8 + k / 8 * 2], k) * half(right.b[k / 8], k);
    }
    d[i] += sum;
  }
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

#if !defined(RMR1_EMULATOR)
__device__ __forceinline__ uint32_t shared_address(const void* at) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(at));
}
#endif

// Four 8 × 8 matrices of 16-bit elements: lane l gives the address of row l % 8 of matrix l / 8, 16 bytes in shared
// memory, and gets of each matrix row l / 4 at columns l % 4 · 2 and the next.
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], const void* row) {
#if defined(RMR1_EMULATOR)
  auto slots = emulator::exchange(row);
  int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; i++) {
    auto from = emulator::shown<const void*>(slots, i * 8 + lane / 4);
    std::memcpy(&to[i], static_cast<const char*>(from) + lane % 4 * 4, 4);
  }
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

// As load_matrices, of the transposes: a lane gets of each matrix column l / 4 at rows l % 4 · 2 and the next.
__device__ __forceinline__ void load_transposed(uint32_t (&to)[4], const void* row) {
#if defined(RMR1_EMULATOR)
  auto slots = emulator::exchange(row);
  int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; i++) {
    uint16_t pair[2];
    for (int j = 0; j < 2; j++) {
      auto from = emulator::shown<const void*>(slots, i * 8 + lane % 4 * 2 + j);
      std::memcpy(&pair[j], static_cast<const char*>(from) + lane / 4 * 2, 2);
    }
    to[i] = uint32_t(pair[0]) | uint32_t(pair[1]) << 16;
  }
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

// Begins to copy 16 bytes to shared memory, or zeros where not `valid`; both addresses are multiples of 16.
__device__ __forceinline__ void copy_async(void* to, const void* from, bool valid = true) {
#if defined(RMR1_EMULATOR)
  emulator::copy_later(to, valid ? from : nullptr);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
#endif
}

// Ends a group of copies.
__device__ __forceinline__ void close_copies() {
#if defined(RMR1_EMULATOR)
  emulator::close_copies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits for this thread's copies but those of the last `LEFT` groups. Other threads see them after a barrier.
template <int LEFT>
__device__ __forceinline__ void wait_copies() {
#if defined(RMR1_EMULATOR)
  emulator::finish_copies(LEFT);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
#endif
}
