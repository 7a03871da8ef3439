// Binds the calls that do not train: scoring, activations, single steps and sampling.
#include "bindings.hpp"
#include "gil.hpp"
#include "threads.hpp"

namespace charloom {

using namespace nb::literals;

namespace {

template <typename T>
void score(const TypedKernels<T>& kernels, const Shape& shape, const NGramTable* ngrams,
           const PairTable* pairs, nb::tuple weights, nb::tuple state, In<std::int32_t> tokens,
           std::size_t threads, Array<double> nats) {
  const ParameterArrays<T> net(shape, weights);
  const Model<T> model = model_of<T>(shape, net.arrays.data(), ngrams, pairs);
  require(tokens.ndim() == 2 && tokens.size() > 0 && tokens.shape(1) < most_rows,
          "tokens must have the shape (N, B), N at least 1");
  const std::size_t N = tokens.shape(0), B = tokens.shape(1);
  require_below(tokens, shape.K);
  require(nats.ndim() == 2 && nats.shape(0) == N - 1 && nats.shape(1) == B,
          "nats must have the shape (N - 1, B)");
  require_threads(threads, B);
  const State<T> at = state_of<T>(shape, state, B);
  bool ok;
  {
    WithoutGil released;
    ThreadTeam team(static_cast<int>(threads));
    ok = kernels.call.score(model, at, tokens.data(), N, static_cast<int>(B), team.interface(),
                            nats.data());
  }
  require_memory(ok);
}

template <typename T>
void activations(const TypedKernels<T>& kernels, const Shape& shape, const NGramTable* ngrams,
                 const PairTable* pairs, nb::tuple weights, nb::tuple state,
                 In<std::int32_t> tokens, nb::tuple values) {
  const ParameterArrays<T> net(shape, weights);
  const Model<T> model = model_of<T>(shape, net.arrays.data(), ngrams, pairs);
  require(tokens.ndim() == 1, "tokens must have one axis");
  require_below(tokens, shape.K);
  require(values.size() == static_cast<std::size_t>(shape.states()), "wrong number of values");
  const State<T> to = states_of<T>(shape, values, tokens.shape(0), shape.layers,
                                   "values must have the shape (count, L, H)");
  const State<T> at = state_of<T>(shape, state, 1);
  bool ok;
  {
    WithoutGil released;
    ok = kernels.call.activations(model, at, tokens.data(), tokens.shape(0), to);
  }
  require_memory(ok);
}

template <typename T>
void step(const TypedKernels<T>& kernels, const Shape& shape, const NGramTable* ngrams,
          const PairTable* pairs, nb::tuple weights, nb::tuple state, In<std::int32_t> ids,
          Array<T> logits) {
  const ParameterArrays<T> net(shape, weights);
  const Model<T> model = model_of<T>(shape, net.arrays.data(), ngrams, pairs);
  require(ids.ndim() == 1 && ids.size() > 0 && ids.size() < most_rows,
          "ids must be one per stream");
  const std::size_t B = ids.shape(0);
  require_below(ids, shape.K);
  require(logits.ndim() == 2 && logits.shape(0) == B &&
              logits.shape(1) == static_cast<std::size_t>(shape.K),
          "logits must have the shape (B, K)");
  const State<T> at = state_of<T>(shape, state, B);
  bool ok;
  {
    WithoutGil released;
    ok = kernels.call.step(model, at, ids.data(), static_cast<int>(B), logits.data());
  }
  require_memory(ok);
}

template <typename T>
bool generate(const TypedKernels<T>& kernels, const Shape& shape, const NGramTable* ngrams,
              const PairTable* pairs, nb::tuple weights, nb::tuple state, In<std::int32_t> read,
              const Sampler& sampler, In<double> uniforms, std::size_t threads,
              Array<std::int32_t> ids) {
  const ParameterArrays<T> net(shape, weights);
  const Model<T> model = model_of<T>(shape, net.arrays.data(), ngrams, pairs);
  require(read.ndim() == 1 && read.size() > 0, "at least one id must be read");
  require_below(read, shape.K);
  require(uniforms.ndim() == 1, "uniforms must have one axis");
  const std::size_t count = uniforms.shape(0);
  require_length(ids, count, "ids must be as long as uniforms");
  require_threads(threads, most_threads);
  const State<T> at = state_of<T>(shape, state, 1);
  Draw draw;
  {
    WithoutGil released;
    ThreadTeam team(static_cast<int>(threads));
    draw = kernels.call.generate(model, at, read.data(), read.shape(0), sampler, uniforms.data(),
                                 count, team.interface(), ids.data());
  }
  require_memory(draw != Draw::no_memory);
  return draw == Draw::done;
}

}  // namespace

template <typename T>
void bind_reading(KernelsClass<T>& kernels) {
  kernels.def("score", score<T>, nb::kw_only(), "shape"_a, "ngrams"_a.none(), "pairs"_a.none(),
              "weights"_a, "state"_a, "tokens"_a.noconvert(), "threads"_a, "nats"_a.noconvert());
  kernels.def("activations", activations<T>, nb::kw_only(), "shape"_a, "ngrams"_a.none(),
              "pairs"_a.none(), "weights"_a, "state"_a, "tokens"_a.noconvert(), "values"_a);
  kernels.def("step", step<T>, nb::kw_only(), "shape"_a, "ngrams"_a.none(), "pairs"_a.none(),
              "weights"_a, "state"_a, "ids"_a.noconvert(), "logits"_a.noconvert());
  kernels.def("generate", generate<T>, nb::kw_only(), "shape"_a, "ngrams"_a.none(), "pairs"_a.none(),
              "weights"_a, "state"_a, "read"_a.noconvert(), "sampler"_a, "uniforms"_a.noconvert(),
              "threads"_a, "ids"_a.noconvert());
}

template void bind_reading<float>(KernelsClass<float>&);
template void bind_reading<double>(KernelsClass<double>&);

}  // namespace charloom
