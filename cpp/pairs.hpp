// The inputs of pairs of characters over one window (spec/mathematics.md: Pairs).
//
// The matrix with these inputs may have many rows, and a window reads few of them. So it is not
// packed: the kernels read and update its rows in the learner's arrays, where a row has the H numbers
// of each gate one after another. The gradients of the rows that a window reads are summed in rows
// of panels, in the order in which they were read first.
#pragma once

#include "kernels.hpp"
#include "layout.hpp"
#include "memory.hpp"

namespace {

using charloom::Pairs;

// The row of the pair of each character of a window, for some of the streams.
class PairRows {
 public:
  // Without pairs, it takes almost no memory.
  PairRows(const Pairs& pairs, int T_steps, int streams, int boundary)
      : pairs_(pairs),
        B_(streams),
        boundary_(boundary),
        ids_(on() ? static_cast<std::size_t>(T_steps + 1) * streams : 0) {
    if (!on() || !ok()) return;
    previous_ = ids_.take(B_);
    rows_ = ids_.take(std::ptrdiff_t(T_steps) * B_);
  }

  bool ok() const { return ids_.ok(); }
  bool on() const { return pairs_.count > 0; }

  // Read the last id of the streams from `first` on. `recent` has `length` ids of each stream.
  void set_recent(const std::int32_t* recent, int first, int length) {
    for (int s = 0; s < B_; ++s)
      previous_[s] = recent[std::ptrdiff_t(first + s) * length + length - 1];
  }
  // Write the id before step t of the streams from `first` on: one id of each stream.
  void get_recent(std::int32_t* recent, int first, const std::int32_t* x, int t) const {
    for (int s = 0; s < B_; ++s) recent[first + s] = before(x, t, s);
  }
  void forget_recent() {
    for (int s = 0; s < B_; ++s) previous_[s] = -1;
  }
  // Move the ids before step t to the place of those before step 0.
  void move_to_start(const std::int32_t* x, int t) {
    for (int s = 0; s < B_; ++s) previous_[s] = before(x, t, s);
  }

  // Find the rows of all steps of a window. Row t·B + s of x has the id of step t. The boundary of items
  // forgets the id before it, so it has no row.
  void look_up(const std::int32_t* x, int steps) {
    for (int t = 0; t < steps; ++t)
      for (int s = 0; s < B_; ++s) {
        const std::ptrdiff_t n = std::ptrdiff_t(t) * B_ + s;
        rows_[n] = x[n] == boundary_ ? -1 : pairs_.row(before(x, t, s), x[n]);
      }
  }
  // Return the row of the pair in row n of the window; -1 if it has none.
  std::int32_t row(std::ptrdiff_t n) const { return rows_[n]; }

 private:
  std::int32_t before(const std::int32_t* x, int t, int s) const {
    return t > 0 ? x[std::ptrdiff_t(t - 1) * B_ + s] : previous_[s];
  }

  const Pairs pairs_;
  int B_, boundary_;  // the boundary is -1 without items
  Memory<std::int32_t> ids_;
  std::int32_t* previous_ = nullptr;  // (B): the id before step 0 of each stream; -1 without one
  std::int32_t* rows_ = nullptr;      // (T·B)
};

// The sums of the gradients of the rows that the streams of one part read in a window.
template <typename T>
class RowGradients {
 public:
  // At most `most` of `count` rows are read in a window. A row has `depth` elements.
  RowGradients(int count, std::ptrdiff_t most, std::ptrdiff_t depth)
      : depth_(depth),
        numbers_(static_cast<std::size_t>(count) + static_cast<std::size_t>(most)),
        sums_(static_cast<std::size_t>(most) * static_cast<std::size_t>(depth)) {
    if (!ok()) return;
    places_ = numbers_.take(count);
    rows_ = numbers_.take(most);
    values_ = sums_.take(most * depth);
    for (int row = 0; row < count; ++row) places_[row] = -1;
  }

  bool ok() const { return numbers_.ok() && sums_.ok(); }

  // Forget all rows. The time depends only on how many there are.
  void clear() {
    for (int i = 0; i < read_; ++i) places_[rows_[i]] = -1;
    read_ = 0;
  }
  // Return the sums of a row, which are 0 at first.
  T* of(std::int32_t row) {
    if (places_[row] < 0) {
      places_[row] = read_;
      rows_[read_] = row;
      std::memset(at(read_), 0, static_cast<std::size_t>(depth_) * sizeof(T));
      ++read_;
    }
    return at(places_[row]);
  }

  // The rows that were read, numbered in the order in which they were read first.
  int read() const { return read_; }
  std::int32_t row(int i) const { return rows_[i]; }
  T* at(int i) const { return values_ + i * depth_; }
  bool has(std::int32_t row) const { return places_[row] >= 0; }

 private:
  std::ptrdiff_t depth_;
  Memory<std::int32_t> numbers_;
  Memory<T> sums_;
  int read_ = 0;
  std::int32_t* places_ = nullptr;  // for each row of the matrix: its number here, or -1
  std::int32_t* rows_ = nullptr;    // the row of each number
  T* values_ = nullptr;
};

}  // namespace
