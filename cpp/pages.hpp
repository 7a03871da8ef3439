// Memory from the system, aligned to whole vectors, in large pages if the system has them.
#pragma once

#include <cstddef>
#include <cstdlib>
#if defined(_WIN32)
#include <malloc.h>
#elif defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

// Return at least `bytes` bytes, or null; free them with free_pages. With large pages the processor
// needs fewer address look-ups and can prefetch further.
inline void* take_pages(std::size_t bytes) {
#if defined(_WIN32)
  return _aligned_malloc(bytes, 64);
#else
  constexpr std::size_t large_page = std::size_t(2) << 20;
  const bool large = bytes >= large_page;
  void* at = nullptr;
  if (posix_memalign(&at, large ? large_page : 64, bytes) != 0) return nullptr;
#if defined(__linux__)
  if (large) madvise(at, bytes, MADV_HUGEPAGE);
#endif
  return at;
#endif
}

inline void free_pages(void* at) {
#if defined(_WIN32)
  _aligned_free(at);
#else
  std::free(at);
#endif
}

}  // namespace
