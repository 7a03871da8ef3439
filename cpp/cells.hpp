// One step of each cell for one stream and one vector of units, forward and backward side by side
// (spec/mathematics.md: The cells).
//
// A step knows only the vectors that it reads and writes. The matrix products before and after it,
// and the places of those vectors in a layer's buffers, belong to stack_steps.hpp.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace {

using charloom::Cell;

// Only the LSTM has a cell state. Each cell except the plain one stores `inner`, a value of the step
// forward that the step backward needs.
constexpr bool has_cell_state(Cell cell) { return cell == Cell::lstm; }
constexpr bool has_inner(Cell cell) { return cell != Cell::rnn; }
constexpr int gates_of(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }

// Where one step reads and writes: each pointer is to one vector, `gates` to one vector per gate.
template <typename T>
struct StepVectors {
  T* gates;               // forward: the gates; backward: the gradients of their sums
  T *h_prev, *h;          // the hidden state before and after the step
  T *cell_prev, *cell;    // LSTM: the cell state before and after the step
  T* inner;               // LSTM: tanh(cell); GRU: W_n h + d, after backward the gradient of n's sum
};

// forward(at, sums, from_input) turns the sums of the gates into the gates and the next state. In
// the GRU the sum of the candidate n has two parts, because the reset gate acts on one of them
// only: sums[2] is W_n h + d, and from_input is U_n x + b. Other cells ignore from_input.
//
// backward(at, carry, dh) takes the gradient of h and turns the gates into the gradients of their
// sums. `carry` holds the part of the gradient that reaches the previous step without passing
// through the recurrent matrix.
template <Cell cell, typename T>
struct CellStep;

template <typename T>
struct CellStep<Cell::rnn, T> {
  static CHARLOOM_INLINE void forward(StepVectors<T> at, const Vec<T>* sums, Vec<T>) {
    store<T>(at.h, tanh<T>(sums[0]));
  }

  static CHARLOOM_INLINE void backward(StepVectors<T> at, T*, Vec<T> dh) {
    const Vec<T> h = load<T>(at.h);
    store<T>(at.gates, dh * (T(1) - h * h));
  }
};

template <typename T>
struct CellStep<Cell::lstm, T> {
  static constexpr int lanes = Simd<T>::lanes;

  static CHARLOOM_INLINE void forward(StepVectors<T> at, const Vec<T>* sums, Vec<T>) {
    const Vec<T> i = sigmoid<T>(sums[0]), f = sigmoid<T>(sums[1]), g = tanh<T>(sums[2]),
                 o = sigmoid<T>(sums[3]);
    const Vec<T> c = f * load<T>(at.cell_prev) + i * g;
    const Vec<T> c_tanh = tanh<T>(c);
    store<T>(at.gates, i);
    store<T>(at.gates + lanes, f);
    store<T>(at.gates + 2 * lanes, g);
    store<T>(at.gates + 3 * lanes, o);
    store<T>(at.cell, c);
    store<T>(at.inner, c_tanh);
    store<T>(at.h, o * c_tanh);
  }

  // `carry` is the gradient of the cell state.
  static CHARLOOM_INLINE void backward(StepVectors<T> at, T* carry, Vec<T> dh) {
    const Vec<T> i = load<T>(at.gates), f = load<T>(at.gates + lanes),
                 g = load<T>(at.gates + 2 * lanes), o = load<T>(at.gates + 3 * lanes);
    const Vec<T> c_prev = load<T>(at.cell_prev);
    const Vec<T> c_tanh = load<T>(at.inner);
    const Vec<T> dc = load<T>(carry) + dh * o * (T(1) - c_tanh * c_tanh);
    store<T>(at.gates, dc * g * i * (T(1) - i));
    store<T>(at.gates + lanes, dc * c_prev * f * (T(1) - f));
    store<T>(at.gates + 2 * lanes, dc * i * (T(1) - g * g));
    store<T>(at.gates + 3 * lanes, dh * c_tanh * o * (T(1) - o));
    store<T>(carry, dc * f);
  }
};

template <typename T>
struct CellStep<Cell::gru, T> {
  static constexpr int lanes = Simd<T>::lanes;

  static CHARLOOM_INLINE void forward(StepVectors<T> at, const Vec<T>* sums, Vec<T> from_input) {
    const Vec<T> r = sigmoid<T>(sums[0]), z = sigmoid<T>(sums[1]);
    const Vec<T> n = tanh<T>(from_input + r * sums[2]);
    const Vec<T> h_prev = load<T>(at.h_prev);
    store<T>(at.gates, r);
    store<T>(at.gates + lanes, z);
    store<T>(at.gates + 2 * lanes, n);
    store<T>(at.inner, sums[2]);
    store<T>(at.h, (T(1) - z) * n + z * h_prev);
  }

  // `carry` is z dh, a part of the gradient of the previous h.
  static CHARLOOM_INLINE void backward(StepVectors<T> at, T* carry, Vec<T> dh) {
    const Vec<T> r = load<T>(at.gates), z = load<T>(at.gates + lanes),
                 n = load<T>(at.gates + 2 * lanes), from_h = load<T>(at.inner);
    const Vec<T> h_prev = load<T>(at.h_prev);
    const Vec<T> d_n = dh * (T(1) - z) * (T(1) - n * n);
    store<T>(at.gates, d_n * from_h * r * (T(1) - r));
    store<T>(at.gates + lanes, dh * (h_prev - n) * z * (T(1) - z));
    store<T>(at.gates + 2 * lanes, d_n * r);
    store<T>(at.inner, d_n);
    store<T>(carry, dh * z);
  }

  // Swap the two gradients of the candidate n that `backward` leaves in the gates and in `inner`.
  // The gates first have the gradient of W_n h + d, which W and d need. `inner` has the gradient of
  // the whole sum, which U, b and the layer below need.
  static CHARLOOM_INLINE void swap_candidates(StepVectors<T> at) {
    T* gate = at.gates + 2 * lanes;
    const Vec<T> held = load<T>(gate);
    store<T>(gate, load<T>(at.inner));
    store<T>(at.inner, held);
  }
};

}  // namespace
