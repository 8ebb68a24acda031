// cuBLASLt without a device: products are multiplied at once, in memory of the host, by the definition of its matrices
// (column by column). A description that the backend must not give is refused.
#include <cstdint>
#include <cstring>
#include <new>

namespace {
enum { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum { R_32F = 0, R_16BF = 14, COMPUTE_32F = 68 };
const uint64_t CHOSEN = 0x1234;
long open_objects = 0, asked = 0;

struct Operation {
  int32_t transposed[2];
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t leading;
};
struct Preference {
  uint64_t workspace;
  uint32_t schemes, alignments[4];
};
struct Heuristic {
  uint64_t algorithm[8];
  size_t workspace;
  uint32_t status;
  float waves;
  int reserved[4];
};

float get(const void* data, const Layout* layout, int64_t row, int64_t column) {
  int64_t at = row + column * layout->leading;
  if (layout->type == R_32F) return static_cast<const float*>(data)[at];
  uint32_t bits = uint32_t(static_cast<const uint16_t*>(data)[at]) << 16;
  float value;
  return memcpy(&value, &bits, 4), value;
}
void put(void* data, const Layout* layout, int64_t row, int64_t column, float value) {
  int64_t at = row + column * layout->leading;
  if (layout->type == R_32F) {
    static_cast<float*>(data)[at] = value;
  } else {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    static_cast<uint16_t*>(data)[at] = bits >> 16;
  }
}
template <class T>
uint32_t make(T** object, T value) {
  return open_objects++, *object = new T(value), SUCCESS;
}
template <class T>
uint32_t discard(T* object) {
  return open_objects--, delete object, SUCCESS;
}
}  // namespace

extern "C" {
long fake_open_objects() { return open_objects; }
// How often an algorithm was asked for.
long fake_asked() { return asked; }

size_t cublasLtGetCudartVersion() { return 13000; }
const char* cublasLtGetStatusName(uint32_t status) { return status == NOT_SUPPORTED ? "NOT_SUPPORTED" : "INVALID_VALUE"; }
uint32_t cublasLtCreate(int** handle) { return make(handle, 0); }
uint32_t cublasLtDestroy(int* handle) { return discard(handle); }
uint32_t cublasLtMatmulDescCreate(Operation** operation, int compute, int scale) {
  if (compute != COMPUTE_32F || scale != R_32F) return INVALID_VALUE;
  return make(operation, Operation{{0, 0}});
}
uint32_t cublasLtMatmulDescDestroy(Operation* operation) { return discard(operation); }
uint32_t cublasLtMatmulDescSetAttribute(Operation* operation, int attribute, const void* value, size_t bytes) {
  // CUBLASLT_MATMUL_DESC_TRANSA and CUBLASLT_MATMUL_DESC_TRANSB.
  if ((attribute != 3 && attribute != 4) || bytes != 4) return INVALID_VALUE;
  return memcpy(&operation->transposed[attribute - 3], value, 4), SUCCESS;
}
uint32_t cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t columns, int64_t leading) {
  if (leading < int64_t(rows)) return INVALID_VALUE;
  return make(layout, Layout{type, rows, columns, leading});
}
uint32_t cublasLtMatrixLayoutDestroy(Layout* layout) { return discard(layout); }
uint32_t cublasLtMatmulPreferenceCreate(Preference** preference) { return make(preference, Preference{}); }
uint32_t cublasLtMatmulPreferenceDestroy(Preference* preference) { return discard(preference); }
uint32_t cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value, size_t bytes) {
  // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, …_REDUCTION_SCHEME_MASK, …_MIN_ALIGNMENT_A_BYTES and on to D.
  if (attribute == 1 && bytes == 8) return memcpy(&preference->workspace, value, 8), SUCCESS;
  if (attribute == 3 && bytes == 4) return memcpy(&preference->schemes, value, 4), SUCCESS;
  if (attribute < 5 || attribute > 8 || bytes != 4) return INVALID_VALUE;
  return memcpy(&preference->alignments[attribute - 5], value, 4), SUCCESS;
}
uint32_t cublasLtMatmulAlgoGetHeuristic(int*, Operation*, Layout* a, Layout* b, Layout* c, Layout* d,
                                        Preference* preference, int most, Heuristic* found, int* count) {
  asked++;
  // CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE alone: the others depend on an order or round in between.
  bool fixed = preference->schemes == 2 && preference->workspace > 0 && most == 1 && c == d;
  for (uint32_t alignment : preference->alignments) fixed = fixed && alignment > 0;
  if (!fixed || a->type != b->type) return INVALID_VALUE;
  // No product of f32 gives bf16.
  if (a->type == R_32F && c->type == R_16BF) return *count = 0, SUCCESS;
  *found = Heuristic{};
  found->algorithm[0] = CHOSEN;
  return *count = 1, SUCCESS;
}
uint32_t cublasLtMatmul(int*, Operation* operation, const float* alpha, const void* a, Layout* left, const void* b,
                        Layout* right, const float* beta, const void* c, Layout* before, void* d, Layout* result,
                        const uint64_t* algorithm, void* workspace, size_t bytes, void* stream) {
  auto [ta, tb] = operation->transposed;
  uint64_t depth = ta ? left->rows : left->columns;
  bool fits = (ta ? left->columns : left->rows) == result->rows && (tb ? right->rows : right->columns) == result->columns &&
              (tb ? right->columns : right->rows) == depth;
  if (!fits || algorithm[0] != CHOSEN || !workspace || !bytes || !stream || c != d || before != result) return INVALID_VALUE;
  for (uint64_t i = 0; i < result->rows; i++) {
    for (uint64_t j = 0; j < result->columns; j++) {
      float sum = 0;
      for (uint64_t l = 0; l < depth; l++) {
        sum += get(a, left, ta ? l : i, ta ? i : l) * get(b, right, tb ? j : l, tb ? l : j);
      }
      put(d, result, i, j, *alpha * sum + (*beta != 0 ? *beta * get(c, before, i, j) : 0));
    }
  }
  return SUCCESS;
}
}
