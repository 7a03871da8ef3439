// Aligned memory, divided into parts of whole vectors: zeroed and owned, or taken from a workspace.
#pragma once

#include <cstddef>
#include <cstring>

#include "kernels.hpp"
#include "pages.hpp"
#include "simd.hpp"

namespace {

template <typename T>
class Memory {
 public:
  explicit Memory(std::size_t elements) {
    const std::size_t bytes = elements * sizeof(T) + vector_bytes;
    own_ = next_ = static_cast<T*>(take_pages(bytes));
    ok_ = own_ != nullptr;
    if (ok_) std::memset(own_, 0, bytes);
  }
  // The memory has the contents that the previous user of the workspace left.
  Memory(const charloom::Workspace& workspace, int slot, std::size_t elements)
      : next_(static_cast<T*>(
            workspace.take(workspace.self, slot, elements * sizeof(T) + vector_bytes))),
        ok_(next_ != nullptr) {}
  ~Memory() { free_pages(own_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  bool ok() const { return ok_; }
  T* take(std::ptrdiff_t elements) {
    T* piece = next_;
    next_ += elements;
    return piece;
  }
  T* take_zeroed(std::ptrdiff_t elements) {
    T* piece = take(elements);
    std::memset(piece, 0, static_cast<std::size_t>(elements) * sizeof(T));
    return piece;
  }

 private:
  T* own_ = nullptr;
  T* next_ = nullptr;
  bool ok_ = false;
};

}  // namespace
