// Norms of rows and of heads, and sums over rows.
#include "elements.cuh"

constexpr int THREADS = 256;

// y = x · rstd · weight with rstd = 1/√(mean(x²) + epsilon); a block a row.
extern "C" __global__ void __launch_bounds__(THREADS)
rms_norm(const float* x, const float* weight, float epsilon, int width, ACTIVATION* y, float* rstd) {
  __shared__ float scratch[THREADS / 32];
  long long row = blockIdx.x;
  x += row * width;
  y += row * width;
  float squares = 0;
  for (int i = threadIdx.x * RUN; i < width; i += THREADS * RUN) {
    float v[RUN];
    read_run(x, i, width, v);
    for (int j = 0; j < RUN; j++) squares = fmaf(v[j], v[j], squares);
  }
  squares = block_sum(squares, scratch);
  float r = 1.0f / sqrtf(squares / width + epsilon);
  for (int i = threadIdx.x * RUN; i < width; i += THREADS * RUN) {
    float v[RUN], w[RUN];
    read_run(x, i, width, v);
    read_run(weight, i, width, w);
    for (int j = 0; j < RUN; j++) v[j] = v[j] * r * w[j];
    write_run(y, i, width, v);
  }
  if (threadIdx.x == 0) rstd[row] = r;
}
EXPORT(rms_norm)

// d_x += dL/dx; a block a row.
extern "C" __global__ void __launch_bounds__(THREADS)
rms_norm_backward(const float* x, const float* weight, const float* rstd, const float* d_y, int width, float* d_x) {
  __shared__ float scratch[THREADS / 32];
  long long row = blockIdx.x;
  x += row * width;
  d_y += row * width;
  d_x += row * width;
  float dot = 0;
  for (int i = threadIdx.x * RUN; i < width; i += THREADS * RUN) {
    float v[RUN], w[RUN], d[RUN];
    read_run(x, i, width, v);
    read_run(weight, i, width, w);
    read_run(d_y, i, width, d);
    for (int j = 0; j < RUN; j++) dot = fmaf(d[j] * w[j], v[j], dot);
  }
  dot = block_sum(dot, scratch);
  float r = rstd[row], pull = dot * r * r / width;
  for (int i = threadIdx.x * RUN; i < width; i += THREADS * RUN) {
    float v[RUN], w[RUN], d[RUN], sum[RUN];
    read_run(x, i, width, v);
    read_run(weight, i, width, w);
    read_run(d_y, i, width, d);
    read_run(d_x, i, width, sum);
    for (int j = 0; j < RUN; j++) sum[j] += r * (d[j] * w[j] - v[j] * pull);
    write_run(d_x, i, width, sum);
  }
}
EXPORT(rms_norm_backward)

// As rms_norm for narrow rows: a warp a row.
extern "C" __global__ void __launch_bounds__(THREADS)
head_norm(const ACTIVATION* x, const float* weight, float epsilon, int width, ACTIVATION* y, float* rstd,
          long long rows) {
  long long row = (blockIdx.x * (long long)THREADS + threadIdx.x) / 32;
  if (row >= rows) return;
  int lane = threadIdx.x % 32;
  x += row * width;
  y += row * width;
  float squares = 0;
  for (int i = lane; i < width; i += 32) squares = fmaf(load(x[i]), load(x[i]), squares);
  float r = 1.0f / sqrtf(warp_sum(squares) / width + epsilon);
  for (int i = lane; i < width; i += 32) y[i] = rounded<ACTIVATION>(load(x[i]) * r * weight[i]);
  if (lane == 0) rstd[row] = r;
}
EXPORT(head_norm)

// Turns dL/dy in d into dL/dx; a warp a row.
extern "C" __global__ void __launch_bounds__(THREADS)
head_norm_backward(const ACTIVATION* x, const float* weight, const float* rstd, int width, ACTIVATION* d,
                   long long rows) {
  long long row = (blockIdx.x * (long long)THREADS + threadIdx.x) / 32;
  if (row >= rows) return;
  int lane = threadIdx.x % 32;
  x += row * width;
  d += row * width;
  float dot = 0;
  for (int i = lane; i < width; i += 32) dot = fmaf(load(d[i]) * weight[i], load(x[i]), dot);
  float r = rstd[row], pull = warp_sum(dot) * r * r / width;
  for (int i = lane; i < width; i += 32) d[i] = rounded<ACTIVATION>(r * (load(d[i]) * weight[i] - load(x[i]) * pull));
}
EXPORT(head_norm_backward)

// Sums over spans of rows, a thread a column: partial[span][column]. Rows are added in ascending order.
template <class X, class D>
__device__ __forceinline__ void weight_sums(const X* x, const float* rstd, const D* d_y, int width, long long rows,
                                            long long span, float* partial) {
  int column = blockIdx.x * THREADS + threadIdx.x;
  if (column >= width) return;
  long long first = blockIdx.y * span, end = first + span < rows ? first + span : rows;
  float sum = 0;
#pragma unroll 4
  for (long long r = first; r < end; r++) {
    long long at = r * width + column;
    sum = fmaf(load(d_y[at]) * rstd[r], load(x[at]), sum);
  }
  partial[blockIdx.y * (long long)width + column] = sum;
}

// Of d_y · rstd · x, which are the gradients of a norm's weight.
extern "C" __global__ void __launch_bounds__(THREADS)
norm_weight_sums(const float* x, const float* rstd, const float* d_y, int width, long long rows, long long span,
                 float* partial) {
  weight_sums(x, rstd, d_y, width, rows, span, partial);
}
EXPORT(norm_weight_sums)

extern "C" __global__ void __launch_bounds__(THREADS)
head_weight_sums(const ACTIVATION* x, const float* rstd, const ACTIVATION* d_y, int width, long long rows,
                 long long span, float* partial) {
  weight_sums(x, rstd, d_y, width, rows, span, partial);
}
EXPORT(head_weight_sums)

// Of rows, which are the gradients of a bias.
extern "C" __global__ void __launch_bounds__(THREADS)
row_sums(const ACTIVATION* d_y, int width, long long rows, long long span, float* partial) {
  int column = blockIdx.x * THREADS + threadIdx.x;
  if (column >= width) return;
  long long first = blockIdx.y * span, end = first + span < rows ? first + span : rows;
  float sum = 0;
#pragma unroll 4
  for (long long r = first; r < end; r++) sum += load(d_y[r * width + column]);
  partial[blockIdx.y * (long long)width + column] = sum;
}
EXPORT(row_sums)

// to[column] += Σ partial[span][column], in ascending order.
extern "C" __global__ void __launch_bounds__(THREADS)
add_sums(const float* partial, int width, int spans, float* to) {
  int column = blockIdx.x * THREADS + threadIdx.x;
  if (column >= width) return;
  float sum = 0;
  for (int s = 0; s < spans; s++) sum += partial[s * (long long)width + column];
  to[column] += sum;
}
EXPORT(add_sums)
