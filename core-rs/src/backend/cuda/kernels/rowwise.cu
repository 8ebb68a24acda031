// Operations on rows: norms.
#include "device.cuh"

// y = x · rstd · weight with rstd = 1/√(mean(x²) + epsilon); a block a row, of 256 threads.
extern "C" __global__ void __launch_bounds__(256)
rms_norm(const float* x, const float* weight, float epsilon, int width, ACTIVATION* y, float* rstd) {
  __shared__ float scratch[8];
  long long row = blockIdx.x;
  x += row * width;
  y += row * width;
  float squares = 0;
  for (int i = threadIdx.x; i < width; i += blockDim.x) squares = fmaf(x[i], x[i], squares);
  squares = block_sum(squares, scratch);
  float r = 1.0f / sqrtf(squares / width + epsilon);
  for (int i = threadIdx.x; i < width; i += blockDim.x) y[i] = rounded<ACTIVATION>(x[i] * r * weight[i]);
  if (threadIdx.x == 0) rstd[row] = r;
}
EXPORT(rms_norm)
