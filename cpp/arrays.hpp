// Checks the arrays that Python passes, before a kernel reads or writes them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <new>
#include <stdexcept>
#include <vector>

#include "kernels.hpp"

namespace charloom {

namespace nb = nanobind;

template <typename T>
using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
template <typename T>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr std::size_t most_units = 1u << 20, most_characters = 1u << 24, most_layers = 64,
                      most_threads = 256, most_rows = 1u << 24;
constexpr int most_order = 64, most_parts = 255;
constexpr std::size_t most_pairs = 1u << 24;
constexpr std::int64_t most_place = std::int64_t(1) << 48;  // in a text

inline void require(bool holds, const char* message) {
  if (!holds) throw std::invalid_argument(message);
}

inline void require_memory(bool ok) {
  if (!ok) throw std::bad_alloc();
}

inline void require_threads(std::size_t threads, std::size_t streams) {
  require(threads > 0 && threads <= streams && threads <= most_threads,
          "there must be at least one thread, and no more threads than streams");
}

inline void require_below(const In<std::int32_t>& ids, int K) {
  for (std::size_t i = 0; i < ids.size(); ++i)
    require(ids.data()[i] >= 0 && ids.data()[i] < K, "an id is not below K");
}

template <typename A>
void require_length(const A& array, std::size_t length, const char* message) {
  require(array.ndim() == 1 && array.shape(0) == length, message);
}

// The arrays of one network in the order of the learner, each checked for the shape that the
// network needs.
template <typename T>
struct ParameterArrays {
  std::vector<T*> arrays;

  ParameterArrays(const Shape& shape, const nb::tuple& given) {
    require(given.size() == static_cast<std::size_t>(shape.arrays()), "wrong number of arrays");
    arrays.reserve(given.size());
    const std::size_t H = shape.H, K = shape.K, GH = H * shape.blocks();
    const std::size_t per_layer = shape.arrays_per_layer();
    for (std::size_t i = 0; i < given.size(); ++i) {
      const bool output = i >= per_layer * shape.layers;
      const std::size_t place = output ? i - per_layer * shape.layers : i % per_layer;
      if (shape.pairs && i + 1 == given.size())
        add(given[i], shape.pairs, GH);
      else if (output && place >= 2)
        add(given[i], 1, place == 2 ? H : 0);
      else if (output)
        add(given[i], K, place == 0 ? H : 0);
      else if (place == 0)
        add(given[i], GH, i < per_layer ? K : H);
      else
        add(given[i], place == 3 ? H : GH, place == 1 ? H : 0);
    }
  }

 private:
  // Adds a matrix, or a vector if `columns` is 0.
  void add(const nb::handle& array, std::size_t rows, std::size_t columns) {
    const auto a = nb::cast<Array<T>>(array, false);
    require(a.ndim() == (columns ? 2u : 1u) && a.shape(0) == rows &&
                (!columns || a.shape(1) == columns),
            "an array does not have the shape that the network needs");
    arrays.push_back(a.data());
  }
};

// Return the state arrays h, and cell for an LSTM, after checking their shape (first, second, H).
template <typename T>
State<T> states_of(const Shape& shape, const nb::tuple& given, std::size_t first,
                   std::size_t second, const char* message) {
  const std::size_t states = static_cast<std::size_t>(shape.states());
  require(given.size() >= states, "wrong number of states");
  T* at[2] = {nullptr, nullptr};
  for (std::size_t i = 0; i < states; ++i) {
    const auto a = nb::cast<Array<T>>(given[i], false);
    require(a.ndim() == 3 && a.shape(0) == first && a.shape(1) == second &&
                a.shape(2) == static_cast<std::size_t>(shape.H),
            message);
    at[i] = a.data();
  }
  return {at[0], at[1], nullptr};
}

// Return the state of B streams for a kernel to write: arrays of shape (L, B, H), and for a network
// with n-grams or pairs the recent ids, (1, B, shape.recent()).
template <typename T>
State<T> result_state_of(const Shape& shape, const nb::tuple& given, std::size_t B) {
  State<T> state =
      states_of<T>(shape, given, shape.layers, B, "a state must have the shape (L, B, H)");
  const auto states = static_cast<std::size_t>(shape.states());
  require(given.size() == states + shape.has_recent(), "wrong number of states");
  if (!shape.has_recent()) return state;
  const auto recent = nb::cast<Array<std::int32_t>>(given[states], false);
  require(recent.ndim() == 3 && recent.shape(0) == 1 && recent.shape(1) == B &&
              recent.shape(2) == static_cast<std::size_t>(shape.recent()),
          "recent must have the shape (1, B, the number of recent ids)");
  state.recent = recent.data();
  return state;
}

// Return the state of B streams for a kernel to read.
template <typename T>
State<T> state_of(const Shape& shape, const nb::tuple& given, std::size_t B) {
  const State<T> state = result_state_of<T>(shape, given, B);
  const std::size_t ids = state.recent == nullptr ? 0 : B * static_cast<std::size_t>(shape.recent());
  for (std::size_t i = 0; i < ids; ++i)
    require(state.recent[i] >= -1 && state.recent[i] < shape.K,
            "a recent id is neither -1 nor an id below K");
  return state;
}

inline Tokens tokens_of(const Bytes& ids) {
  const auto kind = ids.dtype();
  require(kind.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt) &&
              (kind.bits == 8 || kind.bits == 16 || kind.bits == 32),
          "ids must be uint8, uint16 or uint32");
  return {ids.data(), kind.bits / 8, ids.shape(0)};
}

}  // namespace charloom
