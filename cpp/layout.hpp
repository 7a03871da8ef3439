// The layout of the parameters of a network of any depth while the kernels use them: in panels
// (panels.hpp). The gates of the same units are neighbours, so that a step of the cell has all its
// gates in neighbouring registers.
#pragma once

#include <cstring>

#include "kernels.hpp"
#include "panels.hpp"

namespace {

using charloom::Arrays;
using charloom::Cell;
using charloom::Shape;

// The offsets of the parameters of one layer in the block, and of their transposed copies in the
// back block.
struct LayerPlaces {
  std::ptrdiff_t U, W, b, d, U_back, W_back;
};

// A group of units fills one vector. A panel of gates holds the gates of one group (LSTM, GRU) or
// of up to four groups (plain cell). Rows and lanes beyond H are always 0.
//
//   block  of each layer  U (panels, inputs, row), W (panels, Hp, row), b (panels, row), d (Hp);
//          V (panels of logits, Hp, their width), c (Kp). With n-grams, their weight is row K of V
//          and their bias is entry K of c.
// The inputs of pairs are not in the block (pairs.hpp).
//
//   back   of each layer  U' (panels of units, depth, their width) above layer 0, W' likewise;
//          V' (panels of units, Kp, their width)
template <typename T>
struct PanelLayout {
  static constexpr int lanes = Simd<T>::lanes;
  static constexpr int most_layers = 64;
  Shape shape;
  int G, per_panel, panels, groups;  // blocks of rows; groups per panel; panels; groups
  int vectors;                       // vectors in a row of a panel of gates
  // Elements in such a row, and in one row of all panels together; H and K with padding.
  std::ptrdiff_t row, depth, Hp, Kp;
  Columns units, logits;
  bool one_stream;          // single rows are multiplied by joined and wide panels
  Columns recurrent_units;  // the panels of W'
  LayerPlaces at[most_layers];
  std::ptrdiff_t V, c, end, V_back, back_end;

  // `streams` is the number of streams in a batch.
  PanelLayout(Shape s, int streams)
      : shape(s),
        G(s.blocks()),
        units(1),
        logits((s.outputs() + lanes - 1) / lanes),
        one_stream(joins_panels && streams == 1),
        recurrent_units(1) {
    const int least = (s.H + lanes - 1) / lanes;
    panels = G == 1 ? (least + 3) / 4 : least;
    per_panel = (least + panels - 1) / panels;
    groups = panels * per_panel;
    vectors = per_panel * G;
    row = static_cast<std::ptrdiff_t>(vectors) * lanes;
    depth = panels * row;
    Hp = static_cast<std::ptrdiff_t>(groups) * lanes;
    Kp = static_cast<std::ptrdiff_t>(logits.vectors) * lanes;
    units = Columns(groups);
    recurrent_units = one_stream ? Columns(groups, wide_vectors) : units;
    std::ptrdiff_t next = 0, back = 0;
    for (int l = 0; l < s.layers; ++l) {
      at[l].U = next;
      next += panels * inputs(l) * row;
      at[l].W = next;
      next += panels * Hp * row;
      at[l].b = next;
      next += depth;
      at[l].d = next;
      if (s.cell == Cell::gru) next += Hp;
      at[l].U_back = back;
      if (l > 0) back += depth * Hp;
      at[l].W_back = back;
      back += depth * Hp;
    }
    V = next;
    c = V + Hp * Kp;
    end = c + Kp;
    V_back = back;
    back_end = V_back + Kp * Hp;
  }

  // Return the number of rows of U of layer l in each panel.
  std::ptrdiff_t inputs(int l) const { return l ? Hp : shape.K; }

  // Call f(array, index, rows, columns, place, row) for every piece of the arrays of the learner. A piece
  // is `rows` neighbouring rows of an array of `columns` columns, from entry `index` on. The block has it
  // transposed: its columns are rows of the block, `row` elements apart, from `place` on. Both `pack` and
  // `unpack` use it.
  template <typename F>
  void each_piece(F f) const {
    const int H = shape.H, K = shape.K, per_layer = shape.arrays_per_layer();
    for (int l = 0; l < shape.layers; ++l) {
      const int first = l * per_layer;
      matrix(first, l ? H : K, at[l].U, inputs(l), f);
      matrix(first + 1, H, at[l].W, Hp, f);
      matrix(first + 2, 1, at[l].b, 1, f);
      if (per_layer == 4) f(first + 3, std::ptrdiff_t(0), H, 1, at[l].d, std::ptrdiff_t(H));
    }
    const int last = shape.layers * per_layer;
    for (int p = 0; p < logits.panels; ++p) {
      const int v0 = logits.first(p) * lanes, width = logits.width(p) * lanes;
      const std::ptrdiff_t place = V + v0 * Hp;
      const int rows = K - v0 < width ? K - v0 : width;
      if (rows > 0) f(last, v0 * std::ptrdiff_t(H), rows, H, place, std::ptrdiff_t(width));
      // The weight of the n-grams is row K.
      if (shape.outputs() > K && v0 <= K && K < v0 + width)
        f(last + 2, std::ptrdiff_t(0), 1, H, place + (K - v0), std::ptrdiff_t(width));
    }
    f(last + 1, std::ptrdiff_t(0), K, 1, c, std::ptrdiff_t(K));
    if (shape.ngram_order) f(last + 3, std::ptrdiff_t(0), 1, 1, c + K, std::ptrdiff_t(1));
  }

  // Call f(start, end, biases) for the parts of the block that hold only weights or only biases.
  template <typename F>
  void each_part(F f) const {
    for (int l = 0; l < shape.layers; ++l) {
      f(at[l].U, at[l].b, false);
      f(at[l].b, l + 1 < shape.layers ? at[l + 1].U : V, true);
    }
    f(V, c, false);
    f(c, end, true);
  }

  CHARLOOM_NOINLINE void pack(Arrays<T> from, T* to) const {
    each_piece([&](int array, std::ptrdiff_t index, int rows, int columns, std::ptrdiff_t place,
                   std::ptrdiff_t row_length) {
      copy_transposed<T>(from[array] + index, rows, columns, columns, to + place, row_length);
    });
  }
  CHARLOOM_NOINLINE void unpack(const T* from, Arrays<T> to) const {
    each_piece([&](int array, std::ptrdiff_t index, int rows, int columns, std::ptrdiff_t place,
                   std::ptrdiff_t row_length) {
      copy_transposed<T>(from + place, columns, rows, row_length, to[array] + index, columns);
    });
  }

  // Return vector v of panel p of a row with the numbers of all gates, (G·H). Lanes beyond H are 0.
  CHARLOOM_INLINE Vec<T> from_row(const T* gates, int p, int v) const {
    const int units = units_of(p, v);
    const T* from = gates + place_in_row(p, v);
    if (units >= lanes) {
      Vec<T> all;
      std::memcpy(&all, from, sizeof all);
      return all;
    }
    Vec<T> some{};
    if (units > 0) std::memcpy(&some, from, static_cast<std::size_t>(units) * sizeof(T));
    return some;
  }
  // Write this vector to such a row.
  CHARLOOM_INLINE void to_row(Vec<T> values, T* gates, int p, int v) const {
    const int units = units_of(p, v);
    T* to = gates + place_in_row(p, v);
    if (units >= lanes)
      std::memcpy(to, &values, sizeof values);
    else if (units > 0)
      std::memcpy(to, &values, static_cast<std::size_t>(units) * sizeof(T));
  }
  // Begin to read such a row from memory.
  void prefetch_row(const T* gates) const {
    constexpr std::ptrdiff_t line = 64 / sizeof(T);
    for (std::ptrdiff_t i = 0; i < shape.gate_rows(); i += line) __builtin_prefetch(gates + i);
  }
  // Convert a row of G·H numbers to panels, `depth` elements, and back.
  void pack_row(const T* gates, T* to) const {
    for (int p = 0; p < panels; ++p)
      for (int v = 0; v < vectors; ++v) store<T>(to + p * row + v * lanes, from_row(gates, p, v));
  }
  void unpack_row(const T* from, T* gates) const {
    for (int p = 0; p < panels; ++p)
      for (int v = 0; v < vectors; ++v) to_row(load<T>(from + p * row + v * lanes), gates, p, v);
  }

  // Write part `part` of `parts` of the back block: the transposed copies of the block.
  CHARLOOM_NOINLINE void transpose(const T* block, T* back, int part, int parts) const {
    for (int l = 0; l < shape.layers; ++l) {
      if (l > 0) gates_back(block + at[l].U, units, back + at[l].U_back, part, parts);
      gates_back(block + at[l].W, recurrent_units, back + at[l].W_back, part, parts);
    }
    for (int p = 0; p < logits.panels; ++p) {
      const int first = logits.first(p), width = logits.width(p);
      for (int v = 0; v < width; ++v)
        to_back(block + V + first * lanes * Hp + v * lanes, width * lanes, units, back + V_back,
                (first + v) * lanes, Kp, part, parts);
    }
  }

 private:
  // Return the number of units from the first one of vector v of panel p on, and the place of that unit
  // in a row of G·H numbers.
  int units_of(int p, int v) const { return shape.H - (p * per_panel + v / G) * lanes; }
  std::ptrdiff_t place_in_row(int p, int v) const {
    return std::ptrdiff_t(v % G) * shape.H + std::ptrdiff_t(p * per_panel + v / G) * lanes;
  }

  // Go through one matrix of gates × inputs. Each panel stores it input by input. A bias has one
  // input.
  template <typename F>
  void matrix(int array, int columns, std::ptrdiff_t start, std::ptrdiff_t rows, F f) const {
    for (int g = 0; g < G; ++g)
      for (int unit = 0; unit < shape.H; unit += lanes) {
        const int group = unit / lanes, units = shape.H - unit < lanes ? shape.H - unit : lanes;
        const std::ptrdiff_t place =
            start + group / per_panel * rows * row + (group % per_panel * G + g) * lanes;
        const std::ptrdiff_t index = (g * std::ptrdiff_t(shape.H) + unit) * columns;
        f(array, index, units, columns, place, row);
      }
  }

  void gates_back(const T* matrix, const Columns& columns, T* back, int part, int parts) const {
    for (int p = 0; p < panels; ++p)
      for (int v = 0; v < vectors; ++v)
        to_back(matrix + p * Hp * row + v * lanes, row, columns, back, p * row + v * lanes, depth, part,
                parts);
  }

  // Copy `lanes` columns of a matrix of Hp rows to the rows from `start` on of a matrix with panels of
  // `columns`.
  void to_back(const T* from, std::ptrdiff_t from_row, const Columns& columns, T* back,
               std::ptrdiff_t start, std::ptrdiff_t back_rows, int part, int parts) const {
    for (int p = 0; p < columns.panels; ++p) {
      if (p % parts != part) continue;
      const int first = columns.first(p), width = columns.width(p);
      for (int v = 0; v < width; ++v)
        transpose_block<T>(from + (first + v) * lanes * from_row, from_row,
                           back + first * lanes * back_rows + start * width * lanes + v * lanes,
                           width * lanes);
    }
  }
};

}  // namespace
