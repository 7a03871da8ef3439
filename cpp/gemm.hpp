// Products of matrices and vectors, with the sums in registers.
//
// Every product has the same form: row r of the result is the sum over d of A(r, d) times row d of
// B. Entries of A are broadcast; rows of B and of the result are read as vectors. A tile of MR rows
// and NR vectors is summed in registers over the whole depth. The sums are then passed to a function
// `finish`, which stores them or, for gradients, applies the update immediately (optimizers.hpp).
#pragma once

#include <type_traits>

#include "even_parts.hpp"
#include "simd.hpp"

namespace {

// A(r, d) = at[r * row + d * depth], which can read a matrix or its transpose.
template <typename T>
struct Scalars {
  const T* at;
  std::ptrdiff_t row, depth;
};
// Rows of vectors, `row` elements apart.
template <typename T>
struct Rows {
  T* at;
  std::ptrdiff_t row;
};

// The number of rows of a tile that fit into the registers beside NR vectors of B: MR * NR sums.
template <int NR>
constexpr int tile_rows = vector_registers == 32
                              ? (NR >= 7 ? 4 : NR == 6 ? 4 : NR == 5 ? 5 : NR == 4 ? 6 : 8)
                              : (NR >= 3 ? 4 : NR == 2 ? 6 : 8);
constexpr int tile_vectors = vector_registers == 32 ? 7 : 3;
// The number of sums of a single row, one per vector, beside one factor. Vectors of B come from memory.
constexpr int row_vectors = vector_registers == 32 && vector_bytes < 64 ? 28 : 14;

// Compute one tile, from row r0 and vector v0 on: sums[r][v] = first(v) + the sum over d of A(r, d)
// B[d][v]; then call finish(r, v, sum) for each. The tile uses a copy of `finish`, so that the
// state of `finish` stays in registers meanwhile.
template <typename T, int MR, int NR, typename First, typename Finish>
CHARLOOM_INLINE void tile(int r0, int v0, Scalars<T> A, Rows<const T> B, int depth, First first,
                          Finish& shared_finish) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> sums[MR][NR];
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < NR; ++v) sums[r][v] = first(v0 + v);
  const T* a = A.at + r0 * A.row;
  const T* b = B.at + v0 * lanes;
  for (int d = 0; d < depth; ++d, a += A.depth, b += B.row) {
    Vec<T> row[NR];
#pragma GCC unroll 16
    for (int v = 0; v < NR; ++v) row[v] = load<T>(b + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < MR; ++r) {
      const Vec<T> scalar = splat<T>(a[r * A.row]);
#pragma GCC unroll 16
      for (int v = 0; v < NR; ++v) sums[r][v] += scalar * row[v];
    }
  }
  Finish finish = shared_finish;
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < NR; ++v) finish(r0 + r, v0 + v, sums[r][v]);
  if constexpr (std::is_copy_assignable_v<Finish>) shared_finish = finish;
}

// Call f with `count` (1 … Most) as a compile-time constant.
template <int Count>
struct Constant {
  static constexpr int value = Count;
};
template <int Most, typename F>
CHARLOOM_INLINE void with_constant(int count, F f) {
  if constexpr (Most > 0) {
    if (count == Most)
      f(Constant<Most>{});
    else
      with_constant<Most - 1>(count, f);
  }
}

// Compute first + A B (rows × vectors) tile by tile, and call finish(row, vector, sum) once for
// each sum. The work is divided evenly, so that no very small tile is left over.
template <typename T, typename First, typename Finish>
CHARLOOM_INLINE void product(int rows, int vectors, int depth, Scalars<T> A, Rows<const T> B,
                             First first, Finish&& finish) {
  const int panels = (vectors + tile_vectors - 1) / tile_vectors;
  for (int p = 0; p < panels; ++p) {
    const int v0 = even_start(vectors, panels, p);
    const int width = even_start(vectors, panels, p + 1) - v0;
    with_constant<tile_vectors>(width, [&](auto NR) {
      constexpr int most = tile_rows<NR.value>;
      const int blocks = (rows + most - 1) / most;
      for (int block = 0; block < blocks; ++block) {
        const int r0 = even_start(rows, blocks, block);
        with_constant<most>(even_start(rows, blocks, block + 1) - r0, [&](auto MR) {
          tile<T, MR.value, NR.value>(r0, v0, A, B, depth, first, finish);
        });
      }
    });
  }
}

// Compute first + A B and store it in `to`. `first` is one row, which every row begins with. All
// products that only store their sums share this function, because its tiles are much code.
template <typename T>
CHARLOOM_NOINLINE void store_product(int rows, int vectors, int depth, Scalars<T> A,
                                     Rows<const T> B, const T* first, Rows<T> to) {
  constexpr int lanes = Simd<T>::lanes;
  product<T>(
      rows, vectors, depth, A, B, [&](int v) CHARLOOM_LAMBDA { return load<T>(first + v * lanes); },
      [&](int r, int v, Vec<T> sum)
          CHARLOOM_LAMBDA { store<T>(to.at + r * to.row + v * lanes, sum); });
}

// Compute first + the sum over d of scalars[d] B[d] for one row, as the recurrence needs it. With
// `backwards`, go from the last row to the first. Callers alternate the direction, so that each
// pass begins with the rows that the previous pass left in the first-level cache.
template <typename T, typename First, typename Finish>
CHARLOOM_INLINE void row_product(int vectors, int depth, const T* scalars, Rows<const T> B,
                                 bool backwards, First first, Finish finish) {
  constexpr int lanes = Simd<T>::lanes;
  constexpr int most = row_vectors;
  const int panels = (vectors + most - 1) / most;
  for (int p = 0; p < panels; ++p) {
    const int v0 = even_start(vectors, panels, p);
    const int width = even_start(vectors, panels, p + 1) - v0;
    with_constant<most>(width, [&](auto width_constant) {
      constexpr int NR = width_constant.value;
      // Use several sums per vector if there are few vectors: with one sum, each addition would
      // wait for the one before.
      constexpr int sets = NR * 2 <= most ? (NR * 4 <= most ? 4 : 2) : 1;
      Vec<T> sums[sets][NR];
#pragma GCC unroll 28
      for (int v = 0; v < NR; ++v) {
        sums[0][v] = first(v0 + v);
#pragma GCC unroll 4
        for (int s = 1; s < sets; ++s) sums[s][v] = Vec<T>{};
      }
      const std::ptrdiff_t step = backwards ? -1 : 1;
      const T* a = backwards ? scalars + depth - 1 : scalars;
      const T* b = B.at + v0 * lanes + (backwards ? (depth - 1) * B.row : 0);
      int d = 0;
      for (; d + sets <= depth; d += sets) {
#pragma GCC unroll 4
        for (int s = 0; s < sets; ++s) {
          const Vec<T> scalar = splat<T>(*a);
#pragma GCC unroll 28
          for (int v = 0; v < NR; ++v) sums[s][v] += scalar * load<T>(b + v * lanes);
          a += step;
          b += step * B.row;
        }
      }
      for (; d < depth; ++d) {
        const Vec<T> scalar = splat<T>(*a);
#pragma GCC unroll 28
        for (int v = 0; v < NR; ++v) sums[0][v] += scalar * load<T>(b + v * lanes);
        a += step;
        b += step * B.row;
      }
#pragma GCC unroll 28
      for (int v = 0; v < NR; ++v) {
        Vec<T> total = sums[0][v];
#pragma GCC unroll 4
        for (int s = 1; s < sets; ++s) total += sums[s][v];
        finish(v0 + v, total);
      }
    });
  }
}

// Return the dot products of `rows` rows of B with x, one per lane (0 in the other lanes). x has NR
// vectors in registers.
template <typename T, int NR>
CHARLOOM_INLINE Vec<T> dot_group(int rows, const Vec<T> (&x)[NR], Rows<const T> B) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> sums[lanes];
  const auto dot = [&](const T* b) CHARLOOM_LAMBDA {
    Vec<T> total = x[0] * load<T>(b);
#pragma GCC unroll 16
    for (int v = 1; v < NR; ++v) total += x[v] * load<T>(b + v * lanes);
    return total;
  };
  if (rows == lanes) {
#pragma GCC unroll 16
    for (int r = 0; r < lanes; ++r) sums[r] = dot(B.at + r * B.row);
  } else {
    for (int r = 0; r < lanes; ++r) sums[r] = r < rows ? dot(B.at + r * B.row) : Vec<T>{};
  }
  return sums_of_rows<T>(sums);
}

// Compute the dot products of all rows of B with an x that does not fit into the registers: multiply
// one vector of x at a time by all rows of a group.
template <typename T, typename Finish>
CHARLOOM_INLINE void dot_products_wide(int count, int vectors, const T* x, Rows<const T> B,
                                       bool backwards, Finish& finish) {
  constexpr int lanes = Simd<T>::lanes;
  const int groups = (count + lanes - 1) / lanes;
  for (int i = 0; i < groups; ++i) {
    const int group = backwards ? groups - 1 - i : i;
    const T* b = B.at + group * lanes * B.row;
    const int left = count - group * lanes;
    with_constant<lanes>(left < lanes ? left : lanes, [&](auto rows) {
      Vec<T> sums[lanes];
#pragma GCC unroll 16
      for (int r = 0; r < lanes; ++r) sums[r] = Vec<T>{};
      // Keep a pointer to every fourth row and reach the three rows between by offsets, so that all
      // addresses stay in registers.
      const T* at[(lanes + 3) / 4];
#pragma GCC unroll 4
      for (int r = 0; r < lanes; r += 4) at[r / 4] = b + r * B.row;
      for (int v = 0; v < vectors; ++v) {
        const Vec<T> x_v = load<T>(x + v * lanes);
#pragma GCC unroll 16
        for (int r = 0; r < rows.value; ++r)
          sums[r] += x_v * load<T>(at[r / 4] + r % 4 * B.row);
#pragma GCC unroll 4
        for (int r = 0; r < lanes; r += 4) at[r / 4] += lanes;
      }
      finish(group, sums_of_rows<T>(sums));
    });
  }
}

// Compute result[j], the dot product of row j of B with x, for `count` rows: the recurrence
// backward, with the same matrix as forward. finish(v, sums) gets one vector of results at a time;
// results beyond the last row are 0.
template <typename T, typename Finish>
CHARLOOM_INLINE void dot_products(int count, int vectors, const T* x, Rows<const T> B,
                                  bool backwards, Finish finish) {
  constexpr int lanes = Simd<T>::lanes;
  if (vectors > tile_vectors) {
    dot_products_wide<T>(count, vectors, x, B, backwards, finish);
    return;
  }
  const int groups = (count + lanes - 1) / lanes;
  with_constant<tile_vectors>(vectors, [&](auto NR) {
    Vec<T> held[NR.value];
#pragma GCC unroll 16
    for (int v = 0; v < NR.value; ++v) held[v] = load<T>(x + v * lanes);
    for (int i = 0; i < groups; ++i) {
      const int group = backwards ? groups - 1 - i : i;
      const int left = count - group * lanes;
      finish(group, dot_group<T, NR.value>(left < lanes ? left : lanes, held,
                                           {B.at + group * lanes * B.row, B.row}));
    }
  });
}

}  // namespace
