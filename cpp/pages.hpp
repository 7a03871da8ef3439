// Memory from the system, aligned to whole vectors, in large pages where there are any.
#pragma once

#include <cstddef>
#include <cstdlib>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

// At least so many bytes, or null; std::free gives them back. Large pages spare the processor most of its
// address look-ups, and let it read ahead further.
inline void* take_pages(std::size_t bytes) {
  constexpr std::size_t large_page = std::size_t(2) << 20;
  const bool large = bytes >= large_page;
  void* at = nullptr;
  if (posix_memalign(&at, large ? large_page : 64, bytes) != 0) return nullptr;
#if defined(__linux__)
  if (large) madvise(at, bytes, MADV_HUGEPAGE);
#endif
  return at;
}

}  // namespace
