// Aligned memory, zeroed, divided into parts of whole vectors.
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
    if (ok()) std::memset(own_, 0, bytes);
  }
  ~Memory() { free_pages(own_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  bool ok() const { return own_ != nullptr; }
  T* take(std::ptrdiff_t elements) {
    T* piece = next_;
    next_ += elements;
    return piece;
  }

 private:
  T* own_ = nullptr;
  T* next_ = nullptr;
};

}  // namespace
