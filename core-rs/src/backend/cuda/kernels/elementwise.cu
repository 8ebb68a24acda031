// Operations on elements, RUN a thread.
#include "elements.cuh"

// to = from · factor, rounded
extern "C" __global__ void __launch_bounds__(256)
round_to(const float* from, float factor, ACTIVATION* to, long long n) {
  long long i = run_start();
  float x[RUN];
  read_run(from, i, n, x);
  for (int j = 0; j < RUN; j++) x[j] *= factor;
  write_run(to, i, n, x);
}
EXPORT(round_to)

// out = silu(gate) · up
extern "C" __global__ void __launch_bounds__(256)
swiglu(const ACTIVATION* gate, const ACTIVATION* up, ACTIVATION* out, long long n) {
  long long i = run_start();
  float g[RUN], u[RUN];
  read_run(gate, i, n, g);
  read_run(up, i, n, u);
  for (int j = 0; j < RUN; j++) u[j] = g[j] / (1.0f + expf(-g[j])) * u[j];
  write_run(out, i, n, u);
}
EXPORT(swiglu)

// Replaces gate and up by their gradients.
extern "C" __global__ void __launch_bounds__(256)
swiglu_backward(ACTIVATION* gate, ACTIVATION* up, const float* d_out, long long n) {
  long long i = run_start();
  float g[RUN], u[RUN], d[RUN];
  read_run(gate, i, n, g);
  read_run(up, i, n, u);
  read_run(d_out, i, n, d);
  for (int j = 0; j < RUN; j++) {
    float sigmoid = 1.0f / (1.0f + expf(-g[j]));
    float slope = d[j] * u[j] * sigmoid * (1.0f + g[j] * (1.0f - sigmoid));
    u[j] = d[j] * g[j] * sigmoid;
    g[j] = slope;
  }
  write_run(gate, i, n, g);
  write_run(up, i, n, u);
}
EXPORT(swiglu_backward)

template <class T>
__device__ __forceinline__ void bias_added(const float* bias, T* y, int width, long long n) {
  long long i = run_start();
  float x[RUN];
  read_run(y, i, n, x);
  for (int j = 0; j < RUN; j++) x[j] += bias[(i + j) % width];
  write_run(y, i, n, x);
}

// y += bias, in each row
extern "C" __global__ void __launch_bounds__(256)
add_bias(const float* bias, ACTIVATION* y, int width, long long n) {
  bias_added(bias, y, width, n);
}
EXPORT(add_bias)

extern "C" __global__ void __launch_bounds__(256)
add_bias_full(const float* bias, float* y, int width, long long n) {
  bias_added(bias, y, width, n);
}
EXPORT(add_bias_full)

// Cosines and sines of position · turns · π, scaled; a thread a position and frequency. `turns` are frequencies
// divided by π, so that the reduction of large angles is exact.
extern "C" __global__ void __launch_bounds__(256)
rotations(const uint32_t* positions, const double* turns, double scale, int half, float* cosines, float* sines,
          long long n) {
  long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= n) return;
  double sine, cosine;
  sincospi(positions[i / half] * turns[i % half], &sine, &cosine);
  cosines[i] = float(cosine * scale);
  sines[i] = float(sine * scale);
}
EXPORT(rotations)

// Rotates element i of a head with i + half; a thread a pair. `sign` is that of the angles.
extern "C" __global__ void __launch_bounds__(256)
rope(ACTIVATION* x, const float* cosines, const float* sines, int heads, int half, float sign, long long pairs) {
  long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= pairs) return;
  long long head = i / half, angle = head / heads * half + i % half;
  ACTIVATION* low = x + head * 2 * half + i % half;
  float a = load(low[0]), b = load(low[half]), cosine = cosines[angle], sine = sign * sines[angle];
  low[0] = rounded<ACTIVATION>(a * cosine - b * sine);
  low[half] = rounded<ACTIVATION>(b * cosine + a * sine);
}
EXPORT(rope)
