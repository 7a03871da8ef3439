// Where the streams of a window begin a new item, and the states that are put aside there
// (spec/mathematics.md: Items).
//
// A row of a layer's states is both the state after one step and the state before the next. If a stream
// begins an item, the first must stay, because other layers and the logits read it, and the second must be
// zero. So the kernels put such rows aside while they need zeros there, and put them back afterwards.
// Without a boundary of items, nothing is stored and no window is searched.
#pragma once

#include <cstring>

#include "kernels.hpp"
#include "memory.hpp"
#include "simd.hpp"

namespace {

template <typename T>
class ItemResets {
 public:
  static constexpr int lanes = Simd<T>::lanes;

  // Up to `rows` rows of a layer's states can be put aside at once; Hp is the padded number of units.
  ItemResets(const charloom::Shape& shape, int T_steps, int B, std::ptrdiff_t rows, std::ptrdiff_t Hp)
      : boundary_(shape.boundary),
        B_(B),
        Hp_(Hp),
        places_(on() ? static_cast<std::size_t>(T_steps) * B + T_steps + 2 : 0),
        states_(on() ? static_cast<std::size_t>(2 * rows * Hp) : 0) {
    if (!on() || !ok()) return;
    first_ = places_.take(T_steps + 2);
    rows_ = places_.take(std::ptrdiff_t(T_steps) * B);
    h_ = states_.take(rows * Hp);
    cell_ = states_.take(rows * Hp);
  }

  bool ok() const { return places_.ok() && states_.ok(); }
  bool on() const { return boundary_ >= 0; }
  std::int32_t boundary() const { return boundary_; }

  // Find where the streams begin an item in a window. Row t·B + s of x has the id of step t and stream s.
  void find(const std::int32_t* x, int steps) {
    std::int32_t found = 0;
    for (int t = 0; t < steps; ++t) {
      first_[t] = found;
      for (int s = 0; s < B_; ++s) {
        const std::int32_t n = t * B_ + s;
        if (x[n] == boundary_) rows_[found++] = n;
      }
    }
    first_[steps] = first_[steps + 1] = found;
  }

  // Return whether any stream begins an item at step t; the step after the last one begins none.
  bool any(int t) const { return on() && first_[t] < first_[t + 1]; }

  // Call f(row) for each row of the steps from `start` to before `end` in which a stream begins an item.
  template <typename F>
  CHARLOOM_INLINE void each(int start, int end, F f) const {
    for (std::int32_t i = first_[start]; i < first_[end]; ++i) f(rows_[i]);
  }

  // Put aside the states before these steps where a stream begins an item, and set them to zero. `h` and
  // `cell` have panels of `rows` rows of one vector; `cell` may be null.
  void put_aside(int start, int end, T* h, T* cell, std::ptrdiff_t rows) {
    each_vector(start, end, rows, [&](std::ptrdiff_t there, std::ptrdiff_t here) CHARLOOM_LAMBDA {
      store<T>(h_ + here, load<T>(h + there));
      store<T>(h + there, Vec<T>{});
      if (cell == nullptr) return;
      store<T>(cell_ + here, load<T>(cell + there));
      store<T>(cell + there, Vec<T>{});
    });
  }
  void put_back(int start, int end, T* h, T* cell, std::ptrdiff_t rows) const {
    each_vector(start, end, rows, [&](std::ptrdiff_t there, std::ptrdiff_t here) CHARLOOM_LAMBDA {
      store<T>(h + there, load<T>(h_ + here));
      if (cell != nullptr) store<T>(cell + there, load<T>(cell_ + here));
    });
  }
  // Set states to zero where a stream begins an item, for good.
  void clear(int start, int end, T* h, T* cell, std::ptrdiff_t rows) const {
    each_vector(start, end, rows, [&](std::ptrdiff_t there, std::ptrdiff_t) CHARLOOM_LAMBDA {
      store<T>(h + there, Vec<T>{});
      if (cell != nullptr) store<T>(cell + there, Vec<T>{});
    });
  }

  // Set to -1 all ids before the last boundary among the `count` ids that a stream read last.
  void forget_earlier(std::int32_t* ids, int count) const {
    bool earlier = false;
    for (int i = count - 1; on() && i >= 0; --i) {
      if (earlier) ids[i] = -1;
      earlier = earlier || ids[i] == boundary_;
    }
  }

 private:
  // Call f(place in the panels, place in the memory of this object) for each vector of each such row.
  template <typename F>
  CHARLOOM_INLINE void each_vector(int start, int end, std::ptrdiff_t rows, F f) const {
    std::ptrdiff_t here = 0;
    each(start, end, [&](std::ptrdiff_t n) CHARLOOM_LAMBDA {
      for (std::ptrdiff_t group = 0; group < Hp_ / lanes; ++group, here += lanes)
        f((group * rows + n) * lanes, here);
    });
  }

  const std::int32_t boundary_;  // -1 without items
  const int B_;
  const std::ptrdiff_t Hp_;
  Memory<std::int32_t> places_;
  Memory<T> states_;
  std::int32_t* first_ = nullptr;  // (T+2): for each step, the number of rows of earlier steps
  std::int32_t* rows_ = nullptr;   // the rows in which a stream begins an item, ascending
  T *h_ = nullptr, *cell_ = nullptr;
};

}  // namespace
