// Updates of the rows of a matrix that a window reads, and of no other row (spec/mathematics.md:
// Pairs). Except for averages, the time does not depend on how many rows there are.
#pragma once

#include <cstring>

#include "gradient_sums.hpp"
#include "optimizers.hpp"
#include "pairs.hpp"

namespace {

// The matrix and its slots have the layout of the learner, the gradients of its rows are in panels.
// Each part of a window has gradients of its own. Row r belongs to part r modulo the number of parts,
// which sums its gradients and updates it.
template <typename T>
class RowUpdates {
 public:
  static constexpr int most_parts = 256;

  // Without pairs, it takes almost no memory.
  RowUpdates(const PanelLayout<T>& layout, const charloom::Descent& descent, int parts)
      : layout_(layout),
        descent_(descent),
        slots_(descent.rule_slots()),
        parts_(parts),
        memory_(layout.shape.pairs ? static_cast<std::size_t>(parts * size()) : 0) {
    if (ok() && layout.shape.pairs) scratch_ = memory_.take(parts * size());
  }

  bool ok() const { return memory_.ok(); }
  // Set the gradients of one part, which must stay where they are.
  void set_gradients(int part, RowGradients<T>* gradients) { gradients_[part] = gradients; }

  // Sum the gradients of the rows of one part. Return the sum of the squares.
  double sum(int part) const {
    double squares = 0;
    each_row(part, [&](int first, int i, std::int32_t row) {
      const T* others[most_parts];
      int count = 0;
      for (int k = first + 1; k < parts_; ++k)
        if (gradients_[k]->has(row)) others[count++] = gradients_[k]->of(row);
      squares += add_gradients<T>(gradients_[first]->at(i), others, count, 0, layout_.depth);
    });
    return squares;
  }

  // Move the averages of the rows of one part towards the rows. `used` rows have a pair; the others
  // never change. While the rate is 1, the average of a row that was not read equals the row.
  void average(int part, const T* matrix, T* averages, double rate, std::size_t used) const {
    const std::ptrdiff_t width = layout_.shape.gate_rows();
    if (rate == 1)
      each_row(part, [&](int, int, std::int32_t row) {
        std::memcpy(averages + row * width, matrix + row * width,
                    static_cast<std::size_t>(width) * sizeof(T));
      });
    if (rate == 0 || rate == 1) return;
    const T r = static_cast<T>(rate);
    for (auto row = static_cast<std::ptrdiff_t>(part); row < static_cast<std::ptrdiff_t>(used);
         row += parts_)
      for (std::ptrdiff_t i = row * width; i < (row + 1) * width; ++i)
        averages[i] += r * (matrix[i] - averages[i]);
  }

  // Update the rows of one part with the summed gradients, whose norm with all others is `norm`.
  void update(int part, T* matrix, T* const* slots, double learning_rate, double norm,
              std::int64_t number) const {
    T* const theta = scratch_ + part * size();
    T* const gradient = theta + array_size();
    std::int32_t rows[some_rows];
    int count = 0;
    const auto finish = [&] {
      T* const first = gradient + array_size();
      BlockUpdate<T>{theta, gradient, first, first + array_size(), descent_, learning_rate, norm, number}
          .run(0, count * layout_.depth, false);
      for (int i = 0; i < count; ++i) unpack(rows[i], theta + i * layout_.depth, matrix, slots);
      count = 0;
    };
    each_row(part, [&](int k, int i, std::int32_t row) {
      if (i + 1 < gradients_[k]->read()) prefetch(gradients_[k]->row(i + 1), matrix, slots);
      T* const to = theta + count * layout_.depth;
      std::memcpy(to + array_size(), gradients_[k]->at(i),
                  static_cast<std::size_t>(layout_.depth) * sizeof(T));
      pack(row, to, matrix, slots);
      rows[count++] = row;
      if (count == some_rows) finish();
    });
    finish();
  }

 private:
  static constexpr int some_rows = 16;  // that are updated together

  // The elements of one array of some rows, and of all arrays: the weights, gradients and slots.
  std::ptrdiff_t array_size() const { return some_rows * layout_.depth; }
  std::ptrdiff_t size() const { return (2 + slots_) * array_size(); }

  // Copy a row of the matrix and of the slots to the scratch memory, and back.
  void pack(std::int32_t row, T* to, const T* matrix, T* const* slots) const {
    const std::ptrdiff_t at = row * layout_.shape.gate_rows();
    layout_.pack_row(matrix + at, to);
    for (int k = 0; k < slots_; ++k) layout_.pack_row(slots[k] + at, to + (2 + k) * array_size());
  }
  void unpack(std::int32_t row, const T* from, T* matrix, T* const* slots) const {
    const std::ptrdiff_t at = row * layout_.shape.gate_rows();
    layout_.unpack_row(from, matrix + at);
    for (int k = 0; k < slots_; ++k) layout_.unpack_row(from + (2 + k) * array_size(), slots[k] + at);
  }

  // Begin to read a row of the matrix and of the slots, which do not fit into the nearest caches.
  void prefetch(std::int32_t row, const T* matrix, T* const* slots) const {
    const std::ptrdiff_t at = row * layout_.shape.gate_rows();
    layout_.prefetch_row(matrix + at);
    for (int k = 0; k < slots_; ++k) layout_.prefetch_row(slots[k] + at);
  }

  // Call f(k, i, row) for each row of one part that any part read: the first of them is part k,
  // and the row is number i there. The order depends only on the window and the number of parts.
  template <typename F>
  void each_row(int part, F f) const {
    for (int k = 0; k < parts_; ++k)
      for (int i = 0; i < gradients_[k]->read(); ++i) {
        const std::int32_t row = gradients_[k]->row(i);
        if (row % parts_ == part && !read_before(k, row)) f(k, i, row);
      }
  }
  bool read_before(int part, std::int32_t row) const {
    for (int k = 0; k < part; ++k)
      if (gradients_[k]->has(row)) return true;
    return false;
  }

  const PanelLayout<T>& layout_;
  const charloom::Descent& descent_;
  const int slots_, parts_;
  Memory<T> memory_;
  T* scratch_ = nullptr;
  RowGradients<T>* gradients_[most_parts] = {};
};

}  // namespace
