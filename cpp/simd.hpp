// Vectors of floats or doubles in the width of the instruction set, and exp and tanh of them,
// written with the vector extensions of GCC and Clang. This file knows nothing of networks.
//
// It is compiled once per instruction set. Everything in it has internal linkage: otherwise the
// linker could choose a weak symbol compiled for AVX-512 for all processors.
#pragma once

#include <cstddef>
#include <cstring>
#include <cstdint>
#include <limits>
#include <utility>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define CHARLOOM_INLINE inline __attribute__((always_inline))
#define CHARLOOM_LAMBDA __attribute__((always_inline))
// For functions that run once per window: inlined into each of their callers, they are a third of the
// machine code and of the time to compile it.
#define CHARLOOM_NOINLINE __attribute__((noinline))

namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
constexpr int vector_registers = 32;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
constexpr int vector_registers = 16;
#elif defined(__aarch64__)
constexpr int vector_bytes = 16;
constexpr int vector_registers = 32;
#else
constexpr int vector_bytes = 16;
constexpr int vector_registers = 16;
#endif

template <typename T>
struct Bits;
template <>
struct Bits<float> {
  using Integer = std::int32_t;
  static constexpr int mantissa = 23, bias = 127;
  static constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  // exp is 0 below `least`; 2x at and beyond `tanh_limit` gives tanh = 1 in this type.
  static constexpr float least = -87.3f, most = 88.0f, tanh_limit = 20.0f;
  static constexpr int degree = 7;  // of the Taylor polynomial of expm1 on |r| <= ln(2)/2
  static constexpr int log_terms = 5;  // of the Taylor polynomial of atanh(s)/s on |s| <= 0.172
};
template <>
struct Bits<double> {
  using Integer = std::int64_t;
  static constexpr int mantissa = 52, bias = 1023;
  static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double ln2_high = 6.93147180369123816490e-01;
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr double least = -708.0, most = 709.0, tanh_limit = 44.0;
  static constexpr int degree = 13, log_terms = 11;
};

template <typename T>
struct Simd {
  using Integer = typename Bits<T>::Integer;
  static constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));
  typedef T Vector __attribute__((vector_size(vector_bytes)));
  typedef Integer IntVector __attribute__((vector_size(vector_bytes)));
};
template <typename T>
using Vec = typename Simd<T>::Vector;
template <typename T>
using IntVec = typename Simd<T>::IntVector;

template <typename T>
CHARLOOM_INLINE Vec<T> splat(T value) {
  return value - Vec<T>{};  // value - 0 keeps a negative zero and a NaN
}
// Aligned load and store: every row of the kernels starts at a whole vector.
template <typename T>
CHARLOOM_INLINE Vec<T> load(const T* from) {
  return *reinterpret_cast<const Vec<T>*>(from);
}
template <typename T>
CHARLOOM_INLINE void store(T* to, Vec<T> value) {
  *reinterpret_cast<Vec<T>*>(to) = value;
}
// Load and store at any address, such as a row of an array of the learner.
template <typename T>
CHARLOOM_INLINE Vec<T> load_anywhere(const T* from) {
  Vec<T> value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename T>
CHARLOOM_INLINE void store_anywhere(T* to, Vec<T> value) {
  std::memcpy(to, &value, sizeof value);
}
template <typename T>
CHARLOOM_INLINE Vec<T> absolute(Vec<T> x) {
  return (Vec<T>)((IntVec<T>)x & ~((IntVec<T>)splat<T>(T(-0.0))));
}
// The minimum and the maximum. A NaN in x stays a NaN.
template <typename T>
CHARLOOM_INLINE Vec<T> at_most(Vec<T> x, Vec<T> limit) {
  return x > limit ? limit : x;
}
template <typename T>
CHARLOOM_INLINE Vec<T> at_least(Vec<T> x, Vec<T> limit) {
  return x < limit ? limit : x;
}
// Shuffle two vectors: lane i of the result is element Pattern::at(i) of a followed by b.
template <typename T, typename Pattern, int... I>
CHARLOOM_INLINE Vec<T> shuffle(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, std::integral_constant<int, Pattern::at(I)>::value...);
}
template <typename T, typename Pattern>
CHARLOOM_INLINE Vec<T> shuffle(Vec<T> a, Vec<T> b) {
  return shuffle<T, Pattern>(a, b, std::make_integer_sequence<int, Simd<T>::lanes>{});
}

// Rotates the lanes by `step`. `fold` combines all lanes in log2(lanes) such rounds.
template <typename T, int step>
struct Rotate {
  static constexpr int at(int i) { return (i + step) % Simd<T>::lanes; }
};
template <typename T, int step = Simd<T>::lanes / 2, typename Combine>
CHARLOOM_INLINE T fold(Vec<T> x, Combine combine) {
  x = combine(x, shuffle<T, Rotate<T, step>>(x, x));
  if constexpr (step > 1)
    return fold<T, step / 2>(x, combine);
  else
    return x[0];
}
template <typename T>
CHARLOOM_INLINE T sum(Vec<T> x) {
  return fold<T>(x, [](Vec<T> a, Vec<T> b) CHARLOOM_LAMBDA { return a + b; });
}
template <typename T>
CHARLOOM_INLINE T largest(Vec<T> x) {
  return fold<T>(x, [](Vec<T> a, Vec<T> b) CHARLOOM_LAMBDA { return a > b ? a : b; });
}

// While an object of this class exists, this thread reads subnormal numbers as 0 and produces none.
// Many processors are a hundred times slower with them, and a running average without new gradients
// becomes subnormal and stays so.
class NoSubnormals {
 public:
  NoSubnormals() : before_(get()) { set(before_ | bits); }
  ~NoSubnormals() { set(before_); }
  NoSubnormals(const NoSubnormals&) = delete;
  NoSubnormals& operator=(const NoSubnormals&) = delete;

 private:
#if defined(__x86_64__)
  using Control = unsigned;
  static constexpr Control bits = 0x8040;  // flush to zero; subnormals are zeros
  static Control get() { return _mm_getcsr(); }
  static void set(Control control) { _mm_setcsr(control); }
#elif defined(__aarch64__)
  using Control = std::uint64_t;
  static constexpr Control bits = 1u << 24;  // flush to zero, both ways
  static Control get() {
    Control control;
    asm volatile("mrs %0, fpcr" : "=r"(control));
    return control;
  }
  static void set(Control control) { asm volatile("msr fpcr, %0" : : "r"(control) : "memory"); }
#else
  using Control = int;
  static constexpr Control bits = 0;
  static Control get() { return 0; }
  static void set(Control) {}
#endif
  const Control before_;
};

// For infinity the estimate is exact, but a step of Newton's method would give NaN.
constexpr float largest_float = std::numeric_limits<float>::max();

// Return 1 / sqrt(x) for x > 0. For floats on x86-64, refine the estimate y of the processor. From 14
// bits, one step of Newton's method suffices, y (3 - x y²) / 2. From 12 bits, one step of third order
// does: y (1 + e / 2 + 3 e² / 8) with e = 1 - x y². The relative error is below 2^-22; tests compare
// with the exact value. No intermediate product is subnormal unless x is, because many processors are
// a hundred times slower then. Otherwise, and for doubles, compute the exact root and quotient.
CHARLOOM_INLINE Vec<float> reciprocal_root(Vec<float> x) {
  [[maybe_unused]] const auto third_order = [](Vec<float> of, Vec<float> y) CHARLOOM_LAMBDA {
    // With infinity, y is 0 and x y would be NaN.
    const Vec<float> e = 1.0f - (at_most<float>(of, splat(largest_float)) * y) * y;
    return y + (y * e) * (0.375f * e + 0.5f);
  };
#if defined(__AVX512F__)
  const Vec<float> y = (Vec<float>)_mm512_maskz_rsqrt14_ps(0xffff, (__m512)x);
  return x > largest_float ? y : y * (1.5f - 0.5f * (x * y) * y);
#elif defined(__AVX2__)
  return third_order(x, (Vec<float>)_mm256_rsqrt_ps((__m256)x));
#elif defined(__x86_64__)
  return third_order(x, (Vec<float>)_mm_rsqrt_ps((__m128)x));
#elif defined(__aarch64__)
  return 1.0f / (Vec<float>)vsqrtq_f32((float32x4_t)x);
#else
  Vec<float> root;
  for (int i = 0; i < Simd<float>::lanes; ++i) root[i] = __builtin_sqrtf(x[i]);
  return 1.0f / root;
#endif
}
CHARLOOM_INLINE Vec<double> reciprocal_root(Vec<double> x) {
#if defined(__AVX512F__)
  return 1.0 / (Vec<double>)_mm512_maskz_sqrt_pd(0xff, (__m512d)x);
#elif defined(__AVX2__)
  return 1.0 / (Vec<double>)_mm256_sqrt_pd((__m256d)x);
#elif defined(__x86_64__)
  return 1.0 / (Vec<double>)_mm_sqrt_pd((__m128d)x);
#elif defined(__aarch64__)
  return 1.0 / (Vec<double>)vsqrtq_f64((float64x2_t)x);
#else
  Vec<double> root;
  for (int i = 0; i < Simd<double>::lanes; ++i) root[i] = __builtin_sqrt(x[i]);
  return 1.0 / root;
#endif
}

// Return 1 / x. For floats with AVX-512, refine the estimate of the processor by Newton's method, y
// (2 - x y), to a relative error below 2^-22. Otherwise compute the exact quotient.
CHARLOOM_INLINE Vec<float> reciprocal(Vec<float> x) {
#if defined(__AVX512F__)
  const Vec<float> y = (Vec<float>)_mm512_maskz_rcp14_ps(0xffff, (__m512)x);
  return x > largest_float ? y : y * (2.0f - x * y);
#else
  return 1.0f / x;
#endif
}
CHARLOOM_INLINE Vec<double> reciprocal(Vec<double> x) { return 1.0 / x; }

// Return x / y: with AVX-512 by way of 1 / y, otherwise the exact quotient.
template <typename V>
CHARLOOM_INLINE V quotient(V x, V y) {
#if defined(__AVX512F__)
  return x * reciprocal(y);
#else
  return x / y;
#endif
}

// Return sqrt(x) for x >= 0. For floats with AVX-512, compute it by way of its reciprocal (relative
// error below 2^-21). Otherwise compute the exact root: the unit that computes it works beside those
// that multiply and add, which the refinement of an estimate would keep busy for longer.
CHARLOOM_INLINE Vec<float> root(Vec<float> x) {
#if defined(__AVX512F__)
  constexpr float least = std::numeric_limits<float>::min();
  return x > largest_float ? x : x * reciprocal_root(x < least ? splat<float>(least) : x);
#elif defined(__AVX2__)
  return (Vec<float>)_mm256_sqrt_ps((__m256)x);
#elif defined(__x86_64__)
  return (Vec<float>)_mm_sqrt_ps((__m128)x);
#elif defined(__aarch64__)
  return (Vec<float>)vsqrtq_f32((float32x4_t)x);
#else
  Vec<float> result;
  for (int i = 0; i < Simd<float>::lanes; ++i) result[i] = __builtin_sqrtf(x[i]);
  return result;
#endif
}
CHARLOOM_INLINE Vec<double> root(Vec<double> x) {
#if defined(__AVX512F__)
  return (Vec<double>)_mm512_maskz_sqrt_pd(0xff, (__m512d)x);
#elif defined(__AVX2__)
  return (Vec<double>)_mm256_sqrt_pd((__m256d)x);
#elif defined(__x86_64__)
  return (Vec<double>)_mm_sqrt_pd((__m128d)x);
#elif defined(__aarch64__)
  return (Vec<double>)vsqrtq_f64((float64x2_t)x);
#else
  Vec<double> result;
  for (int i = 0; i < Simd<double>::lanes; ++i) result[i] = __builtin_sqrt(x[i]);
  return result;
#endif
}

// Split x = n ln 2 + r with |r| <= ln(2)/2. Return expm1(r) by its Taylor polynomial, and 2^n in
// `power`.
template <typename T>
CHARLOOM_INLINE Vec<T> reduced_expm1(Vec<T> x, Vec<T>& power) {
  using B = Bits<T>;
  constexpr T log2_e = T(1.4426950408889634074);
  Vec<T> shifted = x * log2_e + B::magic;
  Vec<T> n = shifted - B::magic;
  power = (Vec<T>)(((IntVec<T>)shifted + B::bias) << B::mantissa);
  Vec<T> r = x - n * B::ln2_high;
  r = r - n * B::ln2_low;
  constexpr double factorial[] = {1., 1., 2., 6., 24., 120., 720., 5040., 40320., 362880.,
                                  3628800., 39916800., 479001600., 6227020800.};
  Vec<T> p = splat<T>(T(1.0 / factorial[B::degree]));
#pragma GCC unroll 16
  for (int k = B::degree - 1; k >= 2; --k) p = p * r + T(1.0 / factorial[k]);
  return p * (r * r) + r;
}

// Return exp(x). Below `least` it is 0. NaN stays NaN.
template <typename T>
CHARLOOM_INLINE Vec<T> exp(Vec<T> x) {
  using B = Bits<T>;
  Vec<T> power;
  Vec<T> held = at_most<T>(at_least<T>(x, splat<T>(B::least)), splat<T>(B::most));
  Vec<T> p = reduced_expm1<T>(held, power);
  Vec<T> y = p * power + power;
  return x < B::least ? Vec<T>{} : y;
}

// Return tanh(x) = e / (e + 2) with e = expm1(2|x|), with the sign of x. NaN stays NaN.
template <typename T>
CHARLOOM_INLINE Vec<T> tanh(Vec<T> x) {
  using B = Bits<T>;
  const IntVec<T> sign = (IntVec<T>)x & (IntVec<T>)splat<T>(T(-0.0));
  Vec<T> twice = absolute<T>(x) * T(2);
  twice = at_most<T>(twice, splat<T>(B::tanh_limit));
  Vec<T> power;
  Vec<T> p = reduced_expm1<T>(twice, power);
  Vec<T> e = p * power + (power - T(1));
  return (Vec<T>)((IntVec<T>)(e / (e + T(2))) | sign);
}

// Return 1 / (1 + exp(-x)). NaN stays NaN.
template <typename T>
CHARLOOM_INLINE Vec<T> sigmoid(Vec<T> x) {
  return T(1) / (T(1) + exp<T>(-x));
}

// Return ln(x) for x > 0 that is finite and not subnormal. Split x = 2^n m with m from sqrt(1/2) to
// sqrt(2). Then ln(m) = 2 atanh(s) with s = (m - 1) / (m + 1), by its Taylor polynomial.
template <typename T>
CHARLOOM_INLINE Vec<T> log(Vec<T> x) {
  using B = Bits<T>;
  const IntVec<T> half_root = (IntVec<T>)splat<T>(T(0.70710678118654752440));
  const IntVec<T> exponent = ((IntVec<T>)x - half_root) >> B::mantissa;
  const Vec<T> m = (Vec<T>)((IntVec<T>)x - (exponent << B::mantissa));
  const Vec<T> n = (Vec<T>)(exponent + (IntVec<T>)splat<T>(B::magic)) - B::magic;
  const Vec<T> s = (m - T(1)) / (m + T(1)), square = s * s;
  Vec<T> p = splat<T>(T(1.0 / (2 * B::log_terms + 1)));
#pragma GCC unroll 16
  for (int k = B::log_terms - 1; k >= 1; --k) p = p * square + T(1.0 / (2 * k + 1));
  const Vec<T> twice = s + s;
  return n * B::ln2_high + (twice + (n * B::ln2_low + twice * square * p));
}

// Shuffle patterns that are one fast instruction each. They work within every 128 bits (of `per`
// elements), or on whole 128-bit quarters. `part` is 0 or 1.
template <typename T>
constexpr int per_quarter = 16 / static_cast<int>(sizeof(T));
template <typename T, int part>
struct Interleave {  // the part's half of each 128 bits of a, interleaved with b's
  static constexpr int at(int i) {
    constexpr int n = Simd<T>::lanes, per = per_quarter<T>;
    return (i & 1) * n + i / per * per + part * (per / 2) + i % per / 2;
  }
};
template <typename T, int part>
struct Halves {  // a's half, then b's
  static constexpr int at(int i) {
    constexpr int n = Simd<T>::lanes;
    return i / (n / 2) * n + part * (n / 2) + i % (n / 2);
  }
};
template <typename T, int part>
struct AlternateQuarters {  // quarters part and part + 2 of a, then of b
  static constexpr int at(int i) {
    constexpr int n = Simd<T>::lanes, per = per_quarter<T>;
    const int quarter = i / per;
    return quarter / 2 * n + (part + quarter % 2 * 2) * per + i % per;
  }
};

// Transpose a square block of lanes × lanes in registers: first within each 128 bits, then exchange
// the 128-bit quarters. `aligned` says whether each of its rows starts at a whole vector, before and after.
template <typename T, bool aligned = true>
CHARLOOM_INLINE void transpose_block(const T* from, std::ptrdiff_t from_row, T* to,
                                     std::ptrdiff_t to_row) {
  constexpr int n = Simd<T>::lanes, per = per_quarter<T>, pieces = n / per;
  Vec<T> row[n], next[n];
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i)
    row[i] = aligned ? load<T>(from + i * from_row) : load_anywhere<T>(from + i * from_row);
#pragma GCC unroll 2
  for (int round = 1; round < per; round *= 2) {
#pragma GCC unroll 8
    for (int group = 0; group < n; group += per)
#pragma GCC unroll 2
      for (int i = 0; i < per / 2; ++i) {
        const Vec<T> a = row[group + i], b = row[group + per / 2 + i];
        next[group + 2 * i] = shuffle<T, Interleave<T, 0>>(a, b);
        next[group + 2 * i + 1] = shuffle<T, Interleave<T, 1>>(a, b);
      }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) row[i] = next[i];
  }
  // Now piece l of row[g * per + j] belongs to row l * per + j of the result, as its piece g.
#pragma GCC unroll 4
  for (int j = 0; j < per; ++j) {
    Vec<T>* piece = row + j;
    if constexpr (pieces == 4) {
      const Vec<T> a = shuffle<T, Halves<T, 0>>(piece[0], piece[per]);
      const Vec<T> b = shuffle<T, Halves<T, 1>>(piece[0], piece[per]);
      const Vec<T> c = shuffle<T, Halves<T, 0>>(piece[2 * per], piece[3 * per]);
      const Vec<T> d = shuffle<T, Halves<T, 1>>(piece[2 * per], piece[3 * per]);
      piece[0] = shuffle<T, AlternateQuarters<T, 0>>(a, c);
      piece[per] = shuffle<T, AlternateQuarters<T, 1>>(a, c);
      piece[2 * per] = shuffle<T, AlternateQuarters<T, 0>>(b, d);
      piece[3 * per] = shuffle<T, AlternateQuarters<T, 1>>(b, d);
    } else if constexpr (pieces == 2) {
      const Vec<T> a = piece[0], b = piece[per];
      piece[0] = shuffle<T, Halves<T, 0>>(a, b);
      piece[per] = shuffle<T, Halves<T, 1>>(a, b);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i)
    if constexpr (aligned)
      store<T>(to + i * to_row, row[i]);
    else
      store_anywhere<T>(to + i * to_row, row[i]);
}

// Write the transpose of a matrix of any size: to[j * to_row + i] = from[i * from_row + j].
template <typename T>
CHARLOOM_NOINLINE void copy_transposed(const T* from, int rows, int columns, std::ptrdiff_t from_row, T* to,
                                       std::ptrdiff_t to_row) {
  constexpr int n = Simd<T>::lanes;
  const int whole_rows = rows / n * n, whole_columns = columns / n * n;
  for (int i = 0; i < whole_rows; i += n)
    for (int j = 0; j < whole_columns; j += n)
      transpose_block<T, false>(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
  for (int i = 0; i < rows; ++i)
    for (int j = i < whole_rows ? whole_columns : 0; j < columns; ++j)
      to[j * to_row + i] = from[i * from_row + j];
}

// Return the sum of all lanes of row[i] in lane i. The shuffles are those of a transpose, with an
// addition after each pair. The rows are overwritten.
template <typename T>
CHARLOOM_INLINE Vec<T> sums_of_rows(Vec<T> (&row)[Simd<T>::lanes]) {
  constexpr int per = per_quarter<T>, pieces = Simd<T>::lanes / per;
  if constexpr (pieces > 1) {
#pragma GCC unroll 2
    for (int start = 0; start < Simd<T>::lanes; start += 2 * per)
#pragma GCC unroll 4
      for (int i = start; i < start + per; ++i)
        row[i] = shuffle<T, Halves<T, 0>>(row[i], row[i + per]) +
                 shuffle<T, Halves<T, 1>>(row[i], row[i + per]);
  }
  if constexpr (pieces > 2) {
#pragma GCC unroll 4
    for (int i = 0; i < per; ++i)
      row[i] = shuffle<T, AlternateQuarters<T, 0>>(row[i], row[i + 2 * per]) +
               shuffle<T, AlternateQuarters<T, 1>>(row[i], row[i + 2 * per]);
  }
#pragma GCC unroll 2
  for (int step = per / 2; step >= 1; step /= 2)
#pragma GCC unroll 2
    for (int i = 0; i < step; ++i)
      row[i] = shuffle<T, Interleave<T, 0>>(row[i], row[i + step]) +
               shuffle<T, Interleave<T, 1>>(row[i], row[i + step]);
  return row[0];
}

}  // namespace
