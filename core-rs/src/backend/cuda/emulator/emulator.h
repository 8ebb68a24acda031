// CUDA's language on the processor, for tests without a device. A thread of a block is a fiber; blocks run one after
// another. A barrier switches to the next fiber, whose order differs from launch to launch, so that a missing barrier
// changes results. A barrier that not all threads of a block or a warp reach, and memory that runs out, abort.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local
#define __align__(n) alignas(n)

struct uint3 { unsigned x, y, z; };
struct uint2 { unsigned x, y; };
struct uint4 { unsigned x, y, z, w; };
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace emulator {

constexpr int WARP = 32;
constexpr size_t STACK = 128 << 10;
constexpr int SLOT = 64;

enum State { RUNNABLE, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };

struct Fiber {
  void* stack_pointer;
  char* stack;
  State state;
#if !defined(__x86_64__)
  ucontext_t context;
#endif
};

// What lanes of a warp show each other; two sets, used in turn, so that one barrier an exchange is enough.
struct Warp {
  alignas(16) unsigned char slots[2][WARP][SLOT];
};

// A copy to shared memory that has been asked for.
struct Copy {
  void* to;
  const void* from;  // null: zeros
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<std::vector<std::vector<Copy>>> copies;  // of each thread: groups, the last one open
  std::vector<Warp> warps;
  std::vector<int> exchanges;  // of each thread so far
  int current;
  void* main_stack_pointer;
#if !defined(__x86_64__)
  ucontext_t main_context;
#endif
  void (*run)(void*);
  void* work;
  unsigned launches = 0;
};

inline thread_local Block block;
inline thread_local std::vector<unsigned char> dynamic_shared;
inline thread_local uint3 thread_index, block_index, block_size, grid_size;

[[noreturn]] static inline void fail(const char* what) {
  std::fprintf(stderr, "CUDA emulator: %s (block %u,%u,%u, thread %d)\n", what, block_index.x, block_index.y,
               block_index.z, block.current);
  std::abort();
}

#if defined(__x86_64__)
// Saves the callee-saved registers on the stack and goes on with another one.
__attribute__((naked, noinline)) static void switch_stack(void** /*from*/, void* /*to*/) {
  __asm__ volatile(
      "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
#endif

static inline void to_scheduler() {
  Fiber& fiber = block.fibers[block.current];
#if defined(__x86_64__)
  switch_stack(&fiber.stack_pointer, block.main_stack_pointer);
#else
  swapcontext(&fiber.context, &block.main_context);
#endif
}

static void begin() {
  block.run(block.work);
  block.fibers[block.current].state = DONE;
  to_scheduler();
}

static inline void resume(int thread) {
  block.current = thread;
  thread_index = {unsigned(thread), 0, 0};
  Fiber& fiber = block.fibers[thread];
#if defined(__x86_64__)
  switch_stack(&block.main_stack_pointer, fiber.stack_pointer);
#else
  swapcontext(&block.main_context, &fiber.context);
#endif
}

static inline void prepare(Fiber& fiber) {
  if (!fiber.stack) fiber.stack = static_cast<char*>(std::malloc(STACK));
  if (!fiber.stack) fail("no memory for a stack");
  fiber.state = RUNNABLE;
#if defined(__x86_64__)
  // The return address stands 8 below a multiple of 16, as a call leaves it.
  void** top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(fiber.stack) + STACK) & ~uintptr_t(15));
  top -= 1;
  *--top = reinterpret_cast<void*>(&begin);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  fiber.stack_pointer = top;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = STACK;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, begin, 0);
#endif
}

// Lets through who waits at a barrier that all have reached. Whether anybody was.
static inline bool release(int threads) {
  int waiting = 0, done = 0;
  for (int t = 0; t < threads; t++) {
    waiting += block.fibers[t].state == AT_BLOCK_BARRIER;
    done += block.fibers[t].state == DONE;
  }
  if (waiting == threads) {
    for (int t = 0; t < threads; t++) block.fibers[t].state = RUNNABLE;
    return true;
  }
  bool released = false;
  for (int first = 0; first < threads; first += WARP) {
    int lanes = threads - first < WARP ? threads - first : WARP, here = 0;
    for (int t = first; t < first + lanes; t++) here += block.fibers[t].state == AT_WARP_BARRIER;
    if (here < lanes) continue;
    for (int t = first; t < first + lanes; t++) block.fibers[t].state = RUNNABLE;
    released = true;
  }
  return released;
}

static inline void run_block(int threads) {
  if (int(block.fibers.size()) < threads) block.fibers.resize(threads);
  block.warps.resize((threads + WARP - 1) / WARP);
  block.exchanges.assign(threads, 0);
  block.copies.assign(threads, {{}});
  for (int t = 0; t < threads; t++) prepare(block.fibers[t]);
  // Any odd number has an inverse modulo a power of two; other counts run upwards or downwards.
  unsigned salt = block.launches * 2654435761u;
  for (;;) {
    bool ran = false;
    for (int i = 0; i < threads; i++) {
      int t = (threads & (threads - 1)) == 0 ? int((unsigned(i) * (salt | 1) + (salt >> 7)) & unsigned(threads - 1))
              : (salt & 1)                   ? threads - 1 - i
                                             : i;
      if (block.fibers[t].state != RUNNABLE) continue;
      resume(t);
      ran = true;
    }
    int done = 0;
    for (int t = 0; t < threads; t++) done += block.fibers[t].state == DONE;
    if (done == threads) return;
    if (!release(threads) && !ran) fail("a barrier that not all threads reach");
  }
}

static inline void wait(State at) {
  block.fibers[block.current].state = at;
  to_scheduler();
}

// Shows a value to the warp; gives the slots of all its lanes, which stay until the exchange after the next.
template <class T>
static inline const unsigned char (*exchange(const T& value))[SLOT] {
  static_assert(sizeof(T) <= SLOT, "a slot is too small");
  int thread = block.current;
  int set = block.exchanges[thread]++ & 1;
  Warp& warp = block.warps[thread / WARP];
  std::memcpy(warp.slots[set][thread % WARP], &value, sizeof(T));
  wait(AT_WARP_BARRIER);
  return warp.slots[set];
}

template <class T>
static inline T shown(const unsigned char (*slots)[SLOT], int lane) {
  T value;
  std::memcpy(&value, slots[lane & (WARP - 1)], sizeof(T));
  return value;
}

// Copies of 16 bytes happen when they are waited for, and not before.
static inline void copy_later(void* to, const void* from) {
  if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) & 15) fail("a copy that is not aligned");
  block.copies[block.current].back().push_back({to, from});
}
static inline void close_copies() { block.copies[block.current].emplace_back(); }
static inline void finish_copies(int groups_left) {
  auto& groups = block.copies[block.current];
  while (int(groups.size()) - 1 > groups_left) {
    for (const Copy& c : groups.front()) c.from ? std::memcpy(c.to, c.from, 16) : std::memset(c.to, 0, 16);
    groups.erase(groups.begin());
  }
}

template <class... A>
struct Call {
  void (*kernel)(A...);
  void** args;
  template <size_t... I>
  void go(std::index_sequence<I...>) {
    kernel(*static_cast<A*>(args[I])...);
  }
};

template <class... A>
static inline void launch(void (*kernel)(A...), const unsigned* grid, unsigned threads, unsigned shared, void** args,
                          unsigned count) {
  if (count != sizeof...(A)) fail("a launch with another number of arguments than the kernel has");
  if (threads == 0 || threads > 1024) fail("a block of no threads or of more than 1,024");
  using C = Call<A...>;
  C call{kernel, args};
  block.work = &call;
  block.run = [](void* work) { static_cast<C*>(work)->go(std::index_sequence_for<A...>()); };
  block.launches++;
  block_size = {threads, 1, 1};
  grid_size = {grid[0], grid[1], grid[2]};
  for (unsigned z = 0; z < grid[2]; z++)
    for (unsigned y = 0; y < grid[1]; y++)
      for (unsigned x = 0; x < grid[0]; x++) {
        block_index = {x, y, z};
        // All ones are NaN in every format: what is read before it is written shows.
        dynamic_shared.assign(size_t(shared) + 16, 0xff);
        run_block(int(threads));
      }
}

}  // namespace emulator

#define threadIdx emulator::thread_index
#define blockIdx emulator::block_index
#define blockDim emulator::block_size
#define gridDim emulator::grid_size

#define DYNAMIC_SHARED(type, name)                              \
  type* name = reinterpret_cast<type*>(                         \
      (reinterpret_cast<uintptr_t>(emulator::dynamic_shared.data()) + 15) & ~uintptr_t(15))

// After each kernel: what the tests call it through.
#define EXPORT(name)                                                                                      \
  extern "C" void emulated_##name(const unsigned* grid, unsigned threads, unsigned shared, void** args,   \
                                  unsigned count) {                                                       \
    emulator::launch(name, grid, threads, shared, args, count);                                           \
  }

static inline void __syncthreads() { emulator::wait(emulator::AT_BLOCK_BARRIER); }
static inline void __syncwarp(unsigned = ~0u) { emulator::exchange(0); }

template <class T>
static inline T __shfl_sync(unsigned, T value, int lane) {
  return emulator::shown<T>(emulator::exchange(value), lane);
}
template <class T>
static inline T __shfl_xor_sync(unsigned, T value, int mask) {
  int lane = emulator::block.current % emulator::WARP;
  return emulator::shown<T>(emulator::exchange(value), lane ^ mask);
}
template <class T>
static inline T __shfl_down_sync(unsigned, T value, int delta) {
  int lane = emulator::block.current % emulator::WARP;
  auto slots = emulator::exchange(value);
  return lane + delta < emulator::WARP ? emulator::shown<T>(slots, lane + delta) : value;
}
template <class T>
static inline T __shfl_up_sync(unsigned, T value, int delta) {
  int lane = emulator::block.current % emulator::WARP;
  auto slots = emulator::exchange(value);
  return lane >= delta ? emulator::shown<T>(slots, lane - delta) : value;
}
static inline unsigned __ballot_sync(unsigned, int predicate) {
  auto slots = emulator::exchange(predicate);
  unsigned mask = 0;
  for (int lane = 0; lane < emulator::WARP; lane++) mask |= unsigned(emulator::shown<int>(slots, lane) != 0) << lane;
  return mask;
}

static inline float __uint_as_float(unsigned x) { float y; std::memcpy(&y, &x, 4); return y; }
static inline unsigned __float_as_uint(float x) { unsigned y; std::memcpy(&y, &x, 4); return y; }
static inline float __int_as_float(int x) { return __uint_as_float(unsigned(x)); }
static inline int __float_as_int(float x) { return int(__float_as_uint(x)); }
static inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
static inline void sincospi(double x, double* sine, double* cosine) {
  double angle = std::fmod(x, 2.0) * 3.14159265358979323846;
  *sine = std::sin(angle);
  *cosine = std::cos(angle);
}
template <class T>
static inline T __ldg(const T* at) { return *at; }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
static inline long long min(long long a, long long b) { return a < b ? a : b; }
static inline long long max(long long a, long long b) { return a > b ? a : b; }
