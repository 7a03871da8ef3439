// The Python module charloom._native: picks an instruction set, checks every array at the door,
// lets go of the GIL and calls the kernels. No mathematics here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace charloom {

#if defined(__x86_64__)
extern const InstructionSet kernels_v2, kernels_v3, kernels_v4;
#else
extern const InstructionSet kernels_baseline;
#endif

namespace {

// The sets this processor can run, best first.
std::vector<const InstructionSet*> available() {
  std::vector<const InstructionSet*> sets;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4) sets.push_back(&kernels_v4);
  if (v3) sets.push_back(&kernels_v3);
  if (v2) sets.push_back(&kernels_v2);
#else
  sets.push_back(&kernels_baseline);
#endif
  return sets;
}

const InstructionSet& find(const std::string& name) {
  for (const InstructionSet* set : available())
    if (name == set->name) return *set;
  throw std::invalid_argument("no instruction set " + name + " on this processor");
}

template <typename T>
const Kernels<T>& kernels(const std::string& isa) {
  if constexpr (sizeof(T) == 4)
    return find(isa).f32;
  else
    return find(isa).f64;
}

template <typename T>
using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
template <typename T>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void require(bool holds, const char* message) {
  if (!holds) throw std::invalid_argument(message);
}

// The arrays of one network, in the order U, W, b, V, c, with shapes that fit one another.
template <typename T>
struct Bundle {
  Weights<T> weights;
  Shape shape;

  explicit Bundle(nb::tuple arrays) {
    require(arrays.size() == 5, "weights must be the five arrays U, W, b, V, c");
    const auto U = nb::cast<Array<T>>(arrays[0], false), W = nb::cast<Array<T>>(arrays[1], false),
               b = nb::cast<Array<T>>(arrays[2], false), V = nb::cast<Array<T>>(arrays[3], false),
               c = nb::cast<Array<T>>(arrays[4], false);
    require(U.ndim() == 2 && W.ndim() == 2 && b.ndim() == 1 && V.ndim() == 2 && c.ndim() == 1,
            "U, W and V must have two axes, b and c one");
    const std::size_t H = U.shape(0), K = U.shape(1);
    require(H > 0 && K > 0 && H < (1u << 20) && K < (1u << 24), "H or K is out of range");
    require(W.shape(0) == H && W.shape(1) == H && b.shape(0) == H && V.shape(0) == K &&
                V.shape(1) == H && c.shape(0) == K,
            "the shapes of U, W, b, V and c do not fit one another");
    weights = {U.data(), W.data(), b.data(), V.data(), c.data()};
    shape = {static_cast<int>(K), static_cast<int>(H)};
  }
  void same_as(const Bundle& other) const {
    require(shape.H == other.shape.H && shape.K == other.shape.K, "the two bundles differ in shape");
  }
};

template <typename T>
Tokens tokens_of(const Bytes& ids, int K) {
  const auto kind = ids.dtype();
  require(kind.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt) &&
              (kind.bits == 8 || kind.bits == 16 || kind.bits == 32),
          "ids must be uint8, uint16 or uint32");
  const Tokens tokens{ids.data(), kind.bits / 8, ids.shape(0)};
  std::uint32_t most = 0;
  const auto scan = [&](auto* at) {
    for (std::size_t i = 0; i < tokens.count; ++i) most = at[i] > most ? at[i] : most;
  };
  if (tokens.bytes == 1)
    scan(static_cast<const std::uint8_t*>(tokens.at));
  else if (tokens.bytes == 2)
    scan(static_cast<const std::uint16_t*>(tokens.at));
  else
    scan(static_cast<const std::uint32_t*>(tokens.at));
  require(most < static_cast<std::uint32_t>(K), "an id is not below K");
  return tokens;
}

template <typename A>
void require_length(const A& array, std::size_t length, const char* message) {
  require(array.ndim() == 1 && array.shape(0) == length, message);
}

void require_memory(bool ok) {
  if (!ok) throw std::bad_alloc();
}

template <typename T>
void bind(nb::module_& m) {
  m.def("gradients",
        [](const std::string& isa, nb::tuple weights, In<std::int32_t> x, In<std::int32_t> y,
           In<T> h, nb::tuple gradients, Array<T> h_next) {
          const Bundle<T> net(weights), result(gradients);
          result.same_as(net);
          const std::size_t T_steps = x.shape(0);
          require(T_steps > 0 && T_steps < (1u << 24), "the window is empty or too long");
          require_length(x, T_steps, "x must have one axis");
          require_length(y, T_steps, "y must be as long as x");
          require_length(h, net.shape.H, "h must have length H");
          require_length(h_next, net.shape.H, "h_next must have length H");
          for (std::size_t t = 0; t < T_steps; ++t)
            require(x.data()[t] >= 0 && x.data()[t] < net.shape.K && y.data()[t] >= 0 &&
                        y.data()[t] < net.shape.K,
                    "an id is not below K");
          double loss = 0;
          bool ok;
          {
            nb::gil_scoped_release release;
            ok = kernels<T>(isa).gradients(net.shape, net.weights, x.data(), y.data(),
                                           static_cast<int>(T_steps), h.data(), &loss,
                                           result.weights, h_next.data());
          }
          require_memory(ok);
          return loss;
        },
        "isa"_a, "weights"_a, "x"_a.noconvert(), "y"_a.noconvert(), "h"_a.noconvert(),
        "gradients"_a, "h_next"_a.noconvert());

  m.def("train",
        [](const std::string& isa, nb::tuple weights, nb::tuple accumulators, Array<T> h,
           Bytes ids, std::size_t T_steps, In<double> learning_rates, double clip, double epsilon,
           Array<double> losses, Array<double> norms) {
          const Bundle<T> net(weights), slots(accumulators);
          slots.same_as(net);
          const std::size_t count = learning_rates.shape(0);
          require(count < (1u << 30), "too many updates in one call");
          require_length(learning_rates, count, "learning_rates must have one axis");
          require_length(losses, count, "losses must be as long as learning_rates");
          require_length(norms, count, "norms must be as long as learning_rates");
          require_length(h, net.shape.H, "h must have length H");
          require(T_steps > 0 && T_steps < (1u << 24), "the window is empty or too long");
          const Tokens tokens = tokens_of<T>(ids, net.shape.K);
          require(tokens.count == count * T_steps + 1, "ids must be count * T + 1 long");
          TrainResult result;
          {
            nb::gil_scoped_release release;
            result = kernels<T>(isa).train(net.shape, net.weights, slots.weights, h.data(), tokens,
                                           static_cast<int>(T_steps), static_cast<int>(count),
                                           learning_rates.data(), clip, epsilon, losses.data(),
                                           norms.data());
          }
          require_memory(!result.no_memory);
          return nb::make_tuple(result.updates, result.not_finite, result.loss, result.norm);
        },
        "isa"_a, "weights"_a, "accumulators"_a, "h"_a.noconvert(), "ids"_a.noconvert(),
        "seq_length"_a, "learning_rates"_a.noconvert(), "clip"_a, "epsilon"_a,
        "losses"_a.noconvert(), "norms"_a.noconvert());

  m.def("score",
        [](const std::string& isa, nb::tuple weights, Array<T> h, Bytes ids, Array<double> nats) {
          const Bundle<T> net(weights);
          require_length(h, net.shape.H, "h must have length H");
          const Tokens tokens = tokens_of<T>(ids, net.shape.K);
          require(tokens.count > 0, "there must be at least one id");
          require_length(nats, tokens.count - 1, "nats must be one shorter than ids");
          bool ok;
          {
            nb::gil_scoped_release release;
            ok = kernels<T>(isa).score(net.shape, net.weights, h.data(), tokens, nats.data());
          }
          require_memory(ok);
        },
        "isa"_a, "weights"_a, "h"_a.noconvert(), "ids"_a.noconvert(), "nats"_a.noconvert());

  m.def("activations",
        [](const std::string& isa, nb::tuple weights, Array<T> h, Bytes ids, Array<T> values) {
          const Bundle<T> net(weights);
          require_length(h, net.shape.H, "h must have length H");
          const Tokens tokens = tokens_of<T>(ids, net.shape.K);
          require(values.ndim() == 2 && values.shape(0) == tokens.count &&
                      values.shape(1) == static_cast<std::size_t>(net.shape.H),
                  "values must have the shape (count, H)");
          bool ok;
          {
            nb::gil_scoped_release release;
            ok = kernels<T>(isa).activations(net.shape, net.weights, h.data(), tokens,
                                             values.data());
          }
          require_memory(ok);
        },
        "isa"_a, "weights"_a, "h"_a.noconvert(), "ids"_a.noconvert(), "values"_a.noconvert());

  m.def("step",
        [](const std::string& isa, nb::tuple weights, Array<T> h, int id, Array<T> logits) {
          const Bundle<T> net(weights);
          require_length(h, net.shape.H, "h must have length H");
          require_length(logits, net.shape.K, "logits must have length K");
          require(id >= 0 && id < net.shape.K, "an id is not below K");
          require_memory(kernels<T>(isa).step(net.shape, net.weights, h.data(), id, logits.data()));
        },
        "isa"_a, "weights"_a, "h"_a.noconvert(), "id"_a, "logits"_a.noconvert());

  m.def("generate",
        [](const std::string& isa, nb::tuple weights, Array<T> h, int first, double temperature,
           In<double> uniforms, Array<std::int32_t> ids) {
          const Bundle<T> net(weights);
          require_length(h, net.shape.H, "h must have length H");
          require(first >= 0 && first < net.shape.K, "an id is not below K");
          require_length(uniforms, uniforms.shape(0), "uniforms must have one axis");
          require_length(ids, uniforms.shape(0), "ids must be as long as uniforms");
          Draw draw;
          {
            nb::gil_scoped_release release;
            draw = kernels<T>(isa).generate(net.shape, net.weights, h.data(), first, temperature,
                                            uniforms.data(), uniforms.shape(0), ids.data());
          }
          require_memory(draw != Draw::no_memory);
          return draw == Draw::done;
        },
        "isa"_a, "weights"_a, "h"_a.noconvert(), "first"_a, "temperature"_a,
        "uniforms"_a.noconvert(), "ids"_a.noconvert());

  m.def("apply",
        [](const std::string& isa, const std::string& function, In<T> x, Array<T> y) {
          const Kernels<T>& k = kernels<T>(isa);
          require_length(y, x.size(), "y must be as long as x");
          require(x.ndim() == 1 && x.size() % 16 == 0, "x must be a multiple of 16 long");
          const auto f = function == "exp"    ? k.exp
                         : function == "tanh" ? k.tanh
                                              : k.reciprocal_root;
          f(x.data(), y.data(), x.size());
        },
        "isa"_a, "function"_a, "x"_a.noconvert(), "y"_a.noconvert());
}

}  // namespace
}  // namespace charloom

NB_MODULE(_native, m) {
  m.doc() = "The compiled kernels of charloom; see charloom.engines.native.";
  nb::module_ f32 = m.def_submodule("float32"), f64 = m.def_submodule("float64");
  charloom::bind<float>(f32);
  charloom::bind<double>(f64);
  m.def(
      "instruction_sets",
      [] {
        std::vector<std::string> names;
        for (const auto* set : charloom::available()) names.emplace_back(set->name);
        return names;
      },
      "The instruction sets that this build has and this processor can run, best first.");
  m.def(
      "multiply_adds",
      [](const std::string& isa, const std::string& dtype, double operations) {
        const auto& set = charloom::find(isa);
        nb::gil_scoped_release release;
        (dtype == "float32" ? set.f32.multiply_adds : set.f64.multiply_adds)(operations);
      },
      "isa"_a, "dtype"_a, "operations"_a,
      "Do so many floating-point operations as fused multiply-adds, as fast as the core can.");
}
