// The memory that one layer needs over a window: its states, its gates and their gradients.
#pragma once

#include "cells.hpp"
#include "layout.hpp"
#include "memory.hpp"

namespace {

// What a layer is used for, which determines the buffers that it needs.
struct Purpose {
  bool learns, drops;  // the layer also runs backward; it has dropout
};

// Every buffer has panels of one vector, except `gates`, which has the panels of the layout's
// gates. A row is one step of one stream. A buffer that the cell or the purpose does not need is
// null.
template <typename T>
struct LayerBuffers {
  static constexpr int lanes = Simd<T>::lanes;

  T* gates;       // T·B rows: sums of the inputs, then the gates, then the gradients of their sums
  T *h, *cell;    // (T+1)·B rows: the states; those before the first step are the first B
  T* inner;       // T·B rows: StepVectors::inner
  T *out, *mask;  // T·B rows: h after dropout, and the factors of dropout
  T* dh;          // T·B rows: the gradient of h that comes from above
  T* carry;       // B rows: the `carry` of the step backward, a gradient for the previous step

  // How many elements the buffers of one layer need; `rows` and `streams` are the rows of a panel.
  static std::ptrdiff_t elements(const PanelLayout<T>& layout, std::ptrdiff_t rows, int streams,
                                 Purpose purpose) {
    const std::ptrdiff_t one = rows * layout.Hp;
    std::ptrdiff_t n = rows * layout.depth + one;
    if (has_cell_state(layout.shape.cell)) n += one;
    if (has_inner(layout.shape.cell)) n += one;
    if (purpose.drops) n += 2 * one;
    if (purpose.learns) n += one + streams * layout.Hp;
    return n;
  }

  static LayerBuffers take(Memory<T>& memory, const PanelLayout<T>& layout, std::ptrdiff_t rows,
                           int streams, Purpose purpose) {
    const std::ptrdiff_t one = rows * layout.Hp;
    LayerBuffers at{};
    at.gates = memory.take(rows * layout.depth);
    at.h = memory.take(one);
    if (has_cell_state(layout.shape.cell)) at.cell = memory.take(one);
    if (has_inner(layout.shape.cell)) at.inner = memory.take(one);
    if (purpose.drops) {
      at.out = memory.take(one);
      at.mask = memory.take(one);
    }
    if (purpose.learns) {
      at.dh = memory.take(one);
      at.carry = memory.take(streams * layout.Hp);
    }
    return at;
  }
};

}  // namespace
