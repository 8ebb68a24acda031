// A driver without a device: memory is the host's, and work on a stream is put off until somebody waits for it, so that
// whatever is freed or overwritten too early shows. The functions that begin with "fake_" are the tests' own.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace {
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700,
       CAPTURE_UNSUPPORTED = 900 };
using Work = std::function<void()>;

struct Stream {
  std::vector<Work> work;
  // Pieces of work that have been done.
  size_t done = 0;
  bool capturing = false;
};
struct Event {
  Stream* stream = nullptr;
  // Pieces of work before it, those that have been done included.
  size_t after = 0;
};
struct Function {
  std::string name;
  int dynamic_shared = 48 << 10;
};
using Graph = std::vector<Work>;

std::map<uint64_t, size_t> allocated;
size_t capacity = size_t(1) << 30, reserved = 0;
int devices = 1, capability_major = 9, version = 13000, failure = SUCCESS, raised = 0;
long misuse = 0;

// The error of a lost device, which every call gives.
int lost = SUCCESS;

size_t in_use() {
  size_t sum = 0;
  for (auto& [at, bytes] : allocated) sum += bytes;
  return sum;
}
bool within(uint64_t at, size_t bytes) {
  auto next = allocated.upper_bound(at);
  if (next == allocated.begin()) return false;
  auto [from, size] = *--next;
  return at + bytes <= from + size;
}
void touch(uint64_t at, size_t bytes) {
  if (!within(at, bytes)) misuse++;
}
// Does the first pieces of a stream's work.
int run(Stream* stream, size_t count) {
  if (lost) return lost;
  if (stream->capturing) return CAPTURE_UNSUPPORTED;
  if (count && failure) return lost = failure;
  for (size_t i = 0; i < count; i++) stream->work[i]();
  stream->work.erase(stream->work.begin(), stream->work.begin() + count);
  stream->done += count;
  return SUCCESS;
}
int put(Stream* stream, Work work) {
  if (lost) return lost;
  stream->work.push_back(std::move(work));
  return SUCCESS;
}
}  // namespace

extern "C" {
void fake_devices(int count, int major) { devices = count, capability_major = major; }
void fake_version(int number) { version = number; }
void fake_capacity(size_t bytes) { capacity = bytes; }
void fake_reserve(size_t bytes) { reserved = bytes; }
// The next work that is waited for ends with this error.
void fake_failure(int code) { failure = code; }
// A new process, so to speak.
void fake_recover() { failure = lost = SUCCESS, reserved = 0, misuse = 0, allocated.clear(); }
size_t fake_in_use() { return in_use(); }
// Reads and writes outside of what is allocated, and memory freed twice.
long fake_misuse() { return misuse; }
int fake_raised() { return raised; }

int cuInit(unsigned) { return devices ? SUCCESS : NO_DEVICE; }
int cuDriverGetVersion(int* number) { return *number = version, SUCCESS; }
int cuDeviceGetCount(int* count) { return *count = devices, SUCCESS; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, SUCCESS; }
int cuDeviceGetName(char* name, int length, int) { return strncpy(name, "Fake", length), SUCCESS; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = capacity, SUCCESS; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 75 ? capability_major : attribute == 76 ? 0 : attribute == 16 ? 132 : attribute == 97 ? 232448 : 0;
  return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void** context, int) { return *context = &devices, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void*) { return SUCCESS; }

int cuStreamCreate(Stream** stream, unsigned) { return *stream = new Stream, SUCCESS; }
int cuStreamDestroy_v2(Stream* stream) { return delete stream, SUCCESS; }
int cuStreamSynchronize(Stream* stream) { return run(stream, stream->work.size()); }

int cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = &capacity, SUCCESS; }
int cuMemPoolSetAttribute(void*, int, void*) { return SUCCESS; }
int cuMemPoolGetAttribute(void*, int attribute, void* value) {
  // CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT and CU_MEMPOOL_ATTR_USED_MEM_CURRENT.
  *static_cast<uint64_t*>(value) = in_use() + (attribute == 5 ? reserved : 0);
  return SUCCESS;
}
int cuMemPoolTrimTo(void*, size_t) { return reserved = 0, SUCCESS; }
int cuDeviceGraphMemTrim(int) { return SUCCESS; }
int cuMemGetInfo_v2(size_t* free, size_t* total) {
  return *free = capacity - in_use() - reserved, *total = capacity, SUCCESS;
}
int cuMemAllocAsync(uint64_t* at, size_t bytes, Stream* stream) {
  if (lost) return lost;
  if (stream->capturing) return CAPTURE_UNSUPPORTED;
  if (in_use() + reserved + bytes > capacity) return OUT_OF_MEMORY;
  void* memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset(memory, 0xff, bytes);
  allocated[*at = reinterpret_cast<uint64_t>(memory)] = bytes;
  return SUCCESS;
}
int cuMemFreeAsync(uint64_t at, Stream* stream) {
  if (stream->capturing) return CAPTURE_UNSUPPORTED;
  return put(stream, [at] {
    if (!allocated.erase(at)) misuse++;
    else free(reinterpret_cast<void*>(at));
  });
}
int cuMemHostAlloc(void** memory, size_t bytes, unsigned) { return *memory = malloc(bytes), SUCCESS; }
int cuMemFreeHost(void* memory) { return free(memory), SUCCESS; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, Stream* stream) {
  return put(stream, [=] { touch(to, bytes), memcpy(reinterpret_cast<void*>(to), from, bytes); });
}
int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, Stream* stream) {
  return put(stream, [=] { touch(from, bytes), memcpy(to, reinterpret_cast<void*>(from), bytes); });
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream* stream) {
  return put(stream, [=] {
    touch(from, bytes), touch(to, bytes);
    memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
  });
}
int cuMemsetD8Async(uint64_t at, unsigned char value, size_t bytes, Stream* stream) {
  return put(stream, [=] { touch(at, bytes), memset(reinterpret_cast<void*>(at), value, bytes); });
}
int cuMemsetD2D8Async(uint64_t at, size_t pitch, unsigned char value, size_t width, size_t height, Stream* stream) {
  for (size_t row = 0; row < height; row++) {
    if (int code = cuMemsetD8Async(at + row * pitch, value, width, stream)) return code;
  }
  return SUCCESS;
}

int cuEventCreate(Event** event, unsigned) { return *event = new Event, SUCCESS; }
int cuEventDestroy_v2(Event* event) { return delete event, SUCCESS; }
int cuEventRecord(Event* event, Stream* stream) {
  return *event = {stream, stream->done + stream->work.size()}, SUCCESS;
}
int cuEventSynchronize(Event* event) {
  if (!event->stream || event->after <= event->stream->done) return SUCCESS;
  return run(event->stream, event->after - event->stream->done);
}

int cuModuleLoadData(void** module, const void*) { return *module = &version, SUCCESS; }
int cuModuleUnload(void*) { return SUCCESS; }
int cuModuleGetFunction(Function** function, void*, const char* name) {
  if (strcmp(name, "rms_norm")) return NOT_FOUND;
  return *function = new Function{name}, SUCCESS;
}
int cuFuncGetAttribute(int* value, int, Function*) { return *value = 32, SUCCESS; }
int cuFuncSetAttribute(Function* function, int, int value) {
  return raised++, function->dynamic_shared = value, SUCCESS;
}
int cuFuncGetParamInfo(Function*, size_t index, size_t* offset, size_t* bytes) {
  return *offset = 8 * index, *bytes = 8, index < 3 ? SUCCESS : INVALID_VALUE;
}
// Whatever its name, the kernel does y[i] = x[i] + blocks for the count that its third argument is.
int cuLaunchKernel(Function* function, unsigned x, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned shared,
                   Stream* stream, void** args, void**) {
  if (shared > unsigned(function->dynamic_shared)) return INVALID_VALUE;
  auto from = *static_cast<uint64_t*>(args[0]), to = *static_cast<uint64_t*>(args[1]);
  auto count = *static_cast<uint32_t*>(args[2]);
  return put(stream, [=] {
    touch(from, 4 * count), touch(to, 4 * count);
    for (uint32_t i = 0; i < count; i++) {
      reinterpret_cast<float*>(to)[i] = reinterpret_cast<float*>(from)[i] + float(x);
    }
  });
}

int cuStreamBeginCapture_v2(Stream* stream, int) { return stream->capturing = true, SUCCESS; }
int cuStreamEndCapture(Stream* stream, Graph** graph) {
  *graph = new Graph(std::move(stream->work));
  stream->work.clear();
  return stream->capturing = false, SUCCESS;
}
int cuGraphInstantiateWithFlags(Graph** made, Graph* graph, unsigned long long) { return *made = new Graph(*graph), SUCCESS; }
int cuGraphDestroy(Graph* graph) { return delete graph, SUCCESS; }
int cuGraphExecDestroy(Graph* graph) { return delete graph, SUCCESS; }
int cuGraphLaunch(Graph* graph, Stream* stream) {
  for (auto& work : *graph) put(stream, work);
  return lost;
}
}
