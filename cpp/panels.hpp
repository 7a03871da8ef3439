// Products of matrices in panels, for networks with several streams, gates or layers.
//
// A panel is a strip of one to four vectors. Its rows follow each other in memory, so that a loop
// over the rows reads memory in order. Every product has the same form: row r of the result is the
// sum over d of A(r, d) times row d of a panel of B. A tile of up to eight rows and four vectors is
// summed in registers. This file does not know what happens with the sums.
#pragma once

#include <cstring>

#include "even_parts.hpp"
#include "simd.hpp"

namespace {

constexpr int most_rows = 8, most_vectors = 4;
// The number of rows of a tile that fit into the registers beside NR vectors of B.
template <int NR>
constexpr int rows_beside = vector_registers == 32 ? (NR == 4 ? 6 : 8)
                                                   : (NR == 4 ? 3 : NR == 3 ? 4 : NR == 2 ? 6 : 8);
// With a single row, a product takes several panels of B at once (joined) or one wide panel. So it
// reads one factor for many vectors of B, and its many sums do not wait for each other. AVX-512 needs
// neither: there the second-level cache limits the speed.
constexpr bool joins_panels = vector_bytes < 64;
constexpr int joined_vectors = vector_registers == 32 ? 24 : 12;
constexpr int wide_vectors = joins_panels ? (vector_registers == 32 ? 28 : 14) : most_vectors;

// A(r, d) = at[r * row + d / width * group + d % width * depth]. It reads rows of panels, or their
// transpose.
template <typename T>
struct Factors {
  const T* at;
  std::ptrdiff_t row, depth, group;
  int width;

  Factors from_row(std::ptrdiff_t r) const { return {at + r * row, row, depth, group, width}; }
};

// sums[r * NR + v] += the sum over d < depth of A(r, d) B[d][v], for r < MR and v < NR. The new
// part is summed from zero and added at the end, so that a long sum in parts loses no digits. With
// two sets, even and odd d have separate sums: with a single row, each addition would otherwise
// wait for the one before.
template <typename T, int MR, int NR, int sets = 1>
__attribute__((noinline)) void tile_sums(const Factors<T>& A, const T* b, std::ptrdiff_t b_row,
                                         int depth, Vec<T>* sums) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> acc[sets][MR][NR];
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < NR; ++v)
#pragma GCC unroll 2
      for (int set = 0; set < sets; ++set) acc[set][r][v] = Vec<T>{};
  const std::ptrdiff_t row = A.row, step = A.depth;
  const auto add = [&](const T* a, const T* from, Vec<T>(&to)[MR][NR]) CHARLOOM_LAMBDA {
    Vec<T> of_b[NR];
#pragma GCC unroll 4
    for (int v = 0; v < NR; ++v) of_b[v] = load<T>(from + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < MR; ++r) {
      const Vec<T> scalar = splat<T>(a[r * row]);
#pragma GCC unroll 4
      for (int v = 0; v < NR; ++v) to[r][v] += scalar * of_b[v];
    }
  };
  const T* group = A.at;
  for (int left = depth; left > 0; left -= A.width, group += A.group) {
    const int count = left < A.width ? left : A.width;
    const T* a = group;
    int d = 0;
    if constexpr (sets == 2)
      for (; d + 2 <= count; d += 2, a += 2 * step, b += 2 * b_row) {
        add(a, b, acc[0]);
        add(a + step, b + b_row, acc[1]);
      }
    for (; d < count; ++d, a += step, b += b_row) add(a, b, acc[0]);
  }
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < NR; ++v) {
      if constexpr (sets == 2) acc[0][r][v] += acc[1][r][v];
      sums[r * NR + v] += acc[0][r][v];
    }
}

template <typename T>
using TileSums = void (*)(const Factors<T>&, const T*, std::ptrdiff_t, int, Vec<T>*);

template <typename T, int NR>
TileSums<T> tile_of_rows(int rows, bool alone) {
  constexpr int most = rows_beside<NR>;
  static constexpr TileSums<T> tiles[] = {
      tile_sums<T, 1, NR>,
      tile_sums<T, 2, NR>,
      tile_sums<T, most < 3 ? most : 3, NR>,
      tile_sums<T, most < 4 ? most : 4, NR>,
      tile_sums<T, most < 5 ? most : 5, NR>,
      tile_sums<T, most < 6 ? most : 6, NR>,
      tile_sums<T, most < 7 ? most : 7, NR>,
      tile_sums<T, most, NR>,
  };
  return alone && rows == 1 ? tile_sums<T, 1, NR, 2> : tiles[rows - 1];
}

// Return the tile function for `rows` rows (at most rows_for(vectors)) and 1 to 4 vectors. `alone`
// says that the whole product has only this row. Such a row may be summed in another order. A single
// row that a division into blocks leaves over is summed like the other rows.
template <typename T>
TileSums<T> tile_for(int rows, int vectors, bool alone = false) {
  switch (vectors) {
    case 1: return tile_of_rows<T, 1>(rows, alone);
    case 2: return tile_of_rows<T, 2>(rows, alone);
    case 3: return tile_of_rows<T, 3>(rows, alone);
    default: return tile_of_rows<T, 4>(rows, alone);
  }
}
inline int rows_for(int vectors) {
  switch (vectors) {
    case 1: return rows_beside<1>;
    case 2: return rows_beside<2>;
    case 3: return rows_beside<3>;
    default: return rows_beside<4>;
  }
}

// sums[p * NR + v] += the sum over d < depth of A(0, d) B_p[d][v], for the single row of A and the
// panels p < P of B, which are `panel` elements apart. The rows of a panel are `b_row` elements apart. With
// several sets, every so many d have separate sums: see tile_sums.
template <typename T, int P, int NR, int sets = 1>
__attribute__((noinline)) void row_sums(const Factors<T>& A, const T* b, std::ptrdiff_t panel,
                                        std::ptrdiff_t b_row, int depth, Vec<T>* sums) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> acc[sets][P][NR] = {};
  const auto add = [&](T factor, const T* from, Vec<T>(&to)[P][NR]) CHARLOOM_LAMBDA {
    const Vec<T> scalar = splat<T>(factor);
#pragma GCC unroll 24
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 28
      for (int v = 0; v < NR; ++v) to[p][v] += scalar * load<T>(from + p * panel + v * lanes);
  };
  const T* group = A.at;
  for (int left = depth; left > 0; left -= A.width, group += A.group) {
    const int count = left < A.width ? left : A.width;
    const T* a = group;
    int d = 0;
    for (; d + sets <= count; d += sets)
#pragma GCC unroll 4
      for (int set = 0; set < sets; ++set, a += A.depth, b += b_row) add(*a, b, acc[set]);
    for (; d < count; ++d, a += A.depth, b += b_row) add(*a, b, acc[0]);
  }
#pragma GCC unroll 24
  for (int p = 0; p < P; ++p)
#pragma GCC unroll 28
    for (int v = 0; v < NR; ++v) {
#pragma GCC unroll 4
      for (int set = 1; set < sets; ++set) acc[0][p][v] += acc[set][p][v];
      sums[p * NR + v] += acc[0][p][v];
    }
}

template <typename T>
using RowSums = void (*)(const Factors<T>&, const T*, std::ptrdiff_t, std::ptrdiff_t, int, Vec<T>*);

template <typename T, int NR, int... P>
RowSums<T> joined_panels(int panels, std::integer_sequence<int, P...>) {
  static constexpr RowSums<T> functions[] = {row_sums<T, P + 1, NR>...};
  return functions[panels - 1];
}

// Return the function for one row and `panels` panels (at most joined_vectors / vectors) of 1 to 4
// vectors. Each vector has one sum, so that no bit depends on how many panels are joined.
template <typename T>
RowSums<T> joined_for(int panels, int vectors) {
  switch (vectors) {
    case 1: return joined_panels<T, 1>(panels, std::make_integer_sequence<int, joined_vectors>{});
    case 2: return joined_panels<T, 2>(panels, std::make_integer_sequence<int, joined_vectors / 2>{});
    case 3: return joined_panels<T, 3>(panels, std::make_integer_sequence<int, joined_vectors / 3>{});
    default: return joined_panels<T, 4>(panels, std::make_integer_sequence<int, joined_vectors / 4>{});
  }
}

template <typename T, int... NR>
RowSums<T> wide_panel(int vectors, std::integer_sequence<int, NR...>) {
  constexpr int most = wide_vectors;
  static constexpr RowSums<T> functions[] = {
      row_sums<T, 1, NR + 1, (NR + 1) * 4 <= most ? 4 : (NR + 1) * 2 <= most ? 2 : 1>...};
  return functions[vectors - 1];
}

// Return the function for one row and one panel of 1 to wide_vectors vectors.
template <typename T>
RowSums<T> wide_for(int vectors) {
  return wide_panel<T>(vectors, std::make_integer_sequence<int, wide_vectors>{});
}

// Columns in panels of up to four (or `most`) vectors, divided as evenly as possible. Panel p has
// width(p) vectors from vector first(p) on. In a matrix of R rows it begins at first(p) * lanes * R.
struct Columns {
  int vectors, panels;

  explicit Columns(int vectors_, int most = most_vectors)
      : vectors(vectors_), panels((vectors_ + most - 1) / most) {}
  int first(int p) const { return even_start(vectors, panels, p); }
  int width(int p) const { return first(p + 1) - first(p); }
};

// Call f(first row, number of rows) for blocks of at most `most` rows, divided evenly.
template <typename F>
CHARLOOM_INLINE void each_block(int rows, int most, F f) {
  const int blocks = (rows + most - 1) / most;
  for (int block = 0; block < blocks; ++block) {
    const int r0 = even_start(rows, blocks, block);
    f(r0, even_start(rows, blocks, block + 1) - r0);
  }
}

// The panels of one thread, if several threads share a step.
struct Share {
  int part = 0, parts = 1;
  int first(int panels) const { return even_start(panels, parts, part); }
  int end(int panels) const { return even_start(panels, parts, part + 1); }
};

// Multiply A (rows × depth) by B, whose panels are `columns` and have B_rows rows each. begin(r, v)
// returns the first term of a sum; end(r, v, sum) receives the sum. v counts the vectors of the
// whole result.
template <typename T, typename Begin, typename End>
CHARLOOM_INLINE void panel_product(int rows, Columns columns, int depth, const Factors<T>& A,
                                   const T* B, std::ptrdiff_t B_rows, Begin begin, End end,
                                   Share share = {}) {
  constexpr int lanes = Simd<T>::lanes;
  for (int p = share.first(columns.panels); p < share.end(columns.panels); ++p) {
    const int v0 = columns.first(p), width = columns.width(p);
    const T* b = B + v0 * lanes * B_rows;
    each_block(rows, rows_for(width), [&](int r0, int count) {
      Vec<T> sums[most_rows * most_vectors];
      for (int r = 0; r < count; ++r)
        for (int v = 0; v < width; ++v) sums[r * width + v] = begin(r0 + r, v0 + v);
      tile_for<T>(count, width)(A.from_row(r0), b, width * lanes, depth, sums);
      for (int r = 0; r < count; ++r)
        for (int v = 0; v < width; ++v) end(r0 + r, v0 + v, sums[r * width + v]);
    });
  }
}

// The number of rows n that `gradient_panel` adds in one block. The rows of d in a block stay in the
// second-level cache while all rows of the gradient use them. Sums in blocks also lose no digits.
constexpr int sum_rows = 512;

// Set gradient[j], or add to it if `more`: the sum over n < rows of h(n, j) d(n). This is what one
// stretch of steps and streams adds to the gradient of a panel of weights. h is in panels of one
// vector and h_rows rows; d is in one panel with d_row elements per row. The rows of the gradient
// have `vectors` vectors and follow each other.
template <typename T>
void gradient_panel(int units, int vectors, int rows, const T* h, std::ptrdiff_t h_rows, const T* d,
                    std::ptrdiff_t d_row, bool more, T* gradient) {
  constexpr int lanes = Simd<T>::lanes;
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(vectors) * lanes;
  for (int j0 = 0; j0 < units; j0 += lanes) {
    const int group = units - j0 < lanes ? units - j0 : lanes;
    const T* a = h + j0 / lanes * h_rows * lanes;
    each_block(group, rows_for(vectors), [&](int r0, int count) {
      T* to = gradient + (j0 + r0) * row;
      if (!more) std::memset(to, 0, static_cast<std::size_t>(count * row) * sizeof(T));
      tile_for<T>(count, vectors)(Factors<T>{a + r0, 1, lanes, 0, rows}, d, d_row, rows,
                                  reinterpret_cast<Vec<T>*>(to));
    });
  }
}

}  // namespace
