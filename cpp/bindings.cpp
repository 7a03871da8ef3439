// The Python module charloom._native: picks an instruction set, checks every array at the door,
// lets go of the GIL and calls the kernels. No mathematics here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cerrno>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "gil.hpp"
#include "kernels.hpp"
#include "threads.hpp"
#include "workspace.hpp"

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

constexpr std::size_t most_units = 1u << 20, most_characters = 1u << 24, most_layers = 64,
                      most_threads = 256, most_rows = 1u << 24;

// What a network is, as Python says it: cell, layers, K, H.
Shape shape_of(const nb::tuple& about) {
  require(about.size() == 4, "the shape must be cell, layers, K, H");
  const auto cell = nb::cast<int>(about[0]);
  const auto layers = nb::cast<std::size_t>(about[1]), K = nb::cast<std::size_t>(about[2]),
             H = nb::cast<std::size_t>(about[3]);
  require(cell >= 0 && cell <= 2, "the cell must be 0, 1 or 2");
  require(layers > 0 && layers <= most_layers, "there must be 1 to 64 layers");
  require(H > 0 && K > 0 && H < most_units && K < most_characters, "H or K is out of range");
  return {static_cast<Cell>(cell), static_cast<int>(layers), static_cast<int>(K),
          static_cast<int>(H)};
}

// The arrays of one network in the learner's order, each of the size that the shape asks for.
template <typename T>
struct Bundle {
  std::vector<T*> arrays;

  Bundle(const Shape& shape, const nb::tuple& given) {
    require(given.size() == static_cast<std::size_t>(shape.arrays()), "wrong number of arrays");
    const std::size_t H = shape.H, K = shape.K, GH = H * shape.gates();
    const std::size_t per_layer = shape.arrays_per_layer();
    for (std::size_t i = 0; i < given.size(); ++i) {
      const bool output = i >= per_layer * shape.layers;
      const std::size_t place = output ? i - per_layer * shape.layers : i % per_layer;
      if (output)
        add(given[i], K, place == 0 ? H : 0);
      else if (place == 0)
        add(given[i], GH, i < per_layer ? K : H);
      else
        add(given[i], place == 3 ? H : GH, place == 1 ? H : 0);
    }
  }

 private:
  // A vector where there are 0 columns.
  void add(const nb::handle& array, std::size_t rows, std::size_t columns) {
    const auto a = nb::cast<Array<T>>(array, false);
    require(a.ndim() == (columns ? 2u : 1u) && a.shape(0) == rows &&
                (!columns || a.shape(1) == columns),
            "an array does not have the shape that the network asks for");
    arrays.push_back(a.data());
  }
};

// The arrays h, and cell for an LSTM, of shape (L, B, H).
template <typename T>
State<T> state_of(const Shape& shape, const nb::tuple& given, std::size_t B) {
  require(given.size() == static_cast<std::size_t>(shape.states()), "wrong number of states");
  T* at[2] = {nullptr, nullptr};
  for (std::size_t i = 0; i < given.size(); ++i) {
    const auto a = nb::cast<Array<T>>(given[i], false);
    require(a.ndim() == 3 && a.shape(0) == static_cast<std::size_t>(shape.layers) &&
                a.shape(1) == B && a.shape(2) == static_cast<std::size_t>(shape.H),
            "a state must have the shape (L, B, H)");
    at[i] = a.data();
  }
  return {at[0], at[1]};
}

Tokens tokens_of(const Bytes& ids) {
  const auto kind = ids.dtype();
  require(kind.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt) &&
              (kind.bits == 8 || kind.bits == 16 || kind.bits == 32),
          "ids must be uint8, uint16 or uint32");
  return {ids.data(), kind.bits / 8, ids.shape(0)};
}

// How updates are made, as Python says it.
Descent descent_of(const nb::tuple& rule) {
  require(rule.size() == 12, "the rule must have twelve numbers");
  const int kind = nb::cast<int>(rule[0]);
  require(kind >= 0 && kind <= 4, "the rule must be 0 … 4");
  Descent how{};
  how.rule = static_cast<Rule>(kind);
  how.momentum = nb::cast<double>(rule[1]);
  how.decay = nb::cast<double>(rule[2]);
  how.beta1 = nb::cast<double>(rule[3]);
  how.beta2 = nb::cast<double>(rule[4]);
  how.epsilon = nb::cast<double>(rule[5]);
  how.weight_decay = nb::cast<double>(rule[6]);
  how.clip = nb::cast<double>(rule[7]);
  how.clip_by_norm = nb::cast<bool>(rule[8]);
  how.mean = nb::cast<bool>(rule[9]);
  how.dropout = nb::cast<double>(rule[10]);
  how.seed = nb::cast<std::uint64_t>(rule[11]);
  require(how.dropout >= 0 && how.dropout < 1, "dropout must be at least 0 and below 1");
  return how;
}

void require_below(const In<std::int32_t>& ids, int K) {
  for (std::size_t i = 0; i < ids.size(); ++i)
    require(ids.data()[i] >= 0 && ids.data()[i] < K, "an id is not below K");
}

template <typename A>
void require_length(const A& array, std::size_t length, const char* message) {
  require(array.ndim() == 1 && array.shape(0) == length, message);
}

void require_memory(bool ok) {
  if (!ok) throw std::bad_alloc();
}

// Refuse subinterpreters: when nanobind releases an array it takes the GIL through PyGILState_Ensure,
// which knows the main interpreter alone, and so waits for itself forever.
void require_main_interpreter() {
  if (PyInterpreterState_Get() != PyInterpreterState_Main())
    throw nb::import_error("it runs in the main interpreter only, and this is a subinterpreter");
}

// The system gave fewer threads than asked for: an OSError, with the system's own words.
void system_refused(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::system_error& error) {
    errno = error.code().value();
    PyErr_SetFromErrno(PyExc_OSError);
  }
}

template <typename T>
void bind(nb::module_& m) {
  m.def("gradients",
        [](const std::string& isa, nb::tuple about, nb::tuple weights, In<std::int32_t> x,
           In<std::int32_t> y, nb::tuple state, nb::tuple rule, std::int64_t update,
           nb::tuple gradients, nb::tuple next) {
          const Shape shape = shape_of(about);
          const Bundle<T> net(shape, weights), result(shape, gradients);
          require(x.ndim() == 2 && y.ndim() == 2 && x.shape(0) == y.shape(0) &&
                      x.shape(1) == y.shape(1) && x.size() > 0 && x.size() < most_rows,
                  "x and y must have the same shape (T, B), neither empty nor huge");
          const Descent how = descent_of(rule);
          require_below(x, shape.K);
          require_below(y, shape.K);
          const State<T> from = state_of<T>(shape, state, x.shape(1)),
                         to = state_of<T>(shape, next, x.shape(1));
          double loss = 0;
          bool ok;
          {
            WithoutGil released;
            ok = kernels<T>(isa).gradients(shape, net.arrays.data(), x.data(), y.data(),
                                           static_cast<int>(x.shape(0)),
                                           static_cast<int>(x.shape(1)), from, how, update, &loss,
                                           result.arrays.data(), to);
          }
          require_memory(ok);
          return loss;
        },
        "isa"_a, "shape"_a, "weights"_a, "x"_a.noconvert(), "y"_a.noconvert(), "state"_a,
        "rule"_a, "update"_a, "gradients"_a, "next"_a);

  m.def("train",
        [](const std::string& isa, nb::tuple about, nb::tuple weights, nb::tuple slots,
           nb::tuple state, Bytes ids, In<std::int64_t> starts, std::size_t T_steps,
           In<double> learning_rates, std::int64_t update, nb::tuple rule, std::size_t threads, Pieces& kept,
           Array<double> losses, Array<double> norms) {
          const Shape shape = shape_of(about);
          const Bundle<T> net(shape, weights);
          const Descent how = descent_of(rule);
          require(slots.size() == (how.rule == Rule::adam || how.rule == Rule::adamw ? 2u : 1u),
                  "wrong number of slots");
          std::vector<Bundle<T>> held;
          std::vector<Arrays<T>> slot_arrays;
          for (std::size_t i = 0; i < slots.size(); ++i)
            held.emplace_back(shape, nb::cast<nb::tuple>(slots[i]));
          for (const auto& slot : held) slot_arrays.push_back(slot.arrays.data());
          const std::size_t count = learning_rates.shape(0), B = starts.shape(0);
          require(count < (1u << 30), "too many updates in one call");
          require_length(learning_rates, count, "learning_rates must have one axis");
          require_length(losses, count, "losses must be as long as learning_rates");
          require_length(norms, count, "norms must be as long as learning_rates");
          require_length(starts, B, "starts must have one axis");
          require(B > 0 && T_steps > 0 && B < most_rows && T_steps < most_rows &&
                      B * T_steps < most_rows,
                  "the window is empty or too large");
          require(threads > 0 && threads <= B && threads <= most_threads,
                  "there must be at least one thread, and no more than streams");
          const Tokens tokens = tokens_of(ids);
          for (std::size_t s = 0; s < B; ++s)
            require(starts.data()[s] >= 0 &&
                        static_cast<std::uint64_t>(starts.data()[s]) + count * T_steps + 1 <=
                            tokens.count,
                    "a stream's windows run past the end of the text");
          const State<T> at = state_of<T>(shape, state, B);
          const Windows windows{tokens,
                                starts.data(),
                                static_cast<int>(B),
                                static_cast<int>(T_steps),
                                static_cast<int>(count),
                                learning_rates.data(),
                                update};
          TrainResult result;
          {
            WithoutGil released;
            Crew crew(static_cast<int>(threads));
            Pieces own;
            std::unique_lock<std::mutex> held_pieces(kept.in_use, std::try_to_lock);
            Pieces& pieces = held_pieces.owns_lock() ? kept : own;
            result = kernels<T>(isa).train(shape, net.arrays.data(), slot_arrays.data(), at,
                                           windows, how, crew.team(), pieces.workspace(),
                                           losses.data(), norms.data());
          }
          require_memory(!result.no_memory);
          return nb::make_tuple(result.updates, result.not_finite, result.bad_id, result.loss,
                                result.norm);
        },
        "isa"_a, "shape"_a, "weights"_a, "slots"_a, "state"_a, "ids"_a.noconvert(),
        "starts"_a.noconvert(), "seq_length"_a, "learning_rates"_a.noconvert(), "update"_a,
        "rule"_a, "threads"_a, "workspace"_a, "losses"_a.noconvert(), "norms"_a.noconvert());

  m.def("score",
        [](const std::string& isa, nb::tuple about, nb::tuple weights, nb::tuple state,
           In<std::int32_t> tokens, std::size_t threads, Array<double> nats) {
          const Shape shape = shape_of(about);
          const Bundle<T> net(shape, weights);
          require(tokens.ndim() == 2 && tokens.size() > 0 && tokens.shape(1) < most_rows,
                  "tokens must have the shape (N, B), N at least 1");
          const std::size_t N = tokens.shape(0), B = tokens.shape(1);
          require_below(tokens, shape.K);
          require(nats.ndim() == 2 && nats.shape(0) == N - 1 && nats.shape(1) == B,
                  "nats must have the shape (N - 1, B)");
          require(threads > 0 && threads <= B && threads <= most_threads,
                  "there must be at least one thread, and no more than streams");
          const State<T> at = state_of<T>(shape, state, B);
          bool ok;
          {
            WithoutGil released;
            Crew crew(static_cast<int>(threads));
            ok = kernels<T>(isa).score(shape, net.arrays.data(), at, tokens.data(), N,
                                       static_cast<int>(B), crew.team(), nats.data());
          }
          require_memory(ok);
        },
        "isa"_a, "shape"_a, "weights"_a, "state"_a, "tokens"_a.noconvert(), "threads"_a,
        "nats"_a.noconvert());

  m.def("activations",
        [](const std::string& isa, nb::tuple about, nb::tuple weights, nb::tuple state,
           In<std::int32_t> tokens, nb::tuple values) {
          const Shape shape = shape_of(about);
          const Bundle<T> net(shape, weights);
          require_length(tokens, tokens.shape(0), "tokens must have one axis");
          require_below(tokens, shape.K);
          require(values.size() == static_cast<std::size_t>(shape.states()),
                  "wrong number of values");
          T* to[2] = {nullptr, nullptr};
          for (std::size_t i = 0; i < values.size(); ++i) {
            const auto a = nb::cast<Array<T>>(values[i], false);
            require(a.ndim() == 3 && a.shape(0) == tokens.shape(0) &&
                        a.shape(1) == static_cast<std::size_t>(shape.layers) &&
                        a.shape(2) == static_cast<std::size_t>(shape.H),
                    "values must have the shape (count, L, H)");
            to[i] = a.data();
          }
          const State<T> at = state_of<T>(shape, state, 1);
          bool ok;
          {
            WithoutGil released;
            ok = kernels<T>(isa).activations(shape, net.arrays.data(), at, tokens.data(),
                                             tokens.shape(0), {to[0], to[1]});
          }
          require_memory(ok);
        },
        "isa"_a, "shape"_a, "weights"_a, "state"_a, "tokens"_a.noconvert(), "values"_a);

  m.def("step",
        [](const std::string& isa, nb::tuple about, nb::tuple weights, nb::tuple state,
           In<std::int32_t> ids, Array<T> logits) {
          const Shape shape = shape_of(about);
          const Bundle<T> net(shape, weights);
          const std::size_t B = ids.shape(0);
          require(ids.ndim() == 1 && B > 0 && B < most_rows, "ids must be one per stream");
          require_below(ids, shape.K);
          require(logits.ndim() == 2 && logits.shape(0) == B &&
                      logits.shape(1) == static_cast<std::size_t>(shape.K),
                  "logits must have the shape (B, K)");
          const State<T> at = state_of<T>(shape, state, B);
          bool ok;
          {
            WithoutGil released;
            ok = kernels<T>(isa).step(shape, net.arrays.data(), at, ids.data(),
                                      static_cast<int>(B), logits.data());
          }
          require_memory(ok);
        },
        "isa"_a, "shape"_a, "weights"_a, "state"_a, "ids"_a.noconvert(), "logits"_a.noconvert());

  m.def("generate",
        [](const std::string& isa, nb::tuple about, nb::tuple weights, nb::tuple state,
           In<std::int32_t> read, nb::tuple how, In<double> uniforms, std::size_t threads,
           Array<std::int32_t> ids) {
          const Shape shape = shape_of(about);
          const Bundle<T> net(shape, weights);
          require(read.ndim() == 1 && read.shape(0) > 0, "at least one id must be read");
          require_below(read, shape.K);
          require(how.size() == 6, "the sampler must have six numbers");
          const Sampler sampler{nb::cast<double>(how[0]), nb::cast<double>(how[1]),
                                nb::cast<double>(how[2]), nb::cast<double>(how[3]),
                                nb::cast<int>(how[4]),    nb::cast<int>(how[5])};
          require(sampler.window >= 0, "the window must be at least 0");
          require_length(uniforms, uniforms.shape(0), "uniforms must have one axis");
          require_length(ids, uniforms.shape(0), "ids must be as long as uniforms");
          require(threads > 0 && threads <= most_threads, "there must be at least one thread");
          const State<T> at = state_of<T>(shape, state, 1);
          Draw draw;
          {
            WithoutGil released;
            Crew crew(static_cast<int>(threads));
            draw = kernels<T>(isa).generate(shape, net.arrays.data(), at, read.data(),
                                            read.shape(0), sampler, uniforms.data(),
                                            uniforms.shape(0), crew.team(), ids.data());
          }
          require_memory(draw != Draw::no_memory);
          return draw == Draw::done;
        },
        "isa"_a, "shape"_a, "weights"_a, "state"_a, "read"_a.noconvert(), "sampler"_a,
        "uniforms"_a.noconvert(), "threads"_a, "ids"_a.noconvert());

  m.def("apply",
        [](const std::string& isa, const std::string& function, In<T> x, Array<T> y) {
          const Kernels<T>& k = kernels<T>(isa);
          require_length(y, x.size(), "y must be as long as x");
          require(x.ndim() == 1 && x.size() % 16 == 0, "x must be a multiple of 16 long");
          const auto f = function == "exp"               ? k.exp
                         : function == "tanh"            ? k.tanh
                         : function == "sigmoid"         ? k.sigmoid
                         : function == "reciprocal_root" ? k.reciprocal_root
                         : function == "reciprocal"      ? k.reciprocal
                         : function == "root"            ? k.root
                                                         : nullptr;
          require(f != nullptr, "no such function");
          f(x.data(), y.data(), x.size());
        },
        "isa"_a, "function"_a, "x"_a.noconvert(), "y"_a.noconvert());
}

}  // namespace
}  // namespace charloom

NB_MODULE(_native, m) {
  charloom::require_main_interpreter();
  // A daemon thread that computes while the process ends never releases what it was given.
  nb::set_leak_warnings(false);
  m.doc() = "The compiled kernels of charloom; see charloom.engines.native.";
  nb::register_exception_translator(charloom::system_refused);
  nb::class_<charloom::Pieces>(m, "Workspace", "Memory that one engine keeps between calls.")
      .def(nb::init<>());
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
        charloom::WithoutGil released;
        (dtype == "float32" ? set.f32.multiply_adds : set.f64.multiply_adds)(operations);
      },
      "isa"_a, "dtype"_a, "operations"_a,
      "Do so many floating-point operations as fused multiply-adds, as fast as the core can.");
}
